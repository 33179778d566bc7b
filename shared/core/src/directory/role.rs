//! Roles: what they grant by themselves, what they inherit, and who may change them.
//!
//! Nobody gives away what it does not hold. What a caller reads to decide on that (the role, the roles it
//! inherits from) carries a [`Role::revision`], and every write holds only where those are still what was
//! read. Whether inheritance would come round in a circle is decided by the write itself.

pub mod change;
pub mod member;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::directory::ADMINISTRATOR;
use crate::id::OrganizationId;
use crate::permission::{Grant, Grants, Name};
use crate::sql::{FromRow, Query, Row, RowError, Value};

/// How many roles an organization has at most.
pub const MAX_ROLES: u32 = 200;

/// How many grants of its own a role has at most.
pub const MAX_GRANTS: usize = 64;

/// How many roles a role inherits from directly at most.
pub const MAX_PARENTS: usize = 16;

/// How many grants a role has at most with what it inherits. The database checks it too.
pub const MAX_EFFECTIVE_GRANTS: usize = 256;

/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARACTERS: usize = 512;

/// How many roles a page of the list holds at most.
pub const MAX_PAGE: u32 = 50;

/// A role's name: 1 to 64 lower-case letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RoleName(Name);

impl RoleName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether this is the role that can't be deleted.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.as_str() == ADMINISTRATOR
    }

    fn from_column(row: &Row, column: &'static str) -> Result<Self, RowError> {
        row.text(column)?.parse().map_err(|_| RowError::unreadable(column))
    }
}

impl FromStr for RoleName {
    type Err = crate::permission::PermissionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Name::try_from(text.to_owned()).map(Self)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<&RoleName> for Value {
    fn from(name: &RoleName) -> Self {
        Self::from(name.as_str())
    }
}

/// A role as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    /// Its name.
    pub role: RoleName,
    /// What it is for.
    pub description: Option<String>,
    /// What it grants by itself, such as `security.*` or `protocols.read.all`.
    pub grants: Vec<String>,
    /// The roles whose grants it has too.
    pub inherits: Vec<RoleName>,
    /// What it grants with everything it inherits, directly or not.
    pub effective_grants: Vec<String>,
    /// Whether it was made with the organization.
    pub built_in: bool,
    /// Another one with each change of what it grants.
    #[serde(skip)]
    pub revision: String,
}

/// The columns a [`Role`] is read from.
macro_rules! role_columns {
    () => {
        "roles.role, roles.description, roles.grants, roles.effective_grants, roles.built_in, \
         roles.revision, (SELECT json_group_array(role_parents.parent) FROM role_parents WHERE \
         role_parents.org_id = roles.org_id AND role_parents.role = roles.role) AS inherits"
    };
}
pub(crate) use role_columns;

impl Role {
    /// Finds a role.
    pub fn find(organization: &OrganizationId, role: &RoleName) -> Query<Self> {
        Query::new(concat!("SELECT ", role_columns!(), " FROM roles WHERE org_id = ?1 AND role = ?2"))
            .bind(organization)
            .bind(role)
    }

    /// A page of roles by name, after the role `after`. One row more than `limit` tells that there is another
    /// page.
    pub fn page(organization: &OrganizationId, after: Option<&RoleName>, limit: u32) -> Query<Self> {
        Query::new(concat!(
            "SELECT ",
            role_columns!(),
            " FROM roles WHERE org_id = ?1 AND role > ?2 ORDER BY role LIMIT ?3"
        ))
        .bind(organization)
        .bind(after.map_or("", RoleName::as_str))
        .bind(limit.saturating_add(1))
    }

    /// What a change of a role is decided on: the role, the roles it inherits from now, and those it shall.
    pub fn involved(organization: &OrganizationId, role: &RoleName, parents: &[RoleName]) -> Query<Self> {
        Query::new(concat!(
            "SELECT ",
            role_columns!(),
            " FROM roles WHERE org_id = ?1 AND role IN (SELECT ?2 UNION SELECT value FROM json_each(?3) \
             UNION SELECT parent FROM role_parents WHERE org_id = ?1 AND role = ?2)"
        ))
        .bind(organization)
        .bind(role)
        .bind(serde_json::json!(parents).to_string())
    }

