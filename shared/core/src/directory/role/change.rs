//! Statements that create, change and delete a role. Those of one act are one batch.

use serde_json::json;

use super::{MAX_EFFECTIVE_GRANTS, MAX_ROLES, Role, RoleDraft, RoleName, RoleRefusal, check_held};
use crate::creation_condition;
use crate::directory::role::role_columns;
use crate::id::OrganizationId;
use crate::permission::Grants;
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record::idempotency::CreationCondition;
use crate::record_condition;
use crate::sql::{Answers, Batch, FromRow, Query, Row, RowError, Statement, Ticket};

/// How many users a role is taken from at most where it is deleted by force.
pub const MAX_TAKEN_FROM: u32 = 10_000;

/// The roles that the change was decided on are what they were: `$seen` is a JSON array of `[name,
/// revision]`.
macro_rules! unchanged {
    ($seen:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM json_each(",
            $seen,
            ") AS seen WHERE NOT EXISTS (SELECT 1 FROM roles AS parent WHERE parent.org_id = ?1 AND \
             parent.role = seen.value ->> 0 AND parent.revision = seen.value ->> 1))"
        )
    };
}

/// The role `?2` is among the roles of `$seen` or those they inherit from. A CROSS JOIN is run in its order:
/// from the roles found so far to the index, not the other way round.
macro_rules! circular {
    ($seen:literal) => {
        concat!(
            "EXISTS (WITH RECURSIVE ancestors (role) AS (SELECT value ->> 0 FROM json_each(",
            $seen,
            ") UNION SELECT role_parents.parent FROM ancestors CROSS JOIN role_parents ON \
             role_parents.org_id = ?1 AND role_parents.role = ancestors.role) SELECT 1 FROM ancestors WHERE \
             role = ?2)"
        )
    };
}

/// A role that is created or changed, with everything that decides on it.
#[derive(Debug)]
pub struct RoleChange<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its name.
    pub role: &'a RoleName,
    /// What it was, as it was read; `None` where it is created.
    pub before: Option<&'a Role>,
    /// What it shall be.
    pub draft: &'a RoleDraft,
    /// The roles it shall inherit from, as they were read.
    pub parents: &'a [Role],
    /// The change's own mark: the id of its audit record.
    pub revision: &'a str,
}

/// Where the answers to a change are found.
#[derive(Clone, Copy, Debug)]
pub struct RoleChangeTickets {
    done: Ticket,
    after: Ticket<InspectedRole>,
}

/// The role as it is after the attempt.
#[derive(Debug)]
struct InspectedRole {
    role: Role,
    /// What was asked for would go round in a circle.
    is_circular: bool,
}

impl FromRow for InspectedRole {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { role: Role::from_row(row)?, is_circular: row.integer("circular")? != 0 })
    }
}

