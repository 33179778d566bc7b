//! The statements that read and change users.
//!
//! The audit record is the gate: one statement writes it under every condition that a change has, and what
//! follows in the transaction asks for the record and for nothing else.

use iam_core::directory::account::MAX_GROUPS_SHOWN;
use iam_core::id::{LogId, OrganizationId, UserId};
use iam_core::record::audit::{AuditEvent, RecordCondition};
use iam_core::record_condition;
use iam_core::sign_in::password::change::forget;
use iam_core::sql::{Batch, Query, Statement, Ticket};
use iam_core::time::Timestamp;
use serde_json::json;

use super::{Attributes, ScimUser};
use crate::Deleted;

/// A user's columns; `?3` is how many groups are shown at most, none where it is 0.
macro_rules! user_columns {
    () => {
        "users.user_id, users.username, users.email, users.display_name, users.status, users.external_id, \
         users.attributes, users.created_at, users.updated_at, users.version, (SELECT \
         json_group_array(json_array(group_id, display_name)) FROM (SELECT groups.group_id, \
         groups.display_name FROM group_members JOIN groups ON groups.org_id = group_members.org_id AND \
         groups.group_id = group_members.group_id WHERE group_members.org_id = users.org_id AND \
         group_members.user_id = users.user_id LIMIT ?3)) AS groups"
    };
}

/// The columns of a list of users.
#[must_use]
pub fn select_list() -> &'static str {
    user_columns!()
}

/// Finds a user.
pub fn by_id(organization: &OrganizationId, user_id: &UserId) -> Query<ScimUser> {
    Query::new(concat!(
        "SELECT ",
        user_columns!(),
        " FROM users WHERE users.org_id = ?1 AND users.user_id = ?2 AND users.deleted_at IS NULL AND \
         users.kind = 'person'"
    ))
    .bind(organization)
    .bind(user_id)
    .bind(MAX_GROUPS_SHOWN)
}

/// A user that a client creates.
#[derive(Debug)]
pub struct Creation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its id, unless it was here before.
    pub user_id: &'a UserId,
    /// What the client set.
    pub attributes: &'a Attributes,
    /// The hash of its password, where it has one.
    pub password_hash: Option<&'a str>,
    /// Who was deleted before this moment is on the way to being purged, and is not brought back.
    pub deleted_since: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// `?2` is a JSON array of an external id and a moment: somebody with that external id was kept by SCIM and
/// deleted since then, and nobody else has it now. The record is about that user.
const COMES_BACK: RecordCondition = iam_core::record_rows!(
    user_id: "user_id",
    resource_id: "user_id",
    from: " FROM users INDEXED BY users_deleted_by_external_id WHERE org_id = ?1 AND external_id = ?2 ->> 0 \
     AND external_id IS NOT NULL AND deleted_at IS NOT NULL AND deleted_at > ?2 ->> 1 AND kind = 'person' \
     AND managed_by = 'scim' AND NOT EXISTS (SELECT 1 FROM users AS other WHERE other.org_id = ?1 AND \
     other.external_id = ?2 ->> 0 AND other.deleted_at IS NULL) ORDER BY deleted_at DESC LIMIT 1",
);

/// The audit condition "the event `?2` was not recorded".
const NOT_RECORDED: RecordCondition =
    record_condition!("NOT EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?2)");