    /// Whether a subject may give this role to others, take it away, change or delete it: only if it holds
    /// everything the role grants.
    ///
    /// # Errors
    /// [`RoleRefusal::NotHeld`] with a grant that it lacks.
    pub fn check_held(&self, caller: &Grants) -> Result<(), RoleRefusal> {
        check_held(self.effective_grants.iter().map(String::as_str), caller)
    }
}

fn check_held<'a>(grants: impl IntoIterator<Item = &'a str>, caller: &Grants) -> Result<(), RoleRefusal> {
    // A stored text that is no grant gives nothing today; nobody is known to hold what it may mean tomorrow.
    let is_held = |text: &str| text.parse::<Grant>().is_ok_and(|grant| caller.include(&grant));
    match grants.into_iter().find(|grant| !is_held(grant)) {
        None => Ok(()),
        Some(grant) => Err(RoleRefusal::NotHeld(grant.to_owned())),
    }
}

impl FromRow for Role {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            role: RoleName::from_column(row, "role")?,
            description: row.optional_text("description")?.map(str::to_owned),
            grants: row.json("grants")?,
            inherits: row.json("inherits")?,
            effective_grants: row.json("effective_grants")?,
            built_in: row.integer("built_in")? != 0,
            revision: row.text("revision")?.to_owned(),
        })
    }
}

/// Why a role is not given, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleRefusal {
    /// The caller does not hold this grant itself.
    NotHeld(String),
    /// It would have more than [`MAX_EFFECTIVE_GRANTS`] with what it inherits.
    TooManyGrants,
    /// The administrators' role would lose its `*`, or be deleted.
    Administrator,
}

/// What a role shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDraft {
    /// What it is for.
    pub description: Option<String>,
    /// What it grants by itself.
    pub grants: Vec<String>,
    /// The roles whose grants it has too.
    pub inherits: Vec<RoleName>,
}

impl RoleDraft {
    /// What it grants with what these roles give it, in order: what the database will say too.
    #[must_use]
    pub fn effective_grants<'a>(&'a self, parents: &'a [Role]) -> BTreeSet<&'a str> {
        let mut effective = BTreeSet::new();
        for grants in
            std::iter::once(&self.grants).chain(parents.iter().map(|parent| &parent.effective_grants))
        {
            for grant in grants {
                effective.insert(grant.as_str());
            }
        }
        effective
    }

    /// The roles it inherits from, among those that were read with [`Role::involved`].
    ///
    /// # Errors
    /// The place in `inherits` of a role that is not there.
    pub fn parents(&self, involved: &[Role]) -> Result<Vec<Role>, usize> {
        let find = |(index, name): (usize, &RoleName)| {
            involved.iter().find(|role| role.role == *name).cloned().ok_or(index)
        };
        self.inherits.iter().enumerate().map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, effective_grants: &[&str]) -> Role {
        Role {
            role: name.parse().unwrap(),
            description: None,
            grants: Vec::new(),
            inherits: Vec::new(),
            effective_grants: effective_grants.iter().map(|grant| (*grant).to_owned()).collect(),
            built_in: false,
            revision: "r".to_owned(),
        }
    }

    #[test]
    fn a_name_is_plain() {
        for name in ["admin", "a", "on-call_2"] {
            assert_eq!(name.parse::<RoleName>().unwrap().as_str(), name);
        }
        for name in ["", "Admin", "a b", "a.b", "a/b", "ä", &"a".repeat(65)] {
            assert!(name.parse::<RoleName>().is_err(), "{name}");
        }
    }

    #[test]
    fn who_lacks_a_grant_may_not_touch_the_role() {
        let caller = Grants::from_texts(["read.*", "users.*.organization"]);
        assert_eq!(role("a", &["users.write.own", "keys.read.all"]).check_held(&caller), Ok(()));
        let refused = role("a", &["users.write.own", "users.write.all"]).check_held(&caller);
        assert_eq!(refused, Err(RoleRefusal::NotHeld("users.write.all".to_owned())));
        assert!(role("a", &["no grant"]).check_held(&Grants::from_texts(["*"])).is_err());
    }

    #[test]
    fn inherited_grants_count_once() {
        let draft =
            RoleDraft { description: None, grants: vec!["b.*".into(), "a.*".into()], inherits: Vec::new() };
        let parents = [role("p", &["a.*", "c.*"]), role("q", &["c.*"])];
        assert_eq!(Vec::from_iter(draft.effective_grants(&parents)), ["a.*", "b.*", "c.*"]);
    }
}
