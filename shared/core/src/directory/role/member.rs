//! Who has a role: a page of users, and one user more or less.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{Role, RoleName};
use crate::directory::account::UserStatus;
use crate::directory::{ADMINISTRATOR, MAX_ROLES_PER_USER};
use crate::id::{OrganizationId, UserId};
use crate::record::audit::AuditEvent;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};

/// How many members a page holds at most.
pub const MAX_MEMBERS_PAGE: u32 = 200;

/// A user as a member of a role or a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Member {
    /// Its id.
    pub user_id: UserId,
    /// Its name for signing in.
    pub username: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Whether it may act.
    pub status: UserStatus,
}

impl FromRow for Member {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            user_id: UserId::from_column(row, "user_id")?,
            username: row.text("username")?.to_owned(),
            display_name: row.optional_text("display_name")?.map(str::to_owned),
            status: row.text("status")?.parse()?,
        })
    }
}

/// A page of the users who have a role, each once whoever gives it, oldest first, after the user `after`. One
/// row more than `limit` tells that there is another page.
pub fn page(
    organization: &OrganizationId,
    role: &RoleName,
    after: Option<&UserId>,
    limit: u32,
) -> Query<Member> {
    Query::new(
        "SELECT users.user_id, users.username, users.display_name, users.status FROM user_roles INDEXED BY \
         user_roles_by_role CROSS JOIN users ON users.org_id = user_roles.org_id AND users.user_id = \
         user_roles.user_id WHERE user_roles.org_id = ?1 AND user_roles.role = ?2 AND user_roles.user_id > \
         ?3 AND users.deleted_at IS NULL GROUP BY user_roles.user_id ORDER BY user_roles.user_id LIMIT ?4",
    )
    .bind(organization)
    .bind(role)
    .bind(after.map_or("", UserId::as_str))
    .bind(limit.saturating_add(1))
}

/// The user has the role: `$asked` is a JSON array of role, revision, user. `$via` is `= ''` where somebody
/// gave it to the user itself, `<> ''` where a group gives it.
macro_rules! has_role {
    ($asked:literal, $via:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM user_roles AS held WHERE held.org_id = ?1 AND held.user_id = ",
            $asked,
            " ->> 2 AND held.role = ",
            $asked,
            " ->> 0 AND held.via_group ",
            $via,
            ")"
        )
    };
}

/// The role is what it was when it was read.
macro_rules! role_unchanged {
    ($asked:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM roles AS there WHERE there.org_id = ?1 AND there.role = ",
            $asked,
            " ->> 0 AND there.revision = ",
            $asked,
            " ->> 1)"
        )
    };
}

macro_rules! user_exists {
    ($asked:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM users AS person WHERE person.org_id = ?1 AND person.user_id = ",
            $asked,
            " ->> 2 AND person.deleted_at IS NULL)"
        )
    };
}

/// The user has fewer roles than it may have, whoever gives them: `$asked ->> 3`.
macro_rules! has_room {
    ($asked:literal) => {
        concat!(
            "(SELECT COUNT(*) FROM (SELECT DISTINCT role FROM user_roles WHERE org_id = ?1 AND user_id = ",
            $asked,
            " ->> 2 LIMIT ",
            $asked,
            " ->> 3)) < ",
            $asked,
            " ->> 3"
        )
    };
}

/// Somebody else who may act is an administrator, or the role is another (`$asked ->> 4` is the
/// administrators' role).
macro_rules! administrator_remains {
    ($asked:literal) => {
        concat!(
            "(",
            $asked,
            " ->> 0 <> ",
            $asked,
            " ->> 4 OR EXISTS (SELECT 1 FROM user_roles AS other INDEXED BY user_roles_by_role CROSS JOIN \
             users ON users.org_id = other.org_id AND users.user_id = other.user_id WHERE other.org_id = ?1 \
             AND other.role = ",
            $asked,
            " ->> 4 AND other.user_id <> ",
            $asked,
            " ->> 2 AND users.status = 'active' AND users.deleted_at IS NULL))"
        )
    };
}

