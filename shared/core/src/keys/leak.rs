//! Keys that somebody found where anybody can read them.

use serde::Serialize;

use crate::id::{KeyId, LogId, OrganizationId, UserId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::secret::credential::Credential;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};

/// One report.
#[derive(Debug, Serialize)]
pub struct Leak {
    organization: OrganizationId,
    hash: String,
    log_id: LogId,
    url: String,
    source: String,
}

impl Leak {
    /// A key that was found at `url`, by somebody who calls that kind of place `source`. `log_id` is for its
    /// audit record.
    #[must_use]
    pub fn new(key: &Credential, log_id: LogId, url: String, source: String) -> Self {
        let organization = key.organization().clone();
        Self { organization, hash: key.hash().as_str().to_owned(), log_id, url, source }
    }

    /// Records each report that ends a key, revokes the keys, of whatever organization, and finds all that
    /// were reported. One transaction, whatever the number. `event` is what the records have in common.
    pub fn revoke(leaks: &[Self], event: AuditEvent, batch: &mut Batch) -> Ticket<LeakedKey> {
        let (list, now) = (serde_json::json!(leaks).to_string(), event.timestamp);
        batch.then(event.record_if(EACH_THAT_ENDS_A_KEY, list.as_str()));
        batch.then(Statement::new(REVOKE).bind(list.as_str()).bind(now));
        batch.ask(Query::new(FIND).bind(list).bind(now))
    }
}

/// Of the reports `?2`, a JSON list, those whose key was not revoked before.
const EACH_THAT_ENDS_A_KEY: RecordCondition = crate::record_rows!(
    org_id: "api_keys.org_id",
    log_id: "leak.value ->> 'log_id'",
    user_id: "api_keys.owner_id",
    resource_id: "api_keys.key_id",
    details: "json_object('url', leak.value ->> 'url', 'source', leak.value ->> 'source')",
    from: " FROM json_each(?2) AS leak CROSS JOIN api_keys ON api_keys.org_id = leak.value ->> \
     'organization' AND api_keys.key_hash = leak.value ->> 'hash' WHERE api_keys.status <> 'revoked'",
);

const REVOKE: &str = "UPDATE api_keys SET status = 'revoked', revoked_at = ?2, revoked_because = 'leaked' \
                      WHERE (org_id, key_hash) IN (SELECT value ->> 'organization', value ->> 'hash' FROM \
                      json_each(?1)) AND status <> 'revoked'";

const FIND: &str = "SELECT api_keys.org_id, api_keys.key_hash, api_keys.key_id, api_keys.name, \
                    api_keys.owner_id, users.username, users.email, api_keys.revoked_at = ?2 AND \
                    api_keys.revoked_because = 'leaked' AS is_revoked_now FROM (SELECT DISTINCT value ->> \
                    'organization' AS organization, value ->> 'hash' AS hash FROM json_each(?1)) AS leak \
                    CROSS JOIN api_keys ON api_keys.org_id = leak.organization AND api_keys.key_hash = \
                    leak.hash LEFT JOIN users ON users.org_id = api_keys.org_id AND users.user_id = \
                    api_keys.owner_id AND users.deleted_at IS NULL";

/// A key that was reported.
#[derive(Debug)]
pub struct LeakedKey {
    /// In which organization.
    pub organization: OrganizationId,
    /// The hash of its secret.
    pub hash: String,
    /// Its id.
    pub key_id: KeyId,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub owner_id: UserId,
    /// The owner's name, where there still is one.
    pub owner_username: Option<String>,
    /// The owner's e-mail address.
    pub owner_email: Option<String>,
    /// Whether this report ended it.
    pub is_revoked_now: bool,
}

impl FromRow for LeakedKey {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let text = |name| Ok(row.optional_text(name)?.map(str::to_owned));
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            hash: row.text("key_hash")?.to_owned(),
            key_id: KeyId::from_column(row, "key_id")?,
            name: row.text("name")?.to_owned(),
            owner_id: UserId::from_column(row, "owner_id")?,
            owner_username: text("username")?,
            owner_email: text("email")?,
            is_revoked_now: row.optional_integer("is_revoked_now")? == Some(1),
        })
    }
}
