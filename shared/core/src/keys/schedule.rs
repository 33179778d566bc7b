//! Keys that are rotated by themselves: their schedules. A schedule belongs to one key and is handed on to
//! its successor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CarriedRights;
use super::successor::due_at;
use crate::id::{KeyId, OrganizationId};
use crate::jose::jwe::ReceiverKey;
use crate::permission::Reach;
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::secret::register::SIGNING_SECRET;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::{Duration, Timestamp};

/// Where a new key goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Target {
    /// A secret in a Vault's KV engine, version 2.
    Vault {
        /// Where the engine is mounted.
        mount: String,
        /// The secret's path in it.
        path: String,
    },
    /// A receiver over HTTPS.
    Webhook {
        /// Its address.
        url: String,
        /// What keys are encrypted to.
        public_key: ReceiverKey,
    },
}

impl Target {
    /// As it is stored: the same target is the same text.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// What a signing secret is sealed for: this organization and this target. It stays the same when the
    /// schedule is handed on, and a secret copied to another target does not open.
    #[must_use]
    pub fn signing_purpose(&self, organization: &OrganizationId) -> String {
        SIGNING_SECRET.purpose(organization, &[&self.to_text()])
    }
}

/// A schedule that is set.
#[derive(Debug)]
pub struct NewSchedule<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose keys the caller may change.
    pub reach: Reach<'a>,
    /// The key.
    pub key_id: &'a KeyId,
    /// What it carried when the caller was found to hold it all.
    pub carried: &'a CarriedRights,
    /// How old a key is when it is replaced.
    pub period: Duration,
    /// How long the old key works once the new one was delivered.
    pub overlap: Duration,
    /// Where new keys go.
    pub target: &'a Target,
    /// What deliveries are signed with, sealed.
    pub sealed_signing_secret: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

impl NewSchedule<'_> {
    /// Sets it, if the key works, was not replaced and may do what was read of it. The signing secret stays
    /// where the target does. Returns the row.
    pub fn set(&self) -> Query<Schedule> {
        Query::new(concat!(
            "INSERT INTO api_key_rotations (org_id, key_id, period_ms, overlap_ms, due_at, delivery, \
             sealed_signing_secret) SELECT org_id, key_id, ?3, ?4, ",
            due_at!("api_keys", "?3"),
            ", ?5, ?6 FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND status = 'active' AND expires_at > \
             ?7 AND replaced_by IS NULL AND (?8 IS NULL OR owner_id = ?8) AND permissions = ?9 ON CONFLICT \
             (org_id, key_id) DO UPDATE SET period_ms = excluded.period_ms, overlap_ms = \
             excluded.overlap_ms, due_at = excluded.due_at, sealed_signing_secret = CASE WHEN delivery = \
             excluded.delivery THEN sealed_signing_secret ELSE excluded.sealed_signing_secret END, delivery \
             = excluded.delivery RETURNING key_id, period_ms, overlap_ms, due_at, delivery, \
             sealed_signing_secret",
        ))
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.period.as_millis())
        .bind(self.overlap.as_millis())
        .bind(self.target.to_text())
        .bind(self.sealed_signing_secret)
        .bind(self.now)
        .bind(self.reach.owner())
        .bind(self.carried.as_stored.as_str())
    }
}

/// The audit condition "the record's key can have a schedule now, may do `?2`, and is the actor's own".
pub const OWN_KEY_CAN_ROTATE: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?8 AND status = 'active' AND expires_at > \
     ?3 AND replaced_by IS NULL AND permissions = ?2 AND owner_id = ?5)"
);

/// The audit condition "the record's key can have a schedule now, and may do `?2`".
pub const KEY_CAN_ROTATE: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?8 AND status = 'active' AND expires_at > \
     ?3 AND replaced_by IS NULL AND permissions = ?2)"
);

/// A schedule.
#[derive(Debug)]
pub struct Schedule {
    /// The key.
    pub key_id: KeyId,
    /// How old a key is when it is replaced.
    pub period: Duration,
    /// How long the old key works once the new one was delivered.
    pub overlap: Duration,
    /// When it is replaced; none once it was, or the schedule was ended.
    pub due_at: Option<Timestamp>,
    /// Where new keys go.
    pub target: Target,
    /// What deliveries are signed with, sealed.
    pub sealed_signing_secret: Option<String>,
}

