//! Keys past their date, and overlaps that ended.

use serde::Serialize;

use super::acts;
use crate::due::Due;
use crate::id::{KeyId, LogId, OrganizationId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::sql::{Query, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::{record_rows, who_is_due};

/// How many keys are expired at once.
pub const EXPIRY_BATCH: u32 = 500;

/// The condition that a key is past its date `$now` and not marked as expired yet. Not so the old key of a
/// delivery that is open: it is held, if need be by the job's next run.
macro_rules! expires {
    ($now:literal) => {
        concat!(
            "status = 'active' AND expires_at <= ",
            $now,
            " AND NOT EXISTS (SELECT 1 FROM api_key_deliveries AS way INDEXED BY \
             api_key_deliveries_open_by_key WHERE way.org_id = api_keys.org_id AND way.key_id = \
             api_keys.replaced_by AND way.old_key_id = api_keys.key_id AND way.state IN ('pending', 'dead'))"
        )
    };
}

/// A key that is due to expire.
#[derive(Debug, Serialize)]
pub struct DueKey {
    organization: OrganizationId,
    key_id: KeyId,
    action: &'static str,
    log_id: LogId,
}

impl DueKey {
    /// Who has keys past their date that are not marked as expired yet.
    pub fn due(now: Timestamp, known: &[OrganizationId]) -> Query<Due> {
        const WHO: &str = who_is_due!(
            of: "org_id", from: "api_keys INDEXED BY api_keys_by_expiry",
            where: expires!("?3"), by: "expires_at"
        );
        Due::find(WHO, known).bind(now)
    }

    /// An organization's keys past their date that are not marked as expired yet, overlaps that ended among
    /// them; for [`DueKey::read`].
    pub fn find(organization: &OrganizationId, now: Timestamp) -> Query<Row> {
        Query::new(concat!(
            "SELECT key_id, replaced_by FROM api_keys INDEXED BY api_keys_by_expiry WHERE org_id = ?1 AND ",
            expires!("?2"),
            " ORDER BY expires_at LIMIT ?3"
        ))
        .bind(organization)
        .bind(now)
        .bind(EXPIRY_BATCH)
    }

    /// Reads a row of [`DueKey::find`]; `log_id` is for its audit record.
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(organization: &OrganizationId, row: &Row, log_id: LogId) -> Result<Self, RowError> {
        let overlap_ended = row.optional_text("replaced_by")?.is_some();
        Ok(Self {
            organization: organization.clone(),
            key_id: KeyId::from_column(row, "key_id")?,
            action: if overlap_ended { acts::OVERLAP_END.name } else { acts::EXPIRE.name },
            log_id,
        })
    }
}

/// Records and marks keys of an organization and forgets what was taken of their limits, in one transaction.
/// A key that another run marked meanwhile is neither recorded nor marked again, so a job that runs twice or
/// dies half-way leaves one record a key.
#[must_use]
pub fn expire(keys: &[DueKey], now: Timestamp) -> Vec<Statement> {
    let Some(first) = keys.first() else { return Vec::new() };
    let list = serde_json::json!(keys).to_string();
    let record = AuditEvent::by_system(&first.organization, first.log_id.clone(), acts::EXPIRE, now);
    let mark = Statement::new(concat!(
        "UPDATE api_keys SET status = 'expired' WHERE (org_id, key_id) IN (SELECT due.value ->> \
         'organization', due.value ->> 'key_id' FROM json_each(?1) AS due) AND ",
        expires!("?2")
    ));
    let forget = Statement::new(
        "DELETE FROM rate_windows WHERE second < ?2 / 1000 AND (org_id, subject) IN (SELECT due.value ->> \
         'organization', 'key:' || (due.value ->> 'key_id') FROM json_each(?1) AS due)",
    );
    let [mark, forget] = [mark, forget].map(|statement| statement.bind(list.as_str()).bind(now));
    vec![record.record_if(EXPIRING, list.as_str()), mark, forget]
}

/// A record for each of the keys `?2` that is about to be marked.
const EXPIRING: RecordCondition = record_rows!(
    org_id: "api_keys.org_id",
    log_id: "due.value ->> 'log_id'",
    user_id: "api_keys.owner_id",
    action: "due.value ->> 'action'",
    resource_id: "api_keys.key_id",
    from: " FROM json_each(?2) AS due JOIN api_keys ON api_keys.org_id = due.value ->> 'organization' AND \
           api_keys.key_id = due.value ->> 'key_id' WHERE ",
    expires!("?3"),
);
