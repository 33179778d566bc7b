//! Changing a key that goes on working.

use super::CarriedRights;
use crate::id::{KeyId, OrganizationId};
use crate::permission::Reach;
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::sql::Statement;

/// What changes of a key; what is absent stays.
#[derive(Debug)]
pub struct KeyChange<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose keys the caller may change.
    pub reach: Reach<'a>,
    /// The key.
    pub key_id: &'a KeyId,
    /// What it carried when the caller was found to hold it all, where a limit of it changes.
    pub carried: Option<&'a CarriedRights>,
    /// What people call it.
    pub name: Option<&'a str>,
    /// What it may do, a JSON array.
    pub permissions: Option<String>,
    /// Requests per minute.
    pub rate_limit: Option<u32>,
    /// The address ranges that it may be used from, a JSON array; `Some(None)` for anywhere.
    pub allowed_addresses: Option<Option<String>>,
    /// Notes about it, a JSON object.
    pub metadata: Option<String>,
}

impl KeyChange<'_> {
    /// Changes it, unless it was revoked, or what it carries is no longer what was read. Returns its id if it
    /// did.
    #[must_use]
    pub fn apply(self) -> Statement {
        Statement::new(
            "UPDATE api_keys SET name = COALESCE(?4, name), permissions = COALESCE(?5, permissions), \
             rate_limit = COALESCE(?6, rate_limit), allowed_addresses = IIF(?7, ?8, allowed_addresses), \
             metadata = COALESCE(?9, metadata) WHERE org_id = ?1 AND key_id = ?2 AND status <> 'revoked' AND \
             (?3 IS NULL OR owner_id = ?3) AND (?10 IS NULL OR permissions = ?10) RETURNING key_id",
        )
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.reach.owner())
        .bind(self.name)
        .bind(self.permissions)
        .bind(self.rate_limit)
        .bind(self.allowed_addresses.is_some())
        .bind(self.allowed_addresses.flatten())
        .bind(self.metadata)
        .bind(self.carried.map(|carried| carried.as_stored.as_str()))
    }
}

/// The audit condition "the record's key was not revoked, may do `?2` (where that is not null), and is the
/// actor's own". Before the change.
pub const OWN_KEY_CAN_CHANGE: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?8 AND status <> 'revoked' AND (?2 IS \
     NULL OR permissions = ?2) AND owner_id = ?5)"
);

/// The audit condition "the record's key was not revoked, and may do `?2` (where that is not null)". Before
/// the change.
pub const KEY_CAN_CHANGE: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?8 AND status <> 'revoked' AND (?2 IS \
     NULL OR permissions = ?2))"
);
