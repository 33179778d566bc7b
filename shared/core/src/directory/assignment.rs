//! Roles and groups that a request names: found, and checked against what the caller may give away.

use std::collections::HashMap;

use serde_json::json;

use super::FieldProblem;
use crate::directory::managed::{LocalEdits, kept_by_scim};
use crate::id::{GroupId, OrganizationId, UserId};
use crate::permission::{Grant, Grants};
use crate::sql::{FromRow, Query, Row, RowError};

/// Whether `own` includes every grant of these texts: whoever holds `own` may give them away. A text that is
/// no grant gives nothing.
pub fn hold_all<'a>(own: &Grants, texts: impl IntoIterator<Item = &'a str>) -> bool {
    texts.into_iter().filter_map(|text| text.parse::<Grant>().ok()).all(|grant| own.include(&grant))
}

/// A question for roles by name.
#[derive(Debug)]
pub struct RoleLookUp;

impl RoleLookUp {
    /// Finds the roles among these names.
    pub fn find<'a>(
        organization: &OrganizationId,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Query<KnownRole> {
        let names: Vec<&str> = names.into_iter().collect();
        Query::new(
            "SELECT roles.role, roles.effective_grants FROM json_each(?2) AS wanted CROSS JOIN roles ON \
             roles.org_id = ?1 AND roles.role = wanted.value",
        )
        .bind(organization)
        .bind(json!(names).to_string())
    }
}

/// A role that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRole {
    /// Its name.
    pub role: String,
    /// What it grants in the end, as it is stored: a JSON array of texts.
    pub effective_grants: String,
    grants: Vec<String>,
}

impl FromRow for KnownRole {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            role: row.text("role")?.to_owned(),
            effective_grants: row.text("effective_grants")?.to_owned(),
            grants: row.json("effective_grants")?,
        })
    }
}

/// Why a role can't be assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentRefusal {
    /// There is no such role.
    Unknown(FieldProblem),
    /// It grants what the caller does not hold.
    NotHeld(FieldProblem),
}

impl AssignmentRefusal {
    /// Which one, and why.
    #[must_use]
    pub fn problem(&self) -> &FieldProblem {
        match self {
            Self::Unknown(problem) | Self::NotHeld(problem) => problem,
        }
    }
}

/// The roles that were found.
#[derive(Clone, Debug, Default)]
pub struct KnownRoles(HashMap<String, KnownRole>);

impl FromIterator<KnownRole> for KnownRoles {
    fn from_iter<I: IntoIterator<Item = KnownRole>>(roles: I) -> Self {
        Self(roles.into_iter().map(|role| (role.role.clone(), role)).collect())
    }
}

impl KnownRoles {
    /// The roles of these names, if the caller may assign each of them.
    ///
    /// # Errors
    /// The first that does not exist, or that grants what the caller does not hold.
    pub fn assignable(&self, names: &[String], caller: &Grants) -> Result<Vec<KnownRole>, AssignmentRefusal> {
        let check = |(index, name): (usize, &String)| {
            let pointer = format!("/roles/{index}");
            let Some(role) = self.0.get(name) else {
                return Err(AssignmentRefusal::Unknown(FieldProblem::new(pointer, "there is no such role")));
            };
            if !hold_all(caller, role.grants.iter().map(String::as_str)) {
                let detail = format!("the role `{name}` grants what you don't hold yourself");
                return Err(AssignmentRefusal::NotHeld(FieldProblem::new(pointer, detail)));
            }
            Ok(role.clone())
        };
        names.iter().enumerate().map(check).collect()
    }

    /// All of them, each with its grants: a JSON array of pairs, for statements that check that nothing
    /// changed.
    #[must_use]
    pub fn as_pairs(&self) -> serde_json::Value {
        self.0.values().map(|role| json!([role.role, role.effective_grants])).collect()
    }
}

/// A question for groups by id or display name.
#[derive(Debug)]
pub struct GroupLookUp;

