//! The statements that read and change groups. However many members a group has, adding or removing one is
//! the same few statements.
//!
//! The audit record is the gate: one statement writes it under every condition that a change has, and what
//! follows in the transaction asks for the record and for nothing else.

use iam_core::directory::group::display_name_key;
use iam_core::directory::role_mapping::{RoleMapping, set_group_roles};
use iam_core::id::{GroupId, LogId, OrganizationId};
use iam_core::record::audit::{AuditEvent, RecordCondition};
use iam_core::record_condition;
use iam_core::sql::{Batch, Query, Row, RowError, Statement, Ticket};
use iam_core::time::Timestamp;
use serde_json::{Value as Json, json};

use super::{Attributes, MAX_MEMBERS, Member, ScimGroup};
use crate::Deleted;
use crate::membership::Net;

/// How many unknown members an error names.
const MAX_UNKNOWN_SHOWN: u32 = 5;

macro_rules! group_columns {
    () => {
        "groups.group_id, groups.display_name, groups.external_id, groups.attributes, groups.created_at, \
         groups.updated_at, groups.members_changed_at, groups.version, groups.members_version"
    };
}

/// The columns of a list of groups.
#[must_use]
pub fn select_list() -> &'static str {
    group_columns!()
}

/// Finds a group.
pub fn by_id(organization: &OrganizationId, group_id: &GroupId) -> Query<ScimGroup> {
    Query::new(concat!("SELECT ", group_columns!(), " FROM groups WHERE org_id = ?1 AND group_id = ?2"))
        .bind(organization)
        .bind(group_id)
}

/// The users in a group.
pub fn members(organization: &OrganizationId, group_id: &GroupId) -> Query<Member> {
    Query::new(
        "SELECT users.user_id, COALESCE(users.display_name, users.username) AS display FROM group_members \
         INDEXED BY group_members_by_group CROSS JOIN users ON users.org_id = group_members.org_id AND \
         users.user_id = group_members.user_id WHERE group_members.org_id = ?1 AND group_members.group_id = \
         ?2 AND users.deleted_at IS NULL ORDER BY group_members.user_id LIMIT ?3",
    )
    .bind(organization)
    .bind(group_id)
    .bind(MAX_MEMBERS)
}

/// The users in the groups that `page` selects (a question whose column `id` is a group's): the text of a
/// question for `group_id`, `user_id` and `display`.
#[must_use]
pub fn members_of_page(page: &str) -> String {
    format!(
        "SELECT group_members.group_id, users.user_id, COALESCE(users.display_name, users.username) AS \
         display FROM ({page}) AS shown CROSS JOIN group_members INDEXED BY group_members_by_group ON \
         group_members.org_id = ?1 AND group_members.group_id = shown.id CROSS JOIN users ON users.org_id = \
         group_members.org_id AND users.user_id = group_members.user_id WHERE users.deleted_at IS NULL"
    )
}

/// Nobody of a JSON array of ids, at `$members`, is unknown.
macro_rules! all_known {
    ($members:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM json_each(",
            $members,
            ") AS wanted WHERE NOT EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = wanted.value \
             AND deleted_at IS NULL AND kind = 'person'))"
        )
    };
}

/// Whether what a batch was to do was done, and why not.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Done,
    /// These members are not users.
    UnknownMembers(Vec<String>),
    /// Another group has the name.
    NameTaken,
    /// The group would have more than [`MAX_MEMBERS`].
    TooManyMembers,
    /// There is no such group.
    Gone,
    /// It is in another version.
    Conflict,
    /// Everything is as it was to be.
    Unchanged,
}

/// What a client creates.
#[derive(Debug)]
pub struct Creation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its id.
    pub group_id: &'a GroupId,
    /// What the client set.
    pub attributes: &'a Attributes,
    /// Who is to be in it.
    pub members: &'a Net,
    /// Which roles everybody in it gets.
    pub mapping: &'a RoleMapping,
    /// Now.
    pub now: Timestamp,
}