impl Creation<'_> {
    /// Creates and records the user, in one transaction. Whoever was deleted lately and had the same external
    /// id comes back as what the client says now, under its former id and with nothing else of what it had. A
    /// user name that is taken violates a unique index, and nothing happens. Returns the user.
    pub fn create(&self, created: AuditEvent, restored: AuditEvent, batch: &mut Batch) -> Ticket<ScimUser> {
        let return_id = restored.log_id.clone();
        if let Some(external_id) = self.attributes.external_id() {
            let asked = json!([external_id, self.deleted_since.as_millis()]).to_string();
            batch.then(restored.record_if(COMES_BACK, asked));
            batch.extend(self.strip(&return_id));
            batch.then(self.restore(&return_id));
        }
        batch.then(self.insert(&return_id));
        batch.then(created.record_if(NOT_RECORDED, return_id.as_str()));
        batch.ask(self.outcome(&return_id))
    }

    fn outcome(&self, return_id: &LogId) -> Query<ScimUser> {
        Query::new(concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE users.org_id = ?1 AND users.user_id = COALESCE((SELECT resource_id FROM \
             audit_events WHERE org_id = ?1 AND log_id = ?4), ?2)"
        ))
        .bind(self.organization)
        .bind(self.user_id)
        .bind(MAX_GROUPS_SHOWN)
        .bind(return_id)
    }

    fn insert(&self, return_id: &LogId) -> Statement {
        let statement = Statement::new(
            "INSERT INTO users (org_id, user_id, status, password_hash, managed_by, created_at, updated_at, \
             username, username_key, email, display_name, external_id, attributes, password_changed_at) \
             SELECT ?1, ?2, ?3, ?4, 'scim', ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, CASE WHEN ?4 IS NOT NULL THEN \
             ?5 END WHERE NOT EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?12)",
        )
        .bind(self.organization)
        .bind(self.user_id)
        .bind(self.attributes.status().as_str())
        .bind(self.password_hash)
        .bind(self.now);
        self.attributes.bind(statement).bind(return_id)
    }

    /// What it had before it was deleted is not what it gets now.
    fn strip(&self, return_id: &LogId) -> [Statement; 3] {
        [
            "DELETE FROM user_roles WHERE org_id = ?1 AND user_id = (SELECT resource_id FROM audit_events \
             WHERE org_id = ?1 AND log_id = ?2)",
            "DELETE FROM group_members WHERE org_id = ?1 AND user_id = (SELECT resource_id FROM audit_events \
             WHERE org_id = ?1 AND log_id = ?2)",
            "DELETE FROM password_history WHERE org_id = ?1 AND user_id = (SELECT resource_id FROM \
             audit_events WHERE org_id = ?1 AND log_id = ?2)",
        ]
        .map(|text| Statement::new(text).bind(self.organization).bind(return_id))
    }

    fn restore(&self, return_id: &LogId) -> Statement {
        let statement = Statement::new(
            "UPDATE users SET deleted_at = NULL, mfa_methods = '[]', status = ?3, password_hash = ?4, \
             password_changed_at = CASE WHEN ?4 IS NOT NULL THEN ?5 END, updated_at = ?5, version = version \
             + 1, username = ?6, username_key = ?7, email = ?8, display_name = ?9, external_id = ?10, \
             attributes = ?11 WHERE org_id = ?1 AND user_id = (SELECT resource_id FROM audit_events WHERE \
             org_id = ?1 AND log_id = ?2)",
        )
        .bind(self.organization)
        .bind(return_id)
        .bind(self.attributes.status().as_str())
        .bind(self.password_hash)
        .bind(self.now);
        self.attributes.bind(statement)
    }
}

/// The audit condition "the user exists in this version"; `?2` is a JSON array of the two.
const USER_HAS_VERSION: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 ->> 0 AND version = ?2 ->> 1 AND \
     deleted_at IS NULL AND kind = 'person')"
);

/// A change of a user that was read.
#[derive(Debug)]
pub struct Update<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The user as it was read.
    pub before: &'a ScimUser,
    /// What it will have.
    pub after: &'a Attributes,
    /// The hash of its new password, where it gets one.
    pub password_hash: Option<&'a str>,
    /// How many of its former passwords are kept.
    pub history_size: u32,
    /// Now.
    pub now: Timestamp,
}

