//! Groups that drive roles: which roles everybody in a group has, told by the group's name.
//!
//! The configuration says it, as `scim.role_mappings`, a list of rules: `{"group": "Engineering", "role":
//! "developer"}` for one name, `{"pattern": "iam-*", "role": "*"}` for many, where the one `*` of the pattern
//! matches any text but the empty one and `*` in the role stands for it. Names count without regard to case.
//! Only groups that SCIM manages give roles: otherwise whoever may make groups could make itself anything.

use std::fmt;

use serde_json::{Map, Value as Json, json};

use super::acts;
use crate::directory::group::display_name_key;
use crate::directory::role::RoleName;
use crate::due::Due;
use crate::id::{GroupId, LogId, OrganizationId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record_rows;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;

/// How many rules there are at most.
pub const MAX_RULES: usize = 256;

/// The longest name or pattern, in characters.
pub const MAX_NAME_CHARACTERS: usize = 256;

/// How many roles a group gives at most: those of the first rules.
pub const MAX_ROLES_PER_GROUP: usize = 32;

/// A mapping that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleMappingError {
    /// Where in `scim.role_mappings`: the rule's number, from 0, and its field, as in `0.role`; empty for the
    /// whole of it.
    pub field: String,
    /// What is allowed.
    pub problem: String,
}

impl fmt::Display for RoleMappingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.field.is_empty() { "" } else { "." };
        write!(formatter, "`scim.role_mappings{dot}{}`: {}", self.field, self.problem)
    }
}

impl std::error::Error for RoleMappingError {}

/// A text with one `*` in it, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Starred {
    before: String,
    /// What follows the `*`; `None` where there is none.
    after: Option<String>,
}

impl Starred {
    fn whole(text: String) -> Self {
        Self { before: text, after: None }
    }

    /// `None` where there is more than one `*`.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('*') {
            None => Some(Self::whole(text.to_owned())),
            Some((_, after)) if after.contains('*') => None,
            Some((before, after)) => Some(Self { before: before.to_owned(), after: Some(after.to_owned()) }),
        }
    }

    /// What the `*` stands for in `text`, if that matches: nothing, where there is no `*`.
    fn matched<'a>(&self, text: &'a str) -> Option<&'a str> {
        match &self.after {
            None => (text == self.before).then_some(""),
            Some(after) => text
                .strip_prefix(self.before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .filter(|matched| !matched.is_empty()),
        }
    }

    fn filled(&self, matched: &str) -> String {
        match &self.after {
            None => self.before.clone(),
            Some(after) => format!("{}{matched}{after}", self.before),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    names: Starred,
    role: Starred,
}

/// Which roles a group gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleMapping {
    rules: Vec<Rule>,
}

