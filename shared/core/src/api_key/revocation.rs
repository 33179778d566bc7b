//! Ending a key at once.

use super::Reach;
use crate::audit::RecordCondition;
use crate::id::{KeyId, OrganizationId};
use crate::record_condition;
use crate::sql::Statement;
use crate::time::Timestamp;

/// One revocation.
#[derive(Debug)]
pub struct Revocation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose keys the caller may change.
    pub reach: Reach<'a>,
    /// The key.
    pub key_id: &'a KeyId,
    /// Now.
    pub now: Timestamp,
}

impl Revocation<'_> {
    /// Revokes the key unless it is revoked already; returns its id if it did. An expired key can be revoked
    /// too: whoever revokes wants to be sure.
    #[must_use]
    pub fn revoke(&self) -> Statement {
        Statement::new(
            "UPDATE api_keys SET status = 'revoked', revoked_at = ?3 WHERE org_id = ?1 AND key_id = ?2 AND \
             status <> 'revoked' AND (?4 IS NULL OR owner_id = ?4) RETURNING key_id",
        )
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.now)
        .bind(self.reach.owner())
    }

    /// When it was revoked: now or before.
    #[must_use]
    pub fn result(&self) -> Statement {
        Statement::new(
            "SELECT key_id, revoked_at FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND \
             (?3 IS NULL OR owner_id = ?3)",
        )
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.reach.owner())
    }
}

/// The audit condition "the key `?14` was revoked by this record's moment".
pub const KEY_REVOKED_NOW: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?14 AND revoked_at = ?3)"
);