macro_rules! addable {
    ($asked:literal) => {
        concat!(
            "NOT ",
            has_role!($asked, "= ''"),
            " AND ",
            role_unchanged!($asked),
            " AND ",
            user_exists!($asked),
            " AND ",
            "(",
            has_role!($asked, "<> ''"),
            " OR ",
            has_room!($asked),
            ")"
        )
    };
}

/// Where a group gives the role too it stays: the user would have it all the same.
macro_rules! removable {
    ($asked:literal) => {
        concat!(
            has_role!($asked, "= ''"),
            " AND NOT ",
            has_role!($asked, "<> ''"),
            " AND ",
            role_unchanged!($asked),
            " AND ",
            administrator_remains!($asked)
        )
    };
}

/// One user that gets or loses a role.
#[derive(Debug)]
pub struct RoleMembership<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The role as it was read.
    pub role: &'a Role,
    /// The user.
    pub user_id: &'a UserId,
}

impl RoleMembership<'_> {
    fn asked(&self) -> String {
        let (role, revision) = (&self.role.role, &self.role.revision);
        json!([role, revision, self.user_id, MAX_ROLES_PER_USER, ADMINISTRATOR]).to_string()
    }

    fn bound(&self, text: &'static str) -> Statement {
        Statement::new(text).bind(self.organization).bind(self.asked())
    }

    /// Gives the role to the user itself. It is recorded, and done, only where it was not given yet.
    pub fn add(&self, event: AuditEvent, batch: &mut Batch) -> Ticket<MembershipOutcome> {
        batch.then(event.record_if(const { crate::record_condition!(addable!("?2")) }, self.asked()));
        batch.then(self.bound(concat!(
            "INSERT INTO user_roles (org_id, user_id, role) SELECT ?1, ?2 ->> 2, ?2 ->> 0 WHERE ",
            addable!("?2")
        )));
        batch.ask(self.outcome())
    }

    /// Takes the role away. It is recorded, and done, only where the user has it and no group gives it.
    pub fn remove(&self, event: AuditEvent, batch: &mut Batch) -> Ticket<MembershipOutcome> {
        batch.then(event.record_if(const { crate::record_condition!(removable!("?2")) }, self.asked()));
        batch.then(self.bound(concat!(
            "DELETE FROM user_roles WHERE org_id = ?1 AND user_id = ?2 ->> 2 AND role = ?2 ->> 0 AND \
             via_group = '' AND ",
            removable!("?2")
        )));
        batch.ask(self.outcome())
    }

    fn outcome(&self) -> Query<MembershipOutcome> {
        self.bound(concat!(
            "SELECT ",
            has_role!("?2", "= ''"),
            " AS given, ",
            has_role!("?2", "<> ''"),
            " AS by_group, ",
            role_unchanged!("?2"),
            " AS unchanged, ",
            user_exists!("?2"),
            " AS known, ",
            has_room!("?2"),
            " AS room, ",
            administrator_remains!("?2"),
            " AS administered"
        ))
        .into()
    }
}

/// How a membership stands after the attempt to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipOutcome {
    /// Somebody gave the role to the user itself.
    pub is_given: bool,
    /// A group gives the role to the user.
    pub is_by_group: bool,
    /// The role is still what it was when it was read.
    pub is_unchanged: bool,
    /// There is such a user.
    pub is_known: bool,
    /// The user has fewer roles than it may.
    pub has_room: bool,
    /// The organization would still have an administrator.
    pub is_administered: bool,
}

impl FromRow for MembershipOutcome {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let is = |column| row.integer(column).map(|number| number != 0);
        Ok(Self {
            is_given: is("given")?,
            is_by_group: is("by_group")?,
            is_unchanged: is("unchanged")?,
            is_known: is("known")?,
            has_room: is("room")?,
            is_administered: is("administered")?,
        })
    }
}
