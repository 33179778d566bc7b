//! A user as SCIM has it.
//!
//! `userName`, `displayName`, `externalId` and `active` are columns; the rest is the JSON column
//! `attributes`. The column `email` follows the primary one of `emails`, and a user that has none but that
//! column shows it there.

mod store;

use iam_core::directory::account::{MAX_USERNAME_BYTES, UserStatus, username_key};
use iam_core::id::UserId;
use iam_core::secret::password::MAX_PASSWORD_BYTES;
use iam_core::sign_in::password::policy::Names;
use iam_core::sql::{FromRow, Row, RowError, Statement};
use iam_core::time::Timestamp;
use serde_json::{Value as Json, json};
use zeroize::Zeroizing;

pub use store::{Creation, Deletion, Update, by_id, select_list};

use crate::ScimError;
use crate::common::Common;
use crate::patch::{self, Operation};
use crate::schema::{ENTERPRISE_URN, ResourceKind, ResourceSchema};
use crate::value::{self, Object, is_primary};

/// How large the attributes of a user may be together, in bytes of JSON.
pub const MAX_ATTRIBUTES_BYTES: usize = 32 * 1024;

/// The attributes that have a column of their own.
const COLUMNS: [&str; 4] = ["userName", "displayName", "externalId", "active"];

/// What a client may set of a user, in canonical form and checked. No password.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes(Object);

/// A password that a client set. Never shown, wiped when dropped.
pub type NewPassword = Zeroizing<String>;

impl Attributes {
    /// Reads the body of a creation.
    ///
    /// # Errors
    /// When it is not a user, or an attribute does not fit.
    pub fn parse(schema: ResourceSchema<'_>, body: Json) -> Result<(Self, Option<NewPassword>), ScimError> {
        let mut members = value::resource(schema, body)?;
        members.entry("active").or_insert(Json::Bool(true));
        Self::check(members)
    }

    /// These attributes replaced by the body of a PUT (RFC 7644 section 3.5.1): what is not in it goes.
    /// `active` stays where it says nothing, so that nobody is let in again by an omission.
    ///
    /// # Errors
    /// When it is not a user, an attribute does not fit, or an immutable one would change.
    pub fn replaced(
        &self,
        schema: ResourceSchema<'_>,
        body: Json,
    ) -> Result<(Self, Option<NewPassword>), ScimError> {
        let mut members = value::resource(schema, body)?;
        if let (false, Some(active)) = (members.contains_key("active"), self.0.get("active")) {
            members.insert("active".to_owned(), active.clone());
        }
        value::check_immutable(schema, &self.0, &members)?;
        Self::check(members)
    }

    /// These attributes, changed by the operations of a PATCH.
    ///
    /// # Errors
    /// When a value does not fit, a path leads to nothing, or what is left is no user.
    pub fn patched(
        &self,
        schema: ResourceSchema<'_>,
        operations: Vec<Operation>,
    ) -> Result<(Self, Option<NewPassword>), ScimError> {
        let mut members = self.0.clone();
        patch::apply(operations, &mut members)?;
        value::check_required(schema, &members)?;
        value::check_immutable(schema, &self.0, &members)?;
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

    /// Its id with the client.
    #[must_use]
    pub fn external_id(&self) -> Option<&str> {
        text(&self.0, "externalId")
    }

    /// Whether the user may act, as far as the client has a say. Of whom that is not said may not.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.get("active") == Some(&Json::Bool(true))
    }

    /// What differs, for the audit: `{"title": [before, after]}`.
    #[must_use]
    pub fn changes(&self, schema: ResourceSchema<'_>, after: &Self) -> Object {
        value::changes(schema, &self.0, &after.0)
    }

    /// What is there, for the audit: `{"title": [null, value]}`.
    #[must_use]
    pub fn as_changes(&self, schema: ResourceSchema<'_>) -> Object {
        value::changes(schema, &Object::new(), &self.0)
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

    fn status(&self) -> UserStatus {
        if self.is_active() { UserStatus::Active } else { UserStatus::Suspended }
    }

    /// `"active": null` stands for a user of whom nothing is said.
    fn without_columns(&self) -> String {
        let others = self.0.iter().filter(|(name, _)| !COLUMNS.contains(&name.as_str()));
        let mut others: Object = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        if !self.0.contains_key("active") {
            others.insert("active".to_owned(), Json::Null);
        }
        Json::Object(others).to_string()
    }

    /// Binds what the client set: user name, its key, e-mail address, display name, external id, attributes.
    fn bind(&self, statement: Statement) -> Statement {
        statement
            .bind(self.username())
            .bind(username_key(self.username()))
            .bind(self.email())
            .bind(text(&self.0, "displayName"))
            .bind(self.external_id())
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
    /// The groups it is a member of: id and name.
    groups: Vec<(String, String)>,
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

    /// The whole resource as it is answered by the service at `base`.
    #[must_use]
    pub fn to_resource(&self, base: &str) -> Object {
        let mut resource = self.attributes.0.clone();
        link_manager(&mut resource, base);
        if !self.groups.is_empty() {
            let group = |(id, name): &(String, String)| {
                let address = format!("{base}/Groups/{id}");
                json!({"value": id, "$ref": address, "display": name, "type": "direct"})
            };
            resource.insert("groups".to_owned(), self.groups.iter().map(group).collect());
        }
        let common = Common {
            kind: ResourceKind::User,
            id: self.user_id.as_str(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.entity_tag(),
        };
        common.complete(resource, base)
    }
}

/// A manager who is a user here has an address.
fn link_manager(resource: &mut Object, base: &str) {
    let manager = resource.get_mut(ENTERPRISE_URN).and_then(|it| it.get_mut("manager"));
    if let Some(manager) = manager.and_then(Json::as_object_mut)
        && !manager.contains_key("$ref")
        && let Some(id) = manager.get("value").and_then(Json::as_str)
        && id.parse::<UserId>().is_ok()
    {
        let address = format!("{base}/Users/{id}");
        manager.insert("$ref".to_owned(), address.into());
    }
}

impl FromRow for ScimUser {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let mut members: Object = row.json("attributes")?;
        let status: UserStatus = row.text("status")?.parse()?;
        members.insert("userName".to_owned(), row.text("username")?.into());
        // A user that locked itself out is not one that its administrator stopped: were it shown as inactive,
        // a client that compares would unlock it.
        let is_unsaid = members.remove("active").is_some() && status == UserStatus::Suspended;
        if !is_unsaid {
            members.insert("active".to_owned(), (status != UserStatus::Suspended).into());
        }
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
