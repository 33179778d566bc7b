//! New keys on their way to their owners.
//!
//! A delivery is open until its receiver has confirmed it. As long as it is open its sealed key stays, and
//! the old key is held: its end is pushed ahead. A try is claimed by one conditional statement, so two runs
//! never send at once. A run that dies after sending and before noting it sends again, with the same id: the
//! receiver tells doubles by that.

use schemars::JsonSchema;
use serde::Serialize;

use super::Target;
use super::scheduled_rotation::LOOK_AGAIN;
use crate::due::Due;
use crate::id::{KeyDeliveryId, KeyId, OrganizationId, UserId};
use crate::permission::Reach;
use crate::record::audit::RecordCondition;
use crate::secret::register::DELIVERED_KEY;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::{record_condition, who_is_due};

/// How far ahead the old key's end is pushed while the new key is on its way.
pub const HOLD: Duration = Duration::from_days(7);

/// How many tries a delivery has before it is dead.
pub const MAX_ATTEMPTS: u32 = 12;

/// How many deliveries are claimed at once.
pub const DELIVERY_BATCH: u32 = 5;

/// How long a claim holds: longer than its batch can take.
const CLAIM: Duration = Duration::from_seconds(120);

/// The longest error that is kept, in characters.
const MAX_ERROR_CHARACTERS: usize = 200;

/// What a key on its way is sealed for.
#[must_use]
pub fn delivery_purpose(organization: &OrganizationId, delivery_id: &KeyDeliveryId) -> String {
    DELIVERED_KEY.purpose(organization, &[delivery_id.as_str()])
}

