//! Users (RFC 7643 sections 4.1 and 4.3).

use super::{
    Attribute, ENTERPRISE_URN, Extension, Kind, Mutability, ResourceKind, Returned, Schema, USER_URN,
};

pub(super) static SCHEMA: Schema =
    Schema { id: USER_URN, name: "User", description: "User Account", attributes: USER };

const DISPLAY: Attribute = Attribute::text("display", "Its name for people");
const PRIMARY: Attribute = Attribute::new("primary", Kind::Boolean, "Whether it is the preferred one");
const TYPE: Attribute = Attribute::text("type", "What it is for");

/// The sub-attributes of RFC 7643 section 2.4.
macro_rules! plural {
    ($value:expr, $($type:literal),*) => {
        &[$value, DISPLAY, TYPE.one_of(&[$($type),*]), PRIMARY]
    };
}

const NAME: &[Attribute] = &[
    Attribute::text("formatted", "The full name"),
    Attribute::text("familyName", "The family name"),
    Attribute::text("givenName", "The given name"),
    Attribute::text("middleName", "The middle names"),
    Attribute::text("honorificPrefix", "Titles before the name"),
    Attribute::text("honorificSuffix", "Suffixes after the name"),
];

const EMAIL: &[Attribute] = plural!(Attribute::text("value", "An e-mail address"), "work", "home", "other");

const PHONE: &[Attribute] = plural!(
    Attribute::text("value", "A telephone number"),
    "work",
    "home",
    "mobile",
    "fax",
    "pager",
    "other"
);

const IM: &[Attribute] = plural!(
    Attribute::text("value", "An instant messaging address"),
    "aim",
    "gtalk",
    "icq",
    "xmpp",
    "msn",
    "skype",
    "qq",
    "yahoo"
);

const PHOTO: &[Attribute] =
    plural!(Attribute::reference("value", &["external"], "The address of a picture"), "photo", "thumbnail");

const ADDRESS: &[Attribute] = &[
    Attribute::text("formatted", "The whole address"),
    Attribute::text("streetAddress", "Street and number"),
    Attribute::text("locality", "City"),
    Attribute::text("region", "State or region"),
    Attribute::text("postalCode", "Postal code"),
    Attribute::text("country", "Country, two letters of ISO 3166-1"),
    TYPE.one_of(&["work", "home", "other"]),
    PRIMARY,
];

const GROUP: &[Attribute] = &[
    Attribute::text("value", "The group's id").case_exact().read_only(),
    Attribute::reference("$ref", &["Group"], "The group's address").read_only(),
    Attribute::text("display", "The group's name").read_only(),
    Attribute::text("type", "How the user belongs to it").one_of(&["direct"]).read_only(),
];

const VALUE: &[Attribute] = plural!(Attribute::text("value", "The value"),);

const CERTIFICATE: &[Attribute] =
    plural!(Attribute::new("value", Kind::Binary, "An X.509 certificate, DER in base64"),);

const USER: &[Attribute] = &[
    Attribute { is_unique: true, ..Attribute::text("userName", "The name for signing in").required() },
    Attribute::new("name", Kind::Complex(NAME), "The parts of the name"),
    Attribute::text("displayName", "The name for people"),
    Attribute::text("nickName", "What the user likes to be called"),
    Attribute::reference("profileUrl", &["external"], "A page about the user"),
    Attribute::text("title", "The title, such as \"Vice President\""),
    Attribute::text("userType", "How the user belongs to the organization"),
    Attribute::text("preferredLanguage", "Preferred languages (RFC 9110 section 12.5.4)"),
    Attribute::text("locale", "For numbers, currencies and dates: a language tag"),
    Attribute::text("timezone", "An IANA time zone"),
    Attribute::new("active", Kind::Boolean, "Whether the user may sign in"),
    Attribute {
        mutability: Mutability::WriteOnly,
        returned: Returned::Never,
        ..Attribute::text("password", "A new password").case_exact()
    },
    Attribute::list("emails", EMAIL, "E-mail addresses"),
    Attribute::list("phoneNumbers", PHONE, "Telephone numbers"),
    Attribute::list("ims", IM, "Instant messaging addresses"),
    Attribute::list("photos", PHOTO, "Pictures"),
    Attribute::list("addresses", ADDRESS, "Postal addresses"),
    Attribute::list("groups", GROUP, "The groups that the user is in").read_only(),
    Attribute::list(
        "entitlements",
        VALUE,
        "What the identity provider says that the user may; grants nothing here",
    ),
    Attribute::list("roles", VALUE, "What the identity provider says that the user is; grants nothing here"),
    Attribute::list("x509Certificates", CERTIFICATE, "Certificates"),
];

const MANAGER: &[Attribute] = &[
    Attribute::text("value", "The manager's id").case_exact(),
    Attribute::reference("$ref", &["User"], "The manager's address"),
    Attribute::text("displayName", "The manager's name").read_only(),
];

const ENTERPRISE_ATTRIBUTES: &[Attribute] = &[
    Attribute::text("employeeNumber", "A number or code of the organization's own"),
    Attribute::text("costCenter", "The cost center"),
    Attribute::text("organization", "The organization"),
    Attribute::text("division", "The division"),
    Attribute::text("department", "The department"),
    Attribute::new("manager", Kind::Complex(MANAGER), "The user's manager"),
];

static ENTERPRISE_SCHEMA: Schema = Schema {
    id: ENTERPRISE_URN,
    name: "EnterpriseUser",
    description: "Enterprise User",
    attributes: ENTERPRISE_ATTRIBUTES,
};

static ENTERPRISE_ATTRIBUTE: Attribute =
    Attribute::new(ENTERPRISE_URN, Kind::Complex(ENTERPRISE_ATTRIBUTES), "Enterprise User");

pub(super) static ENTERPRISE: Extension = Extension {
    kind: ResourceKind::User,
    schema: &ENTERPRISE_SCHEMA,
    attribute: &ENTERPRISE_ATTRIBUTE,
    is_required: false,
};
