//! Replacing a key, by call.

use super::Reach;
use crate::credential::CredentialHash;
use crate::id::{KeyId, OrganizationId};
use crate::sql::Statement;
use crate::time::{Duration, Timestamp};

/// One rotation: a new key with the old one's name, permissions and limits; the old one works until the
/// overlap ends.
#[derive(Debug)]
pub struct Rotation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose keys the caller may change.
    pub reach: Reach<'a>,
    /// The key that is replaced.
    pub old_key_id: &'a KeyId,
    /// The key that replaces it.
    pub new_key_id: &'a KeyId,
    /// The hash of the new secret.
    pub new_hash: &'a CredentialHash,
    /// How long both work.
    pub overlap: Duration,
    /// Now.
    pub now: Timestamp,
}

impl Rotation<'_> {
    /// Marks the old key as replaced, if it works and was not replaced yet.
    #[must_use]
    pub fn replace_old(&self) -> Statement {
        Statement::new(
            "UPDATE api_keys SET replaced_by = ?3, expires_at = MIN(expires_at, ?5) WHERE org_id = ?1 AND \
             key_id = ?2 AND status = 'active' AND expires_at > ?4 AND replaced_by IS NULL AND \
             (?6 IS NULL OR owner_id = ?6)",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.now)
        .bind(self.now.after(self.overlap))
        .bind(self.reach.owner())
    }

    /// Creates the new key, if [`Rotation::replace_old`] did replace.
    #[must_use]
    pub fn create_new(&self) -> Statement {
        Statement::new(
            "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, status, \
             life_ms, created_at, expires_at) SELECT org_id, ?3, ?4, name, owner_id, permissions, rate_limit, \
             'active', life_ms, ?5, ?5 + life_ms FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND \
             replaced_by = ?3",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.new_hash)
        .bind(self.now)
    }

    /// Both keys after the attempt: the old one where the caller may see it, the new one where it was made.
    #[must_use]
    pub fn result(&self) -> Statement {
        Statement::new(
            "SELECT key_id, name, owner_id, permissions, rate_limit, created_at, expires_at, last_used, status, \
             replaced_by FROM api_keys WHERE org_id = ?1 AND key_id IN (?2, ?3) AND (?4 IS NULL OR owner_id = ?4)",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.reach.owner())
    }
}
