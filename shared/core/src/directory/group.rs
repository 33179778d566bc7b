//! Groups: found, created, changed, deleted.

pub mod member;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::directory::managed::{LocalEdits, kept_by_scim};
use crate::directory::role_mapping::name_mapped;
use crate::id::{GroupId, OrganizationId, UserId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record::idempotency::CreationCondition;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::Timestamp;
use crate::{creation_condition, record_condition};

/// The longest display name, in characters.
pub const MAX_NAME_CHARACTERS: usize = 128;

/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARACTERS: usize = 512;

/// How many groups a page holds at most.
pub const MAX_PAGE: u32 = 100;

/// What uniqueness goes by: the display name without regard to case, trimmed.
#[must_use]
pub fn display_name_key(display_name: &str) -> String {
    display_name.trim().to_lowercase()
}

/// A group as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Its id.
    pub group_id: GroupId,
    /// Its name for people, unique without regard to case.
    pub display_name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Its id with the identity provider that manages it.
    pub external_id: Option<String>,
    /// Who manages it: `manual` or `scim`.
    pub managed_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed; who is in it does not count.
    pub updated_at: Timestamp,
    /// Counts its changes; also its `ETag`.
    pub version: i64,
}

/// The columns a [`Group`] is read from.
macro_rules! group_columns {
    () => {
        "groups.group_id, groups.display_name, groups.description, groups.external_id, groups.managed_by, \
         groups.created_at, groups.updated_at, groups.version"
    };
}

impl FromRow for Group {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            group_id: GroupId::from_column(row, "group_id")?,
            display_name: row.text("display_name")?.to_owned(),
            description: row.optional_text("description")?.map(str::to_owned),
            external_id: row.optional_text("external_id")?.map(str::to_owned),
            managed_by: row.text("managed_by")?.to_owned(),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            updated_at: Timestamp::from_millis(row.integer("updated_at")?),
            version: row.integer("version")?,
        })
    }
}

impl Group {
    /// Finds a group; where `member` is given, only if that user is in it.
    pub fn find(organization: &OrganizationId, group_id: &GroupId, member: Option<&UserId>) -> Query<Self> {
        Query::new(concat!(
            "SELECT ",
            group_columns!(),
            " FROM groups WHERE org_id = ?1 AND group_id = ?2 AND (?3 IS NULL OR EXISTS (SELECT 1 FROM \
             group_members WHERE org_id = ?1 AND user_id = ?3 AND group_id = ?2))"
        ))
        .bind(organization)
        .bind(group_id)
        .bind(member)
    }

    /// Finds the group of this name.
    pub fn by_display_name(organization: &OrganizationId, display_name: &str) -> Query<Self> {
        Query::new(concat!(
            "SELECT ",
            group_columns!(),
            " FROM groups WHERE org_id = ?1 AND display_name_key = ?2"
        ))
        .bind(organization)
        .bind(display_name_key(display_name))
    }

    /// A page of groups by name, whose names begin with `prefix`, after the group with the key `after`. One
    /// row more than `limit` tells that there is another page.
    pub fn page(organization: &OrganizationId, prefix: &str, after: Option<&str>, limit: u32) -> Query<Self> {
        let prefix = display_name_key(prefix);
        // Beyond every name that begins so: U+10FFFF is a noncharacter, and no name holds one.
        let end = format!("{prefix}{}", char::MAX);
        let query = Query::new(match after {
            None => concat!(
                "SELECT ",
                group_columns!(),
                " FROM groups INDEXED BY groups_by_display_name WHERE org_id = ?1 AND display_name_key >= ?2 \
                 AND display_name_key < ?3 ORDER BY display_name_key LIMIT ?4"
            ),
            Some(_) => concat!(
                "SELECT ",
                group_columns!(),
                " FROM groups INDEXED BY groups_by_display_name WHERE org_id = ?1 AND display_name_key > ?2 \
                 AND display_name_key < ?3 ORDER BY display_name_key LIMIT ?4"
            ),
        });
        // A cursor of another prefix begins where this one does.
        let from = after.map_or(prefix.as_str(), |after| after.max(prefix.as_str()));
        query.bind(organization).bind(from).bind(end).bind(limit.saturating_add(1))
    }
}

