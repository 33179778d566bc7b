//! The attributes of a user (RFC 7643 sections 3.1, 4.1 and 4.3) as a table: what is read, checked, stored,
//! answered and published at `/Schemas` all follow from it.

use serde_json::{Value as Json, json};

/// The schema of a user.
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// The enterprise extension of a user.
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The schema of a schema.
pub const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// One attribute or sub-attribute.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name; an extension's is its URN.
    pub name: &'static str,
    /// What one value of it is.
    pub kind: Kind,
    /// Whether it has a list of values.
    pub is_multi_valued: bool,
    /// Who may change it, and whether it is shown.
    pub mutability: Mutability,
    /// Whether a resource without it is refused.
    pub is_required: bool,
    /// Whether case matters when it is compared.
    pub is_case_exact: bool,
    /// Whether the organization has each value once.
    pub is_unique: bool,
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
    /// An object of these.
    Complex(&'static [Attribute]),
}

/// Who may change an attribute, and whether it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// A client may, and sees it.
    ReadWrite,
    /// Only we may: what a client sends is not looked at.
    ReadOnly,
    /// A client may, and never sees it.
    WriteOnly,
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            is_multi_valued: false,
            mutability: Mutability::ReadWrite,
            is_required: false,
            is_case_exact: matches!(kind, Kind::Reference | Kind::Binary),
            is_unique: false,
        }
    }

    const fn text(name: &'static str) -> Self {
        Self::new(name, Kind::Text)
    }

    const fn list(name: &'static str, of: &'static [Self]) -> Self {
        Self { is_multi_valued: true, ..Self::new(name, Kind::Complex(of)) }
    }

    const fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    /// Its sub-attributes; none where it is not complex.
    #[must_use]
    pub fn sub_attributes(&self) -> &'static [Self] {
        match self.kind {
            Kind::Complex(attributes) => attributes,
            Kind::Text | Kind::Reference | Kind::Binary | Kind::Boolean => &[],
        }
    }

    /// Whether what a client sends for it is not looked at.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.mutability == Mutability::ReadOnly
    }

    /// Its definition as RFC 7643 section 7 publishes it.
    #[must_use]
    pub fn definition(&self) -> Json {
        let kind = match self.kind {
            Kind::Text => "string",
            Kind::Reference => "reference",
            Kind::Binary => "binary",
            Kind::Boolean => "boolean",
            Kind::Complex(_) => "complex",
        };
        let (mutability, returned) = match self.mutability {
            Mutability::ReadWrite => ("readWrite", "default"),
            Mutability::ReadOnly => ("readOnly", "default"),
            Mutability::WriteOnly => ("writeOnly", "never"),
        };
        let mut definition = json!({
            "name": self.name,
            "type": kind,
            "multiValued": self.is_multi_valued,
            "required": self.is_required,
            "caseExact": self.is_case_exact,
            "mutability": mutability,
            "returned": returned,
            "uniqueness": if self.is_unique { "server" } else { "none" },
        });
        if let (Kind::Complex(of), Some(fields)) = (self.kind, definition.as_object_mut()) {
            fields.insert("subAttributes".to_owned(), of.iter().map(Self::definition).collect());
        }
        if let (Kind::Reference, Some(fields)) = (self.kind, definition.as_object_mut()) {
            fields.insert("referenceTypes".to_owned(), json!(["external"]));
        }
        definition
    }
}

const VALUE: Attribute = Attribute::text("value");
const DISPLAY: Attribute = Attribute::text("display");
const TYPE: Attribute = Attribute::text("type");
const PRIMARY: Attribute = Attribute::new("primary", Kind::Boolean);

/// The sub-attributes of RFC 7643 section 2.4.
const PLURAL: &[Attribute] = &[VALUE, DISPLAY, TYPE, PRIMARY];

const NAME: &[Attribute] = &[
    Attribute::text("formatted"),
    Attribute::text("familyName"),
    Attribute::text("givenName"),
    Attribute::text("middleName"),
    Attribute::text("honorificPrefix"),
    Attribute::text("honorificSuffix"),
];

