//! New keys on their way to their owners.
//!
//! A delivery is open until its receiver has confirmed it. As long as it is open its sealed key stays, and
//! the old key is held: its end is pushed ahead. A try is claimed by one conditional statement, so two runs
//! never send at once. A run that dies after sending and before noting it sends again, with the same id: the
//! receiver tells doubles by that.

use schemars::JsonSchema;
use serde::Serialize;

use super::Target;
use crate::id::{KeyDeliveryId, KeyId, LogId, OrganizationId, UserId};
use crate::permission::Reach;
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// How far ahead the old key's end is pushed while the new key is on its way.
pub const HOLD: Duration = Duration::from_days(7);

/// Each open delivery is looked after this often.
const LOOK_AFTER: Duration = Duration::from_hours(1);

/// How many tries a delivery has before it is dead.
pub const MAX_ATTEMPTS: u32 = 12;

/// How many deliveries are claimed at once.
pub const DELIVERY_BATCH: u32 = 5;

/// How long a claim holds: longer than its batch can take.
const CLAIM: Duration = Duration::from_seconds(120);

/// How many deliveries are looked after at once.
const KEEPING_BATCH: u32 = 100;

/// The longest error that is kept, in characters.
const MAX_ERROR_CHARACTERS: usize = 200;

/// What a key on its way is sealed for.
#[must_use]
pub fn delivery_purpose(organization: &OrganizationId, delivery_id: &KeyDeliveryId) -> String {
    format!("api_key_deliveries/{organization}/{delivery_id}")
}

/// How long to wait after the try number `attempts` failed: a minute, doubled with each, six hours at most; of that between
/// half and all, as `jitter` says, so that deliveries that failed together don't come together again.
#[must_use]
pub fn backoff(attempts: u32, jitter: u8) -> Duration {
    const MOST: i64 = 6 * 3_600_000;
    let doubled = 60_000_i64.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let half = doubled.min(MOST) / 2;
    Duration::from_millis(half + half * i64::from(jitter) / 255)
}

/// A delivery whose next try is due.
#[derive(Debug)]
pub struct DueDelivery {
    /// In which organization.
    pub organization: OrganizationId,
    /// Its id, the same with each try.
    pub delivery_id: KeyDeliveryId,
    /// The new key.
    pub key_id: KeyId,
    /// The key that it replaces.
    pub old_key_id: KeyId,
    /// Whose both are.
    pub owner_id: UserId,
    /// The new key itself, sealed.
    pub sealed_key: String,
    /// Tries before this one.
    pub attempts: u32,
    /// What people call the key.
    pub name: String,
    /// When the new key was made.
    pub created_at: Timestamp,
    /// When the new key ends.
    pub expires_at: Timestamp,
    /// Whether the new key works.
    pub works: bool,
    /// How long the old key works after the delivery.
    pub overlap: Duration,
    /// Where it goes.
    pub target: Target,
    /// What it is signed with, sealed.
    pub sealed_signing_secret: Option<String>,
    next_attempt_at: Timestamp,
}

impl DueDelivery {
    /// Finds those that are due, of all organizations, those that wait longest first.
    #[must_use]
    pub fn find(now: Timestamp) -> Statement {
        Statement::new(
            "SELECT way.org_id, way.delivery_id, way.key_id, way.old_key_id, way.owner_id, way.sealed_key, way.attempts, \
             way.next_attempt_at, api_keys.name, api_keys.created_at, api_keys.expires_at, api_keys.status = 'active' \
             AND api_keys.expires_at > ?1 AS works, schedule.overlap_ms, schedule.delivery, \
             schedule.sealed_signing_secret FROM api_key_deliveries AS way INDEXED BY api_key_deliveries_due JOIN \
             api_keys ON api_keys.org_id = way.org_id AND api_keys.key_id = way.key_id JOIN api_key_rotations AS schedule \
             ON schedule.org_id = way.org_id AND schedule.key_id = way.key_id WHERE way.next_attempt_at <= ?1 ORDER BY \
             way.next_attempt_at LIMIT ?2",
        )
        .bind(now)
        .bind(DELIVERY_BATCH)
    }

    /// Claims a try of each, where nobody else did meanwhile; returns the `delivery_id` of those it got.
    #[must_use]
    pub fn claim(due: &[Self], now: Timestamp) -> Statement {
        let list: Vec<_> = due
            .iter()
            .map(|due| {
                serde_json::json!({
                    "organization": due.organization, "delivery_id": due.delivery_id,
                    "next_attempt_at": due.next_attempt_at.as_millis(), "attempts": due.attempts,
                })
            })
            .collect();
        Statement::new(
            "UPDATE api_key_deliveries SET next_attempt_at = ?2, attempts = api_key_deliveries.attempts + 1 FROM \
             json_each(?1) AS due WHERE org_id = due.value ->> 'organization' AND delivery_id = due.value ->> \
             'delivery_id' AND state = 'pending' AND next_attempt_at = due.value ->> 'next_attempt_at' AND \
             attempts = due.value ->> 'attempts' RETURNING delivery_id",
        )
        .bind(serde_json::json!(list).to_string())
        .bind(now.after(CLAIM))
    }

