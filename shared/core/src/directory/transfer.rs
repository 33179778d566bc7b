//! Many users at once: stored as lines of an import bring them, read as lines of an export.

use serde::Serialize;
use serde_json::json;

use super::assignment::KnownRoles;
use super::import::{ImportLine, ImportStatus};
use crate::directory::account::{MAX_GROUPS_SHOWN, username_key};
use crate::directory::managed::{LocalEdits, kept_by_scim};
use crate::encoding::{base64url, from_base64url};
use crate::id::{GroupId, LogId, OrganizationId, UserId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record_rows;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::Timestamp;

/// How many users an export's page has at most.
pub const MAX_EXPORT_PAGE: u32 = 1000;

/// How much one import stores at most, in bytes of JSON: D1 binds 2 MB, and a group's id may be longer than
/// the name that a line has for it.
const MAX_BATCH_BYTES: usize = 1_900_000;

/// A user that an import may create.
#[derive(Debug, Serialize)]
pub struct Import<'a> {
    user_id: &'a UserId,
    log_id: &'a LogId,
    username: &'a str,
    username_key: String,
    email: Option<&'a str>,
    display_name: Option<&'a str>,
    status: &'static str,
    password_hash: Option<&'a str>,
    external_id: Option<&'a str>,
    created_at: i64,
    roles: &'a [String],
    groups: &'a [GroupId],
}

impl<'a> Import<'a> {
    /// A checked line under the id that its user gets, and the id of its audit record.
    #[must_use]
    pub fn new(
        line: &'a ImportLine,
        groups: &'a [GroupId],
        (user_id, log_id): (&'a UserId, &'a LogId),
        now: Timestamp,
    ) -> Self {
        Self {
            user_id,
            log_id,
            username: &line.username,
            username_key: username_key(&line.username),
            email: line.email.as_deref(),
            display_name: line.display_name.as_deref(),
            status: line.status.as_str(),
            password_hash: line.password_hash.as_deref(),
            external_id: line.external_id.as_deref(),
            created_at: line.created_at.unwrap_or(now).as_millis(),
            roles: &line.roles,
            groups,
        }
    }
}

/// Many users that an import brings.
#[derive(Debug)]
pub struct ImportBatch<'a> {
    /// Into which organization.
    pub organization: &'a OrganizationId,
    /// The users.
    pub users: &'a [Import<'a>],
    /// The roles that they name, as they were looked up.
    pub roles: &'a KnownRoles,
    /// What may be changed of what SCIM manages.
    pub edits: &'a LocalEdits<'a>,
    /// Now.
    pub now: Timestamp,
}

/// Where the answers to an import are found.
#[derive(Clone, Copy, Debug)]
pub struct ImportTickets {
    /// A row for each who was created.
    pub created: Ticket,
    /// Whether anything was stored at all.
    pub roles: Ticket<RolesUnchanged>,
}

/// Whether the roles that an import names still grant what they did when they were looked up.
#[derive(Clone, Copy, Debug)]
pub struct RolesUnchanged(pub bool);

impl FromRow for RolesUnchanged {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self(row.integer("unchanged")? != 0))
    }
}

impl ImportBatch<'_> {
    /// Creates whoever is not there yet, with roles, groups and an audit record each, in one transaction. Who
    /// is there stays as it is, so an import that is sent again does nothing. Nothing at all happens where a
    /// role grants something else by now than when it was looked up. `None` where it is more than every host
    /// binds to a statement.
    #[must_use]
    pub fn ask(&self, event: AuditEvent, batch: &mut Batch) -> Option<ImportTickets> {
        let users = json!(self.users).to_string();
        if users.len() > MAX_BATCH_BYTES {
            return None;
        }
        let roles = self.roles.as_pairs().to_string();
        let with_users = |text| Statement::new(text).bind(self.organization).bind(users.as_str());
        let created = batch.then(with_users(CREATE).bind(self.now).bind(roles.as_str()));
        batch.extend([
            with_users(GIVE_ROLES),
            with_users(JOIN_GROUPS).bind(self.edits.condition().to_string()),
            event.record_if(EACH_IMPORTED, users.as_str()),
        ]);
        let unchanged = Query::new(
            "SELECT NOT EXISTS (SELECT 1 FROM json_each(?2) AS known LEFT JOIN roles ON roles.org_id = ?1 \
             AND roles.role = known.value ->> 0 WHERE roles.effective_grants IS NOT known.value ->> 1) AS \
             unchanged",
        );
        Some(ImportTickets { created, roles: batch.ask(unchanged.bind(self.organization).bind(roles)) })
    }
}

