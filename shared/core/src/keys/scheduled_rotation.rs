//! Keys whose time has come, and what takes their place.
//!
//! A key is replaced by one conditional statement, which asks for the due date that was read and that nobody
//! replaced it yet; all that follows asks whether that happened. So runs that overlap, die or come late make
//! one successor.

use serde::Serialize;

use super::successor::{due_at, make_successor};
use super::{HOLD, acts};
use crate::due::Due;
use crate::id::{KeyDeliveryId, KeyId, LogId, OrganizationId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::secret::credential::CredentialHash;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::{record_rows, who_is_due};

/// How many keys are rotated in one transaction.
pub const ROTATION_BATCH: u32 = 25;

/// A key that can't be rotated yet, because it is on its way itself, is looked at again after this long.
pub(super) const LOOK_AGAIN: Duration = Duration::from_hours(1);

/// A key whose time has come.
#[derive(Debug)]
pub struct DueRotation {
    /// In which organization.
    pub organization: OrganizationId,
    /// The key.
    pub key_id: KeyId,
    due_at: Timestamp,
}

/// Schedules with their keys and the owners of these.
macro_rules! schedules {
    () => {
        "api_key_rotations AS schedule INDEXED BY api_key_rotations_due CROSS JOIN api_keys ON \
         api_keys.org_id = schedule.org_id AND api_keys.key_id = schedule.key_id CROSS JOIN users ON \
         users.org_id = api_keys.org_id AND users.user_id = api_keys.owner_id"
    };
}

/// Keys of owners who may not act wait until they may.
macro_rules! is_due {
    ($now:literal) => {
        concat!("schedule.due_at <= ", $now, " AND users.status = 'active' AND users.deleted_at IS NULL")
    };
}

impl DueRotation {
    /// Who has keys whose time has come.
    pub fn due(now: Timestamp, known: &[OrganizationId]) -> Query<Due> {
        const WHO: &str = who_is_due!(
            of: "schedule.org_id", from: schedules!(), where: is_due!("?3"), by: "schedule.due_at"
        );
        Due::find(WHO, known).bind(now)
    }

    /// Finds an organization's keys whose time has come, those that wait longest first.
    pub fn find(organization: &OrganizationId, now: Timestamp) -> Query<Self> {
        Query::new(concat!(
            "SELECT schedule.org_id, schedule.key_id, schedule.due_at FROM ",
            schedules!(),
            " WHERE schedule.org_id = ?1 AND ",
            is_due!("?2"),
            " ORDER BY schedule.due_at LIMIT ?3"
        ))
        .bind(organization)
        .bind(now)
        .bind(ROTATION_BATCH)
    }
}

impl FromRow for DueRotation {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            key_id: KeyId::from_column(row, "key_id")?,
            due_at: Timestamp::from_millis(row.integer("due_at")?),
        })
    }
}

/// What takes the place of a key whose time has come.
#[derive(Debug, Serialize)]
pub struct ScheduledRotation {
    organization: OrganizationId,
    key_id: KeyId,
    due_at: i64,
    new_key_id: KeyId,
    new_hash: String,
    delivery_id: KeyDeliveryId,
    sealed_key: String,
    log_id: LogId,
}

impl ScheduledRotation {
    /// One rotation. `sealed_key` is the new key, sealed for [`super::delivery_purpose`].
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
            due_at: due.due_at.as_millis(),
            new_key_id,
            new_hash: new_hash.as_str().to_owned(),
            delivery_id,
            sealed_key,
            log_id,
        }
    }

    /// Rotates keys of an organization, in one transaction. A key that ended is not rotated, nor one that was
    /// replaced, is on its way itself, or whose date was moved meanwhile. The old key works on until the new
    /// one is delivered; one that passed its date while nobody ran the job stays expired, and its successor
    /// is made nevertheless.
    #[must_use]
    pub fn batch(rotations: &[Self], now: Timestamp) -> Vec<Statement> {
        let Some(first) = rotations.first() else { return Vec::new() };
        let list = serde_json::json!(rotations).to_string();
        let record = AuditEvent::by_system(&first.organization, first.log_id.clone(), acts::ROTATE, now);
        let bind = |text: &'static str| {
            let statement = Statement::new(text).bind(list.as_str()).bind(now).bind(now.after(HOLD));
            statement.bind(now.after(LOOK_AGAIN))
        };
        let [replace, create, hand_on, begin] =
            [REPLACE_OLD, CREATE_NEW, HAND_SCHEDULE_ON, BEGIN_DELIVERY].map(bind);
        let record = record.record_if(ROTATED, list.as_str());
        vec![replace, create, hand_on, begin, record, bind(END_SCHEDULE)]
    }
}