/// `?2` is a JSON array of a name's key and of members: they are users, and no group has the name.
const CREATABLE: RecordCondition = record_condition!(
    "NOT EXISTS \
     (SELECT 1 FROM groups WHERE org_id = ?1 AND display_name_key = ?2 ->> 0) AND ",
    all_known!("?2 -> 1")
);

impl Creation<'_> {
    /// Records and creates the group, in one transaction. The answer is for [`Outcome::read`].
    pub fn create(&self, event: AuditEvent, batch: &mut Batch) -> Ticket<Row> {
        let log_id = event.log_id.clone();
        let key = display_name_key(self.attributes.display_name());
        let asked = json!([key, self.members.add]).to_string();
        let insert = Statement::new(
            "INSERT INTO groups (org_id, group_id, display_name, display_name_key, external_id, attributes, \
             managed_by, created_at, updated_at) SELECT ?1, ?2, ?4, ?5, ?6, ?7, 'scim', ?8, ?8 WHERE EXISTS \
             (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?3)",
        )
        .bind(self.organization)
        .bind(self.group_id)
        .bind(&log_id)
        .bind(self.attributes.display_name())
        .bind(key.as_str())
        .bind(self.attributes.external_id())
        .bind(self.attributes.without_columns())
        .bind(self.now);
        let about = About { organization: self.organization, group_id: self.group_id, log_id: &log_id };
        batch.extend([event.record_if(CREATABLE, asked), insert]);
        batch.extend(self.set_roles());
        batch.extend(about.change_members(self.members));
        batch.ask(about.outcome(&key, self.members))
    }

    fn set_roles(&self) -> [Statement; 2] {
        let name = self.attributes.display_name();
        set_group_roles(self.organization, self.group_id, name, self.mapping)
    }

    /// The group that was created.
    #[must_use]
    pub fn created(&self) -> ScimGroup {
        ScimGroup {
            group_id: self.group_id.clone(),
            attributes: self.attributes.clone(),
            created_at: self.now,
            updated_at: self.now,
            version: (1, i64::try_from(self.members.add.len()).unwrap_or(i64::MAX)),
        }
    }
}

/// A change of a group that was read, without its members.
#[derive(Debug)]
pub struct Update<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The group as it was read.
    pub before: &'a ScimGroup,
    /// What it will have.
    pub after: &'a Attributes,
    /// Who comes and who goes.
    pub members: &'a Net,
    /// Which roles everybody in it gets.
    pub mapping: &'a RoleMapping,
    /// Whether nobody may have changed its members since it was read either: where the client sent
    /// `If-Match`.
    pub is_exact: bool,
    /// Now.
    pub now: Timestamp,
}

/// `?2` is a JSON object: the group is in the version that was read, its name is free, its members are users
/// and not too many, and something changes.
const CHANGEABLE: RecordCondition = iam_core::record_rows!(from: " FROM groups WHERE org_id = ?1 AND \
     group_id = ?2 ->> 'group_id' AND (?2 ->> 'version' IS NULL OR version = ?2 ->> 'version') AND (?2 ->> \
     'members_version' IS NULL OR members_version = ?2 ->> 'members_version') AND NOT EXISTS (SELECT 1 FROM \
     groups AS other WHERE other.org_id = ?1 AND other.display_name_key = ?2 ->> 'key' AND other.group_id <> \
     ?2 ->> 'group_id') AND ",
    all_known!("?2 -> 'add'"),
    " AND (?2 ->> 'replaces' OR member_count + json_array_length(?2, '$.add') <= ?2 ->> 'most') AND (?2 ->> \
     'differs' OR EXISTS (SELECT 1 FROM json_each(?2 -> 'add') AS wanted WHERE NOT EXISTS (SELECT 1 FROM \
     group_members WHERE org_id = ?1 AND user_id = wanted.value AND group_id = ?2 ->> 'group_id')) OR EXISTS \
     (SELECT 1 FROM json_each(?2 -> 'remove') AS unwanted CROSS JOIN group_members ON group_members.org_id = \
     ?1 AND group_members.user_id = unwanted.value AND group_members.group_id = ?2 ->> 'group_id') OR (?2 \
     ->> 'replaces' AND EXISTS (SELECT 1 FROM group_members INDEXED BY group_members_by_group WHERE org_id = \
     ?1 AND group_id = ?2 ->> 'group_id' AND user_id NOT IN (SELECT value FROM json_each(?2 -> 'add')))))"
);