impl RoleChange<'_> {
    /// Whether a caller may make this change: it holds what the role grants now, and what it will grant.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, caller: &Grants) -> Result<(), RoleRefusal> {
        if let Some(before) = self.before {
            before.check_held(caller)?;
        }
        let effective = self.draft.effective_grants(self.parents);
        check_held(effective.iter().copied(), caller)?;
        if effective.len() > MAX_EFFECTIVE_GRANTS {
            return Err(RoleRefusal::TooManyGrants);
        }
        if self.role.is_administrator() && !self.draft.grants.iter().any(|grant| grant == "*") {
            return Err(RoleRefusal::Administrator);
        }
        Ok(())
    }

    /// Makes the change and records it. Only the first statement decides; the others do nothing unless it
    /// held.
    pub fn ask(&self, event: AuditEvent, batch: &mut Batch) -> RoleChangeTickets {
        let done = batch.then(match self.before {
            None => self.create(),
            Some(before) => self.update(before),
        });
        batch.extend([self.drop_parents(), self.add_parents(), self.spread()]);
        batch.then(event.record_if(ROLE_HAS_REVISION, json!([self.role, self.revision]).to_string()));
        RoleChangeTickets { done, after: batch.ask(self.inspect()) }
    }

    fn seen(&self) -> String {
        let seen = self.parents.iter().map(|parent| json!([parent.role, parent.revision]));
        serde_json::Value::from_iter(seen).to_string()
    }

    /// `?1` to `?6` of both.
    fn bind(&self, statement: Statement) -> Statement {
        statement
            .bind(self.organization)
            .bind(self.role)
            .bind(self.draft.description.as_deref())
            .bind(json!(self.draft.grants).to_string())
            .bind(self.revision)
            .bind(self.seen())
    }

    fn create(&self) -> Statement {
        // A new role has no heirs, so nothing can come round to it.
        self.bind(Statement::new(concat!(
            "INSERT INTO roles (org_id, role, description, grants, effective_grants, revision) SELECT ?1, \
             ?2, ?3, ?4, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM roles WHERE org_id = ?1 AND role = ?2) AND \
             (SELECT COUNT(*) FROM (SELECT 1 FROM roles WHERE org_id = ?1 LIMIT ?7)) < ?7 AND ",
            unchanged!("?6"),
            " RETURNING role"
        )))
        .bind(MAX_ROLES)
    }

    fn update(&self, before: &Role) -> Statement {
        self.bind(Statement::new(concat!(
            "UPDATE roles SET description = ?3, grants = ?4, revision = ?5 WHERE org_id = ?1 AND role = ?2 \
             AND revision = ?7 AND ",
            unchanged!("?6"),
            " AND NOT ",
            circular!("?6"),
            " RETURNING role"
        )))
        .bind(before.revision.as_str())
    }

    fn drop_parents(&self) -> Statement {
        Statement::new(
            "DELETE FROM role_parents WHERE org_id = ?1 AND role = ?2 AND parent NOT IN (SELECT value FROM \
             json_each(?4)) AND EXISTS (SELECT 1 FROM roles WHERE org_id = ?1 AND role = ?2 AND revision = \
             ?3)",
        )
        .bind(self.organization)
        .bind(self.role)
        .bind(self.revision)
        .bind(json!(self.draft.inherits).to_string())
    }

    fn add_parents(&self) -> Statement {
        Statement::new(
            "INSERT INTO role_parents (org_id, role, parent) SELECT ?1, ?2, parents.value FROM json_each(?4) \
             AS parents WHERE EXISTS (SELECT 1 FROM roles WHERE org_id = ?1 AND role = ?2 AND revision = ?3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(self.organization)
        .bind(self.role)
        .bind(self.revision)
        .bind(json!(self.draft.inherits).to_string())
    }

    /// What the role and all that inherit from it grant, anew. Who decided on any of them before reads again.
    fn spread(&self) -> Statement {
        Statement::new(
            "UPDATE roles SET revision = ?3, effective_grants = (WITH RECURSIVE ancestors (role) AS (SELECT \
             roles.role UNION SELECT role_parents.parent FROM ancestors CROSS JOIN role_parents ON \
             role_parents.org_id = ?1 AND role_parents.role = ancestors.role) SELECT \
             json_group_array(given.text) FROM (SELECT DISTINCT own.value AS text FROM ancestors CROSS JOIN \
             roles AS ancestor ON ancestor.org_id = ?1 AND ancestor.role = ancestors.role JOIN \
             json_each(ancestor.grants) AS own ORDER BY own.value) AS given) WHERE org_id = ?1 AND role IN \
             (WITH RECURSIVE heirs (role) AS (SELECT ?2 UNION SELECT role_parents.role FROM heirs CROSS JOIN \
             role_parents INDEXED BY role_parents_by_parent ON role_parents.org_id = ?1 AND \
             role_parents.parent = heirs.role) SELECT role FROM heirs) AND EXISTS (SELECT 1 FROM roles AS \
             changed WHERE changed.org_id = ?1 AND changed.role = ?2 AND changed.revision = ?3)",
        )
        .bind(self.organization)
        .bind(self.role)
        .bind(self.revision)
    }

    fn inspect(&self) -> Query<InspectedRole> {
        Query::new(concat!(
            "SELECT ",
            role_columns!(),
            ", ",
            circular!("?3"),
            " AS circular FROM roles WHERE org_id = ?1 AND role = ?2"
        ))
        .bind(self.organization)
        .bind(self.role)
        .bind(self.seen())
    }

    /// Tells what became of it.
    ///
    /// # Errors
    /// When a row is not as expected.
    pub fn verdict(&self, answers: &Answers, tickets: RoleChangeTickets) -> Result<ChangeVerdict, RowError> {
        let is_done = answers.did(tickets.done)?;
        Ok(match (answers.one(tickets.after)?, self.before) {
            (Some(after), _) if is_done => ChangeVerdict::Done(Box::new(after.role)),
            (Some(_), None) => ChangeVerdict::Exists,
            (None, None) => ChangeVerdict::NotCreated,
            (None, Some(_)) => ChangeVerdict::Gone,
            (Some(after), Some(_)) if after.is_circular => ChangeVerdict::Circular,
            (Some(_), Some(_)) => ChangeVerdict::ChangedMeanwhile,
        })
    }
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeVerdict {
    /// It holds; the role as it is now.
    Done(Box<Role>),
    /// There is a role of that name already.
    Exists,
    /// The organization has [`MAX_ROLES`] already, or what the new role was to inherit from has changed.
    NotCreated,
    /// There is no such role any more.
    Gone,
    /// The role would inherit from itself.
    Circular,
    /// The role, or one it inherits from, is not what it was when it was read.
    ChangedMeanwhile,
}

/// Whether an organization has [`MAX_ROLES`].
#[derive(Clone, Copy, Debug)]
pub struct RolesFull(pub bool);

impl FromRow for RolesFull {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self(row.integer("full")? != 0))
    }
}

