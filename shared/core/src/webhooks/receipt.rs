//! What was taken, so that nothing is taken twice, and what was refused, so that strangers can't fill the
//! audit.

use super::{Refusal, Verified, acts};
use crate::due::{Due, Sweep};
use crate::id::{LogId, OrganizationId, WebhookDeliveryId};
use crate::record::audit::{AuditEvent, Outcome, RecordCondition};
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::{record_condition, sweep, who_is_due};

/// How many refusals for one reason, of one service, are recorded one by one in a minute. The others are
/// counted, and the count is recorded.
pub const RECORDED_A_MINUTE: u32 = 10;

/// How many counts of refusals are recorded at once.
pub const UNRECORDED_BATCH: u32 = 50;

/// A message that is about to be taken.
#[derive(Debug)]
pub struct Intake<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// From which service.
    pub service: &'a str,
    /// What it is.
    pub verified: &'a Verified,
    /// The delivery that it becomes.
    pub delivery_id: &'a WebhookDeliveryId,
    /// When it came.
    pub now: Timestamp,
}

impl Intake<'_> {
    /// Takes it, if nobody did. Where maintenance closes the intake, `closed` says whether it is closed while
    /// nobody set the switch; the switch itself is read here, so that an answer of 503 means that nothing was
    /// taken.
    #[must_use]
    pub fn take(&self, expires_at: Timestamp, closed: Option<bool>) -> Statement {
        Statement::new(
            "INSERT INTO webhook_receipts (org_id, service, message_hash, content_hash, delivery_id, \
             expires_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE ?8 IS NULL OR NOT COALESCE((SELECT document ->> \
             'maintenance_mode' FROM flags WHERE org_id = ?1), ?8) ON CONFLICT (org_id, service, \
             message_hash) DO UPDATE SET content_hash = excluded.content_hash, delivery_id = \
             excluded.delivery_id, expires_at = excluded.expires_at WHERE webhook_receipts.expires_at <= ?7",
        )
        .bind(self.organization)
        .bind(self.service)
        .bind(self.verified.message_hash.as_str())
        .bind(self.verified.content_hash.as_str())
        .bind(self.delivery_id)
        .bind(expires_at)
        .bind(self.now)
        .bind(closed)
    }

    /// Puts it into the outbox, if it was taken: to be forwarded by whoever claimed it until `claimed_until`,
    /// or without that to be fetched.
    #[must_use]
    pub fn keep(&self, sealed_message: &str, claimed_until: Option<Timestamp>) -> Statement {
        Statement::new(
            "INSERT INTO webhook_deliveries (org_id, delivery_id, service, sealed_message, state, attempts, \
             next_attempt_at, created_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE EXISTS (SELECT 1 FROM \
             webhook_receipts WHERE org_id = ?1 AND service = ?3 AND message_hash = ?9 AND delivery_id = ?2)",
        )
        .bind(self.organization)
        .bind(self.delivery_id)
        .bind(self.service)
        .bind(sealed_message)
        .bind(if claimed_until.is_some() { "pending" } else { "queued" })
        .bind(claimed_until.is_some())
        .bind(claimed_until.unwrap_or(self.now))
        .bind(self.now)
        .bind(self.verified.message_hash.as_str())
    }

    /// Who took it.
    pub fn find(&self) -> Query<Receipt> {
        Query::new(
            "SELECT delivery_id, content_hash FROM webhook_receipts WHERE org_id = ?1 AND service = ?2 AND \
             message_hash = ?3",
        )
        .bind(self.organization)
        .bind(self.service)
        .bind(self.verified.message_hash.as_str())
    }
}

/// The audit condition "the message became the delivery `?2`".
pub const TAKEN: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM webhook_deliveries WHERE org_id = ?1 AND delivery_id = ?2)");

/// That a message was taken.
#[derive(Debug)]
pub struct Receipt {
    /// The delivery that it became.
    pub delivery_id: WebhookDeliveryId,
    content_hash: String,
}

impl Receipt {
    /// What another message of this id is: the very same, or a retry.
    #[must_use]
    pub fn refusal(&self, verified: &Verified) -> Refusal {
        if self.content_hash == verified.content_hash { Refusal::Replayed } else { Refusal::Duplicate }
    }
}