/// What is in all of them, so that each has the same parameters: `?1` the rotations, `?2` now, `?3` until
/// when the old key is held, `?4` when to look again.
macro_rules! rotations {
    ($($text:expr),+) => {
        concat!(
            "WITH moments (now, held_until, look_again) AS (SELECT ?2, ?3, ?4), rotations AS MATERIALIZED \
             (SELECT value ->> 'organization' AS organization, value ->> 'key_id' AS key_id, value ->> \
             'due_at' AS due_at, value ->> 'new_key_id' AS new_key_id, value ->> 'new_hash' AS new_hash, \
             value ->> 'delivery_id' AS delivery_id, value ->> 'sealed_key' AS sealed_key FROM \
             json_each(?1)) ",
            $($text),+
        )
    };
}

const REPLACE_OLD: &str = rotations!(
    "UPDATE api_keys SET replaced_by = rotations.new_key_id, status = CASE WHEN expires_at <= ?2 THEN \
     'expired' ELSE status END, expires_at = CASE WHEN status = 'active' AND expires_at > ?2 THEN \
     MAX(expires_at, ?3) ELSE expires_at END FROM rotations WHERE api_keys.org_id = rotations.organization \
     AND api_keys.key_id = rotations.key_id AND status <> 'revoked' AND replaced_by IS NULL AND EXISTS \
     (SELECT 1 FROM api_key_rotations AS schedule WHERE schedule.org_id = rotations.organization AND \
     schedule.key_id = rotations.key_id AND schedule.due_at = rotations.due_at) AND NOT EXISTS (SELECT 1 \
     FROM api_key_deliveries AS way WHERE way.org_id = rotations.organization AND way.key_id = \
     rotations.key_id AND way.state IN ('pending', 'dead'))"
);

const CREATE_NEW: &str = rotations!(make_successor!(
    "rotations.new_key_id",
    "rotations.new_hash",
    "?2",
    "rotations JOIN api_keys AS old ON old.org_id = rotations.organization AND old.key_id = rotations.key_id \
     WHERE old.replaced_by = rotations.new_key_id"
));

const HAND_SCHEDULE_ON: &str = rotations!(
    "INSERT INTO api_key_rotations (org_id, key_id, period_ms, overlap_ms, due_at, delivery, \
     sealed_signing_secret) SELECT new.org_id, new.key_id, old.period_ms, old.overlap_ms, ",
    due_at!("new", "old.period_ms"),
    ", old.delivery, old.sealed_signing_secret FROM rotations JOIN api_keys AS new ON new.org_id = \
     rotations.organization AND new.key_id = rotations.new_key_id JOIN api_key_rotations AS old ON \
     old.org_id = rotations.organization AND old.key_id = rotations.key_id"
);

const BEGIN_DELIVERY: &str = rotations!(
    "INSERT INTO api_key_deliveries (org_id, delivery_id, key_id, old_key_id, owner_id, sealed_key, state, \
     next_attempt_at, held_until, created_at) SELECT new.org_id, rotations.delivery_id, new.key_id, \
     rotations.key_id, new.owner_id, rotations.sealed_key, 'pending', ?2, ?3, ?2 FROM rotations JOIN \
     api_keys AS new ON new.org_id = rotations.organization AND new.key_id = rotations.new_key_id"
);

/// A record for each of the rotations `?2` that was done.
const ROTATED: RecordCondition = record_rows!(
    org_id: "new.org_id",
    log_id: "rotation.value ->> 'log_id'",
    user_id: "new.owner_id",
    resource_id: "rotation.value ->> 'key_id'",
    details: "json_object('new_key_id', new.key_id, 'delivery_id', rotation.value ->> 'delivery_id')",
    from: " FROM json_each(?2) AS rotation JOIN api_keys AS new ON new.org_id = rotation.value ->> \
           'organization' AND new.key_id = rotation.value ->> 'new_key_id'",
);

const END_SCHEDULE: &str = rotations!(
    "UPDATE api_key_rotations SET due_at = CASE WHEN EXISTS (SELECT 1 FROM api_key_deliveries AS way WHERE \
     way.org_id = rotations.organization AND way.key_id = rotations.key_id AND way.state IN ('pending', \
     'dead')) THEN ?4 ELSE NULL END FROM rotations WHERE api_key_rotations.org_id = rotations.organization \
     AND api_key_rotations.key_id = rotations.key_id AND api_key_rotations.due_at = rotations.due_at"
);