/// Whether an organization has [`MAX_ROLES`].
pub fn is_full(organization: &OrganizationId) -> Query<RolesFull> {
    Query::new("SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM roles WHERE org_id = ?1 LIMIT ?2)) >= ?2 AS full")
        .bind(organization)
        .bind(MAX_ROLES)
}

/// The audit condition "the role exists in this revision"; `?2` is a JSON array of the two.
pub const ROLE_HAS_REVISION: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM roles WHERE org_id = ?1 AND role = ?2 ->> 0 AND revision = ?2 ->> 1)"
);

/// The idempotency condition "the role exists in this revision"; `?4` is a JSON array of the two.
pub const ROLE_CREATED: CreationCondition = creation_condition!(
    "EXISTS (SELECT 1 FROM roles WHERE org_id = ?1 AND role = ?4 ->> 0 AND revision = ?4 ->> 1)"
);

/// The role may be deleted: `$asked` is a JSON array of its name, its revision as it was read, whether by
/// force, and from how many users at most.
macro_rules! deletable {
    ($asked:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM roles AS there WHERE there.org_id = ?1 AND there.role = ",
            $asked,
            " ->> 0 AND there.revision = ",
            $asked,
            " ->> 1) AND NOT EXISTS (SELECT 1 FROM role_parents INDEXED BY role_parents_by_parent WHERE \
             org_id = ?1 AND parent = ",
            $asked,
            " ->> 0) AND (SELECT COUNT(*) FROM (SELECT DISTINCT user_id FROM user_roles INDEXED BY \
             user_roles_by_role WHERE org_id = ?1 AND role = ",
            $asked,
            " ->> 0 LIMIT ",
            $asked,
            " ->> 3)) < CASE WHEN ",
            $asked,
            " ->> 2 THEN ",
            $asked,
            " ->> 3 ELSE 1 END"
        )
    };
}

/// Writes the record where the role may be deleted, with the number of users who had it.
const ROLE_DELETABLE: RecordCondition = crate::record_rows!(
    details: "json_set(?13, '$.taken_from', (SELECT COUNT(DISTINCT user_id) FROM user_roles INDEXED BY \
         user_roles_by_role WHERE org_id = ?1 AND role = ?2 ->> 0))",
    from: " WHERE ",
    deletable!("?2")
);

/// A role that is deleted.
#[derive(Debug)]
pub struct RoleDeletion<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The role as it was read.
    pub role: &'a Role,
    /// Whether it is taken from the users who have it.
    pub by_force: bool,
}

/// Where the answers to a deletion are found.
#[derive(Clone, Copy, Debug)]
pub struct RoleDeletionTickets {
    deleted: Ticket,
    hindrance: Ticket<Hindrance>,
}

