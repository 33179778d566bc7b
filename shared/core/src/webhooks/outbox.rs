//! Webhooks on their way to their target.
//!
//! A message is in the outbox from the transaction that took it until its target has confirmed it. A try is
//! claimed by one conditional statement; the first one is claimed with the intake itself. A run that dies
//! after sending and before noting it sends again, with the same id: the target tells doubles by that.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::due::Due;
use crate::id::{OrganizationId, WebhookDeliveryId};
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::secret::register::WEBHOOK_MESSAGE;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// How long a claim holds: longer than its batch can take.
pub const CLAIM: Duration = Duration::from_seconds(120);

/// How many services are looked at for what is due: more than a configuration has, for those that it had.
const MAX_SERVICES: u32 = 128;

/// The longest error that is kept, in characters.
const MAX_ERROR_CHARACTERS: usize = 200;

/// What a message is sealed for.
#[must_use]
pub fn message_purpose(organization: &OrganizationId, delivery_id: &WebhookDeliveryId) -> String {
    WEBHOOK_MESSAGE.purpose(organization, &[delivery_id.as_str()])
}

/// What is kept of a message: headers worth handing on, and its body, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMessage {
    /// Headers, in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl KeptMessage {
    /// As one text of bytes: the headers as JSON, a line feed, the body.
    ///
    /// # Errors
    /// When the headers can't be written.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(&self.headers)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }

    /// Reads it; `None` where it is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let at = bytes.iter().position(|byte| *byte == b'\n')?;
        let (headers, body) = bytes.split_at_checked(at)?;
        let body = body.get(1..).unwrap_or_default().to_vec();
        Some(Self { headers: serde_json::from_slice(headers).ok()?, body })
    }
}

/// How long to wait after the try number `attempts` failed: `first`, doubled with each, `longest` at most; of
/// that between half and all, as `jitter` says, so that deliveries that failed together don't come together
/// again.
#[must_use]
pub fn wait_after(attempts: u32, first: Duration, longest: Duration, jitter: u8) -> Duration {
    let doubled = first.as_millis().saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let half = doubled.min(longest.as_millis()) / 2;
    Duration::from_millis(half + half * i64::from(jitter) / 255)
}

/// A delivery that is claimed, or due.
#[derive(Debug)]
pub struct DueWebhook {
    /// In which organization.
    pub organization: OrganizationId,
    /// Its id, the same with each try.
    pub delivery_id: WebhookDeliveryId,
    /// From which service.
    pub service: String,
    /// The message, sealed.
    pub sealed_message: String,
    /// Tries before this one.
    pub attempts: u32,
}

/// The services of all organizations that something is pending of: from each service's end in the index to
/// the next one's beginning, however much there is between; `$most` of them at most.
macro_rules! known_services {
    ($most:literal) => {
        concat!(
            "WITH RECURSIVE known (service) AS (SELECT MIN(service) FROM webhook_deliveries INDEXED BY \
             webhook_deliveries_due WHERE state = 'pending' UNION ALL SELECT (SELECT MIN(service) FROM \
             webhook_deliveries INDEXED BY webhook_deliveries_due WHERE state = 'pending' AND service > \
             known.service) FROM known WHERE known.service IS NOT NULL LIMIT ",
            $most,
            ") "
        )
    };
}

/// A service of which an organization has something due.
#[derive(Debug)]
pub struct DueService(pub String);

impl DueService {
    /// Finds them.
    pub fn find(organization: &OrganizationId, now: Timestamp) -> Query<Self> {
        Query::new(concat!(
            known_services!("?3"),
            "SELECT known.service FROM known WHERE EXISTS (SELECT 1 FROM webhook_deliveries INDEXED BY \
             webhook_deliveries_due WHERE state = 'pending' AND service = known.service AND next_attempt_at \
             <= ?2 AND org_id = ?1)"
        ))
        .bind(organization)
        .bind(now)
        .bind(MAX_SERVICES)
    }
}

impl FromRow for DueService {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        row.text("service").map(str::to_owned).map(Self)
    }
}

impl DueWebhook {
    /// The first try of a delivery that was claimed with its intake.
    #[must_use]
    pub fn first(
        organization: OrganizationId,
        delivery_id: WebhookDeliveryId,
        service: String,
        sealed_message: String,
    ) -> Self {
        Self { organization, delivery_id, service, sealed_message, attempts: 0 }
    }

