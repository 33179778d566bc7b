//! A group as SCIM has it.
//!
//! `displayName` and `externalId` are columns, extensions are the JSON column `attributes`, and members are
//! rows of a table of their own: nothing here holds a list of them but an answer that shows it.

mod store;

use iam_core::directory::group::MAX_NAME_CHARACTERS;
use iam_core::id::GroupId;
use iam_core::sql::{FromRow, Row, RowError};
use iam_core::time::Timestamp;
use serde_json::{Value as Json, json};

pub use store::{Creation, Deletion, Outcome, Update, by_id, members, members_of_page, select_list};

use crate::ScimError;
use crate::common::Common;
use crate::membership::{self, Net};
use crate::patch::{self, Operation};
use crate::schema::{ResourceKind, ResourceSchema};
use crate::value::{self, Object};

/// How many users a group may have.
pub const MAX_MEMBERS: u32 = 100_000;

/// How many members the groups of one answer have together at most; a page ends before it shows more.
pub const MAX_MEMBERS_SHOWN: u32 = MAX_MEMBERS;

/// How large the attributes of a group may be together, in bytes of JSON.
pub const MAX_ATTRIBUTES_BYTES: usize = 32 * 1024;

/// The attributes that have a column of their own.
const COLUMNS: [&str; 2] = ["displayName", "externalId"];

/// What a client may set of a group, in canonical form and checked, without its members.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes(Object);

impl Attributes {
    /// Reads the body of a creation: the attributes, and who is to be in the group.
    ///
    /// # Errors
    /// When it is not a group, or an attribute does not fit.
    pub fn parse(schema: ResourceSchema<'_>, body: Json) -> Result<(Self, Net), ScimError> {
        let mut members = value::resource(schema, body)?;
        let ids = membership::take(&mut members)?;
        Ok((Self::check(members)?, ids))
    }

    /// These attributes and members replaced by the body of a PUT: what is not in it goes.
    ///
    /// # Errors
    /// When it is not a group, an attribute does not fit, or an immutable one would change.
    pub fn replaced(&self, schema: ResourceSchema<'_>, body: Json) -> Result<(Self, Net), ScimError> {
        let (attributes, ids) = Self::parse(schema, body)?;
        value::check_immutable(schema, &self.0, &attributes.0)?;
        Ok((attributes, ids))
    }

    /// These attributes, changed by the operations of a PATCH that are not about members.
    ///
    /// # Errors
    /// When a value does not fit, a path leads to nothing, or what is left is no group.
    pub fn patched(&self, schema: ResourceSchema<'_>, operations: Vec<Operation>) -> Result<Self, ScimError> {
        let mut members = self.0.clone();
        patch::apply(operations, &mut members)?;
        value::check_required(schema, &members)?;
        value::check_immutable(schema, &self.0, &members)?;
        Self::check(members)
    }

    fn check(mut members: Object) -> Result<Self, ScimError> {
        let name = text(&members, "displayName").map(str::trim).unwrap_or_default().to_owned();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARACTERS || name.contains(char::is_control) {
            let detail = format!(
                "`displayName` must be 1 to {MAX_NAME_CHARACTERS} characters without control characters"
            );
            return Err(ScimError::value(detail));
        }
        members.insert("displayName".to_owned(), name.into());
        let attributes = Self(members);
        if attributes.without_columns().len() > MAX_ATTRIBUTES_BYTES {
            let detail = format!("a group may have {MAX_ATTRIBUTES_BYTES} bytes of attributes");
            return Err(ScimError::value(detail));
        }
        Ok(attributes)
    }

    /// The name.
    #[must_use]
    pub fn display_name(&self) -> &str {
        text(&self.0, "displayName").unwrap_or_default()
    }

    fn external_id(&self) -> Option<&str> {
        text(&self.0, "externalId")
    }

    /// What differs, for the audit: `{"displayName": [before, after]}`.
    #[must_use]
    pub fn changes(&self, schema: ResourceSchema<'_>, after: &Self) -> Object {
        value::changes(schema, &self.0, &after.0)
    }

    /// What is there, for the audit: `{"displayName": [null, value]}`.
    #[must_use]
    pub fn as_changes(&self, schema: ResourceSchema<'_>) -> Object {
        value::changes(schema, &Object::new(), &self.0)
    }

    fn without_columns(&self) -> String {
        let others = self.0.iter().filter(|(name, _)| !COLUMNS.contains(&name.as_str()));
        Json::Object(others.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
    }
}

fn text<'a>(members: &'a Object, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

/// A user in a group, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub user_id: String,
    /// Its name for people, or the name it signs in with.
    pub display: String,
}

/// A user in one of the groups of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMember {
    /// In which.
    pub group_id: String,
    /// Who.
    pub member: Member,
}

/// A group as SCIM has it, without its members.
#[derive(Clone, Debug)]
pub struct ScimGroup {
    /// Its id.
    pub group_id: GroupId,
    /// What a client may set.
    pub attributes: Attributes,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it, or who is in it, last changed.
    pub updated_at: Timestamp,
    /// How often it was changed, and how often somebody came or went.
    pub version: (i64, i64),
}

impl ScimGroup {
    /// The resource's version: a weak entity tag.
    #[must_use]
    pub fn entity_tag(&self) -> String {
        format!("W/\"{}.{}\"", self.version.0, self.version.1)
    }

    /// The whole resource as it is answered by the service at `base`, with these members.
    #[must_use]
    pub fn to_resource(&self, base: &str, members: &[Member]) -> Object {
        let mut resource = self.attributes.0.clone();
        if !members.is_empty() {
            let member = |member: &Member| {
                json!({
                    "value": member.user_id,
                    "$ref": format!("{base}/Users/{}", member.user_id),
                    "display": member.display,
                    "type": ResourceKind::User.name(),
                })
            };
            resource.insert("members".to_owned(), members.iter().map(member).collect());
        }
        let common = Common {
            kind: ResourceKind::Group,
            id: self.group_id.as_str(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.entity_tag(),
        };
        common.complete(resource, base)
    }
}

impl FromRow for ScimGroup {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let mut members: Object = row.json("attributes")?;
        members.insert("displayName".to_owned(), row.text("display_name")?.into());
        if let Some(text) = row.optional_text("external_id")? {
            members.insert("externalId".to_owned(), text.into());
        }
        let updated_at = row.integer("updated_at")?.max(row.integer("members_changed_at")?);
        Ok(Self {
            group_id: GroupId::from_column(row, "group_id")?,
            attributes: Attributes(members),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            updated_at: Timestamp::from_millis(updated_at),
            version: (row.integer("version")?, row.integer("members_version")?),
        })
    }
}

impl FromRow for Member {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { user_id: row.text("user_id")?.to_owned(), display: row.text("display")?.to_owned() })
    }
}

impl FromRow for ListedMember {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { group_id: row.text("group_id")?.to_owned(), member: Member::from_row(row)? })
    }
}