impl GroupLookUp {
    /// Finds the groups among these ids and display names.
    pub fn find<'a>(
        organization: &OrganizationId,
        wanted: impl IntoIterator<Item = &'a str>,
        edits: &LocalEdits<'_>,
    ) -> Query<FoundGroup> {
        let wanted: Vec<[String; 2]> =
            wanted.into_iter().map(|text| [text.to_owned(), text.trim().to_lowercase()]).collect();
        Query::new(concat!(
            "SELECT wanted.value ->> 0 AS wanted, 0 AS by_name, groups.group_id, groups.display_name, ",
            kept_by_scim!("groups", "?3"),
            " AS kept FROM json_each(?2) AS wanted CROSS JOIN groups ON groups.org_id = ?1 AND \
             groups.group_id = wanted.value ->> 0 UNION ALL SELECT wanted.value ->> 0 AS wanted, 1 AS \
             by_name, groups.group_id, groups.display_name, ",
            kept_by_scim!("groups", "?3"),
            " AS kept FROM json_each(?2) AS wanted CROSS JOIN groups ON groups.org_id = ?1 AND \
             groups.display_name_key = wanted.value ->> 1"
        ))
        .bind(organization)
        .bind(json!(wanted).to_string())
        .bind(edits.condition().to_string())
    }

    /// Finds the groups that a user is in and that SCIM keeps.
    pub fn kept(
        organization: &OrganizationId,
        user_id: &UserId,
        edits: &LocalEdits<'_>,
    ) -> Query<KnownGroup> {
        Query::new(concat!(
            "SELECT groups.group_id, groups.display_name, 1 AS kept FROM group_members CROSS JOIN groups ON \
             groups.org_id = group_members.org_id AND groups.group_id = group_members.group_id WHERE \
             group_members.org_id = ?1 AND group_members.user_id = ?2 AND ",
            kept_by_scim!("groups", "?3")
        ))
        .bind(organization)
        .bind(user_id)
        .bind(edits.condition().to_string())
    }
}

/// A group that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGroup {
    /// Its id.
    pub group_id: GroupId,
    /// Its name for people.
    pub display_name: String,
    /// Whether SCIM alone decides who is in it.
    pub is_kept: bool,
}

impl FromRow for KnownGroup {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            group_id: GroupId::from_column(row, "group_id")?,
            display_name: row.text("display_name")?.to_owned(),
            is_kept: row.integer("kept")? != 0,
        })
    }
}

/// A group that was found by an id or a display name.
#[derive(Clone, Debug)]
pub struct FoundGroup {
    /// What was asked for.
    wanted: String,
    /// Whether that is its name; its id otherwise.
    is_by_name: bool,
    group: KnownGroup,
}

impl FromRow for FoundGroup {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            wanted: row.text("wanted")?.to_owned(),
            is_by_name: row.integer("by_name")? != 0,
            group: KnownGroup::from_row(row)?,
        })
    }
}

/// The groups that were found, by what they were asked for with.
#[derive(Clone, Debug, Default)]
pub struct KnownGroups(HashMap<String, KnownGroup>);

/// An id goes before a name.
impl FromIterator<FoundGroup> for KnownGroups {
    fn from_iter<I: IntoIterator<Item = FoundGroup>>(groups: I) -> Self {
        let mut known = HashMap::new();
        for FoundGroup { wanted, is_by_name, group } in groups {
            if is_by_name {
                known.entry(wanted).or_insert(group);
            } else {
                known.insert(wanted, group);
            }
        }
        Self(known)
    }
}

impl KnownGroups {
    /// The groups that these ids and names mean, each once.
    ///
    /// # Errors
    /// The first that does not exist.
    pub fn named(&self, wanted: &[String]) -> Result<Vec<KnownGroup>, FieldProblem> {
        let mut groups: Vec<KnownGroup> = Vec::new();
        for (index, name) in wanted.iter().enumerate() {
            let group = self.0.get(name).ok_or_else(|| {
                FieldProblem::new(
                    format!("/groups/{index}"),
                    "there is no group with this id or display name",
                )
            })?;
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        Ok(groups)
    }

    /// The first among these ids and names that means a group which SCIM keeps: its place, and the group.
    #[must_use]
    pub fn first_kept(&self, wanted: &[String]) -> Option<(usize, &KnownGroup)> {
        let known = wanted.iter().enumerate().filter_map(|(index, name)| Some((index, self.0.get(name)?)));
        known.into_iter().find(|(_, group)| group.is_kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Rows, Value};

    fn roles() -> KnownRoles {
        let row = |role: &str, grants: &str| vec![Value::Text(role.into()), Value::Text(grants.into())];
        let columns = vec!["role".to_owned(), "effective_grants".to_owned()];
        let rows = [row("admin", r#"["*"]"#), row("viewer", r#"["read.*"]"#)];
        Rows::new(columns, rows).decode::<KnownRole>().unwrap().into_iter().collect()
    }

    #[test]
    fn nobody_assigns_what_it_does_not_hold() {
        let assign = |own: &str, role: &str| {
            roles().assignable(&["viewer".to_owned(), role.to_owned()], &Grants::from_texts([own]))
        };
        assert_eq!(assign("*", "admin").unwrap().len(), 2);
        let refused = assign("read.*", "admin").unwrap_err();
        assert!(matches!(&refused, AssignmentRefusal::NotHeld(problem) if problem.pointer == "/roles/1"));
        assert_eq!(assign("users.*.organization", "viewer").unwrap_err().problem().pointer, "/roles/0");
        assert!(matches!(assign("*", "nobody"), Err(AssignmentRefusal::Unknown(_))));
    }
}