impl RoleMapping {
    /// Reads `scim.role_mappings`; nothing, and `null`, maps no group.
    ///
    /// # Errors
    /// The first field that is refused.
    pub fn read(mappings: &Json) -> Result<Self, RoleMappingError> {
        let refused = |problem: String| RoleMappingError { field: String::new(), problem };
        let rules = match mappings {
            Json::Null => return Ok(Self::default()),
            Json::Array(rules) => rules,
            _ => return Err(refused("a list".to_owned())),
        };
        if rules.len() > MAX_RULES {
            return Err(refused(format!("{MAX_RULES} rules at most")));
        }
        let rules = rules.iter().enumerate().map(|(index, rule)| Rule::read(index, rule));
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// The roles that everybody has who is in a group of this name, in order, each once: those of them that
    /// there are.
    #[must_use]
    pub fn roles_of(&self, display_name: &str) -> Vec<String> {
        let key = display_name_key(display_name);
        let mut roles: Vec<String> = Vec::new();
        for rule in &self.rules {
            let Some(matched) = rule.names.matched(&key) else { continue };
            let role = rule.role.filled(matched);
            // What stands for the `*` may be no part of a role's name.
            if role.parse::<RoleName>().is_ok() && !roles.contains(&role) && roles.len() < MAX_ROLES_PER_GROUP
            {
                roles.push(role);
            }
        }
        roles.sort();
        roles
    }

    /// The names that it maps, for statements: each a list of what a name begins with and, where a `*`
    /// follows, of what it ends with. [`name_mapped`](crate::directory::role_mapping::name_mapped) compares
    /// with them.
    #[must_use]
    pub fn names(&self) -> Json {
        self.rules.iter().map(|rule| json!([rule.names.before, rule.names.after])).collect()
    }
}

impl Rule {
    fn read(index: usize, rule: &Json) -> Result<Self, RoleMappingError> {
        let refused = |field: &str, problem: String| {
            let dot = if field.is_empty() { "" } else { "." };
            RoleMappingError { field: format!("{index}{dot}{field}"), problem }
        };
        let Json::Object(fields) = rule else {
            return Err(refused("", "an object with `role` and either `group` or `pattern`".to_owned()));
        };
        if let Some(unknown) =
            fields.keys().find(|name| !["group", "pattern", "role"].contains(&name.as_str()))
        {
            return Err(refused(
                unknown,
                "there is no such field; there are: group, pattern, role".to_owned(),
            ));
        }
        let names = match (fields.contains_key("group"), fields.contains_key("pattern")) {
            (true, false) => {
                Starred::whole(name(fields, "group").map_err(|problem| refused("group", problem))?)
            }
            (false, true) => {
                let pattern = name(fields, "pattern").map_err(|problem| refused("pattern", problem))?;
                let starred = Starred::parse(&pattern).filter(|pattern| pattern.after.is_some());
                starred.ok_or_else(|| refused("pattern", "a text with one `*`".to_owned()))?
            }
            (true, true) => return Err(refused("pattern", "`group` or `pattern`, not both".to_owned())),
            (false, false) => {
                return Err(refused("group", "`group` or `pattern` says which groups".to_owned()));
            }
        };
        let role = fields.get("role").and_then(Json::as_str).and_then(Starred::parse);
        // A `*` stands for at least one character, so the shortest name that can come of it has to be one.
        let fits = |role: &Starred| {
            (role.after.is_none() || names.after.is_some()) && role.filled("a").parse::<RoleName>().is_ok()
        };
        let role = role.filter(fits).ok_or_else(|| {
            let form = "the name of a role: 1 to 64 lower-case letters, digits, `_` and `-`";
            refused("role", format!("{form}; with a `pattern` one `*` stands for what its `*` matched"))
        })?;
        Ok(Self { names, role })
    }
}

fn name(fields: &Map<String, Json>, field: &str) -> Result<String, String> {
    let text = fields.get(field).and_then(Json::as_str).map(display_name_key).unwrap_or_default();
    if text.is_empty() || text.chars().count() > MAX_NAME_CHARACTERS {
        return Err(format!("a text of 1 to {MAX_NAME_CHARACTERS} characters"));
    }
    Ok(text)
}

/// The mapping has rules for the name whose key is `$key`: `$names` is what [`RoleMapping::names`] gives.
/// Without `GLOB`, whose patterns some hosts bound to 50 bytes.
macro_rules! name_mapped {
    ($key:expr, $names:expr) => {
        concat!(
            "EXISTS (SELECT 1 FROM json_each(",
            $names,
            ") AS rule WHERE CASE WHEN rule.value ->> 1 IS NULL THEN ",
            $key,
            " = rule.value ->> 0 ELSE length(",
            $key,
            ") > length(rule.value ->> 0) + length(rule.value ->> 1) AND substr(",
            $key,
            ", 1, length(rule.value ->> 0)) = rule.value ->> 0 AND substr(",
            $key,
            ", length(",
            $key,
            ") + 1 - length(rule.value ->> 1)) = rule.value ->> 1 END)"
        )
    };
}
pub(crate) use name_mapped;

/// The groups of the list `$list` as they are, where their names are still what their roles were told by.
macro_rules! wanted_groups {
    ($list:literal) => {
        concat!(
            "json_each(",
            $list,
            ") AS wanted CROSS JOIN groups ON groups.org_id = wanted.value ->> 'organization' AND \
             groups.group_id = wanted.value ->> 'group_id' AND groups.display_name_key = wanted.value ->> \
             'key'"
        )
    };
}

/// A role that a group gives and shall not.
macro_rules! superfluous {
    () => {
        "(groups.managed_by <> 'scim' OR group_roles.role NOT IN (SELECT value FROM json_each(wanted.value, \
         '$.roles')))"
    };
}

const TAKE: &str = concat!(
    "DELETE FROM group_roles WHERE (org_id, group_id, role) IN (SELECT group_roles.org_id, \
     group_roles.group_id, group_roles.role FROM ",
    wanted_groups!("?1"),
    " CROSS JOIN group_roles ON group_roles.org_id = groups.org_id AND group_roles.group_id = \
     groups.group_id WHERE ",
    superfluous!(),
    ")"
);

const GIVE: &str = concat!(
    "INSERT INTO group_roles (org_id, group_id, role) SELECT groups.org_id, groups.group_id, roles.role \
     FROM ",
    wanted_groups!("?1"),
    " CROSS JOIN json_each(wanted.value, '$.roles') AS given CROSS JOIN roles ON roles.org_id = \
     groups.org_id AND roles.role = given.value WHERE groups.managed_by = 'scim' ON CONFLICT DO NOTHING"
);

/// One record for each of the groups `?2` whose roles are about to be others.
const RECORD: RecordCondition = record_rows!(
    org_id: "groups.org_id",
    log_id: "wanted.value ->> 'log_id'",
    resource_id: "groups.group_id",
    details: "json_object('display_name', groups.display_name, 'roles', json(wanted.value -> 'roles'))",
    from: " FROM ",
    wanted_groups!("?2"),
    " WHERE EXISTS (SELECT 1 FROM group_roles WHERE group_roles.org_id = groups.org_id AND \
     group_roles.group_id = groups.group_id AND ",
    superfluous!(),
    ") OR (groups.managed_by = 'scim' AND EXISTS (SELECT 1 FROM json_each(wanted.value, '$.roles') AS given \
     CROSS JOIN roles ON roles.org_id = groups.org_id AND roles.role = given.value WHERE NOT EXISTS (SELECT \
     1 FROM group_roles WHERE group_roles.org_id = groups.org_id AND group_roles.group_id = groups.group_id \
     AND group_roles.role = roles.role)))",
);

/// Gives everybody in a group the roles of the mapping, and takes those that are no longer of it: for the
/// batch that creates or renames the group, after the deed. Nothing happens where the group has another name
/// by then, or where SCIM does not manage it; roles that there are not are left out. Triggers carry the
/// members along.
#[must_use]
pub fn set_group_roles(
    organization: &OrganizationId,
    group_id: &GroupId,
    display_name: &str,
    mapping: &RoleMapping,
) -> [Statement; 2] {
    let wanted = json!([{
        "organization": organization,
        "group_id": group_id,
        "key": display_name_key(display_name),
        "roles": mapping.roles_of(display_name),
    }]);
    let wanted = wanted.to_string();
    [Statement::new(TAKE).bind(wanted.as_str()), Statement::new(GIVE).bind(wanted)]
}

/// A group and the roles that it gives, as the job that holds them against the mapping reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedGroup {
    /// In which organization.
    pub organization: OrganizationId,
    /// The group.
    pub group_id: GroupId,
    display_name: String,
    is_managed: bool,
    /// In order.
    roles: Vec<String>,
}

