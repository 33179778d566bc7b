//! Replacing a key, by call.

use super::successor::{due_at, make_successor};
use super::{CarriedRights, KeyStatus};
use crate::id::{KeyId, OrganizationId};
use crate::permission::Reach;
use crate::secret::credential::CredentialHash;
use crate::sql::{Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// One rotation: a new key with all that the old one has but its secret; the old one works until the overlap
/// ends.
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
    /// What the old key carried when the caller was found to hold it all.
    pub carried: &'a CarriedRights,
    /// How long both work.
    pub overlap: Duration,
    /// How many working keys an owner may have, those that are being replaced aside.
    pub max_per_user: u32,
    /// Now.
    pub now: Timestamp,
}

impl Rotation<'_> {
    /// When the old key ends.
    #[must_use]
    pub fn old_expires_at(&self) -> Timestamp {
        self.carried.expires_at.min(self.now.after(self.overlap))
    }

    /// When the new key ends.
    #[must_use]
    pub fn new_expires_at(&self) -> Timestamp {
        self.now.after(self.carried.life)
    }

    /// Marks the old key as replaced, if it works, was not replaced yet, is not itself on its way to its
    /// owner and still is what was read of it. An owner's keys and those that they replace are twice as many
    /// as it may have at most: otherwise rotations with long overlaps would make any number of keys.
    #[must_use]
    pub fn replace_old(&self) -> Statement {
        Statement::new(
            "UPDATE api_keys SET replaced_by = ?3, expires_at = MIN(expires_at, ?5) WHERE org_id = ?1 AND \
             key_id = ?2 AND status = 'active' AND expires_at > ?4 AND replaced_by IS NULL AND (?6 IS NULL \
             OR owner_id = ?6) AND permissions = ?7 AND expires_at = ?8 AND NOT EXISTS (SELECT 1 FROM \
             api_key_deliveries WHERE org_id = ?1 AND key_id = ?2 AND state IN ('pending', 'dead')) AND \
             (SELECT COUNT(*) FROM api_keys AS other WHERE other.org_id = ?1 AND other.owner_id = \
             api_keys.owner_id AND other.status = 'active' AND other.expires_at > ?4 AND other.key_id <> ?2) \
             + IIF(?5 > ?4, 2, 1) <= ?9",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.now)
        .bind(self.now.after(self.overlap))
        .bind(self.reach.owner())
        .bind(self.carried.as_stored.as_str())
        .bind(self.carried.expires_at)
        .bind(self.max_per_user.saturating_mul(2))
    }

    /// Creates the new key, if [`Rotation::replace_old`] did replace.
    #[must_use]
    pub fn create_new(&self) -> Statement {
        Statement::new(make_successor!(
            "?3",
            "?4",
            "?5",
            "api_keys AS old WHERE old.org_id = ?1 AND old.key_id = ?2 AND old.replaced_by = ?3"
        ))
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.new_hash)
        .bind(self.now)
    }

    /// Hands the schedule on to the new key, if there is one of both: the first statement gives it to the
    /// new, the second ends it for the old. After [`Rotation::create_new`].
    #[must_use]
    pub fn hand_schedule_on(&self) -> [Statement; 2] {
        let give = Statement::new(concat!(
            "INSERT INTO api_key_rotations (org_id, key_id, period_ms, overlap_ms, due_at, delivery, \
             sealed_signing_secret) SELECT old.org_id, api_keys.key_id, old.period_ms, old.overlap_ms, CASE \
             WHEN old.due_at IS NULL THEN NULL ELSE ",
            due_at!("api_keys", "old.period_ms"),
            " END, old.delivery, old.sealed_signing_secret FROM api_keys JOIN api_key_rotations AS old ON \
             old.org_id = api_keys.org_id AND old.key_id = ?2 WHERE api_keys.org_id = ?1 AND api_keys.key_id \
             = ?3",
        ));
        let end = Statement::new(
            "UPDATE api_key_rotations SET due_at = NULL WHERE org_id = ?1 AND key_id = ?2 AND EXISTS \
             (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?3)",
        );
        [give, end]
            .map(|statement| statement.bind(self.organization).bind(self.old_key_id).bind(self.new_key_id))
    }

    /// What came of it, for [`RotationOutcome::read`]; no row where the caller may not see the old key.
    pub fn outcome(&self) -> Query<Row> {
        Query::new(
            "SELECT status, expires_at, replaced_by, permissions = ?4 AND expires_at = ?5 AS is_as_read, \
             EXISTS (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND key_id = ?2 AND state IN \
             ('pending', 'dead')) AS is_on_its_way FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND (?3 \
             IS NULL OR owner_id = ?3)",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.reach.owner())
        .bind(self.carried.as_stored.as_str())
        .bind(self.carried.expires_at)
    }
}

/// What came of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationOutcome {
    /// The new key took the old one's place.
    Replaced,
    /// The old key was revoked.
    Revoked,
    /// The old key is past its date.
    Expired,
    /// Another key took its place before.
    ReplacedBefore,
    /// The old key is itself on its way to its owner.
    NotDelivered,
    /// The old key is no longer what was read of it.
    Changed,
    /// Its owner has too many keys that are being replaced.
    TooMany,
}

impl RotationOutcome {
    /// Reads the row of [`Rotation::outcome`].
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(row: &Row, rotation: &Rotation<'_>) -> Result<Self, RowError> {
        let expires_at = Timestamp::from_millis(row.integer("expires_at")?);
        let replaced_by = row.optional_text("replaced_by")?;
        if replaced_by == Some(rotation.new_key_id.as_str()) {
            return Ok(Self::Replaced);
        }
        Ok(match (KeyStatus::read(row, expires_at, rotation.now)?, replaced_by) {
            (KeyStatus::Revoked, _) => Self::Revoked,
            (_, Some(_)) => Self::ReplacedBefore,
            (KeyStatus::Expired, None) => Self::Expired,
            (KeyStatus::Active, None) if row.integer("is_on_its_way")? == 1 => Self::NotDelivered,
            (KeyStatus::Active, None) if row.integer("is_as_read")? == 0 => Self::Changed,
            (KeyStatus::Active, None) => Self::TooMany,
        })
    }
}
