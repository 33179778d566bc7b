//! `Authorization: Bearer`.

use http::{HeaderMap, header};

use crate::request::error::ApiError;

/// The token of `Authorization: Bearer`; `None` without the header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => {
            Err(ApiError::unauthorized("credential_missing", "`Authorization` must be `Bearer` and a token"))
        }
    }
}
