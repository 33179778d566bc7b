//! A user as SCIM has it, and the statements that read and change it.
//!
//! `userName`, `displayName`, `externalId` and `active` are columns; the rest is the JSON column `attributes`. The
//! column `email` follows the primary one of `emails`, and a user that has none but that column shows it there.

use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::ScimError;
use super::filter::UserFilter;
use super::patch::{check_schemas, take};
use super::schema::{self, ENTERPRISE_URN, USER_URN};
use super::value::{Object, is_primary, members_of};
use crate::audit::{AuditEvent, RecordCondition};
use crate::id::{OrganizationId, UserId};
use crate::password::MAX_PASSWORD_BYTES;
use crate::record_condition;
use crate::sql::{FromRow, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::user::{MAX_GROUPS_SHOWN, MAX_USERNAME_BYTES, UserStatus, username_key};

/// How large the attributes of a user may be together, in bytes of JSON.
pub const MAX_ATTRIBUTES_BYTES: usize = 32 * 1024;

/// How many users a page has at most, and where the client does not say.
pub const MAX_PAGE: u32 = 200;

/// How many users a page has where the client does not say.
pub const DEFAULT_PAGE: u32 = 100;

/// The attributes that have a column of their own.
const COLUMNS: [&str; 4] = ["userName", "displayName", "externalId", "active"];

/// What a client may set of a user, in canonical form and checked. No password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes(Object);

/// A password that a client set. Never shown, wiped when dropped.
pub type NewPassword = Zeroizing<String>;

impl Attributes {
    /// Reads the body of a creation.
    ///
    /// # Errors
    /// When it is not a user, or an attribute does not fit.
    pub fn parse(body: Json) -> Result<(Self, Option<NewPassword>), ScimError> {
        let Json::Object(mut body) = body else { return Err(ScimError::syntax("a user must be an object")) };
        check_schemas(take(&mut body, "schemas").as_ref(), USER_URN)?;
        let top_level: Vec<_> = schema::top_level().collect();
        let mut members = members_of(top_level, body)?;
        members.entry("active").or_insert(Json::Bool(true));
        Self::check(members)
    }

    /// These attributes, changed by `change`.
    ///
    /// # Errors
    /// Those of `change`, or when what it leaves is no user.
    pub fn changed(
        &self,
        change: impl FnOnce(&mut Object) -> Result<(), ScimError>,
    ) -> Result<(Self, Option<NewPassword>), ScimError> {
        let mut members = self.0.clone();
        change(&mut members)?;
        Self::check(members)
    }

    fn check(mut members: Object) -> Result<(Self, Option<NewPassword>), ScimError> {
        let password = match members.remove("password") {
            Some(Json::String(password)) => Some(Zeroizing::new(password)),
            _ => None,
        };
        if password.as_ref().is_some_and(|it| it.is_empty() || it.len() > MAX_PASSWORD_BYTES) {
            return Err(ScimError::value(format!("`password` must be 1 to {MAX_PASSWORD_BYTES} bytes long")));
        }
        let username = text(&members, "userName").map(str::trim).unwrap_or_default();
        if username.is_empty() || username.len() > MAX_USERNAME_BYTES || username.contains(char::is_control) {
            let detail = format!("`userName` must be 1 to {MAX_USERNAME_BYTES} bytes without control characters");
            return Err(ScimError::value(detail));
        }
        let username = username.to_owned();
        members.insert("userName".to_owned(), Json::String(username));
        if !members.get("active").is_some_and(Json::is_boolean) {
            return Err(ScimError::value("`active` must be true or false"));
        }
        let attributes = Self(members);
        if attributes.without_columns().len() > MAX_ATTRIBUTES_BYTES {
            let detail = format!("a user may have {MAX_ATTRIBUTES_BYTES} bytes of attributes");
            return Err(ScimError::value(detail));
        }
        Ok((attributes, password))
    }

    /// The name for signing in.
    #[must_use]
    pub fn username(&self) -> &str {
        text(&self.0, "userName").unwrap_or_default()
    }

    /// Whether the user may act, as far as the client has a say.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.get("active") == Some(&Json::Bool(true))
    }

    /// The names of what differs.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = |name: &&str| self.0.get(*name) != other.0.get(*name);
        schema::top_level().map(|attribute| attribute.name).filter(differs).collect()
    }

    /// The names of what is there.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.differences(&Self(Object::new()))
    }

    fn email(&self) -> Option<&str> {
        let emails = self.0.get("emails")?.as_array()?;
        emails.iter().find(|email| is_primary(email)).or(emails.first())?.get("value")?.as_str()
    }

    fn status(&self) -> UserStatus {
        if self.is_active() { UserStatus::Active } else { UserStatus::Suspended }
    }

    fn without_columns(&self) -> String {
        let others = self.0.iter().filter(|(name, _)| !COLUMNS.contains(&name.as_str()));
        Json::Object(others.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
    }

    /// Binds what the client set: user name, its key, e-mail address, display name, external id, attributes.
    fn bind(&self, statement: Statement) -> Statement {
        statement
            .bind(self.username())
            .bind(username_key(self.username()))
            .bind(self.email())
            .bind(text(&self.0, "displayName"))
            .bind(text(&self.0, "externalId"))
            .bind(self.without_columns())
    }
}

fn text<'a>(members: &'a Object, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

/// A user as SCIM has it.
#[derive(Clone, Debug)]
pub struct ScimUser {
    /// Its id.
    pub user_id: UserId,
    /// What a client may set.
    pub attributes: Attributes,
    /// The groups it is a member of, as `groups` shows them.
    pub groups: Vec<Json>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When SCIM changed it last.
    pub updated_at: Timestamp,
    /// How often it was changed.
    pub version: i64,
}