    /// Who has something due, of whichever service.
    pub fn due(now: Timestamp, known: &[OrganizationId]) -> Query<Due> {
        const WHO: &str = concat!(
            known_services!("?4"),
            "SELECT org_id FROM known CROSS JOIN webhook_deliveries INDEXED BY webhook_deliveries_due WHERE \
             state = 'pending' AND webhook_deliveries.service = known.service AND next_attempt_at <= ?3 AND \
             org_id NOT IN (SELECT value FROM json_each(?1)) LIMIT ?2"
        );
        Due::find(WHO, known).bind(now).bind(MAX_SERVICES)
    }

    /// Claims a try of an organization's that are due of a service, those that wait longest first; nobody
    /// else gets them before the claim is over. Returns them.
    pub fn claim(organization: &OrganizationId, service: &str, limit: u32, now: Timestamp) -> Query<Self> {
        Query::new(
            "UPDATE webhook_deliveries SET next_attempt_at = ?4, attempts = attempts + 1 WHERE (org_id, \
             delivery_id) IN (SELECT org_id, delivery_id FROM webhook_deliveries INDEXED BY \
             webhook_deliveries_due WHERE org_id = ?1 AND state = 'pending' AND service = ?2 AND \
             next_attempt_at <= ?3 ORDER BY next_attempt_at LIMIT ?5) RETURNING org_id, delivery_id, \
             service, sealed_message, attempts - 1 AS attempts",
        )
        .bind(organization)
        .bind(service)
        .bind(now)
        .bind(now.after(CLAIM))
        .bind(limit)
    }

    /// The target has it, and the message is gone. The record, under [`WEBHOOK_OPEN`], goes before this.
    #[must_use]
    pub fn confirm(&self, now: Timestamp) -> Statement {
        Statement::new(
            "UPDATE webhook_deliveries SET state = 'delivered', sealed_message = NULL, next_attempt_at = \
             NULL, last_error = NULL, finished_at = ?3 WHERE org_id = ?1 AND delivery_id = ?2 AND state IN \
             ('pending', 'dead')",
        )
        .bind(&self.organization)
        .bind(&self.delivery_id)
        .bind(now)
    }

    /// The claimed try failed: another one at `next`, or none. The record, under [`WEBHOOK_DIED_NOW`], goes
    /// after this.
    #[must_use]
    pub fn fail(&self, error: &str, next: Option<Timestamp>, now: Timestamp) -> Statement {
        let error: String =
            error.chars().filter(|character| !character.is_control()).take(MAX_ERROR_CHARACTERS).collect();
        Statement::new(
            "UPDATE webhook_deliveries SET state = ?4, next_attempt_at = ?5, last_error = ?6, finished_at = \
             ?7 WHERE org_id = ?1 AND delivery_id = ?2 AND state = 'pending' AND attempts = ?3",
        )
        .bind(&self.organization)
        .bind(&self.delivery_id)
        .bind(self.attempts.saturating_add(1))
        .bind(if next.is_some() { "pending" } else { "dead" })
        .bind(next)
        .bind(error)
        .bind(next.is_none().then_some(now))
    }
}

/// The audit condition "the delivery `?2` is open".
pub const WEBHOOK_OPEN: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM webhook_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state IN \
     ('pending', 'dead'))"
);

/// The audit condition "the delivery `?2` was given up at this record's moment".
pub const WEBHOOK_DIED_NOW: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM webhook_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state = 'dead' AND \
     finished_at = ?3)"
);

/// The audit condition "the delivery `?2` waits to be fetched".
pub const WEBHOOK_QUEUED: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM webhook_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state = 'queued')"
);

/// The audit condition "the delivery `?2` was given up".
pub const WEBHOOK_DEAD: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM webhook_deliveries WHERE org_id = ?1 AND delivery_id = ?2 AND state = 'dead')"
);

impl FromRow for DueWebhook {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            delivery_id: WebhookDeliveryId::from_column(row, "delivery_id")?,
            service: row.text("service")?.to_owned(),
            sealed_message: row.text("sealed_message")?.to_owned(),
            attempts: attempts(row)?,
        })
    }
}

