//! Permissions `<resource>.<action>.<scope>` and the grants of roles.
//!
//! A [`Permission`] is one concrete right that an endpoint asks for or an API key carries. A [`Grant`] is
//! what a role gives and may have wildcards: `*`, `security.*`, `read.*`, `protocols.read.all`,
//! `users.*.organization`.

mod reach;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use reach::Reach;

/// The actions. A two-part grant whose first part is one of these (`read.*`) means that action on every
/// resource; any other first part is a resource (`security.*`).
pub const ACTIONS: [&str; 6] = ["read", "write", "execute", "delete", "manage", "analyze"];

const PART_LENGTH: usize = 64;

/// How far a permission reaches. Each scope includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What belongs to the subject.
    Own,
    /// What belongs to the subject's teams (groups).
    Team,
    /// What belongs to the subject's organization.
    Organization,
    /// Everything.
    All,
}

impl Scope {
    /// Its word in a permission.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Team => "team",
            Self::Organization => "organization",
            Self::All => "all",
        }
    }
}

impl FromStr for Scope {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        [Self::Own, Self::Team, Self::Organization, Self::All]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(PermissionError("scope is one of `own`, `team`, `organization`, `all`"))
    }
}

/// One concrete right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// What it is a right to: `protocols`, `users`, `api_keys`, …
    pub resource: Name,
    /// What may be done: `read`, `write`, `execute`, `delete`, `manage`, …
    pub action: Name,
    /// How far it reaches.
    pub scope: Scope,
}

impl Permission {
    /// A permission that the code asks for.
    #[must_use]
    pub fn new(resource: &'static str, action: &'static str, scope: Scope) -> Self {
        Self { resource: Name(resource.to_owned()), action: Name(action.to_owned()), scope }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.resource.0, self.action.0, self.scope.as_str())
    }
}

/// A resource or an action: 1 to 64 lower-case letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Name(String);

impl Name {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = PermissionError;

    fn try_from(text: String) -> Result<Self, PermissionError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if !text.is_empty() && text.len() <= PART_LENGTH && text.bytes().all(known) {
            Ok(Self(text))
        } else {
            Err(PermissionError("a name is 1 to 64 lower-case letters, digits, `_` and `-`"))
        }
    }
}

/// A right that a role gives. `None` is a wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    resource: Option<Name>,
    action: Option<Name>,
    scope: Scope,
}

impl Grant {
    /// Whether this grant includes a right.
    #[must_use]
    pub fn allows(&self, permission: &Permission) -> bool {
        self.resource.as_ref().is_none_or(|resource| *resource == permission.resource)
            && self.action.as_ref().is_none_or(|action| *action == permission.action)
            && permission.scope <= self.scope
    }

    /// Whether this grant includes another: whoever holds it may give the other away.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let covers = |ours: &Option<Name>, theirs: &Option<Name>| ours.is_none() || ours == theirs;
        covers(&self.resource, &other.resource)
            && covers(&self.action, &other.action)
            && other.scope <= self.scope
    }
}

impl FromStr for Grant {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        const FORM: PermissionError =
            PermissionError("a grant is `*`, `<resource>.*`, `<action>.*` or `<resource>.<action>.<scope>`");
        let name = |part: &str| match part {
            "*" => Ok(None),
            part => Name::try_from(part.to_owned()).map(Some),
        };
        let mut parts = text.split('.');
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        match (first, second, third, parts.next()) {
            (Some("*"), None, ..) => Ok(Self { resource: None, action: None, scope: Scope::All }),
            (Some(first), Some("*"), None, _) if ACTIONS.contains(&first) => {
                Ok(Self { resource: None, action: name(first)?, scope: Scope::All })
            }
            (Some(first), Some("*"), None, _) => {
                Ok(Self { resource: name(first)?, action: None, scope: Scope::All })
            }
            (Some(resource), Some(action), Some(scope), None) => {
                let scope = if scope == "*" { Scope::All } else { scope.parse()? };
                Ok(Self { resource: name(resource)?, action: name(action)?, scope })
            }
            _ => Err(FORM),
        }
    }
}

/// The rights of a subject: what its roles give, taken together, within the scope it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    given: Vec<Grant>,
    /// What they are narrowed to: a right must be in here too.
    narrowed: Option<Vec<Grant>>,
}