impl MappedGroup {
    /// Who has groups: from each organization's end in the index to the next one's beginning.
    pub fn due(known: &[OrganizationId]) -> Query<Due> {
        Due::find(
            "WITH RECURSIVE owners (org_id) AS (SELECT MIN(org_id) FROM groups UNION ALL SELECT (SELECT \
             MIN(org_id) FROM groups WHERE org_id > owners.org_id) FROM owners WHERE owners.org_id IS NOT \
             NULL) SELECT org_id FROM owners WHERE org_id IS NOT NULL AND org_id NOT IN (SELECT value FROM \
             json_each(?1)) LIMIT ?2",
            known,
        )
    }

    /// A page of an organization's groups, after that one; empty for the first.
    pub fn page(organization: &OrganizationId, after: &str, limit: u32) -> Query<Self> {
        Query::new(
            "SELECT org_id, group_id, display_name, managed_by = 'scim' AS managed, (SELECT \
             json_group_array(role) FROM group_roles WHERE group_roles.org_id = groups.org_id AND \
             group_roles.group_id = groups.group_id) AS roles FROM groups WHERE org_id = ?1 AND group_id > \
             ?2 ORDER BY group_id LIMIT ?3",
        )
        .bind(organization)
        .bind(after)
        .bind(limit)
    }

    /// Whether it gives other roles than the mapping says. Also where the mapping names a role that there is
    /// not.
    #[must_use]
    pub fn differs(&self, mapping: &RoleMapping) -> bool {
        self.roles != self.wanted(mapping)
    }