/// What was taken, once it could be taken again.
pub const OLD_RECEIPTS: Sweep = sweep!(
    of: "webhook_receipts", key: "org_id, service, message_hash", past: "expires_at",
    by: "webhook_receipts_by_expiry",
);

impl FromRow for Receipt {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            delivery_id: WebhookDeliveryId::from_column(row, "delivery_id")?,
            content_hash: row.text("content_hash")?.to_owned(),
        })
    }
}

/// Counts a refusal, and `more` that were not told before. Its record, under [`WORTH_A_RECORD`] and with the
/// details `service` and `reason`, goes after this. A minute that is over does not come again, whatever a
/// clock says.
#[must_use]
pub fn count_refusal(
    organization: &OrganizationId,
    service: &str,
    reason: Refusal,
    log_id: &LogId,
    more: u32,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "INSERT INTO webhook_refusals (org_id, service, reason, minute, count, log_id, suppressed) VALUES \
         (?1, ?2, ?3, ?4, 1, ?5, ?6) ON CONFLICT (org_id, service, reason) DO UPDATE SET suppressed = \
         suppressed + excluded.suppressed + CASE WHEN excluded.minute <= minute AND count >= ?7 THEN 1 ELSE \
         0 END, log_id = CASE WHEN excluded.minute <= minute AND count >= ?7 THEN log_id ELSE \
         excluded.log_id END, count = CASE WHEN excluded.minute <= minute THEN count + 1 ELSE 1 END, minute \
         = MAX(minute, excluded.minute)",
    )
    .bind(organization)
    .bind(service)
    .bind(reason.as_str())
    .bind(now.as_seconds().div_euclid(60))
    .bind(log_id)
    .bind(more)
    .bind(RECORDED_A_MINUTE)
}

/// The audit condition "this record is one of those that the minute has room for"; `?2` is the service.
pub const WORTH_A_RECORD: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM webhook_refusals WHERE org_id = ?1 AND service = ?2 AND reason = ?13 ->> 'reason' \
     AND log_id = ?12)"
);

/// Refusals that have no record of their own.
#[derive(Debug)]
pub struct Unrecorded {
    service: String,
    reason: String,
    count: i64,
}

impl Unrecorded {
    /// Who has some.
    pub fn due(known: &[OrganizationId]) -> Query<Due> {
        const WHO: &str = who_is_due!(
            of: "org_id", from: "webhook_refusals INDEXED BY webhook_refusals_suppressed",
            where: "suppressed > 0", by: "suppressed"
        );
        Due::find(WHO, known)
    }

    /// Finds an organization's.
    pub fn find(organization: &OrganizationId) -> Query<Self> {
        Query::new(
            "SELECT service, reason, suppressed FROM webhook_refusals INDEXED BY webhook_refusals_suppressed \
             WHERE org_id = ?1 AND suppressed > 0 LIMIT ?2",
        )
        .bind(organization)
        .bind(UNRECORDED_BATCH)
    }

    /// Records how many there were.
    #[must_use]
    pub fn record(&self, organization: &OrganizationId, log_id: LogId, now: Timestamp) -> [Statement; 2] {
        let mut refused = AuditEvent::by_system(organization, log_id, acts::REFUSED, now)
            .detail("service", self.service.as_str())
            .detail("reason", self.reason.as_str())
            .detail("count", self.count);
        refused.outcome = Outcome::Failure;
        let recorded = Statement::new(
            "UPDATE webhook_refusals SET suppressed = suppressed - ?4 WHERE org_id = ?1 AND service = ?2 AND \
             reason = ?3 AND suppressed >= ?4",
        )
        .bind(organization)
        .bind(self.service.as_str())
        .bind(self.reason.as_str())
        .bind(self.count);
        [refused.record_if(UNRECORDED, self.count), recorded]
    }
}

/// The audit condition "at least `?2` refusals of the record's `service` and `reason` are not recorded".
const UNRECORDED: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM webhook_refusals WHERE org_id = ?1 AND service = ?13 ->> 'service' AND reason = \
     ?13 ->> 'reason' AND suppressed >= ?2)"
);

impl FromRow for Unrecorded {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            service: row.text("service")?.to_owned(),
            reason: row.text("reason")?.to_owned(),
            count: row.integer("suppressed")?,
        })
    }
}
