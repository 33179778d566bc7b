//! The statements that read and change SCIM's users.

use serde_json::json;

use super::filter::UserFilter;
use super::user::{Attributes, ScimUser};
use crate::audit::{AuditEvent, RecordCondition};
use crate::id::{OrganizationId, UserId};
use crate::password::change::forget;
use crate::record_condition;
use crate::sql::Statement;
use crate::time::Timestamp;
use crate::user::{MAX_GROUPS_SHOWN, username_key};

/// How many users a page has at most.
pub const MAX_PAGE: u32 = 200;

/// How many users a page has where the client does not say.
pub const DEFAULT_PAGE: u32 = 100;

/// A question for users: their columns, which index to use where SQLite would choose another, and the rest of the
/// statement.
macro_rules! select_users {
    ($rest:literal) => {
        select_users!("", $rest)
    };
    ($index:literal, $rest:literal) => {
        concat!(
            "SELECT users.user_id, users.username, users.email, users.display_name, users.status, users.external_id, \
             users.attributes, users.created_at, users.updated_at, users.version, (SELECT \
             json_group_array(json_object('value', group_id, 'display', display_name)) FROM (SELECT groups.group_id, \
             groups.display_name FROM group_members JOIN groups ON groups.org_id = group_members.org_id AND \
             groups.group_id = group_members.group_id WHERE group_members.org_id = users.org_id AND \
             group_members.user_id = users.user_id LIMIT ?2)) AS groups FROM users ",
            $index,
            " WHERE users.org_id = ?1 AND users.deleted_at IS NULL AND users.kind = 'person' ",
            $rest
        )
    };
}

/// Finds a user.
#[must_use]
pub fn by_id(organization: &OrganizationId, user_id: &UserId) -> Statement {
    Statement::new(select_users!("AND users.user_id = ?3"))
        .bind(organization)
        .bind(MAX_GROUPS_SHOWN)
        .bind(user_id)
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which users.
    pub filter: Option<UserFilter>,
    /// The first one's number, from 1.
    pub start_index: i64,
    /// How many at most.
    pub count: u32,
}

/// Far beyond any directory, and an integer on every host.
const MAX_START_INDEX: i64 = 1 << 40;

impl Page {
    /// A page as a client asks for it, brought into bounds as RFC 7644 section 3.4.2.4 says.
    #[must_use]
    pub fn new(filter: Option<UserFilter>, start_index: Option<i64>, count: Option<i64>) -> Self {
        let count = count.unwrap_or(DEFAULT_PAGE.into()).clamp(0, MAX_PAGE.into());
        Self {
            filter,
            start_index: start_index.unwrap_or(1).clamp(1, MAX_START_INDEX),
            count: u32::try_from(count).unwrap_or(MAX_PAGE),
        }
    }

    /// How many users there are: column `total`.
    #[must_use]
    pub fn total(&self, organization: &OrganizationId) -> Statement {
        let statement = Statement::new(match self.filter {
            None => {
                "SELECT COUNT(*) AS total FROM users WHERE org_id = ?1 AND deleted_at IS NULL AND kind = 'person'"
            }
            Some(UserFilter::UserName(_)) => {
                "SELECT COUNT(*) AS total FROM users WHERE org_id = ?1 AND deleted_at IS NULL AND username_key = ?2 \
                 AND kind = 'person'"
            }
            Some(UserFilter::ExternalId(_)) => {
                "SELECT COUNT(*) AS total FROM users INDEXED BY users_by_external_id WHERE org_id = ?1 AND deleted_at \
                 IS NULL AND external_id = ?2 AND kind = 'person'"
            }
            Some(UserFilter::Id(_)) => {
                "SELECT COUNT(*) AS total FROM users WHERE org_id = ?1 AND deleted_at IS NULL AND user_id = ?2 AND \
                 kind = 'person'"
            }
        });
        match self.wanted() {
            Some(wanted) => statement.bind(organization).bind(wanted),
            None => statement.bind(organization),
        }
    }

