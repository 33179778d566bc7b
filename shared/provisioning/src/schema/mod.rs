//! The attributes of resources (RFC 7643) as tables: what is read, checked, stored, answered, filtered and published at
//! `/Schemas` all follow from them.
//!
//! Tables are `'static`: the standard ones are constants, and those of a configuration ([`extension`]) live as long as the
//! instance that read it.

pub mod extension;
mod group;
mod user;

use std::fmt;

use serde_json::{Value as Json, json};

pub use extension::Extension;

use crate::filter::strip_prefix_ignoring_case;
use crate::{ScimError, shown};

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
    /// Whether case matters when it is compared. Where it does not, ASCII letters alone are folded, but in user names
    /// every letter.
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

/// Every schema that is in force: the standard ones and those of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    configured: Vec<Extension>,
}

impl Registry {
    /// The standard schemas and these.
    #[must_use]
    pub fn new(configured: Vec<Extension>) -> Self {
        Self { configured }
    }

    /// What resources of a kind are made of.
    #[must_use]
    pub fn of(&self, kind: ResourceKind) -> ResourceSchema<'_> {
        ResourceSchema { kind, registry: self }
    }

    fn extensions(&self) -> impl Iterator<Item = &Extension> + Clone {
        std::iter::once(&user::ENTERPRISE).chain(&self.configured)
    }

    /// Every schema of resources: `/Schemas`.
    pub fn schemas(&self) -> impl Iterator<Item = &'static Schema> {
        let own = ResourceKind::ALL.into_iter().map(ResourceKind::schema);
        own.chain(self.extensions().map(|extension| extension.schema))
    }
}

/// What resources of a kind are made of.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSchema<'a> {
    /// Which kind.
    pub kind: ResourceKind,
    registry: &'a Registry,
}

impl<'a> ResourceSchema<'a> {
    /// Its extensions.
    pub fn extensions(self) -> impl Iterator<Item = &'a Extension> + Clone {
        self.registry.extensions().filter(move |extension| extension.kind == self.kind)
    }

    /// Everything that its JSON may have at its top; an extension is a complex attribute named by its URN.
    pub fn top_level(self) -> impl Iterator<Item = &'static Attribute> + Clone + 'a {
        let extensions = self.extensions().map(|extension| extension.attribute);
        COMMON.iter().chain(self.kind.schema().attributes).chain(extensions)
    }

    /// The attribute that a path without a filter names (RFC 7644 section 3.10): `userName`, `name.familyName`, each with
    /// or without its schema's URN and a colon in front; an extension's URN alone; and, since clients send them, a dot
    /// where that colon belongs, and an extension's attribute without its URN where nothing else has the name.
    ///
    /// # Errors
    /// `invalidPath` where it names none.
    pub fn attribute(self, text: &str) -> Result<AttributeRef, ScimError> {
        let unknown = || ScimError::path(format!("there is no attribute `{}`", shown(text)));
        let (extension, rest) = self.within(text);
        let Some(rest) = rest else {
            let attribute = extension.ok_or_else(unknown)?;
            return Ok(AttributeRef { extension: None, attribute, sub_attribute: None });
        };
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        let found = match extension {
            Some(within) => find(within.sub_attributes(), name).map(|attribute| (extension, attribute)),
            None => {
                find(self.top_level(), name).map(|attribute| (None, attribute)).or_else(|| self.bare(name))
            }
        };
        let (extension, attribute) = found.ok_or_else(unknown)?;
        let sub_attribute = match sub {
            Some(sub) => Some(find(attribute.sub_attributes(), sub).ok_or_else(unknown)?),
            None => None,
        };
        Ok(AttributeRef { extension, attribute, sub_attribute })
    }

    /// The attribute of an extension that has this name alone; the first of several.
    fn bare(self, name: &str) -> Option<(Option<&'static Attribute>, &'static Attribute)> {
        self.extensions().find_map(|extension| {
            let attribute = find(extension.attribute.sub_attributes(), name)?;
            Some((Some(extension.attribute), attribute))
        })
    }

    /// The extension that a path begins with, and what follows it; `None` where nothing does.
    pub(crate) fn within(self, text: &str) -> (Option<&'static Attribute>, Option<&str>) {
        for extension in self.extensions() {
            match strip_prefix_ignoring_case(text, extension.schema.id) {
                Some("") => return (Some(extension.attribute), None),
                Some(rest) => {
                    if let Some(rest) = rest.strip_prefix([':', '.']) {
                        return (Some(extension.attribute), Some(rest));
                    }
                }
                None => {}
            }
        }
        let own = strip_prefix_ignoring_case(text, self.kind.schema().id);
        (None, Some(own.and_then(|rest| rest.strip_prefix(':')).unwrap_or(text)))
    }
}

/// An attribute or sub-attribute, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeRef {
    /// The extension that has it, where it is not of the resource's own schema.
    pub extension: Option<&'static Attribute>,
    /// The attribute; an extension as a whole is one.
    pub attribute: &'static Attribute,
    /// The part of it that is meant.
    pub sub_attribute: Option<&'static Attribute>,
}

impl AttributeRef {
    /// What is meant in the end.
    #[must_use]
    pub fn leaf(&self) -> &'static Attribute {
        self.sub_attribute.unwrap_or(self.attribute)
    }

    /// What a comparison compares: of a complex attribute its `value` (RFC 7644 section 3.4.2.2). `None` where
    /// that has none.
    #[must_use]
    pub fn compared(self) -> Option<Self> {
        match (self.sub_attribute, self.attribute.kind) {
            (None, Kind::Complex(of)) => {
                let value = find(of, "value")?;
                Some(Self { sub_attribute: Some(value), ..self })
            }
            _ => Some(self),
        }
    }

    /// Its name from the top, as the schema writes it: `name.familyName`, and below an extension
    /// `urn:…:User:manager.value`. Also the column `attribute` of the table `scim_values`.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = String::new();
        if let Some(extension) = self.extension {
            key.push_str(extension.name);
            key.push(':');
        }
        key.push_str(self.attribute.name);
        if let Some(sub) = self.sub_attribute {
            key.push('.');
            key.push_str(sub.name);
        }
        key
    }
}

/// Finds an attribute by its name, without regard to case.
pub(crate) fn find(
    attributes: impl IntoIterator<Item = &'static Attribute>,
    name: &str,
) -> Option<&'static Attribute> {
    attributes.into_iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}