/// A group that is about to be created.
#[derive(Debug)]
pub struct NewGroup<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The group.
    pub group: &'a Group,
}

impl NewGroup<'_> {
    /// Creates the group unless there is one of its name; returns its id if so.
    #[must_use]
    pub fn create(&self) -> Statement {
        let group = self.group;
        Statement::new(
            "INSERT INTO groups (org_id, group_id, display_name, display_name_key, description, external_id, \
             managed_by, created_at, updated_at, version) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9 \
             WHERE NOT EXISTS (SELECT 1 FROM groups WHERE org_id = ?1 AND display_name_key = ?4) RETURNING \
             group_id",
        )
        .bind(self.organization)
        .bind(&group.group_id)
        .bind(group.display_name.as_str())
        .bind(display_name_key(&group.display_name))
        .bind(group.description.as_deref())
        .bind(group.external_id.as_deref())
        .bind(group.managed_by.as_str())
        .bind(group.created_at)
        .bind(group.version)
    }
}

/// The audit condition "the group `?2` exists".
pub const GROUP_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM groups WHERE org_id = ?1 AND group_id = ?2)");

/// The idempotency condition "the group `?4` exists".
pub const GROUP_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM groups WHERE org_id = ?1 AND group_id = ?4)");

/// Another group has the name: `$asked` is a JSON array of the group's id, the version that it must have or
/// null, its new name's key or null, its new name or null, and what [`LocalEdits`] says.
macro_rules! name_taken {
    ($asked:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM groups AS other INDEXED BY groups_by_display_name WHERE other.org_id = ?1 \
             AND other.display_name_key = ",
            $asked,
            " ->> 2 AND other.group_id <> ",
            $asked,
            " ->> 0)"
        )
    };
}

/// The group shall get another name, and SCIM decides on its name: it is SCIM's, or would give roles under
/// the new name.
macro_rules! name_kept {
    ($asked:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM groups AS named WHERE named.org_id = ?1 AND named.group_id = ",
            $asked,
            " ->> 0 AND named.display_name <> ",
            $asked,
            " ->> 3 AND (",
            kept_by_scim!("named", concat!($asked, " -> 4")),
            " OR (named.managed_by = 'scim' AND ",
            name_mapped!(concat!($asked, " ->> 2"), concat!($asked, " -> 4 -> 'mapped'")),
            ")))"
        )
    };
}

/// The group may change.
macro_rules! changeable {
    ($asked:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM groups AS there WHERE there.org_id = ?1 AND there.group_id = ",
            $asked,
            " ->> 0 AND (",
            $asked,
            " ->> 1 IS NULL OR there.version = ",
            $asked,
            " ->> 1)) AND NOT ",
            name_taken!($asked),
            " AND NOT ",
            name_kept!($asked)
        )
    };
}

const GROUP_CHANGEABLE: RecordCondition = record_condition!(changeable!("?2"));

/// A change of a group. What is `None` stays.
#[derive(Debug)]
pub struct GroupChange<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The group.
    pub group_id: &'a GroupId,
    /// The version that it must have.
    pub version: Option<i64>,
    /// Its new name.
    pub display_name: Option<&'a str>,
    /// Its new description; an inner `None` takes it away.
    pub description: Option<Option<&'a str>>,
    /// What may be changed of what SCIM manages.
    pub edits: &'a LocalEdits<'a>,
    /// Now.
    pub now: Timestamp,
}

/// Where the answers to a change are found.
#[derive(Clone, Copy, Debug)]
pub struct GroupChangeTickets {
    /// Whether it held.
    pub changed: Ticket,
    /// The group as it is now, where there is one.
    pub after: Ticket<InspectedGroup>,
}

/// A group that was to be changed, and what was in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedGroup {
    /// The group as it is.
    pub group: Group,
    /// Another group has its new name.
    pub is_name_taken: bool,
    /// SCIM decides on its name.
    pub is_name_kept: bool,
}