impl Schedule {
    /// Reads one.
    pub fn find(organization: &OrganizationId, key_id: &KeyId, reach: Reach<'_>) -> Query<Self> {
        Query::new(
            "SELECT key_id, period_ms, overlap_ms, due_at, delivery, sealed_signing_secret FROM \
             api_key_rotations AS schedule WHERE org_id = ?1 AND key_id = ?2 AND (?3 IS NULL OR EXISTS \
             (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND owner_id = ?3))",
        )
        .bind(organization)
        .bind(key_id)
        .bind(reach.owner())
    }

    /// Ends one; whether there was one. As long as the key is on its way, the row stays without a date: it
    /// says where the key goes.
    pub fn end(organization: &OrganizationId, key_id: &KeyId, reach: Reach<'_>, batch: &mut Batch) -> Ticket {
        let stop = Statement::new(
            "UPDATE api_key_rotations SET due_at = NULL WHERE org_id = ?1 AND key_id = ?2 AND (?3 IS NULL OR \
             EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND owner_id = ?3)) RETURNING \
             key_id",
        );
        let delete = Statement::new(
            "DELETE FROM api_key_rotations WHERE org_id = ?1 AND key_id = ?2 AND (?3 IS NULL OR EXISTS \
             (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND owner_id = ?3)) AND NOT EXISTS \
             (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND key_id = ?2 AND state IN ('pending', \
             'dead'))",
        );
        let bind = |statement: Statement| statement.bind(organization).bind(key_id).bind(reach.owner());
        let stopped = batch.then(bind(stop));
        batch.then(bind(delete));
        stopped
    }

    /// Stops one whose key was just given these permissions (a JSON array), which are more than whoever set
    /// it was known to hold: the key's successors would go to somebody who may not have them. The row stays,
    /// without a date. Where the key is being replaced, that of its successor stops: it would come back if
    /// that is never delivered.
    #[must_use]
    pub fn stop_widened(
        organization: &OrganizationId,
        key_id: &KeyId,
        reach: Reach<'_>,
        permissions: &str,
    ) -> Statement {
        Statement::new(
            "UPDATE api_key_rotations SET due_at = NULL WHERE org_id = ?1 AND key_id IN (SELECT ?2 UNION ALL \
             SELECT replaced_by FROM api_keys WHERE org_id = ?1 AND key_id = ?2) AND EXISTS (SELECT 1 FROM \
             api_keys WHERE org_id = ?1 AND key_id = ?2 AND status <> 'revoked' AND permissions = ?4 AND (?3 \
             IS NULL OR owner_id = ?3))",
        )
        .bind(organization)
        .bind(key_id)
        .bind(reach.owner())
        .bind(permissions)
    }
}

/// That a schedule with a date is the record's key's, or its successor's, and that the key may do `?2` and is
/// not revoked.
macro_rules! schedule_stops {
    ($of_whom:literal) => {
        record_condition!(
            "EXISTS (SELECT 1 FROM api_key_rotations WHERE org_id = ?1 AND key_id IN (SELECT ?8 UNION ALL \
             SELECT replaced_by FROM api_keys WHERE org_id = ?1 AND key_id = ?8) AND due_at IS NOT NULL) AND \
             EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?8 AND status <> 'revoked' AND \
             permissions = ?2",
            $of_whom,
            ")"
        )
    };
}

/// The audit condition "[`Schedule::stop_widened`] stops one, of the record's key, which may do `?2` now and
/// is the actor's own". Before it stops.
pub const OWN_SCHEDULE_STOPS: RecordCondition = schedule_stops!(" AND owner_id = ?5");

/// The audit condition "[`Schedule::stop_widened`] stops one, of the record's key, which may do `?2` now".
/// Before it stops.
pub const SCHEDULE_STOPS: RecordCondition = schedule_stops!("");

/// The audit condition "the key `?2` has a schedule, and is the actor's own".
pub const OWN_SCHEDULE_EXISTS: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_key_rotations WHERE org_id = ?1 AND key_id = ?2) AND EXISTS (SELECT 1 FROM \
     api_keys WHERE org_id = ?1 AND key_id = ?2 AND owner_id = ?5)"
);

/// The audit condition "the key `?2` has a schedule".
pub const SCHEDULE_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM api_key_rotations WHERE org_id = ?1 AND key_id = ?2)");

impl FromRow for Schedule {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            key_id: KeyId::from_column(row, "key_id")?,
            period: Duration::from_millis(row.integer("period_ms")?),
            overlap: Duration::from_millis(row.integer("overlap_ms")?),
            due_at: row.optional_integer("due_at")?.map(Timestamp::from_millis),
            target: row.json("delivery")?,
            sealed_signing_secret: row.optional_text("sealed_signing_secret")?.map(str::to_owned),
        })
    }
}
