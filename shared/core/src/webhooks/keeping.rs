//! What becomes of webhooks that stay: given up where nobody fetches them, forgotten when they are old.

use crate::id::{OrganizationId, WebhookDeliveryId};
use crate::sql::Statement;
use crate::time::Timestamp;

/// How many rows are given up at once.
const UNFETCHED_BATCH: u32 = 50;

/// How many rows are swept at once.
pub const SWEEP_BATCH: u32 = 500;

/// Finds those that could be fetched before this moment and were not, of all organizations: `org_id`,
/// `delivery_id` and `service`.
#[must_use]
pub fn find_unfetched(before: Timestamp) -> Statement {
    Statement::new(
        "SELECT org_id, delivery_id, service FROM webhook_deliveries INDEXED BY webhook_deliveries_queued_by_age WHERE state \
         = 'queued' AND next_attempt_at <= ?1 ORDER BY next_attempt_at LIMIT ?2",
    )
    .bind(before)
    .bind(UNFETCHED_BATCH)
}

/// Why one is given up that nobody fetched.
pub const NOBODY_FETCHED_IT: &str = "nobody fetched it in time";

/// Gives one up that nobody fetched. The record, under [`WEBHOOK_DIED_NOW`], goes after this.
#[must_use]
pub fn give_up_unfetched(
    organization: &OrganizationId,
    delivery_id: &WebhookDeliveryId,
    before: Timestamp,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "UPDATE webhook_deliveries SET state = 'dead', next_attempt_at = NULL, last_error = ?5, finished_at = ?3 WHERE org_id \
         = ?1 AND delivery_id = ?2 AND state = 'queued' AND next_attempt_at <= ?4",
    )
    .bind(organization)
    .bind(delivery_id)
    .bind(now)
    .bind(before)
    .bind(NOBODY_FETCHED_IT)
}

/// Forgets those that were delivered or given up before this moment, [`SWEEP_BATCH`] at a time; a row for
/// each.
#[must_use]
pub fn sweep_finished(before: Timestamp) -> Statement {
    Statement::new(
        "DELETE FROM webhook_deliveries WHERE (org_id, delivery_id) IN (SELECT org_id, delivery_id FROM webhook_deliveries \
         INDEXED BY webhook_deliveries_finished WHERE finished_at <= ?1 ORDER BY finished_at LIMIT ?2) RETURNING 1 \
         AS swept",
    )
    .bind(before)
    .bind(SWEEP_BATCH)
}
