//! The attributes of resources (RFC 7643) as tables: what is read, checked, stored, answered, filtered and
//! published at `/Schemas` all follow from them.
//!
//! Tables are `'static`: the standard ones are constants, and those of a configuration ([`extension`]) live
//! as long as the instance that read it.

pub mod extension;
mod group;
mod registry;
mod user;

use std::fmt;

use serde_json::{Value as Json, json};

pub use extension::Extension;
pub use registry::{AttributeRef, Registry, ResourceSchema};

/// The schema of a user.
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// The enterprise extension of a user.
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The schema of a group.
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The schema of a schema.
pub const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// One attribute or sub-attribute (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name; an extension's is its URN.
    pub name: &'static str,
    /// What it is for, for people.
    pub description: &'static str,
    /// What one value of it is.
    pub kind: Kind,
    /// Whether it has a list of values.
    pub is_multi_valued: bool,
    /// Who may change it.
    pub mutability: Mutability,
    /// When it is shown.
    pub returned: Returned,
    /// Whether a resource without it is refused.
    pub is_required: bool,
    /// Whether case matters when it is compared. Where it does not, ASCII letters alone are folded, but in
    /// user names every letter.
    pub is_case_exact: bool,
    /// Whether the organization has each value once.
    pub is_unique: bool,
    /// The values it usually has. Others are taken too (RFC 7643 section 2.3.1 allows either).
    pub canonical_values: &'static [&'static str],
    /// What a reference leads to: resource types, `external` or `uri`.
    pub reference_types: &'static [&'static str],
}

/// What one value of an attribute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A URI.
    Reference,
    /// Bytes in base64.
    Binary,
    /// True or false.
    Boolean,
    /// A whole number within ±2^53.
    Integer,
    /// A number.
    Decimal,
    /// A moment (RFC 3339).
    DateTime,
    /// An object of these.
    Complex(&'static [Attribute]),
}

impl Kind {
    /// Its word in a schema.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Reference => "reference",
            Self::Binary => "binary",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::DateTime => "dateTime",
            Self::Complex(_) => "complex",
        }
    }
}

/// Who may change an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// A client may.
    ReadWrite,
    /// Only we may: what a client sends is not looked at.
    ReadOnly,
    /// A client may set it once, with what it belongs to, and not change it.
    Immutable,
    /// A client may, and never sees it.
    WriteOnly,
}

impl Mutability {
    /// Its word in a schema.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "readWrite",
            Self::ReadOnly => "readOnly",
            Self::Immutable => "immutable",
            Self::WriteOnly => "writeOnly",
        }
    }
}

/// When an attribute is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Always, whatever a client asks for.
    Always,
    /// Unless a client leaves it out.
    Default,
    /// Where a client asks for it.
    Request,
    /// Never.
    Never,
}

impl Returned {
    /// Its word in a schema.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Default => "default",
            Self::Request => "request",
            Self::Never => "never",
        }
    }
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self {
            name,
            description,
            kind,
            is_multi_valued: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            is_required: false,
            is_case_exact: matches!(kind, Kind::Reference | Kind::Binary),
            is_unique: false,
            canonical_values: &[],
            reference_types: &[],
        }
    }

    const fn text(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::Text, description)
    }

    const fn reference(
        name: &'static str,
        types: &'static [&'static str],
        description: &'static str,
    ) -> Self {
        Self { reference_types: types, ..Self::new(name, Kind::Reference, description) }
    }

    const fn list(name: &'static str, of: &'static [Self], description: &'static str) -> Self {
        Self { is_multi_valued: true, ..Self::new(name, Kind::Complex(of), description) }
    }

    const fn one_of(self, canonical_values: &'static [&'static str]) -> Self {
        Self { canonical_values, ..self }
    }

    const fn case_exact(self) -> Self {
        Self { is_case_exact: true, ..self }
    }

    const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    const fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    const fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }

    const fn always_returned(self) -> Self {
        Self { returned: Returned::Always, ..self }
    }

    /// Its sub-attributes; none where it is not complex.
    #[must_use]
    pub fn sub_attributes(&self) -> &'static [Self] {
        match self.kind {
            Kind::Complex(attributes) => attributes,
            _ => &[],
        }
    }

    /// Whether what a client sends for it is not looked at.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.mutability == Mutability::ReadOnly
    }

    /// Whether it is an extension: a complex attribute with a URN for a name.
    #[must_use]
    pub fn is_extension(&self) -> bool {
        self.name.starts_with("urn:")
    }

    /// Its definition as RFC 7643 section 7 publishes it.
    #[must_use]
    pub fn definition(&self) -> Json {
        let mut definition = json!({
            "name": self.name,
            "type": self.kind.as_str(),
            "multiValued": self.is_multi_valued,
            "description": self.description,
            "required": self.is_required,
            "mutability": self.mutability.as_str(),
            "returned": self.returned.as_str(),
        });
        let Some(fields) = definition.as_object_mut() else { return definition };
        let mut add = |name: &str, value: Json| {
            fields.insert(name.to_owned(), value);
        };
        match self.kind {
            Kind::Complex(of) => add("subAttributes", of.iter().map(Self::definition).collect()),
            Kind::Text | Kind::Reference | Kind::Binary => {
                add("caseExact", self.is_case_exact.into());
                add("uniqueness", if self.is_unique { "server" } else { "none" }.into());
            }
            Kind::Boolean | Kind::Integer | Kind::Decimal | Kind::DateTime => {
                add("uniqueness", "none".into())
            }
        }
        if !self.canonical_values.is_empty() {
            add("canonicalValues", json!(self.canonical_values));
        }
        if !self.reference_types.is_empty() {
            add("referenceTypes", json!(self.reference_types));
        }
        definition
    }
}

/// What every resource has (RFC 7643 section 3.1); no schema lists them.
const COMMON: &[Attribute] = &[
    Attribute {
        is_multi_valued: true,
        ..Attribute::reference("schemas", &["uri"], "The schemas that the resource follows")
    }
    .read_only()
    .always_returned(),
    Attribute::text("id", "The resource's id").case_exact().read_only().always_returned(),
    Attribute::text("externalId", "The resource's id with the client that provisions it").case_exact(),
    Attribute::new("meta", Kind::Complex(META), "What the service keeps of the resource").read_only(),
];

const META: &[Attribute] = &[
    Attribute::text("resourceType", "The name of its resource type").case_exact().read_only(),
    Attribute::new("created", Kind::DateTime, "When it was created").read_only(),
    Attribute::new("lastModified", Kind::DateTime, "When it last changed").read_only(),
    Attribute::reference("location", &["uri"], "Its address").read_only(),
    Attribute::text("version", "Its version, an entity tag").case_exact().read_only(),
];

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A person.
    User,
    /// A group of them.
    Group,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// Its name, `meta.resourceType`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// Where its resources are, below the service's address.
    #[must_use]
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    /// Its own schema.
    #[must_use]
    pub fn schema(self) -> &'static Schema {
        match self {
            Self::User => &user::SCHEMA,
            Self::Group => &group::SCHEMA,
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A schema as `/Schemas` publishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

impl Schema {
    /// Its definition, without `meta`.
    #[must_use]
    pub fn definition(&self) -> Json {
        json!({
            "schemas": [SCHEMA_URN],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(Attribute::definition).collect::<Vec<_>>(),
        })
    }
}

/// Finds an attribute by its name, without regard to case.
pub(crate) fn find(
    attributes: impl IntoIterator<Item = &'static Attribute>,
    name: &str,
) -> Option<&'static Attribute> {
    attributes.into_iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}