    /// The users of the page, oldest first: who is created meanwhile comes at the end.
    #[must_use]
    pub fn users(&self, organization: &OrganizationId) -> Statement {
        let statement = Statement::new(match self.filter {
            // The inner question walks the narrow index past what is skipped; only the page's rows are read whole.
            None => select_users!(
                "AND users.user_id IN (SELECT user_id FROM users WHERE org_id = ?1 AND deleted_at IS NULL AND kind = 'person' \
                 ORDER BY user_id LIMIT ?3 OFFSET ?4) ORDER BY users.user_id"
            ),
            Some(UserFilter::UserName(_)) => {
                select_users!("AND users.username_key = ?5 ORDER BY users.user_id LIMIT ?3 OFFSET ?4")
            }
            // Without statistics SQLite takes an organization for ten users, and would read them all.
            Some(UserFilter::ExternalId(_)) => select_users!(
                "INDEXED BY users_by_external_id",
                "AND users.external_id = ?5 ORDER BY users.user_id LIMIT ?3 OFFSET ?4"
            ),
            Some(UserFilter::Id(_)) => {
                select_users!("AND users.user_id = ?5 ORDER BY users.user_id LIMIT ?3 OFFSET ?4")
            }
        })
        .bind(organization)
        .bind(MAX_GROUPS_SHOWN)
        .bind(self.count)
        .bind(self.start_index.saturating_sub(1));
        match self.wanted() {
            Some(wanted) => statement.bind(wanted),
            None => statement,
        }
    }

    fn wanted(&self) -> Option<String> {
        self.filter.as_ref().map(|filter| match filter {
            UserFilter::UserName(name) => username_key(name),
            UserFilter::ExternalId(id) | UserFilter::Id(id) => id.clone(),
        })
    }
}

/// The audit condition "the user `?14` exists".
const USER_EXISTS: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?14 AND kind = 'person' AND deleted_at IS NULL)"
);

/// The audit condition "the user exists in this version"; `?14` is a JSON array of the two.
const USER_HAS_VERSION: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?14 ->> 0 AND version = ?14 ->> 1 AND \
     deleted_at IS NULL)"
);

/// A user that a client creates.
#[derive(Debug)]
pub struct Creation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its id.
    pub user_id: &'a UserId,
    /// What the client set.
    pub attributes: &'a Attributes,
    /// The hash of its password, where it has one.
    pub password_hash: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