    /// The receiver has it: the old key works for the overlap still, and the sealed key is gone. The record, under
    /// [`DELIVERY_OPEN`], goes before these.
    #[must_use]
    pub fn confirm(&self, now: Timestamp) -> [Statement; 2] {
        let release = Statement::new(
            "UPDATE api_keys SET expires_at = ?4 WHERE org_id = ?1 AND key_id = ?3 AND status = 'active' AND EXISTS \
             (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state IN ('pending', 'dead'))",
        )
        .bind(&self.organization)
        .bind(&self.delivery_id)
        .bind(&self.old_key_id)
        .bind(now.after(self.overlap));
        let finish = Statement::new(
            "UPDATE api_key_deliveries SET state = 'delivered', sealed_key = NULL, next_attempt_at = NULL, held_until = \
             NULL, last_error = NULL, finished_at = ?3 WHERE org_id = ?1 AND delivery_id = ?2 AND state IN ('pending', \
             'dead')",
        )
        .bind(&self.organization)
        .bind(&self.delivery_id)
        .bind(now);
        [release, finish]
    }

    /// The claimed try failed: another one later, or none. The record, under [`DELIVERY_DIED_NOW`], goes after this.
    #[must_use]
    pub fn fail(&self, error: &str, jitter: u8, now: Timestamp) -> Statement {
        let attempts = self.attempts.saturating_add(1);
        let is_last = attempts >= MAX_ATTEMPTS;
        let error: String =
            error.chars().filter(|character| !character.is_control()).take(MAX_ERROR_CHARACTERS).collect();
        Statement::new(
            "UPDATE api_key_deliveries SET state = ?4, next_attempt_at = ?5, last_error = ?6, finished_at = ?7 WHERE \
             org_id = ?1 AND delivery_id = ?2 AND state = 'pending' AND attempts = ?3",
        )
        .bind(&self.organization)
        .bind(&self.delivery_id)
        .bind(attempts)
        .bind(if is_last { "dead" } else { "pending" })
        .bind((!is_last).then(|| now.after(backoff(attempts, jitter))))
        .bind(error)
        .bind(is_last.then_some(now))
    }
}

/// The audit condition "the delivery `?2` is open".
pub const DELIVERY_OPEN: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state IN ('pending', 'dead'))"
);

/// The audit condition "the delivery `?2` is open, and of the actor's own key".
pub const OWN_DELIVERY_OPEN: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state IN ('pending', 'dead') AND \
     owner_id = ?5)"
);

/// The audit condition "the delivery `?2` was given up at this record's moment".
pub const DELIVERY_DIED_NOW: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state = 'dead' AND \
     finished_at = ?3)"
);

impl FromRow for DueDelivery {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let moment = |column| Ok(Timestamp::from_millis(row.integer(column)?));
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            delivery_id: KeyDeliveryId::from_column(row, "delivery_id")?,
            key_id: KeyId::from_column(row, "key_id")?,
            old_key_id: KeyId::from_column(row, "old_key_id")?,
            owner_id: UserId::from_column(row, "owner_id")?,
            sealed_key: row.text("sealed_key")?.to_owned(),
            attempts: attempts(row)?,
            name: row.text("name")?.to_owned(),
            created_at: moment("created_at")?,
            expires_at: moment("expires_at")?,
            works: row.integer("works")? == 1,
            overlap: Duration::from_millis(row.integer("overlap_ms")?),
            target: row.json("delivery")?,
            sealed_signing_secret: row.optional_text("sealed_signing_secret")?.map(str::to_owned),
            next_attempt_at: moment("next_attempt_at")?,
        })
    }
}

fn attempts(row: &Row) -> Result<u32, RowError> {
    u32::try_from(row.integer("attempts")?).map_err(|_| RowError::unreadable("attempts"))
}

/// An open delivery that is looked after.
#[derive(Debug, Serialize)]
pub struct OpenDelivery {
    organization: OrganizationId,
    delivery_id: KeyDeliveryId,
    log_id: LogId,
}

impl OpenDelivery {
    /// One; `log_id` is for the record where it is closed.
    #[must_use]
    pub fn new(organization: OrganizationId, delivery_id: KeyDeliveryId, log_id: LogId) -> Self {
        Self { organization, delivery_id, log_id }
    }