impl Update<'_> {
    /// Records the change, ends the user's sessions where it is deactivated or has a new password, and
    /// changes it, in one transaction: all if the user is still in the version that was read, else nothing.
    /// Whether it was.
    pub fn apply(&self, event: AuditEvent, batch: &mut Batch) -> Ticket {
        let log_id = event.log_id.clone();
        let version = json!([self.before.user_id, self.before.version]).to_string();
        batch.then(event.record_if(USER_HAS_VERSION, version));
        if self.is_deactivation() {
            batch.then(end_sessions(self.organization, &log_id, self.now, "deactivated"));
        } else if self.password_hash.is_some() {
            batch.then(end_sessions(self.organization, &log_id, self.now, "password_changed"));
        }
        if self.password_hash.is_some() {
            batch.then(self.keep_password(&log_id));
            batch.then(forget(self.organization, &self.before.user_id, self.history_size));
        }
        batch.then(self.change(&log_id))
    }

    /// Whether the user may no longer act.
    #[must_use]
    pub fn is_deactivation(&self) -> bool {
        self.before.attributes.is_active() && !self.after.is_active()
    }

    /// The user that the change made.
    #[must_use]
    pub fn changed(&self) -> ScimUser {
        ScimUser {
            attributes: self.after.clone(),
            updated_at: self.now,
            version: self.before.version.saturating_add(1),
            ..self.before.clone()
        }
    }

    /// Keeps the password that will be replaced.
    fn keep_password(&self, log_id: &LogId) -> Statement {
        Statement::new(
            "INSERT INTO password_history (org_id, user_id, changed_at, password_hash) SELECT org_id, \
             user_id, ?3, password_hash FROM users WHERE org_id = ?1 AND user_id = ?2 AND password_hash IS \
             NOT NULL AND EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?4) ON CONFLICT \
             (org_id, user_id, changed_at) DO NOTHING",
        )
        .bind(self.organization)
        .bind(&self.before.user_id)
        .bind(self.now)
        .bind(log_id)
    }

    /// A client that says "active" ends a suspension, not a lock.
    fn change(&self, log_id: &LogId) -> Statement {
        let statement = Statement::new(
            "UPDATE users SET status = CASE WHEN NOT ?4 THEN 'suspended' WHEN status = 'suspended' THEN \
             'active' ELSE status END, password_hash = COALESCE(?5, password_hash), password_changed_at = \
             CASE WHEN ?5 IS NULL THEN password_changed_at ELSE ?6 END, updated_at = ?6, version = version + \
             1, username = ?7, username_key = ?8, email = ?9, display_name = ?10, external_id = ?11, \
             attributes = ?12 WHERE org_id = ?1 AND user_id = ?2 AND EXISTS (SELECT 1 FROM audit_events \
             WHERE org_id = ?1 AND log_id = ?3) RETURNING version",
        )
        .bind(self.organization)
        .bind(&self.before.user_id)
        .bind(log_id)
        .bind(self.after.is_active())
        .bind(self.password_hash)
        .bind(self.now);
        self.after.bind(statement)
    }
}

/// Ends the sessions of the user that the record is about, if it was written.
fn end_sessions(
    organization: &OrganizationId,
    log_id: &LogId,
    now: Timestamp,
    because: &'static str,
) -> Statement {
    Statement::new(
        "UPDATE sessions INDEXED BY sessions_by_user SET ended_at = ?3, ended_because = ?4 WHERE org_id = ?1 \
         AND user_id = (SELECT resource_id FROM audit_events WHERE org_id = ?1 AND log_id = ?2) AND ended_at \
         IS NULL",
    )
    .bind(organization)
    .bind(log_id)
    .bind(now)
    .bind(because)
}

/// A user that a client deletes.
#[derive(Debug)]
pub struct Deletion<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Which user.
    pub user_id: &'a UserId,
    /// The version that it must have, where the client says.
    pub version: Option<i64>,
    /// Now.
    pub now: Timestamp,
}

/// The audit condition "the user is there, and in this version where one is said".
const USER_IS_THERE: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 ->> 0 AND (?2 ->> 1 IS NULL OR version = \
     ?2 ->> 1) AND kind = 'person' AND deleted_at IS NULL)"
);

impl Deletion<'_> {
    /// Records and deletes the user, ends its sessions and its keys, in one transaction: all if it is there,
    /// else nothing. Its row stays for the records that name it; its name is free again.
    pub fn delete(&self, event: AuditEvent, batch: &mut Batch) -> Ticket<Deleted> {
        let log_id = event.log_id.clone();
        let asked = json!([self.user_id, self.version]).to_string();
        let about = |text| Statement::new(text).bind(self.organization).bind(&log_id).bind(self.now);
        batch.then(event.record_if(USER_IS_THERE, asked));
        batch.then(end_sessions(self.organization, &log_id, self.now, "deleted"));
        batch.then(about(
            "UPDATE api_keys INDEXED BY api_keys_active_by_owner SET status = 'revoked', revoked_at = ?3 \
             WHERE org_id = ?1 AND owner_id = (SELECT resource_id FROM audit_events WHERE org_id = ?1 AND \
             log_id = ?2) AND status = 'active'",
        ));
        batch.then(about(
            "UPDATE users SET deleted_at = ?3, updated_at = ?3, version = version + 1 WHERE org_id = ?1 AND \
             user_id = (SELECT resource_id FROM audit_events WHERE org_id = ?1 AND log_id = ?2)",
        ));
        let outcome = Query::new(
            "SELECT EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?3) AS done, EXISTS \
             (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 AND kind = 'person' AND deleted_at IS \
             NULL) AS there",
        );
        batch.ask(outcome.bind(self.organization).bind(self.user_id).bind(&log_id))
    }
}