impl Grants {
    /// From the texts of roles. A text that is no grant gives nothing: deny by default.
    pub fn from_texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let given = texts.into_iter().filter_map(|text| text.as_ref().parse().ok()).collect();
        Self { given, narrowed: None }
    }

    /// Exactly these permissions (an API key's).
    #[must_use]
    pub fn from_permissions(permissions: &[Permission]) -> Self {
        let exact = |permission: &Permission| Grant {
            resource: Some(permission.resource.clone()),
            action: Some(permission.action.clone()),
            scope: permission.scope,
        };
        Self { given: permissions.iter().map(exact).collect(), narrowed: None }
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.given.extend(others.given);
        self
    }

    /// The same rights as far as a scope (RFC 6749 section 3.3) reaches: grants separated by spaces. A word
    /// that is no grant allows nothing.
    #[must_use]
    pub fn narrowed_to(mut self, scope: &str) -> Self {
        self.narrowed = Some(scope.split(' ').filter_map(|text| text.parse().ok()).collect());
        self
    }

    /// What was given, before any scope narrows it.
    #[must_use]
    pub fn given(&self) -> &[Grant] {
        &self.given
    }

    /// Whether a right is among them.
    #[must_use]
    pub fn allow(&self, permission: &Permission) -> bool {
        let among = |grants: &[Grant]| grants.iter().any(|grant| grant.allows(permission));
        among(&self.given) && self.narrowed.as_deref().is_none_or(among)
    }

    /// Whether a whole grant is among them: what a subject may give to others.
    #[must_use]
    pub fn include(&self, grant: &Grant) -> bool {
        let among = |grants: &[Grant]| grants.iter().any(|own| own.includes(grant));
        among(&self.given) && self.narrowed.as_deref().is_none_or(among)
    }
}

/// A text that is not a permission or a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermissionError(&'static str);

impl fmt::Display for PermissionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for PermissionError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(grant: &str, resource: &'static str, action: &'static str, scope: Scope) -> bool {
        Grants::from_texts([grant]).allow(&Permission::new(resource, action, scope))
    }

    #[test]
    fn the_roles_of_the_source_document() {
        assert!(allows("*", "admin", "manage", Scope::Organization));
        assert!(allows("security.*", "security", "execute", Scope::Own));
        assert!(!allows("security.*", "compliance", "read", Scope::Own));
        assert!(allows("read.*", "protocols", "read", Scope::All));
        assert!(!allows("read.*", "protocols", "write", Scope::Own));
        assert!(allows("analyze.*", "protocols", "analyze", Scope::Team));
    }

    #[test]
    fn a_wider_scope_includes_the_narrower() {
        assert!(allows("protocols.read.team", "protocols", "read", Scope::Own));
        assert!(!allows("protocols.read.team", "protocols", "read", Scope::Organization));
        assert!(allows("users.*.organization", "users", "delete", Scope::Organization));
        assert!(!allows("users.*.organization", "users", "delete", Scope::All));
    }

    #[test]
    fn a_scope_narrows_and_never_widens() {
        let grants = Grants::from_texts(["users.*.organization"]).narrowed_to("users.read.all nonsense");
        assert!(grants.allow(&Permission::new("users", "read", Scope::Organization)));
        assert!(!grants.allow(&Permission::new("users", "read", Scope::All)));
        assert!(!grants.allow(&Permission::new("users", "write", Scope::Own)));
        assert!(!Grants::from_texts(["*"]).narrowed_to("").allow(&Permission::new(
            "users",
            "read",
            Scope::Own
        )));
    }

    #[test]
    fn only_what_one_holds_can_be_given_away() {
        let holds = |own: &str, other: &str| Grants::from_texts([own]).include(&other.parse().unwrap());
        assert!(holds("*", "security.*") && holds("*", "*") && holds("read.*", "users.read.own"));
        assert!(holds("users.*.organization", "users.read.team"));
        assert!(!holds("users.*.organization", "users.read.all"));
        assert!(!holds("users.read.all", "read.*") && !holds("security.*", "*"));
    }

    #[test]
    fn what_is_no_grant_gives_nothing() {
        for text in ["", "read", "a.b", "a.b.c", "a.b.own.d", "A.read.all", "**", "*.*.*.*"] {
            assert!(!allows(text, "a", "b", Scope::Own), "{text}");
        }
    }
}