    /// Finds those that nobody looked after within the hour: `org_id` and `delivery_id`.
    #[must_use]
    pub fn find(now: Timestamp) -> Statement {
        Statement::new(
            "SELECT org_id, delivery_id FROM api_key_deliveries INDEXED BY api_key_deliveries_held WHERE held_until <= ?1 \
             ORDER BY held_until LIMIT ?2",
        )
        .bind(now.after(HOLD).before(LOOK_AFTER))
        .bind(KEEPING_BATCH)
    }

    /// Reads a row of [`OpenDelivery::find`].
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(row: &Row, log_id: LogId) -> Result<Self, RowError> {
        let organization = OrganizationId::from_column(row, "org_id")?;
        Ok(Self::new(organization, KeyDeliveryId::from_column(row, "delivery_id")?, log_id))
    }

    /// Looks after them, in one transaction. Where the new key ended before anybody had it, the delivery is closed: the old
    /// key takes its place again, due to be turned at once unless the schedule was ended. Otherwise the old key is held,
    /// back from its date even, where nobody ran the job in time. A revoked key stays revoked.
    #[must_use]
    pub fn keep(open: &[Self], now: Timestamp) -> Vec<Statement> {
        let list = serde_json::json!(open).to_string();
        let statements =
            [RECORD_CLOSING, RESTORE_SCHEDULE, END_NEW_SCHEDULE, RESTORE_OLD, CLOSE, HOLD_OLD, NOTE_HOLD];
        let bind =
            |text: &'static str| Statement::new(text).bind(list.as_str()).bind(now).bind(now.after(HOLD));
        statements.map(bind).into()
    }
}

/// The open ones of the list `?1`, each with its new key; `?2` is now, `?3` until when old keys are held.
macro_rules! ways {
    ($text:literal) => {
        concat!("WITH moments (now, held_until) AS (SELECT ?2, ?3), ways AS MATERIALIZED (SELECT way.org_id, \
            way.delivery_id, way.key_id, way.old_key_id, way.owner_id, item.value ->> 'log_id' AS log_id, \
            new.status = 'active' AND new.expires_at > ?2 AS works FROM json_each(?1) AS item JOIN api_key_deliveries AS \
            way ON way.org_id = item.value ->> 'organization' AND way.delivery_id = item.value ->> 'delivery_id' JOIN \
            api_keys AS new ON new.org_id = way.org_id AND new.key_id = way.key_id WHERE way.state IN ('pending', \
            'dead')) ", $text)
    };
}

const RECORD_CLOSING: &str = ways!(
    "INSERT INTO audit_events (org_id, log_id, timestamp, actor, user_id, action, resource, resource_id, result, details) \
     SELECT org_id, log_id, ?2, 'system', owner_id, 'api_key.delivery_close', 'api_key', key_id, 'success', \
     json_object('delivery_id', delivery_id, 'old_key_id', old_key_id) FROM ways WHERE NOT works"
);

const RESTORE_SCHEDULE: &str = ways!(
    "UPDATE api_key_rotations SET due_at = ?2 FROM ways WHERE NOT ways.works AND api_key_rotations.org_id = ways.org_id \
     AND api_key_rotations.key_id = ways.old_key_id AND EXISTS (SELECT 1 FROM api_key_rotations AS new WHERE new.org_id = \
     ways.org_id AND new.key_id = ways.key_id AND new.due_at IS NOT NULL) AND EXISTS (SELECT 1 FROM api_keys AS old WHERE \
     old.org_id = ways.org_id AND old.key_id = ways.old_key_id AND old.status <> 'revoked' AND old.replaced_by = \
     ways.key_id)"
);

const END_NEW_SCHEDULE: &str = ways!(
    "UPDATE api_key_rotations SET due_at = NULL FROM ways WHERE NOT ways.works AND api_key_rotations.org_id = ways.org_id \
     AND api_key_rotations.key_id = ways.key_id"
);

const RESTORE_OLD: &str = ways!(
    "UPDATE api_keys SET replaced_by = NULL, expires_at = CASE WHEN status = 'active' THEN MAX(expires_at, ?3) ELSE \
     expires_at END FROM ways WHERE NOT ways.works AND api_keys.org_id = ways.org_id AND api_keys.key_id = ways.old_key_id \
     AND api_keys.status <> 'revoked' AND api_keys.replaced_by = ways.key_id"
);

const CLOSE: &str = ways!(
    "UPDATE api_key_deliveries SET state = 'closed', sealed_key = NULL, next_attempt_at = NULL, held_until = NULL, \
     finished_at = ?2 FROM ways WHERE NOT ways.works AND api_key_deliveries.org_id = ways.org_id AND \
     api_key_deliveries.delivery_id = ways.delivery_id"
);