impl Update<'_> {
    /// Records and makes the change, in one transaction: all of it or nothing. The answer is for
    /// [`Outcome::read`].
    pub fn apply(&self, event: AuditEvent, batch: &mut Batch) -> Ticket<Row> {
        let log_id = event.log_id.clone();
        let differs = *self.after != self.before.attributes;
        let key = display_name_key(self.after.display_name());
        let is_versioned = differs || self.is_exact;
        let asked = json!({
            "group_id": self.before.group_id,
            "version": is_versioned.then_some(self.before.version.0),
            "members_version": self.is_exact.then_some(self.before.version.1),
            "key": key,
            "add": self.members.add,
            "remove": self.members.remove,
            "replaces": self.members.replaces,
            "differs": differs,
            "most": MAX_MEMBERS,
        });
        let about =
            About { organization: self.organization, group_id: &self.before.group_id, log_id: &log_id };
        batch.then(event.record_if(CHANGEABLE, asked.to_string()));
        if differs {
            batch.then(self.set_attributes(&log_id, &key));
            let name = self.after.display_name();
            batch.extend(set_group_roles(self.organization, &self.before.group_id, name, self.mapping));
        }
        batch.extend(about.change_members(self.members));
        batch.ask(about.outcome(&key, self.members))
    }

    fn set_attributes(&self, log_id: &LogId, key: &str) -> Statement {
        Statement::new(
            "UPDATE groups SET display_name = ?4, display_name_key = ?5, external_id = ?6, attributes = ?7, \
             updated_at = ?8, version = version + 1 WHERE org_id = ?1 AND group_id = ?2 AND EXISTS (SELECT 1 \
             FROM audit_events WHERE org_id = ?1 AND log_id = ?3)",
        )
        .bind(self.organization)
        .bind(&self.before.group_id)
        .bind(log_id)
        .bind(self.after.display_name())
        .bind(key)
        .bind(self.after.external_id())
        .bind(self.after.without_columns())
        .bind(self.now)
    }
}

/// The group that a record is about.
struct About<'a> {
    organization: &'a OrganizationId,
    group_id: &'a GroupId,
    log_id: &'a LogId,
}

impl About<'_> {
    fn statement(&self, text: &'static str, json: &Json) -> Statement {
        Statement::new(text)
            .bind(self.organization)
            .bind(self.group_id)
            .bind(self.log_id)
            .bind(json.to_string())
    }

    fn change_members(&self, members: &Net) -> Vec<Statement> {
        let mut statements = Vec::new();
        if members.replaces {
            let others = "DELETE FROM group_members WHERE (org_id, user_id, group_id) IN (SELECT org_id, \
                 user_id, group_id FROM group_members INDEXED BY group_members_by_group WHERE org_id = ?1 \
                 AND group_id = ?2 AND user_id NOT IN (SELECT value FROM json_each(?4))) AND EXISTS (SELECT \
                 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?3)";
            statements.push(self.statement(others, &json!(members.add)));
        }
        if !members.remove.is_empty() {
            let these = "DELETE FROM group_members WHERE org_id = ?1 AND group_id = ?2 AND user_id IN \
                 (SELECT value FROM json_each(?4)) AND EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 \
                 AND log_id = ?3)";
            statements.push(self.statement(these, &json!(members.remove)));
        }
        if !members.add.is_empty() {
            let these = "INSERT INTO group_members (org_id, user_id, group_id) SELECT ?1, wanted.value, ?2 \
                 FROM json_each(?4) AS wanted WHERE EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND \
                 log_id = ?3) ON CONFLICT DO NOTHING";
            statements.push(self.statement(these, &json!(members.add)));
        }
        statements
    }

    /// What became of it.
    fn outcome(&self, key: &str, members: &Net) -> Query<Row> {
        let asked = json!({"key": key, "add": members.add});
        let outcome = self.statement(
            "SELECT EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?3) AS done, (SELECT \
             json_array(version, members_version, member_count) FROM groups WHERE org_id = ?1 AND group_id = \
             ?2) AS version, EXISTS (SELECT 1 FROM groups WHERE org_id = ?1 AND display_name_key = ?4 ->> \
             'key' AND group_id <> ?2) AS taken, (SELECT json_group_array(value) FROM (SELECT wanted.value \
             FROM json_each(?4 -> 'add') AS wanted WHERE NOT EXISTS (SELECT 1 FROM users WHERE org_id = ?1 \
             AND user_id = wanted.value AND deleted_at IS NULL AND kind = 'person') LIMIT ?5)) AS unknown",
            &asked,
        );
        outcome.bind(MAX_UNKNOWN_SHOWN).into()
    }
}

