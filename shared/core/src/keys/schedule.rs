//! Keys that are rotated by themselves: their schedules, and the rotation.
//!
//! A schedule belongs to one key and is handed on to its successor. A key is replaced by one conditional
//! statement, which asks for the due date that was read and that nobody replaced it yet; all that follows
//! asks whether that happened. So runs that overlap, die or come late make one successor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CarriedRights, HOLD};
use crate::id::{KeyDeliveryId, KeyId, LogId, OrganizationId, UserId};
use crate::jose::jwe::ReceiverKey;
use crate::permission::Reach;
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::secret::credential::CredentialHash;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::{Duration, Timestamp};

/// How many keys are turned in one transaction.
pub const TURN_BATCH: u32 = 25;

/// A key that can't turn yet, because it is on its way itself, is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_hours(1);

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
        format!("api_key_rotations/{organization}/{}", self.to_text())
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
        Query::new(
            "INSERT INTO api_key_rotations (org_id, key_id, period_ms, overlap_ms, due_at, delivery, \
             sealed_signing_secret) SELECT org_id, key_id, ?3, ?4, MIN(created_at + ?3, expires_at - \
             MIN(86400000, life_ms / 2)), ?5, ?6 FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND status \
             = 'active' AND expires_at > ?7 AND replaced_by IS NULL AND (?8 IS NULL OR owner_id = ?8) AND \
             permissions = ?9 ON CONFLICT (org_id, key_id) DO UPDATE SET period_ms = excluded.period_ms, \
             overlap_ms = excluded.overlap_ms, due_at = excluded.due_at, sealed_signing_secret = CASE WHEN \
             delivery = excluded.delivery THEN sealed_signing_secret ELSE excluded.sealed_signing_secret \
             END, delivery = excluded.delivery RETURNING key_id, period_ms, overlap_ms, due_at, delivery, \
             sealed_signing_secret",
        )
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

/// A key whose time has come.
#[derive(Debug)]
pub struct DueRotation {
    /// In which organization.
    pub organization: OrganizationId,
    /// The key.
    pub key_id: KeyId,
    /// Whose.
    pub owner_id: UserId,
    due_at: Timestamp,
}

impl DueRotation {
    /// Finds keys whose time has come, of all organizations, those that wait longest first. Those of owners who may not act
    /// wait until they may.
    #[must_use]
    pub fn find(now: Timestamp) -> Statement {
        Statement::new(
            "SELECT schedule.org_id, schedule.key_id, schedule.due_at, api_keys.owner_id FROM api_key_rotations AS \
             schedule INDEXED BY api_key_rotations_due JOIN api_keys ON api_keys.org_id = schedule.org_id AND \
             api_keys.key_id = schedule.key_id JOIN users ON users.org_id = api_keys.org_id AND users.user_id = \
             api_keys.owner_id WHERE schedule.due_at <= ?1 AND users.status = 'active' AND users.deleted_at IS NULL ORDER BY \
             schedule.due_at LIMIT ?2",
        )
        .bind(now)
        .bind(TURN_BATCH)
    }
}

impl FromRow for DueRotation {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            key_id: KeyId::from_column(row, "key_id")?,
            owner_id: UserId::from_column(row, "owner_id")?,
            due_at: Timestamp::from_millis(row.integer("due_at")?),
        })
    }
}

/// What takes the place of a key whose time has come.
#[derive(Debug, Serialize)]
pub struct Turn {
    organization: OrganizationId,
    key_id: KeyId,
    owner_id: UserId,
    due_at: i64,
    new_key_id: KeyId,
    new_hash: String,
    delivery_id: KeyDeliveryId,
    sealed_key: String,
    log_id: LogId,
}

impl Turn {
    /// One turn. `sealed_key` is the new key, sealed for [`super::delivery_purpose`].
    #[must_use]
    pub fn new(
        due: DueRotation,
        new_key_id: KeyId,
        new_hash: &CredentialHash,
        delivery_id: KeyDeliveryId,
        sealed_key: String,
        log_id: LogId,
    ) -> Self {
        Self {
            organization: due.organization,
            key_id: due.key_id,
            owner_id: due.owner_id,
            due_at: due.due_at.as_millis(),
            new_key_id,
            new_hash: new_hash.as_str().to_owned(),
            delivery_id,
            sealed_key,
            log_id,
        }
    }

    /// Turns keys, in one transaction. A key that ended is not turned, nor one that was replaced, is on its way itself,
    /// or whose date was moved meanwhile. The old key works on until the new one is delivered; one that passed its date
    /// while nobody ran the job stays expired, and its successor is made nevertheless.
    #[must_use]
    pub fn batch(turns: &[Self], now: Timestamp) -> Vec<Statement> {
        let list = serde_json::json!(turns).to_string();
        let statements = [REPLACE_OLD, CREATE_NEW, HAND_SCHEDULE_ON, BEGIN_DELIVERY, RECORD, END_SCHEDULE];
        let bind = |text: &'static str| {
            let statement = Statement::new(text).bind(list.as_str()).bind(now).bind(now.after(HOLD));
            statement.bind(now.after(LOOK_AGAIN))
        };
        statements.map(bind).into()
    }
}