impl Creation<'_> {
    /// Creates and records the user, in one transaction. A user name that is taken violates a unique index, and
    /// nothing happens.
    #[must_use]
    pub fn statements(&self, event: AuditEvent) -> Vec<Statement> {
        let create = self.attributes.bind(
            Statement::new(
                "INSERT INTO users (org_id, user_id, status, password_hash, managed_by, created_at, updated_at, \
                 username, username_key, email, display_name, external_id, attributes, password_changed_at) \
                 VALUES (?1, ?2, ?3, ?4, 'scim', ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, CASE WHEN ?4 IS NOT NULL THEN ?5 END)",
            )
            .bind(self.organization)
            .bind(self.user_id)
            .bind(self.attributes.status().as_str())
            .bind(self.password_hash)
            .bind(self.now),
        );
        vec![create, event.record()]
    }

    /// The user that was created.
    #[must_use]
    pub fn created(&self) -> ScimUser {
        ScimUser {
            user_id: self.user_id.clone(),
            attributes: self.attributes.clone(),
            groups: Vec::new(),
            created_at: self.now,
            updated_at: self.now,
            version: 1,
        }
    }
}

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
    /// Records the change, ends the user's sessions where it is deactivated or has a new password, and changes it,
    /// in one transaction: all if the user is still in the version that was read, else nothing. The last statement
    /// returns the new version if so.
    #[must_use]
    pub fn statements(&self, event: AuditEvent) -> Vec<Statement> {
        let version = json!([self.before.user_id, self.before.version]).to_string();
        let mut statements = vec![event.record_if(USER_HAS_VERSION, version)];
        if self.is_deactivation() {
            statements.push(self.end_sessions("deactivated"));
        } else if self.password_hash.is_some() {
            statements.push(self.end_sessions("password_changed"));
        }
        if self.password_hash.is_some() {
            statements.push(self.keep_password());
            statements.push(forget(self.organization, &self.before.user_id, self.history_size));
        }
        statements.push(self.change());
        statements
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

    fn end_sessions(&self, because: &'static str) -> Statement {
        Statement::new(
            "UPDATE sessions INDEXED BY sessions_by_user SET ended_at = ?3, ended_because = ?4 WHERE org_id = ?1 AND \
             user_id = ?2 AND ended_at IS NULL AND EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 AND \
             version = ?5 AND deleted_at IS NULL)",
        )
        .bind(self.organization)
        .bind(&self.before.user_id)
        .bind(self.now)
        .bind(because)
        .bind(self.before.version)
    }

    /// Keeps the password that will be replaced.
    fn keep_password(&self) -> Statement {
        Statement::new(
            "INSERT INTO password_history (org_id, user_id, changed_at, password_hash) SELECT org_id, user_id, ?3, \
             password_hash FROM users WHERE org_id = ?1 AND user_id = ?2 AND version = ?4 AND password_hash IS NOT NULL \
             AND deleted_at IS NULL ON CONFLICT (org_id, user_id, changed_at) DO NOTHING",
        )
        .bind(self.organization)
        .bind(&self.before.user_id)
        .bind(self.now)
        .bind(self.before.version)
    }

    /// A client that says "active" ends a suspension, not a lock.
    fn change(&self) -> Statement {
        self.after.bind(
            Statement::new(
                "UPDATE users SET status = CASE WHEN NOT ?4 THEN 'suspended' WHEN status = 'suspended' THEN 'active' \
                 ELSE status END, password_hash = COALESCE(?5, password_hash), password_changed_at = CASE WHEN ?5 IS \
                 NULL THEN password_changed_at ELSE ?6 END, updated_at = ?6, version = version + 1, username = ?7, username_key = ?8, email = ?9, display_name = ?10, external_id = ?11, attributes = ?12 \
                 WHERE org_id = ?1 AND user_id = ?2 AND version = ?3 AND kind = 'person' AND deleted_at IS NULL RETURNING version",
            )
            .bind(self.organization)
            .bind(&self.before.user_id)
            .bind(self.before.version)
            .bind(self.after.is_active())
            .bind(self.password_hash)
            .bind(self.now),
        )
    }
}

/// Ends the sessions of a person who is about to be deleted.
fn end_sessions(organization: &OrganizationId, user_id: &UserId, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE sessions INDEXED BY sessions_by_user SET ended_at = ?3, ended_because = 'deleted' WHERE org_id = ?1 AND \
         user_id = ?2 AND ended_at IS NULL AND EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 AND kind = \
         'person')",
    )
    .bind(organization)
    .bind(user_id)
    .bind(now)
}

/// Records and deletes a user and ends its sessions, in one transaction: all if it is there, else nothing. Its row
/// stays for the records that name it; its name is free again. The last statement returns its id if it was there.
#[must_use]
pub fn delete(
    organization: &OrganizationId,
    user_id: &UserId,
    now: Timestamp,
    event: AuditEvent,
) -> Vec<Statement> {
    let delete = Statement::new(
        "UPDATE users SET deleted_at = ?3, updated_at = ?3, version = version + 1 WHERE org_id = ?1 AND user_id = ?2 \
         AND kind = 'person' AND deleted_at IS NULL RETURNING user_id",
    )
    .bind(organization)
    .bind(user_id)
    .bind(now);
    vec![event.record_if(USER_EXISTS, user_id), end_sessions(organization, user_id, now), delete]
}
