//! A user as SCIM has it.
//!
//! `userName`, `displayName`, `externalId` and `active` are columns; the rest is the JSON column `attributes`. The
//! column `email` follows the primary one of `emails`, and a user that has none but that column shows it there.

use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

use super::ScimError;
use super::patch::{check_schemas, take};
use super::schema::{self, ENTERPRISE_URN, USER_URN};
use super::value::{Object, is_primary, members_of};
use crate::id::UserId;
use crate::password::MAX_PASSWORD_BYTES;
use crate::password::policy::Names;
use crate::sql::{FromRow, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::user::{MAX_USERNAME_BYTES, UserStatus, username_key};

/// How large the attributes of a user may be together, in bytes of JSON.
pub const MAX_ATTRIBUTES_BYTES: usize = 32 * 1024;

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
            let detail =
                format!("`userName` must be 1 to {MAX_USERNAME_BYTES} bytes without control characters");
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

    /// The names that its password may not resemble.
    #[must_use]
    pub fn password_names(&self) -> Names<'_> {
        let display_name = text(&self.0, "displayName");
        Names { username: self.username(), email: self.email(), display_name }
    }

    fn email(&self) -> Option<&str> {
        let emails = self.0.get("emails")?.as_array()?;
        emails.iter().find(|email| is_primary(email)).or(emails.first())?.get("value")?.as_str()
    }

    pub(crate) fn status(&self) -> UserStatus {
        if self.is_active() { UserStatus::Active } else { UserStatus::Suspended }
    }

    fn without_columns(&self) -> String {
        let others = self.0.iter().filter(|(name, _)| !COLUMNS.contains(&name.as_str()));
        Json::Object(others.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
    }

    /// Binds what the client set: user name, its key, e-mail address, display name, external id, attributes.
    pub(crate) fn bind(&self, statement: Statement) -> Statement {
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