impl FromRow for InspectedGroup {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            group: Group::from_row(row)?,
            is_name_taken: row.integer("name_taken")? != 0,
            is_name_kept: row.integer("name_kept")? != 0,
        })
    }
}

impl GroupChange<'_> {
    /// Records the change and makes it.
    pub fn ask(&self, event: AuditEvent, batch: &mut Batch) -> GroupChangeTickets {
        let key = self.display_name.map(display_name_key);
        let asked =
            json!([self.group_id, self.version, key, self.display_name, self.edits.condition()]).to_string();
        let change = Statement::new(concat!(
            "UPDATE groups SET display_name = COALESCE(?3, display_name), display_name_key = COALESCE(?2 ->> \
             2, display_name_key), description = CASE WHEN ?4 THEN ?5 ELSE description END, updated_at = ?6, \
             version = version + 1 WHERE org_id = ?1 AND group_id = ?2 ->> 0 AND ",
            changeable!("?2"),
            " RETURNING group_id"
        ))
        .bind(self.organization)
        .bind(asked.as_str())
        .bind(self.display_name)
        .bind(self.description.is_some())
        .bind(self.description.flatten())
        .bind(self.now);
        let after = Query::new(concat!(
            "SELECT ",
            group_columns!(),
            ", ",
            name_taken!("?2"),
            " AS name_taken, ",
            name_kept!("?2"),
            " AS name_kept FROM groups WHERE org_id = ?1 AND group_id = ?2 ->> 0"
        ))
        .bind(self.organization)
        .bind(asked.as_str());
        batch.then(event.record_if(GROUP_CHANGEABLE, asked));
        GroupChangeTickets { changed: batch.then(change), after: batch.ask(after) }
    }
}

/// The group may be deleted: it is there and SCIM does not keep it.
const GROUP_DELETABLE: RecordCondition = crate::record_rows!(from: " FROM groups \
     WHERE groups.org_id = ?1 AND groups.group_id = ?2 ->> 0 AND NOT ",
    kept_by_scim!("groups", "?2 -> 1")
);

/// Where the answers to a deletion are found.
#[derive(Clone, Copy, Debug)]
pub struct GroupDeletionTickets {
    /// Whether it is deleted.
    pub deleted: Ticket,
    /// The group where it stays.
    pub kept: Ticket<KeptGroup>,
}

/// A group that SCIM keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptGroup {
    /// Its name for people.
    pub display_name: String,
}

impl FromRow for KeptGroup {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { display_name: row.text("display_name")?.to_owned() })
    }
}

/// Deletes a group and who was in it, recorded if it was there and SCIM does not keep it.
pub fn delete(
    organization: &OrganizationId,
    group_id: &GroupId,
    edits: &LocalEdits<'_>,
    event: AuditEvent,
    batch: &mut Batch,
) -> GroupDeletionTickets {
    let edits = edits.condition();
    let bound = |text| Statement::new(text).bind(organization).bind(group_id);
    batch.then(event.record_if(GROUP_DELETABLE, json!([group_id, edits]).to_string()));
    let delete = bound(concat!(
        "DELETE FROM groups WHERE org_id = ?1 AND group_id = ?2 AND NOT ",
        kept_by_scim!("groups", "?3"),
        " RETURNING group_id"
    ));
    let deleted = batch.then(delete.bind(edits.to_string()));
    batch.then(bound(
        "DELETE FROM group_members WHERE (org_id, user_id, group_id) IN (SELECT org_id, user_id, group_id \
         FROM group_members INDEXED BY group_members_by_group WHERE org_id = ?1 AND group_id = ?2) AND NOT \
         EXISTS (SELECT 1 FROM groups WHERE org_id = ?1 AND group_id = ?2)",
    ));
    let kept = bound("SELECT display_name FROM groups WHERE org_id = ?1 AND group_id = ?2");
    GroupDeletionTickets { deleted, kept: batch.ask(kept.into()) }
}
