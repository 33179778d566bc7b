//! Keys past their date, and overlaps that ended.

use serde::Serialize;

use crate::id::{KeyId, LogId, OrganizationId};
use crate::sql::{Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// How many keys one run of the scheduled job expires at most; the next run goes on.
pub const EXPIRY_BATCH: u32 = 500;

/// The condition that a key is past its date `$now` and not marked as expired yet. Not so the old key of a delivery that is open:
/// it is held, if need be by the job's next run.
macro_rules! expires {
    ($now:literal) => {
        concat!(
            "status = 'active' AND expires_at <= ",
            $now,
            " AND NOT EXISTS (SELECT 1 FROM api_key_deliveries AS way INDEXED BY api_key_deliveries_open_by_key WHERE \
             way.org_id = api_keys.org_id AND way.key_id = api_keys.replaced_by AND way.old_key_id = api_keys.key_id AND \
             way.state IN ('pending', 'dead'))"
        )
    };
}

/// Keys past their date that are not marked as expired yet, overlaps that ended among them.
#[must_use]
pub fn due_to_expire(now: Timestamp) -> Statement {
    Statement::new(concat!(
        "SELECT org_id, key_id, owner_id, replaced_by FROM api_keys WHERE ",
        expires!("?1"),
        " ORDER BY expires_at LIMIT ?2"
    ))
    .bind(now)
    .bind(EXPIRY_BATCH)
}

/// Records and marks them and forgets what was taken of their limits, in one transaction. A key that another run marked
/// meanwhile is neither recorded nor marked again, so a job that runs twice or dies half-way leaves one record a key.
#[must_use]
pub fn expire(keys: &[DueKey], now: Timestamp) -> [Statement; 3] {
    let list = serde_json::json!(keys).to_string();
    let record = Statement::new(concat!(
        "INSERT INTO audit_events (org_id, log_id, timestamp, actor, user_id, action, resource, resource_id, result, \
         details) SELECT api_keys.org_id, due.value ->> 'log_id', ?2, 'system', api_keys.owner_id, \
         due.value ->> 'action', 'api_key', api_keys.key_id, 'success', '{}' FROM json_each(?1) AS due JOIN api_keys \
         ON api_keys.org_id = due.value ->> 'organization' AND api_keys.key_id = due.value ->> 'key_id' WHERE ",
        expires!("?2")
    ));
    let mark = Statement::new(concat!(
        "UPDATE api_keys SET status = 'expired' WHERE (org_id, key_id) IN (SELECT due.value ->> 'organization', \
         due.value ->> 'key_id' FROM json_each(?1) AS due) AND ",
        expires!("?2")
    ));
    let forget = Statement::new(
        "DELETE FROM rate_windows WHERE second < ?2 / 1000 AND (org_id, subject) IN (SELECT due.value ->> \
         'organization', 'key:' || (due.value ->> 'key_id') FROM json_each(?1) AS due)",
    );
    [record, mark, forget].map(|statement| statement.bind(list.as_str()).bind(now))
}

/// Forgets what was taken of the limits of keys that were revoked within the last day.
#[must_use]
pub fn forget_windows(now: Timestamp) -> Statement {
    Statement::new(
        "DELETE FROM rate_windows WHERE (org_id, subject) IN (SELECT org_id, 'key:' || key_id FROM api_keys INDEXED BY \
         api_keys_by_revocation WHERE revoked_at > ?1 ORDER BY revoked_at DESC LIMIT ?2)",
    )
    .bind(now.before(Duration::from_days(1)))
    .bind(EXPIRY_BATCH)
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
    /// Reads a row of [`due_to_expire`]; `log_id` is for its audit record.
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(row: &Row, log_id: LogId) -> Result<Self, RowError> {
        let overlap_ended = row.optional_text("replaced_by")?.is_some();
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            key_id: KeyId::from_column(row, "key_id")?,
            action: if overlap_ended { "api_key.overlap_end" } else { "api_key.expire" },
            log_id,
        })
    }
}
