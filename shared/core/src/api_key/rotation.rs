//! Replacing a key, by call.

use super::Reach;
use super::listed::listed_columns;
use crate::credential::CredentialHash;
use crate::id::{KeyId, OrganizationId};
use crate::sql::Statement;
use crate::time::{Duration, Timestamp};

/// One rotation: a new key with all that the old one has but its secret; the old one works until the overlap ends.
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
    /// Marks the old key as replaced, if it works, was not replaced yet and is not itself on its way to its owner.
    #[must_use]
    pub fn replace_old(&self) -> Statement {
        Statement::new(
            "UPDATE api_keys SET replaced_by = ?3, expires_at = MIN(expires_at, ?5) WHERE org_id = ?1 AND \
             key_id = ?2 AND status = 'active' AND expires_at > ?4 AND replaced_by IS NULL AND \
             (?6 IS NULL OR owner_id = ?6) AND NOT EXISTS (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND \
             key_id = ?2 AND state IN ('pending', 'dead'))",
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
             life_ms, created_at, expires_at, allowed_addresses, metadata) SELECT org_id, ?3, ?4, name, owner_id, \
             permissions, rate_limit, 'active', life_ms, ?5, ?5 + life_ms, allowed_addresses, metadata FROM api_keys \
             WHERE org_id = ?1 AND key_id = ?2 AND replaced_by = ?3",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.new_hash)
        .bind(self.now)
    }

    /// Hands the schedule on to the new key, if there is one of both: the first statement gives it to the new, the
    /// second ends it for the old. After [`Rotation::create_new`].
    #[must_use]
    pub fn hand_schedule_on(&self) -> [Statement; 2] {
        let give = Statement::new(
            "INSERT INTO api_key_rotations (org_id, key_id, period_ms, overlap_ms, due_at, delivery, \
             sealed_signing_secret) SELECT old.org_id, api_keys.key_id, old.period_ms, old.overlap_ms, \
             CASE WHEN old.due_at IS NULL THEN NULL ELSE MIN(api_keys.created_at + old.period_ms, api_keys.expires_at - \
             MIN(86400000, api_keys.life_ms / 2)) END, old.delivery, old.sealed_signing_secret FROM api_keys JOIN \
             api_key_rotations AS old ON old.org_id = api_keys.org_id AND old.key_id = ?2 WHERE \
             api_keys.org_id = ?1 AND api_keys.key_id = ?3",
        );
        let end = Statement::new(
            "UPDATE api_key_rotations SET due_at = NULL WHERE org_id = ?1 AND key_id = ?2 AND EXISTS \
             (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?3)",
        );
        [give, end]
            .map(|statement| statement.bind(self.organization).bind(self.old_key_id).bind(self.new_key_id))
    }

    /// Both keys after the attempt: the old one where the caller may see it, the new one where it was made.
    #[must_use]
    pub fn result(&self) -> Statement {
        Statement::new(concat!(
            "SELECT ",
            listed_columns!(),
            " FROM api_keys AS listed WHERE org_id = ?1 AND key_id IN (?2, ?3) AND (?4 IS NULL OR owner_id = ?4)"
        ))
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.reach.owner())
    }
}