const HOLD_OLD: &str = ways!(
    "UPDATE api_keys SET expires_at = MAX(expires_at, ?3) FROM ways WHERE api_keys.org_id = ways.org_id AND \
     api_keys.key_id = ways.old_key_id AND api_keys.status = 'active'"
);

const NOTE_HOLD: &str = ways!(
    "UPDATE api_key_deliveries SET held_until = ?3 FROM ways WHERE api_key_deliveries.org_id = ways.org_id AND \
     api_key_deliveries.delivery_id = ways.delivery_id"
);

/// Whether a delivery goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is tried again by itself.
    Pending,
    /// It was given up, until somebody asks for it again. The key is kept.
    Dead,
}

/// An open delivery as the API lists it: everything but the key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedDelivery {
    /// Its id: the `webhook-id` of each try.
    pub delivery_id: KeyDeliveryId,
    /// The new key.
    pub key_id: KeyId,
    /// The key that it replaces, which works on until it is delivered.
    pub old_key_id: KeyId,
    /// Whose both are.
    pub owner_id: UserId,
    /// Whether it goes on.
    pub state: DeliveryState,
    /// How often it was tried since it began or was asked for again.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt_at: Option<Timestamp>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When the new key was made.
    pub created_at: Timestamp,
}

impl ListedDelivery {
    /// A page of an organization's open deliveries, oldest first, after `after`. One row more than `limit`
    /// tells that there is another page.
    pub fn page(
        organization: &OrganizationId,
        reach: Reach<'_>,
        after: Option<&KeyDeliveryId>,
        limit: u32,
    ) -> Query<Self> {
        let after = after.map_or("", KeyDeliveryId::as_str);
        let limit = limit.saturating_add(1);
        match reach.owner() {
            None => Query::new(
                "SELECT delivery_id, key_id, old_key_id, owner_id, state, attempts, next_attempt_at, \
                 last_error, created_at FROM api_key_deliveries INDEXED BY api_key_deliveries_open WHERE \
                 org_id = ?1 AND delivery_id > ?2 AND state IN ('pending', 'dead') ORDER BY delivery_id \
                 LIMIT ?3",
            )
            .bind(organization)
            .bind(after)
            .bind(limit),
            Some(owner_id) => Query::new(
                "SELECT delivery_id, key_id, old_key_id, owner_id, state, attempts, next_attempt_at, \
                 last_error, created_at FROM api_key_deliveries INDEXED BY api_key_deliveries_open_by_owner \
                 WHERE org_id = ?1 AND delivery_id > ?2 AND owner_id = ?4 AND state IN ('pending', 'dead') \
                 ORDER BY delivery_id LIMIT ?3",
            )
            .bind(organization)
            .bind(after)
            .bind(limit)
            .bind(owner_id),
        }
    }

    /// Asks for one again, from the first try. One that is being tried is let finish. Returns the row.
    pub fn retry(
        organization: &OrganizationId,
        reach: Reach<'_>,
        delivery_id: &KeyDeliveryId,
        now: Timestamp,
    ) -> Query<Self> {
        Query::new(
            "UPDATE api_key_deliveries SET attempts = 0, finished_at = NULL, next_attempt_at = CASE state \
             WHEN 'dead' THEN ?4 ELSE MIN(next_attempt_at, ?5) END, state = 'pending' WHERE org_id = ?1 AND \
             delivery_id = ?2 AND state IN ('pending', 'dead') AND (?3 IS NULL OR owner_id = ?3) RETURNING \
             delivery_id, key_id, old_key_id, owner_id, state, attempts, next_attempt_at, last_error, \
             created_at",
        )
        .bind(organization)
        .bind(delivery_id)
        .bind(reach.owner())
        .bind(now)
        .bind(now.after(CLAIM))
    }
}

impl FromRow for ListedDelivery {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            delivery_id: KeyDeliveryId::from_column(row, "delivery_id")?,
            key_id: KeyId::from_column(row, "key_id")?,
            old_key_id: KeyId::from_column(row, "old_key_id")?,
            owner_id: UserId::from_column(row, "owner_id")?,
            state: match row.text("state")? {
                "pending" => DeliveryState::Pending,
                "dead" => DeliveryState::Dead,
                _ => return Err(RowError::unreadable("state")),
            },
            attempts: attempts(row)?,
            next_attempt_at: row.optional_integer("next_attempt_at")?.map(Timestamp::from_millis),
            last_error: row.optional_text("last_error")?.map(str::to_owned),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_six_hours() {
        let seconds: Vec<i64> =
            (1..=MAX_ATTEMPTS).map(|attempt| backoff(attempt, 255).as_seconds()).collect();
        assert_eq!(seconds, [60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600, 21600]);
        assert_eq!(backoff(1, 0).as_seconds(), 30);
        assert_eq!(backoff(u32::MAX, 0).as_seconds(), 10800);
    }
}