/// What is in all of them, so that each has the same parameters: `?1` the turns, `?2` now, `?3` until when the old key is
/// held, `?4` when to look again.
macro_rules! turns {
    ($text:literal) => {
        concat!("WITH moments (now, held_until, look_again) AS (SELECT ?2, ?3, ?4), turns AS MATERIALIZED (SELECT value ->> 'organization' AS organization, \
             value ->> 'key_id' AS key_id, value ->> 'owner_id' AS owner_id, value ->> 'due_at' AS due_at, value ->> 'new_key_id' AS new_key_id, value ->> \
             'new_hash' AS new_hash, value ->> 'delivery_id' AS delivery_id, value ->> 'sealed_key' AS sealed_key, \
             value ->> 'log_id' AS log_id FROM json_each(?1)) ", $text)
    };
}

const REPLACE_OLD: &str = turns!(
    "UPDATE api_keys SET replaced_by = turns.new_key_id, status = CASE WHEN expires_at <= ?2 THEN 'expired' ELSE status \
     END, expires_at = CASE WHEN status = 'active' AND expires_at > ?2 THEN MAX(expires_at, ?3) ELSE expires_at END FROM \
     turns WHERE api_keys.org_id = turns.organization AND api_keys.key_id = turns.key_id AND status <> 'revoked' AND \
     replaced_by IS NULL AND EXISTS (SELECT 1 FROM api_key_rotations AS schedule WHERE schedule.org_id = \
     turns.organization AND schedule.key_id = turns.key_id AND schedule.due_at = turns.due_at) AND NOT EXISTS (SELECT 1 \
     FROM api_key_deliveries AS way WHERE way.org_id = turns.organization AND way.key_id = turns.key_id AND way.state IN \
     ('pending', 'dead'))"
);

const CREATE_NEW: &str = turns!(
    "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, status, life_ms, \
     created_at, expires_at, allowed_addresses, metadata) SELECT old.org_id, turns.new_key_id, turns.new_hash, old.name, \
     old.owner_id, old.permissions, old.rate_limit, 'active', old.life_ms, ?2, ?2 + old.life_ms, old.allowed_addresses, \
     old.metadata FROM turns JOIN api_keys AS old ON old.org_id = turns.organization AND old.key_id = turns.key_id WHERE \
     old.replaced_by = turns.new_key_id"
);

const HAND_SCHEDULE_ON: &str = turns!(
    "INSERT INTO api_key_rotations (org_id, key_id, period_ms, overlap_ms, due_at, delivery, sealed_signing_secret) \
     SELECT new.org_id, new.key_id, old.period_ms, old.overlap_ms, MIN(new.created_at + old.period_ms, new.expires_at - \
     MIN(86400000, new.life_ms / 2)), old.delivery, old.sealed_signing_secret FROM turns JOIN api_keys AS new ON \
     new.org_id = turns.organization AND new.key_id = turns.new_key_id JOIN api_key_rotations AS old ON old.org_id = \
     turns.organization AND old.key_id = turns.key_id"
);

const BEGIN_DELIVERY: &str = turns!(
    "INSERT INTO api_key_deliveries (org_id, delivery_id, key_id, old_key_id, owner_id, sealed_key, state, \
     next_attempt_at, held_until, created_at) SELECT new.org_id, turns.delivery_id, new.key_id, turns.key_id, \
     new.owner_id, turns.sealed_key, 'pending', ?2, ?3, ?2 FROM turns JOIN api_keys AS new ON new.org_id = \
     turns.organization AND new.key_id = turns.new_key_id"
);

const RECORD: &str = turns!(
    "INSERT INTO audit_events (org_id, log_id, timestamp, actor, user_id, action, resource, resource_id, result, details) \
     SELECT new.org_id, turns.log_id, ?2, 'system', new.owner_id, 'api_key.rotate', 'api_key', turns.key_id, 'success', \
     json_object('new_key_id', new.key_id, 'delivery_id', turns.delivery_id) FROM turns JOIN api_keys AS new ON \
     new.org_id = turns.organization AND new.key_id = turns.new_key_id"
);

const END_SCHEDULE: &str = turns!(
    "UPDATE api_key_rotations SET due_at = CASE WHEN EXISTS (SELECT 1 FROM api_key_deliveries AS way WHERE way.org_id = \
     turns.organization AND way.key_id = turns.key_id AND way.state IN ('pending', 'dead')) THEN ?4 ELSE NULL END FROM \
     turns WHERE api_key_rotations.org_id = turns.organization AND api_key_rotations.key_id = turns.key_id AND \
     api_key_rotations.due_at = turns.due_at"
);