/// How long to wait after the try number `attempts` failed: a minute, doubled with each, six hours at most;
/// of that between half and all, as `jitter` says, so that deliveries that failed together don't come
/// together again.
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
    /// Who has some that are due.
    pub fn due(now: Timestamp, known: &[OrganizationId]) -> Query<Due> {
        const WHO: &str = who_is_due!(
            of: "org_id", from: "api_key_deliveries INDEXED BY api_key_deliveries_due",
            where: "next_attempt_at <= ?3", by: "next_attempt_at"
        );
        Due::find(WHO, known).bind(now)
    }

    /// Finds an organization's that are due, those that wait longest first.
    pub fn find(organization: &OrganizationId, now: Timestamp) -> Query<Self> {
        Query::new(
            "SELECT way.org_id, way.delivery_id, way.key_id, way.old_key_id, way.owner_id, way.sealed_key, \
             way.attempts, way.next_attempt_at, api_keys.name, api_keys.created_at, api_keys.expires_at, \
             api_keys.status = 'active' AND api_keys.expires_at > ?2 AS works, schedule.overlap_ms, \
             schedule.delivery, schedule.sealed_signing_secret FROM api_key_deliveries AS way INDEXED BY \
             api_key_deliveries_due CROSS JOIN api_keys ON api_keys.org_id = way.org_id AND api_keys.key_id \
             = way.key_id CROSS JOIN api_key_rotations AS schedule ON schedule.org_id = way.org_id AND \
             schedule.key_id = way.key_id WHERE way.next_attempt_at <= ?2 AND way.org_id = ?1 ORDER BY \
             way.next_attempt_at LIMIT ?3",
        )
        .bind(organization)
        .bind(now)
        .bind(DELIVERY_BATCH)
    }

    /// Claims a try of each, where nobody else did meanwhile: the query returns those it got. The statement
    /// after it holds a new key that comes so late that it is due to be replaced itself: what is sent works
    /// until the job has replaced it in its turn, however near its end it was.
    pub fn claim(due: &[Self], now: Timestamp) -> (Query<ClaimedDelivery>, Statement) {
        let list: Vec<_> = due
            .iter()
            .map(|due| {
                serde_json::json!({
                    "organization": due.organization, "delivery_id": due.delivery_id,
                    "next_attempt_at": due.next_attempt_at.as_millis(), "attempts": due.attempts,
                })
            })
            .collect();
        let list = serde_json::json!(list).to_string();
        let claim = Query::new(
            "UPDATE api_key_deliveries SET next_attempt_at = ?2, attempts = api_key_deliveries.attempts + 1 \
             FROM json_each(?1) AS due WHERE org_id = due.value ->> 'organization' AND delivery_id = \
             due.value ->> 'delivery_id' AND state = 'pending' AND next_attempt_at = due.value ->> \
             'next_attempt_at' AND attempts = due.value ->> 'attempts' RETURNING delivery_id",
        )
        .bind(list.as_str())
        .bind(now.after(CLAIM));
        let hold = Statement::new(
            "UPDATE api_keys SET expires_at = MAX(expires_at, ?4) FROM json_each(?1) AS due JOIN \
             api_key_deliveries AS way ON way.org_id = due.value ->> 'organization' AND way.delivery_id = \
             due.value ->> 'delivery_id' JOIN api_key_rotations AS schedule ON schedule.org_id = way.org_id \
             AND schedule.key_id = way.key_id WHERE way.state = 'pending' AND way.next_attempt_at = ?2 AND \
             schedule.due_at <= ?5 AND api_keys.org_id = way.org_id AND api_keys.key_id = way.key_id AND \
             api_keys.status = 'active' AND api_keys.expires_at > ?3",
        )
        .bind(list)
        .bind(now.after(CLAIM))
        .bind(now)
        .bind(now.after(HOLD))
        .bind(now.after(LOOK_AGAIN));
        (claim, hold)
    }

    /// The receiver has it: the old key works for the overlap still, and the sealed key is gone. Not where
    /// the new key was ended while it was sent: that one did not arrive, and
    /// [`OpenDelivery::keep`](super::OpenDelivery::keep) closes its delivery. The record, under
    /// [`DELIVERY_ARRIVES`], goes before these.
    #[must_use]
    pub fn confirm(&self, now: Timestamp) -> [Statement; 2] {
        let release = Statement::new(
            "UPDATE api_keys SET expires_at = ?4 WHERE org_id = ?1 AND key_id = ?3 AND status = 'active' AND \
             EXISTS (SELECT 1 FROM api_key_deliveries AS way JOIN api_keys AS new ON new.org_id = way.org_id \
             AND new.key_id = way.key_id WHERE way.org_id = ?1 AND way.delivery_id = ?2 AND way.state IN \
             ('pending', 'dead') AND new.status = 'active' AND new.expires_at > ?5)",
        )
        .bind(&self.organization)
        .bind(&self.delivery_id)
        .bind(&self.old_key_id)
        .bind(now.after(self.overlap))
        .bind(now);
        let finish = Statement::new(
            "UPDATE api_key_deliveries SET state = 'delivered', sealed_key = NULL, next_attempt_at = NULL, \
             held_until = NULL, last_error = NULL, finished_at = ?3 WHERE org_id = ?1 AND delivery_id = ?2 \
             AND state IN ('pending', 'dead') AND EXISTS (SELECT 1 FROM api_keys AS new WHERE new.org_id = \
             ?1 AND new.key_id = api_key_deliveries.key_id AND new.status = 'active' AND new.expires_at > \
             ?3)",
        )
        .bind(&self.organization)
        .bind(&self.delivery_id)
        .bind(now);
        [release, finish]
    }

    /// The claimed try failed: another one later, or none. The record, under [`DELIVERY_DIED_NOW`], goes
    /// after this.
    #[must_use]
    pub fn fail(&self, error: &str, jitter: u8, now: Timestamp) -> Statement {
        let attempts = self.attempts.saturating_add(1);
        let is_last = attempts >= MAX_ATTEMPTS;
        let error: String =
            error.chars().filter(|character| !character.is_control()).take(MAX_ERROR_CHARACTERS).collect();
        Statement::new(
            "UPDATE api_key_deliveries SET state = ?4, next_attempt_at = ?5, last_error = ?6, finished_at = \
             ?7 WHERE org_id = ?1 AND delivery_id = ?2 AND state = 'pending' AND attempts = ?3",
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

/// A delivery of which a try was claimed.
#[derive(Debug, PartialEq, Eq)]
pub struct ClaimedDelivery(pub KeyDeliveryId);

impl FromRow for ClaimedDelivery {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        KeyDeliveryId::from_column(row, "delivery_id").map(Self)
    }
}

/// The audit condition "the delivery `?2` is open".
pub const DELIVERY_OPEN: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state IN \
     ('pending', 'dead'))"
);

/// The audit condition "the delivery `?2` is open, and its key works": [`DueDelivery::confirm`] will finish
/// it.
pub const DELIVERY_ARRIVES: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_key_deliveries AS way JOIN api_keys AS new ON new.org_id = way.org_id AND \
     new.key_id = way.key_id WHERE way.org_id = ?1 AND way.delivery_id = ?2 AND way.state IN ('pending', \
     'dead') AND new.status = 'active' AND new.expires_at > ?3)"
);

/// The audit condition "the delivery `?2` is open, and of the actor's own key".
pub const OWN_DELIVERY_OPEN: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_key_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state IN \
     ('pending', 'dead') AND owner_id = ?5)"
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
