//! Who is in a group: a page of users, and users put in and taken out.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::directory::managed::{LocalEdits, kept_by_scim};
use crate::directory::role::member::Member;
use crate::id::{GroupId, LogId, OrganizationId, UserId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};

/// How many users one request puts into a group at most.
pub const MAX_ADDED: usize = 500;

/// A page of the users in a group, oldest first, after the user `after`. One row more than `limit` tells that
/// there is another page.
pub fn page(
    organization: &OrganizationId,
    group_id: &GroupId,
    after: Option<&UserId>,
    limit: u32,
) -> Query<Member> {
    Query::new(
        "SELECT users.user_id, users.username, users.display_name, users.status FROM group_members INDEXED \
         BY group_members_by_group CROSS JOIN users ON users.org_id = group_members.org_id AND users.user_id \
         = group_members.user_id WHERE group_members.org_id = ?1 AND group_members.group_id = ?2 AND \
         group_members.user_id > ?3 AND users.deleted_at IS NULL ORDER BY group_members.user_id LIMIT ?4",
    )
    .bind(organization)
    .bind(group_id)
    .bind(after.map_or("", UserId::as_str))
    .bind(limit.saturating_add(1))
}

/// The group `$asked ->> 0` is there and SCIM does not keep it: `$asked -> 2` is what [`LocalEdits`] says.
macro_rules! group_open {
    ($asked:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM groups AS open WHERE open.org_id = ?1 AND open.group_id = ",
            $asked,
            " ->> 0 AND NOT ",
            kept_by_scim!("open", concat!($asked, " -> 2")),
            ")"
        )
    };
}

/// Records each of `?2 ->> 1` (pairs of user and record id) who is about to come into the group `?2 ->> 0`.
const EACH_ADDED: RecordCondition = crate::record_rows!(
    log_id: "COALESCE(added.value ->> 1, ?12)",
    details: "json_set(?13, '$.member', added.value ->> 0)",
    from: " FROM json_each(?2 -> 1) AS added WHERE ",
    group_open!("?2"),
    " AND EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = added.value ->> 0 AND deleted_at IS \
     NULL) AND NOT EXISTS (SELECT 1 FROM group_members WHERE org_id = ?1 AND user_id = added.value ->> 0 AND \
     group_id = ?2 ->> 0)",
);

/// Records that the user `?2 ->> 1` is about to leave the group `?2 ->> 0`.
const IS_MEMBER: RecordCondition = crate::record_rows!(from: " FROM \
     group_members WHERE org_id = ?1 AND user_id = ?2 ->> 1 AND group_id = ?2 ->> 0 AND ",
    group_open!("?2")
);

/// The group `?2 ->> 0` as who is put in or taken out sees it: its `display_name`, and whether it is `kept`
/// by SCIM.
const INSPECT_GROUP: &str = concat!(
    "SELECT groups.display_name, ",
    kept_by_scim!("groups", "?2 -> 2"),
    " AS kept FROM groups WHERE groups.org_id = ?1 AND groups.group_id = ?2 ->> 0"
);

/// Where the answers to users being put into a group are found.
#[derive(Clone, Copy, Debug)]
pub struct AdditionTickets {
    /// The group, where there is one.
    pub group: Ticket<GroupInspection>,
    /// How each stood before.
    pub standings: Ticket<UserStanding>,
}

/// Puts users into a group, each of them once, unless SCIM keeps it; each who comes in is recorded.
pub fn add(
    organization: &OrganizationId,
    group_id: &GroupId,
    users: &[(UserId, LogId)],
    edits: &LocalEdits<'_>,
    event: AuditEvent,
    batch: &mut Batch,
) -> AdditionTickets {
    let asked = json!([group_id, users, edits.condition()]).to_string();
    let bound = |text| Statement::new(text).bind(organization).bind(asked.as_str());
    let group = batch.ask(bound(INSPECT_GROUP).into());
    let standings = bound(
        "SELECT added.value ->> 0 AS user_id, EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = \
         added.value ->> 0 AND deleted_at IS NULL) AS known, EXISTS (SELECT 1 FROM group_members WHERE \
         org_id = ?1 AND user_id = added.value ->> 0 AND group_id = ?2 ->> 0) AS member FROM json_each(?2 -> \
         1) AS added",
    );
    let standings = batch.ask(standings.into());
    batch.then(event.record_if(EACH_ADDED, asked.as_str()));
    batch.then(bound(concat!(
        "INSERT INTO group_members (org_id, user_id, group_id) SELECT ?1, added.value ->> 0, ?2 ->> 0 FROM \
         json_each(?2 -> 1) AS added WHERE ",
        group_open!("?2"),
        " AND EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = added.value ->> 0 AND deleted_at \
         IS NULL) ON CONFLICT DO NOTHING"
    )));
    AdditionTickets { group, standings }
}

/// Where the answers to a user being taken out of a group are found.
#[derive(Clone, Copy, Debug)]
pub struct RemovalTickets {
    /// The group, where there is one.
    pub group: Ticket<GroupInspection>,
    /// Whether there is such a user.
    pub user: Ticket<UserKnown>,
}

/// Whether there is such a user.
#[derive(Clone, Copy, Debug)]
pub struct UserKnown(pub bool);

impl FromRow for UserKnown {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self(row.integer("known")? != 0))
    }
}

/// Takes a user out of a group, unless SCIM keeps it; recorded where it was in it.
pub fn remove(
    organization: &OrganizationId,
    group_id: &GroupId,
    user_id: &UserId,
    edits: &LocalEdits<'_>,
    event: AuditEvent,
    batch: &mut Batch,
) -> RemovalTickets {
    let asked = json!([group_id, user_id, edits.condition()]).to_string();
    let bound = |text| Statement::new(text).bind(organization).bind(asked.as_str());
    let group = batch.ask(bound(INSPECT_GROUP).into());
    batch.then(event.record_if(IS_MEMBER, asked.as_str()));
    batch.then(bound(concat!(
        "DELETE FROM group_members WHERE org_id = ?1 AND user_id = ?2 ->> 1 AND group_id = ?2 ->> 0 AND ",
        group_open!("?2")
    )));
    let user = bound(
        "SELECT EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 ->> 1 AND deleted_at IS NULL) \
         AS known",
    );
    RemovalTickets { group, user: batch.ask(user.into()) }
}

/// A group as who is put in or taken out sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInspection {
    /// Its name for people.
    pub display_name: String,
    /// Whether SCIM alone decides who is in it.
    pub is_kept: bool,
}

impl FromRow for GroupInspection {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { display_name: row.text("display_name")?.to_owned(), is_kept: row.integer("kept")? != 0 })
    }
}

/// How a user stood to a group before it was put into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It came in.
    Added,
    /// It was in it already.
    AlreadyMember,
    /// There is no such user.
    UnknownUser,
}

/// A user, and how it stood to a group before it was put into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserStanding {
    /// The user.
    pub user_id: UserId,
    /// How it stood.
    pub standing: Standing,
}

impl FromRow for UserStanding {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let standing = match (row.integer("known")?, row.integer("member")?) {
            (0, _) => Standing::UnknownUser,
            (_, 0) => Standing::Added,
            _ => Standing::AlreadyMember,
        };
        Ok(Self { user_id: UserId::from_column(row, "user_id")?, standing })
    }
}