const PHOTO: &[Attribute] = &[Attribute::new("value", Kind::Reference), DISPLAY, TYPE, PRIMARY];

const CERTIFICATE: &[Attribute] = &[Attribute::new("value", Kind::Binary), DISPLAY, TYPE, PRIMARY];

const ADDRESS: &[Attribute] = &[
    Attribute::text("formatted"),
    Attribute::text("streetAddress"),
    Attribute::text("locality"),
    Attribute::text("region"),
    Attribute::text("postalCode"),
    Attribute::text("country"),
    TYPE,
    PRIMARY,
];

const GROUP: &[Attribute] = &[VALUE.read_only(), DISPLAY.read_only()];

const MANAGER: &[Attribute] = &[
    Attribute { is_case_exact: true, ..VALUE },
    Attribute::new("$ref", Kind::Reference),
    Attribute::text("displayName").read_only(),
];

/// The attributes of a user.
pub const USER: &[Attribute] = &[
    Attribute { is_required: true, is_unique: true, ..Attribute::text("userName") },
    Attribute::new("name", Kind::Complex(NAME)),
    Attribute::text("displayName"),
    Attribute::text("nickName"),
    Attribute::new("profileUrl", Kind::Reference),
    Attribute::text("title"),
    Attribute::text("userType"),
    Attribute::text("preferredLanguage"),
    Attribute::text("locale"),
    Attribute::text("timezone"),
    Attribute::new("active", Kind::Boolean),
    Attribute { mutability: Mutability::WriteOnly, ..Attribute::text("password") },
    Attribute::list("emails", PLURAL),
    Attribute::list("phoneNumbers", PLURAL),
    Attribute::list("ims", PLURAL),
    Attribute::list("photos", PHOTO),
    Attribute::list("addresses", ADDRESS),
    Attribute::list("groups", GROUP).read_only(),
    Attribute::list("entitlements", PLURAL),
    // What the identity provider says of a user. They grant nothing here: `user_roles` does.
    Attribute::list("roles", PLURAL),
    Attribute::list("x509Certificates", CERTIFICATE),
];

const ENTERPRISE: &[Attribute] = &[
    Attribute::text("employeeNumber"),
    Attribute::text("costCenter"),
    Attribute::text("organization"),
    Attribute::text("division"),
    Attribute::text("department"),
    Attribute::new("manager", Kind::Complex(MANAGER)),
];

/// The extension, which is a complex attribute named by its URN.
pub static ENTERPRISE_USER: Attribute = Attribute::new(ENTERPRISE_URN, Kind::Complex(ENTERPRISE));

/// What every resource has (RFC 7643 section 3.1); no schema lists them.
const COMMON: &[Attribute] = &[
    Attribute { is_case_exact: true, ..Attribute::text("id") }.read_only(),
    Attribute { is_case_exact: true, ..Attribute::text("externalId") },
    Attribute::new("meta", Kind::Complex(&[])).read_only(),
    Attribute { is_multi_valued: true, ..Attribute::text("schemas") }.read_only(),
];

/// Everything that a user's JSON may have at its top.
pub fn top_level() -> impl Iterator<Item = &'static Attribute> {
    COMMON.iter().chain(USER).chain(std::iter::once(&ENTERPRISE_USER))
}

/// Finds an attribute by its name, without regard to case.
pub(crate) fn find(
    attributes: impl IntoIterator<Item = &'static Attribute>,
    name: &str,
) -> Option<&'static Attribute> {
    attributes.into_iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// A schema as `/Schemas` publishes it.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    description: &'static str,
    attributes: &'static [Attribute],
}

/// Every schema.
pub const SCHEMAS: [Schema; 2] = [
    Schema { id: USER_URN, name: "User", description: "User account", attributes: USER },
    Schema {
        id: ENTERPRISE_URN,
        name: "EnterpriseUser",
        description: "Enterprise user",
        attributes: ENTERPRISE,
    },
];

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
