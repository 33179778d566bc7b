//! What becomes of webhooks that stay: given up where nobody fetches them, forgotten when they are old.

use super::{WEBHOOK_DIED_NOW, acts};
use crate::due::{Due, Sweep};
use crate::id::{LogId, OrganizationId, WebhookDeliveryId};
use crate::record::audit::{AuditEvent, Outcome};
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::{sweep, who_is_due};

/// How many rows are given up at once.
pub const UNFETCHED_BATCH: u32 = 50;

/// Why one is given up that nobody fetched.
const NOBODY_FETCHED_IT: &str = "nobody fetched it in time";

/// A delivery that could be fetched for as long as it is kept, and was not.
#[derive(Debug)]
pub struct Unfetched {
    delivery_id: WebhookDeliveryId,
    service: String,
}

impl Unfetched {
    /// Who has some that could be fetched before this moment.
    pub fn due(before: Timestamp, known: &[OrganizationId]) -> Query<Due> {
        const WHO: &str = who_is_due!(
            of: "org_id", from: "webhook_deliveries INDEXED BY webhook_deliveries_queued_by_age",
            where: "state = 'queued' AND next_attempt_at <= ?3", by: "next_attempt_at"
        );
        Due::find(WHO, known).bind(before)
    }

    /// Finds an organization's that could be fetched before this moment.
    pub fn find(organization: &OrganizationId, before: Timestamp) -> Query<Self> {
        Query::new(
            "SELECT delivery_id, service FROM webhook_deliveries INDEXED BY webhook_deliveries_queued_by_age \
             WHERE org_id = ?1 AND state = 'queued' AND next_attempt_at <= ?2 ORDER BY next_attempt_at LIMIT \
             ?3",
        )
        .bind(organization)
        .bind(before)
        .bind(UNFETCHED_BATCH)
    }

    /// Gives it up, and records that.
    #[must_use]
    pub fn give_up(
        &self,
        organization: &OrganizationId,
        log_id: LogId,
        before: Timestamp,
        now: Timestamp,
    ) -> [Statement; 2] {
        let give_up = Statement::new(
            "UPDATE webhook_deliveries SET state = 'dead', next_attempt_at = NULL, last_error = ?5, \
             finished_at = ?3 WHERE org_id = ?1 AND delivery_id = ?2 AND state = 'queued' AND \
             next_attempt_at <= ?4",
        )
        .bind(organization)
        .bind(&self.delivery_id)
        .bind(now)
        .bind(before)
        .bind(NOBODY_FETCHED_IT);
        let mut dead = AuditEvent::by_system(organization, log_id, acts::DEAD, now)
            .on(self.delivery_id.as_str())
            .detail("service", self.service.as_str())
            .detail("reason", NOBODY_FETCHED_IT);
        dead.outcome = Outcome::Failure;
        [give_up, dead.record_if(WEBHOOK_DIED_NOW, &self.delivery_id)]
    }
}

impl FromRow for Unfetched {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            delivery_id: WebhookDeliveryId::from_column(row, "delivery_id")?,
            service: row.text("service")?.to_owned(),
        })
    }
}

/// Deliveries that were finished: for as long as they are kept.
pub const FINISHED_WEBHOOKS: Sweep = sweep!(
    of: "webhook_deliveries", key: "org_id, delivery_id", past: "finished_at",
    by: "webhook_deliveries_finished",
);