const CREATE: &str = "INSERT INTO users (org_id, user_id, kind, username, username_key, email, display_name, \
     status, password_hash, external_id, managed_by, created_at, updated_at) SELECT ?1, line.value ->> \
     'user_id', 'person', line.value ->> 'username', line.value ->> 'username_key', line.value ->> 'email', \
     line.value ->> 'display_name', line.value ->> 'status', line.value ->> 'password_hash', line.value ->> \
     'external_id', 'manual', line.value ->> 'created_at', ?3 FROM json_each(?2) AS line WHERE NOT EXISTS \
     (SELECT 1 FROM json_each(?4) AS known LEFT JOIN roles ON roles.org_id = ?1 AND roles.role = known.value \
     ->> 0 WHERE roles.effective_grants IS NOT known.value ->> 1) ON CONFLICT DO NOTHING RETURNING user_id";

const GIVE_ROLES: &str = "INSERT INTO user_roles (org_id, user_id, role) SELECT ?1, users.user_id, \
     given.value FROM json_each(?2) AS line CROSS JOIN users ON users.org_id = ?1 AND users.user_id = \
     line.value ->> 'user_id' CROSS JOIN json_each(line.value, '$.roles') AS given";

const JOIN_GROUPS: &str = concat!(
    "INSERT INTO group_members (org_id, user_id, group_id) SELECT ?1, users.user_id, groups.group_id FROM \
     json_each(?2) AS line CROSS JOIN users ON users.org_id = ?1 AND users.user_id = line.value ->> \
     'user_id' CROSS JOIN json_each(line.value, '$.groups') AS joined CROSS JOIN groups ON groups.org_id = \
     ?1 AND groups.group_id = joined.value WHERE NOT ",
    kept_by_scim!("groups", "?3")
);

/// Records each who was stored of the lines `?2`.
const EACH_IMPORTED: RecordCondition = record_rows!(
    log_id: "line.value ->> 'log_id'",
    resource_id: "users.user_id",
    from: " FROM json_each(?2) AS line CROSS JOIN users ON users.org_id = ?1 AND users.user_id = line.value \
         ->> 'user_id'",
);

/// A page of the whole directory, oldest first, with the roles that somebody gave to each: those that a group
/// gives come with the group. `None` where the cursor is none of ours.
#[must_use]
pub fn export(organization: &OrganizationId, cursor: Option<&str>, limit: u32) -> Option<Query<Exported>> {
    let after = match cursor {
        Some(cursor) => String::from_utf8(from_base64url(cursor)?).ok()?,
        None => String::new(),
    };
    let query = Query::new(
        "SELECT users.user_id, users.kind, users.username, users.email, users.display_name, users.status, \
         users.password_hash, users.external_id, users.created_at, (SELECT json_group_array(user_roles.role) \
         FROM user_roles WHERE user_roles.org_id = users.org_id AND user_roles.user_id = users.user_id AND \
         user_roles.via_group = '') AS roles, (SELECT json_group_array(display_name) FROM (SELECT \
         groups.display_name FROM group_members JOIN groups ON groups.org_id = group_members.org_id AND \
         groups.group_id = group_members.group_id WHERE group_members.org_id = users.org_id AND \
         group_members.user_id = users.user_id LIMIT ?4)) AS groups FROM users INDEXED BY users_in_order \
         WHERE users.org_id = ?1 AND users.deleted_at IS NULL AND users.user_id > ?2 ORDER BY users.user_id \
         LIMIT ?3",
    );
    Some(query.bind(organization).bind(after).bind(limit.saturating_add(1)).bind(MAX_GROUPS_SHOWN))
}

/// One user of an export.
#[derive(Debug)]
pub struct Exported {
    user_id: UserId,
    is_person: bool,
    line: ImportLine,
}

impl Exported {
    /// The cursor of the page after this user.
    #[must_use]
    pub fn cursor(&self) -> String {
        base64url(self.user_id.as_str().as_bytes())
    }

    /// What an import takes; `None` for a service account.
    #[must_use]
    pub fn into_line(self) -> Option<ImportLine> {
        self.is_person.then_some(self.line)
    }
}

impl FromRow for Exported {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let optional = |column| Ok(row.optional_text(column)?.map(str::to_owned));
        Ok(Self {
            user_id: UserId::from_column(row, "user_id")?,
            is_person: row.text("kind")? == "person",
            line: ImportLine {
                username: row.text("username")?.to_owned(),
                email: optional("email")?,
                display_name: optional("display_name")?,
                roles: row.json("roles")?,
                groups: row.json("groups")?,
                password_hash: optional("password_hash")?,
                status: match row.text("status")? {
                    "suspended" => ImportStatus::Suspended,
                    _ => ImportStatus::Active,
                },
                external_id: optional("external_id")?,
                created_at: Some(Timestamp::from_millis(row.integer("created_at")?)),
            },
        })
    }
}