impl Outcome {
    /// Reads the answer to a creation, or to an update: what that was to change must still be as it was read.
    ///
    /// # Errors
    /// When the row is not as expected.
    pub fn read(row: &Row, update: Option<&Update<'_>>) -> Result<Self, RowError> {
        if row.integer("done")? != 0 {
            return Ok(Self::Done);
        }
        let unknown: Vec<String> = row.json("unknown")?;
        if row.integer("taken")? != 0 {
            return Ok(Self::NameTaken);
        }
        if !unknown.is_empty() {
            return Ok(Self::UnknownMembers(unknown));
        }
        let Some(update) = update else { return Ok(Self::Conflict) };
        if row.optional_text("version")?.is_none() {
            return Ok(Self::Gone);
        }
        let (version, members_version, count): (i64, i64, i64) = row.json("version")?;
        let is_other = version != update.before.version.0;
        let has_others = members_version != update.before.version.1;
        let differs = *update.after != update.before.attributes;
        if (is_other && (differs || update.is_exact)) || (has_others && update.is_exact) {
            return Ok(Self::Conflict);
        }
        let added = i64::try_from(update.members.add.len()).unwrap_or(i64::MAX);
        if !update.members.replaces && count.saturating_add(added) > i64::from(MAX_MEMBERS) {
            return Ok(Self::TooManyMembers);
        }
        Ok(Self::Unchanged)
    }
}

/// A group that a client deletes.
#[derive(Debug)]
pub struct Deletion<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Which group.
    pub group_id: &'a GroupId,
    /// The version that it must have, where the client says.
    pub version: Option<(i64, i64)>,
}

/// The audit condition "the group is there, and in this version where one is said".
const GROUP_IS_THERE: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM groups WHERE org_id = ?1 AND group_id = ?2 ->> 0 AND (?2 ->> 1 IS NULL OR \
     (version = ?2 ->> 1 AND members_version = ?2 ->> 2)))"
);

impl Deletion<'_> {
    /// Records and deletes the group and who was in it, in one transaction.
    pub fn delete(&self, event: AuditEvent, batch: &mut Batch) -> Ticket<Deleted> {
        let log_id = event.log_id.clone();
        let (version, members_version) = self.version.unzip();
        let asked = json!([self.group_id, version, members_version]).to_string();
        let about = |text| Statement::new(text).bind(self.organization).bind(self.group_id).bind(&log_id);
        batch.then(event.record_if(GROUP_IS_THERE, asked));
        batch.then(about(
            "DELETE FROM group_members WHERE (org_id, user_id, group_id) IN (SELECT org_id, user_id, \
             group_id FROM group_members INDEXED BY group_members_by_group WHERE org_id = ?1 AND group_id = \
             ?2) AND EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?3)",
        ));
        batch.then(about(
            "DELETE FROM groups WHERE org_id = ?1 AND group_id = ?2 AND EXISTS (SELECT 1 FROM audit_events \
             WHERE org_id = ?1 AND log_id = ?3)",
        ));
        let outcome = about(
            "SELECT EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?3) AS done, EXISTS \
             (SELECT 1 FROM groups WHERE org_id = ?1 AND group_id = ?2) AS there",
        );
        batch.ask(outcome.into())
    }
}