fn attempts(row: &Row) -> Result<u32, RowError> {
    u32::try_from(row.integer("attempts")?).map_err(|_| RowError::unreadable("attempts"))
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookState {
    /// It is forwarded, and tried again by itself.
    Pending,
    /// It waits to be fetched.
    Queued,
    /// Its target has it.
    Delivered,
    /// It was given up, until somebody asks for it again.
    Dead,
}

impl WebhookState {
    const ALL: [(&'static str, Self); 4] = [
        ("pending", Self::Pending),
        ("queued", Self::Queued),
        ("delivered", Self::Delivered),
        ("dead", Self::Dead),
    ];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, state)| *state == self).map_or("", |(text, _)| text)
    }

    fn from_column(row: &Row) -> Result<Self, RowError> {
        let text = row.text("state")?;
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, state)| *state);
        found.ok_or_else(|| RowError::unreadable("state"))
    }
}

/// A delivery as the API lists it: everything but the message.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedWebhook {
    /// Its id: the `webhook-id` of each try.
    pub delivery_id: WebhookDeliveryId,
    /// From which service.
    pub service: String,
    /// How it stands.
    pub state: WebhookState,
    /// How often it was tried, or handed out, since it began or was asked for again.
    pub attempts: u32,
    /// When it is tried next; of one that is `queued`, from when it can be fetched.
    pub next_attempt_at: Option<Timestamp>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it came.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub finished_at: Option<Timestamp>,
    /// The message, sealed; none once it was delivered.
    #[serde(skip)]
    pub sealed_message: Option<String>,
}

macro_rules! page {
    ($index:literal, $filters:literal) => {
        concat!(
            "SELECT delivery_id, service, NULL AS sealed_message, state, attempts, next_attempt_at, \
             last_error, created_at, finished_at FROM webhook_deliveries ",
            $index,
            " WHERE org_id = ?1 AND delivery_id > ?2",
            $filters,
            " ORDER BY delivery_id LIMIT ?3"
        )
    };
}

impl ListedWebhook {
    /// A page of an organization's deliveries, oldest first, after `after`. One row more than `limit` tells
    /// that there is another page.
    pub fn page(
        organization: &OrganizationId,
        service: Option<&str>,
        state: Option<WebhookState>,
        after: Option<&WebhookDeliveryId>,
        limit: u32,
    ) -> Query<Self> {
        let begin = |text: &'static str| {
            let after = after.map_or("", WebhookDeliveryId::as_str);
            Query::new(text).bind(organization).bind(after).bind(limit.saturating_add(1))
        };
        match (service, state) {
            (None, None) => begin(page!("", "")),
            (Some(service), None) => {
                let text = page!("INDEXED BY webhook_deliveries_by_service", " AND service = ?4");
                begin(text).bind(service)
            }
            (None, Some(state)) => {
                let text = page!("INDEXED BY webhook_deliveries_by_state", " AND state = ?4");
                begin(text).bind(state.as_str())
            }
            (Some(service), Some(state)) => {
                let text = page!(
                    "INDEXED BY webhook_deliveries_by_service_and_state",
                    " AND service = ?4 AND state = ?5"
                );
                begin(text).bind(service).bind(state.as_str())
            }
        }
    }

    /// Finds one, with its message.
    pub fn find(organization: &OrganizationId, delivery_id: &WebhookDeliveryId) -> Query<Self> {
        Query::new(
            "SELECT delivery_id, service, sealed_message, state, attempts, next_attempt_at, last_error, \
             created_at, finished_at FROM webhook_deliveries WHERE org_id = ?1 AND delivery_id = ?2",
        )
        .bind(organization)
        .bind(delivery_id)
    }

    /// Hands out those of a service that wait to be fetched, oldest first: nobody else gets them before
    /// `hidden_until`. Returns them, in no order.
    pub fn fetch(
        organization: &OrganizationId,
        service: &str,
        limit: u32,
        hidden_until: Timestamp,
        now: Timestamp,
    ) -> Query<Self> {
        Query::new(
            "UPDATE webhook_deliveries SET next_attempt_at = ?4, attempts = attempts + 1 WHERE (org_id, \
             delivery_id) IN (SELECT org_id, delivery_id FROM webhook_deliveries INDEXED BY \
             webhook_deliveries_queued WHERE org_id = ?1 AND service = ?2 AND state = 'queued' AND \
             next_attempt_at <= ?3 ORDER BY next_attempt_at, delivery_id LIMIT ?5) RETURNING delivery_id, \
             service, sealed_message, state, attempts, next_attempt_at, last_error, created_at, finished_at",
        )
        .bind(organization)
        .bind(service)
        .bind(now)
        .bind(hidden_until)
        .bind(limit)
    }

    /// Hands back one that was fetched, and not handed out after all: as if it had not been fetched.
    #[must_use]
    pub fn hand_back(&self, organization: &OrganizationId, now: Timestamp) -> Statement {
        Statement::new(
            "UPDATE webhook_deliveries SET next_attempt_at = ?3, attempts = attempts - 1 WHERE org_id = ?1 \
             AND delivery_id = ?2 AND state = 'queued' AND attempts = ?4 AND next_attempt_at = ?5",
        )
        .bind(organization)
        .bind(&self.delivery_id)
        .bind(now)
        .bind(self.attempts)
        .bind(self.next_attempt_at)
    }

    /// Gives one up that was fetched and can't be handed out. The record, under [`WEBHOOK_DIED_NOW`], goes
    /// after this.
    #[must_use]
    pub fn give_up(&self, organization: &OrganizationId, reason: &str, now: Timestamp) -> Statement {
        Statement::new(
            "UPDATE webhook_deliveries SET state = 'dead', next_attempt_at = NULL, last_error = ?3, \
             finished_at = ?4 WHERE org_id = ?1 AND delivery_id = ?2 AND state = 'queued' AND attempts = ?5",
        )
        .bind(organization)
        .bind(&self.delivery_id)
        .bind(reason)
        .bind(now)
        .bind(self.attempts)
    }

    /// Somebody has one that was fetched. The record, under [`WEBHOOK_QUEUED`], goes before this.
    #[must_use]
    pub fn acknowledge(
        organization: &OrganizationId,
        delivery_id: &WebhookDeliveryId,
        now: Timestamp,
    ) -> Statement {
        Statement::new(
            "UPDATE webhook_deliveries SET state = 'delivered', sealed_message = NULL, next_attempt_at = \
             NULL, last_error = NULL, finished_at = ?3 WHERE org_id = ?1 AND delivery_id = ?2 AND state = \
             'queued'",
        )
        .bind(organization)
        .bind(delivery_id)
        .bind(now)
    }

    /// Asks for one again that was given up: to be forwarded where its service is among `forwarded` (a JSON
    /// list), otherwise to be fetched. The record, under [`WEBHOOK_DEAD`], goes before this.
    pub fn retry(
        organization: &OrganizationId,
        delivery_id: &WebhookDeliveryId,
        forwarded: &str,
        now: Timestamp,
    ) -> Query<Self> {
        Query::new(
            "UPDATE webhook_deliveries SET state = CASE WHEN service IN (SELECT value FROM json_each(?3)) \
             THEN 'pending' ELSE 'queued' END, attempts = 0, next_attempt_at = ?4, finished_at = NULL WHERE \
             org_id = ?1 AND delivery_id = ?2 AND state = 'dead' RETURNING delivery_id, service, NULL AS \
             sealed_message, state, attempts, next_attempt_at, last_error, created_at, finished_at",
        )
        .bind(organization)
        .bind(delivery_id)
        .bind(forwarded)
        .bind(now)
    }
}

