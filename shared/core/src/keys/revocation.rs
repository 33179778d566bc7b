//! Ending a key at once.

use crate::id::{KeyId, OrganizationId};
use crate::permission::Reach;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;

/// The longest reason of a revocation, in characters.
pub const MAX_REASON_CHARACTERS: usize = 200;

/// One revocation.
#[derive(Debug)]
pub struct Revocation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose keys the caller may change.
    pub reach: Reach<'a>,
    /// The key.
    pub key_id: &'a KeyId,
    /// Why, in the words of whoever does it.
    pub reason: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

impl Revocation<'_> {
    /// Revokes the key unless it is revoked already; returns its id if it did. An expired key can be revoked
    /// too: whoever revokes wants to be sure.
    #[must_use]
    pub fn revoke(&self) -> Statement {
        Statement::new(
            "UPDATE api_keys SET status = 'revoked', revoked_at = ?3, revoked_because = ?5 WHERE org_id = ?1 \
             AND key_id = ?2 AND status <> 'revoked' AND (?4 IS NULL OR owner_id = ?4) RETURNING key_id",
        )
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.now)
        .bind(self.reach.owner())
        .bind(self.reason)
    }

    /// The [`RevokedKey`]: now or before.
    pub fn result(&self) -> Query<RevokedKey> {
        Query::new(
            "SELECT revoked_at, revoked_because FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND \
             (?3 IS NULL OR owner_id = ?3)",
        )
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.reach.owner())
    }
}

/// When a key was revoked, and why.
#[derive(Debug)]
pub struct RevokedKey {
    /// When.
    pub revoked_at: Timestamp,
    /// Why: `leaked`, or the words of whoever did it.
    pub revoked_because: Option<String>,
}

impl FromRow for RevokedKey {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            revoked_at: Timestamp::from_millis(row.integer("revoked_at")?),
            revoked_because: row.optional_text("revoked_because")?.map(str::to_owned),
        })
    }
}