impl ScimUser {
    /// The resource's version: a weak entity tag.
    #[must_use]
    pub fn entity_tag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }

    /// The resource as it is answered, found at `location`.
    #[must_use]
    pub fn to_resource(&self, location: &str) -> Json {
        let mut resource = self.attributes.0.clone();
        let mut schemas = vec![USER_URN];
        if resource.contains_key(ENTERPRISE_URN) {
            schemas.push(ENTERPRISE_URN);
        }
        if !self.groups.is_empty() {
            resource.insert("groups".to_owned(), Json::Array(self.groups.clone()));
        }
        let meta = json!({
            "resourceType": "User",
            "created": self.created_at,
            "lastModified": self.updated_at,
            "location": location,
            "version": self.entity_tag(),
        });
        resource.extend([
            ("schemas".to_owned(), json!(schemas)),
            ("id".to_owned(), json!(self.user_id)),
            ("meta".to_owned(), meta),
        ]);
        Json::Object(resource)
    }
}

impl FromRow for ScimUser {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let mut members: Object = row.json("attributes")?;
        let status: UserStatus = row.text("status")?.parse()?;
        members.insert("userName".to_owned(), row.text("username")?.into());
        // A user that locked itself out is not one that its administrator stopped: were it shown as inactive, a
        // client that compares would unlock it.
        members.insert("active".to_owned(), (status != UserStatus::Suspended).into());
        for (name, column) in [("displayName", "display_name"), ("externalId", "external_id")] {
            if let Some(text) = row.optional_text(column)? {
                members.insert(name.to_owned(), text.into());
            }
        }
        if let Some(email) = row.optional_text("email")? {
            members.entry("emails").or_insert_with(|| json!([{"value": email, "primary": true}]));
        }
        Ok(Self {
            user_id: UserId::from_column(row, "user_id")?,
            attributes: Attributes(members),
            groups: row.json("groups")?,
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            updated_at: Timestamp::from_millis(row.integer("updated_at")?),
            version: row.integer("version")?,
        })
    }
}

/// A question for users: their columns, and then the rest of the statement.
macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT users.user_id, users.username, users.email, users.display_name, users.status, users.external_id, \
             users.attributes, users.created_at, users.updated_at, users.version, (SELECT \
             json_group_array(json_object('value', group_id, 'display', display_name)) FROM (SELECT groups.group_id, \
             groups.display_name FROM group_members JOIN groups ON groups.org_id = group_members.org_id AND \
             groups.group_id = group_members.group_id WHERE group_members.org_id = users.org_id AND \
             group_members.user_id = users.user_id LIMIT ?2)) AS groups FROM users WHERE users.org_id = ?1 AND \
             users.deleted_at IS NULL ",
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
            None => "SELECT COUNT(*) AS total FROM users WHERE org_id = ?1 AND deleted_at IS NULL",
            Some(UserFilter::UserName(_)) => {
                "SELECT COUNT(*) AS total FROM users WHERE org_id = ?1 AND deleted_at IS NULL AND username_key = ?2"
            }
            Some(UserFilter::ExternalId(_)) => {
                "SELECT COUNT(*) AS total FROM users WHERE org_id = ?1 AND deleted_at IS NULL AND external_id = ?2"
            }
            Some(UserFilter::Id(_)) => {
                "SELECT COUNT(*) AS total FROM users WHERE org_id = ?1 AND deleted_at IS NULL AND user_id = ?2"
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
                "AND users.user_id IN (SELECT user_id FROM users WHERE org_id = ?1 AND deleted_at IS NULL \
                 ORDER BY user_id LIMIT ?3 OFFSET ?4) ORDER BY users.user_id"
            ),
            Some(UserFilter::UserName(_)) => {
                select_users!("AND users.username_key = ?5 ORDER BY users.user_id LIMIT ?3 OFFSET ?4")
            }
            Some(UserFilter::ExternalId(_)) => {
                select_users!("AND users.external_id = ?5 ORDER BY users.user_id LIMIT ?3 OFFSET ?4")
            }
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
    "EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?14 AND deleted_at IS NULL)"
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
                 username, username_key, email, display_name, external_id, attributes) \
                 VALUES (?1, ?2, ?3, ?4, 'scim', ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
            "UPDATE sessions SET ended_at = ?3, ended_because = ?4 WHERE org_id = ?1 AND user_id = ?2 AND ended_at \
             IS NULL AND EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 AND version = ?5 AND \
             deleted_at IS NULL)",
        )
        .bind(self.organization)
        .bind(&self.before.user_id)
        .bind(self.now)
        .bind(because)
        .bind(self.before.version)
    }

    /// A client that says "active" ends a suspension, not a lock.
    fn change(&self) -> Statement {
        self.after.bind(
            Statement::new(
                "UPDATE users SET status = CASE WHEN NOT ?4 THEN 'suspended' WHEN status = 'suspended' THEN 'active' \
                 ELSE status END, password_hash = COALESCE(?5, password_hash), updated_at = ?6, version = version + 1, \
                 username = ?7, username_key = ?8, email = ?9, display_name = ?10, external_id = ?11, attributes = ?12 \
                 WHERE org_id = ?1 AND user_id = ?2 AND version = ?3 AND deleted_at IS NULL RETURNING version",
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
         AND deleted_at IS NULL RETURNING user_id",
    )
    .bind(organization)
    .bind(user_id)
    .bind(now);
    vec![
        event.record_if(USER_EXISTS, user_id),
        crate::session::end_all_of(organization, user_id, "deleted", now),
        delete,
    ]
}