/// What may be in the way of a deletion.
#[derive(Debug)]
struct Hindrance {
    is_present: bool,
    is_inherited: bool,
    /// How many users have it, [`MAX_TAKEN_FROM`] and one at most.
    holders: i64,
}

impl FromRow for Hindrance {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let is = |column| row.integer(column).map(|number| number != 0);
        Ok(Self {
            is_present: is("present")?,
            is_inherited: is("inherited")?,
            holders: row.integer("holders")?,
        })
    }
}

impl RoleDeletion<'_> {
    /// Whether a caller may delete it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, caller: &Grants) -> Result<(), RoleRefusal> {
        self.role.check_held(caller)?;
        if self.role.role.is_administrator() { Err(RoleRefusal::Administrator) } else { Ok(()) }
    }

    /// Deletes the role with what hung on it, recorded if it may be deleted.
    pub fn ask(&self, event: AuditEvent, batch: &mut Batch) -> RoleDeletionTickets {
        let asked =
            json!([self.role.role, self.role.revision, self.by_force, MAX_TAKEN_FROM + 1]).to_string();
        let about = |text: &'static str| Statement::new(text).bind(self.organization).bind(&self.role.role);
        batch.then(event.record_if(ROLE_DELETABLE, asked.as_str()));
        let delete = Statement::new(concat!(
            "DELETE FROM roles WHERE org_id = ?1 AND role = ?2 ->> 0 AND ",
            deletable!("?2"),
            " RETURNING role"
        ));
        let deleted = batch.then(delete.bind(self.organization).bind(asked));
        batch.then(about(
            "DELETE FROM user_roles WHERE org_id = ?1 AND role = ?2 AND NOT EXISTS (SELECT 1 FROM roles \
             WHERE org_id = ?1 AND role = ?2)",
        ));
        batch.then(about(
            "DELETE FROM role_parents WHERE org_id = ?1 AND role = ?2 AND NOT EXISTS (SELECT 1 FROM roles \
             WHERE org_id = ?1 AND role = ?2)",
        ));
        let hindrance = about(
            "SELECT EXISTS (SELECT 1 FROM roles WHERE org_id = ?1 AND role = ?2) AS present, EXISTS (SELECT \
             1 FROM role_parents INDEXED BY role_parents_by_parent WHERE org_id = ?1 AND parent = ?2) AS \
             inherited, (SELECT COUNT(*) FROM (SELECT DISTINCT user_id FROM user_roles INDEXED BY \
             user_roles_by_role WHERE org_id = ?1 AND role = ?2 LIMIT ?3)) AS holders",
        );
        let hindrance = batch.ask(hindrance.bind(MAX_TAKEN_FROM + 1).into());
        RoleDeletionTickets { deleted, hindrance }
    }

    /// Tells what became of it.
    ///
    /// # Errors
    /// When a row is not as expected.
    pub fn verdict(
        &self,
        answers: &Answers,
        tickets: RoleDeletionTickets,
    ) -> Result<DeletionVerdict, RowError> {
        if answers.did(tickets.deleted)? {
            return Ok(DeletionVerdict::Done);
        }
        let hindrance = answers.one(tickets.hindrance)?.ok_or(RowError::unreadable("present"))?;
        let most = if self.by_force { MAX_TAKEN_FROM } else { 0 };
        Ok(match hindrance {
            Hindrance { is_present: false, .. } => DeletionVerdict::Gone,
            Hindrance { is_inherited: true, .. } => DeletionVerdict::Inherited,
            Hindrance { holders, .. } if holders > i64::from(most) => DeletionVerdict::InUse,
            Hindrance { .. } => DeletionVerdict::ChangedMeanwhile,
        })
    }
}

/// What a deletion came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionVerdict {
    /// It is deleted.
    Done,
    /// There is no such role any more.
    Gone,
    /// Another role inherits from it.
    Inherited,
    /// Users have it: any, or by force more than [`MAX_TAKEN_FROM`].
    InUse,
    /// It is not what it was when it was read.
    ChangedMeanwhile,
}