    fn wanted(&self, mapping: &RoleMapping) -> Vec<String> {
        if self.is_managed { mapping.roles_of(&self.display_name) } else { Vec::new() }
    }

    /// Lets these groups give what the mapping says, each recorded where that is something else: one
    /// transaction. The statements bind all of them at once.
    #[must_use]
    pub fn apply(groups: &[(&Self, LogId)], mapping: &RoleMapping, now: Timestamp) -> Vec<Statement> {
        let Some((first, log_id)) = groups.first() else { return Vec::new() };
        let record = AuditEvent::by_system(&first.organization, log_id.clone(), acts::GROUP_ROLES, now);
        let wanted: Json = groups
            .iter()
            .map(|(group, log_id)| {
                json!({
                    "organization": group.organization,
                    "group_id": group.group_id,
                    "key": display_name_key(&group.display_name),
                    "roles": group.wanted(mapping),
                    "log_id": log_id,
                })
            })
            .collect();
        let wanted = wanted.to_string();
        vec![
            record.record_if(RECORD, wanted.as_str()),
            Statement::new(TAKE).bind(wanted.as_str()),
            Statement::new(GIVE).bind(wanted),
        ]
    }
}

impl FromRow for MappedGroup {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let mut roles: Vec<String> = row.json("roles")?;
        roles.sort();
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            group_id: GroupId::from_column(row, "group_id")?,
            display_name: row.text("display_name")?.to_owned(),
            is_managed: row.integer("managed")? != 0,
            roles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(rules: Json) -> RoleMapping {
        RoleMapping::read(&rules).unwrap()
    }

    #[test]
    fn names_and_patterns_give_roles() {
        let mapping = mapping(json!([
            {"group": " Engineering ", "role": "developer"},
            {"pattern": "IAM-*", "role": "*"},
            {"pattern": "team-*-leads", "role": "lead_*"},
            {"pattern": "*", "role": "member"},
        ]));
        for (name, roles) in [
            ("ENGINEERING", vec!["developer", "member"]),
            ("iam-Auditor", vec!["auditor", "member"]),
            ("iam-", vec!["member"]),
            ("iam-two words", vec!["member"]),
            ("Team-Red-Leads", vec!["lead_red", "member"]),
            ("team--leads", vec!["member"]),
            ("team-leads", vec!["member"]),
            ("iam-member", vec!["member"]),
        ] {
            assert_eq!(mapping.roles_of(name), roles, "{name}");
        }
        assert_eq!(RoleMapping::read(&Json::Null).unwrap().roles_of("anything"), Vec::<String>::new());
    }

    #[test]
    fn a_bad_rule_is_named() {
        let many: Json = (0..=MAX_RULES).map(|_| json!({"group": "a", "role": "b"})).collect();
        for (rules, field) in [
            (json!({}), ""),
            (many, ""),
            (json!([1]), "0"),
            (json!([{"group": "a", "role": "b"}, {"role": "b"}]), "1.group"),
            (json!([{"group": "", "role": "b"}]), "0.group"),
            (json!([{"group": 7, "role": "b"}]), "0.group"),
            (json!([{"group": "a", "pattern": "a*", "role": "b"}]), "0.pattern"),
            (json!([{"pattern": "a", "role": "b"}]), "0.pattern"),
            (json!([{"pattern": "a*b*", "role": "b"}]), "0.pattern"),
            (json!([{"group": "a"}]), "0.role"),
            (json!([{"group": "a", "role": "*"}]), "0.role"),
            (json!([{"group": "a", "role": "B"}]), "0.role"),
            (json!([{"pattern": "a*", "role": "**"}]), "0.role"),
            (json!([{"pattern": "a*", "role": "b c*"}]), "0.role"),
            (json!([{"group": "a", "role": "b", "roles": []}]), "0.roles"),
        ] {
            assert_eq!(RoleMapping::read(&rules).unwrap_err().field, field, "{rules}");
        }
    }

    #[test]
    fn a_group_gives_a_bounded_number_of_roles() {
        let rules: Json = (0..100).map(|n| json!({"group": "a", "role": format!("r{n}")})).collect();
        assert_eq!(mapping(rules).roles_of("a").len(), MAX_ROLES_PER_GROUP);
    }
}
