//! Fields of API keys, as they are created and changed: each checked alike, and named where it is refused.

use iam_core::keys::{
    KeyMetadata, MAX_ADDRESS_RANGES, MAX_NAME_CHARACTERS, MAX_PERMISSIONS, address_range, metadata_problem,
};
use iam_core::permission::Permission;
use ipnet::IpNet;

use crate::access::Caller;
use crate::request::error::ApiError;
use crate::request::field;

/// The highest rate limit, in requests per minute.
pub const MAX_RATE_LIMIT: u32 = 1_000_000;

/// What people call it: 1 to 128 characters.
///
/// # Errors
/// 422 at `/name`.
pub fn name(text: &str) -> Result<&str, ApiError> {
    field::name("/name", text, MAX_NAME_CHARACTERS)
}

/// What it may do: 1 to 64 permissions, none of which the caller lacks.
///
/// # Errors
/// 422 at `/permissions`, or 403 that names the permission which the caller lacks.
pub fn permissions(caller: &Caller, permissions: &[Permission]) -> Result<(), ApiError> {
    if permissions.is_empty() || permissions.len() > MAX_PERMISSIONS {
        return Err(ApiError::field("/permissions", format!("1 to {MAX_PERMISSIONS} permissions")));
    }
    match permissions.iter().enumerate().find(|(_, permission)| !caller.holds(permission)) {
        None => Ok(()),
        Some((index, permission)) => Err(ApiError::forbidden(permission)
            .and_field(format!("/permissions/{index}"), "you don't hold this permission yourself")),
    }
}

/// What a key carries, all of which a caller must hold who gets its successor, says where that goes, or
/// loosens its limits: otherwise a narrow key would be a way to a wide one.
///
/// # Errors
/// 403 that names the permission which the caller lacks.
pub fn carried(caller: &Caller, permissions: &[Permission]) -> Result<(), ApiError> {
    match permissions.iter().find(|permission| !caller.holds(permission)) {
        None => Ok(()),
        Some(permission) => {
            let cause = format!("the key may do more than user {} with this credential", caller.user_id);
            Err(ApiError::forbidden(permission).cause(cause))
        }
    }
}

/// What a key was when it was looked at is not what it is now.
#[must_use]
pub fn changed_meanwhile() -> ApiError {
    ApiError::conflict("key_changed", "this API key was changed at the same time; look at it and try again")
}

/// Requests per minute.
///
/// # Errors
/// 422 at `/rate_limit`.
pub fn rate_limit(limit: u32) -> Result<u32, ApiError> {
    if (1..=MAX_RATE_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::field("/rate_limit", format!("1 to {MAX_RATE_LIMIT} requests per minute")))
    }
}

/// The address ranges that it may be used from, as they are stored, each once.
///
/// # Errors
/// 422 at `/allowed_addresses`, or at the one that is no range.
pub fn allowed_addresses(texts: &[String]) -> Result<Vec<IpNet>, ApiError> {
    if texts.is_empty() || texts.len() > MAX_ADDRESS_RANGES {
        let allowed = format!("1 to {MAX_ADDRESS_RANGES} address ranges; without the field, from anywhere");
        return Err(ApiError::field("/allowed_addresses", allowed));
    }
    let mut ranges = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let range = address_range(text).ok_or_else(|| {
            let allowed = "an IPv4 or IPv6 address or range, as `192.0.2.0/24` or `2001:db8::/32`";
            ApiError::field(format!("/allowed_addresses/{index}"), allowed)
        })?;
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    Ok(ranges)
}

/// Notes about it.
///
/// # Errors
/// 422 at the note that is refused.
pub fn metadata(metadata: &KeyMetadata) -> Result<(), ApiError> {
    metadata_problem(metadata).map_or(Ok(()), |(pointer, allowed)| Err(ApiError::field(pointer, allowed)))
}