impl FromRow for ListedWebhook {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let moment = |column| Ok(row.optional_integer(column)?.map(Timestamp::from_millis));
        Ok(Self {
            delivery_id: WebhookDeliveryId::from_column(row, "delivery_id")?,
            service: row.text("service")?.to_owned(),
            state: WebhookState::from_column(row)?,
            attempts: attempts(row)?,
            next_attempt_at: moment("next_attempt_at")?,
            last_error: row.optional_text("last_error")?.map(str::to_owned),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            finished_at: moment("finished_at")?,
            sealed_message: row.optional_text("sealed_message")?.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_kept_byte_by_byte() {
        for body in [&b""[..], b"\n\n{}", b"\xff\x00\r\n"] {
            let headers = vec![("content-type".to_owned(), "text/plain; a=\"\n\"".to_owned())];
            let message = KeptMessage { headers, body: body.to_vec() };
            assert_eq!(KeptMessage::decode(&message.encode().unwrap()), Some(message));
        }
        assert_eq!(KeptMessage::decode(b"[]"), None);
        assert_eq!(KeptMessage::decode(b"{}\n"), None);
    }

    #[test]
    fn waits_grow_to_the_longest() {
        let wait = |attempt, jitter| {
            wait_after(attempt, Duration::from_seconds(60), Duration::from_hours(6), jitter).as_seconds()
        };
        let all: Vec<i64> = (1..=11).map(|attempt| wait(attempt, 255)).collect();
        assert_eq!(all, [60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600]);
        assert_eq!((wait(1, 0), wait(u32::MAX, 0)), (30, 10800));
    }
}
