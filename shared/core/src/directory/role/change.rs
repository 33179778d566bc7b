//! Statements that create, change and delete a role. Those of one act are one batch.

use serde_json::json;

use super::{
    ADMINISTRATOR, MAX_EFFECTIVE_GRANTS, MAX_ROLES, Role, RoleDraft, RoleName, RoleRefusal, check_held,
};
use crate::creation_condition;
use crate::directory::role::role_columns;
use crate::id::OrganizationId;
use crate::permission::Grants;
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record::idempotency::CreationCondition;
use crate::record_condition;
use crate::sql::{Row, RowError, Rows, Statement};

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

    /// The change without its audit record, to run as one batch in front of [`RoleChange::outcome`]. The
    /// first answers with a row if it holds; the others do nothing otherwise.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement> {
        let first = match self.before {
            None => self.create(),
            Some(before) => self.update(before),
        };
        vec![first, self.drop_parents(), self.add_parents(), self.spread()]
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

    /// The audit record, after [`RoleChange::statements`]: written if they held.
    #[must_use]
    pub fn record(&self, event: AuditEvent) -> Statement {
        event.record_if(ROLE_HAS_REVISION, json!([self.role, self.revision]).to_string())
    }

    /// What became of it: the role as it is now, and whether what was asked for is circular.
    #[must_use]
    pub fn outcome(&self) -> Statement {
        Statement::new(concat!(
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

    /// Tells what became of it, from the rows of the first statement and those of [`RoleChange::outcome`].
    ///
    /// # Errors
    /// When a row is not as expected.
    pub fn verdict(&self, first: &Rows, outcome: &Rows) -> Result<ChangeVerdict, RowError> {
        let there: Option<Role> = outcome.decode_first()?;
        let is_circular = outcome.first().map(|row| row.integer("circular")).transpose()? == Some(1);
        Ok(match (there, self.before) {
            (Some(role), _) if !first.is_empty() => ChangeVerdict::Done(Box::new(role)),
            (Some(_), None) => ChangeVerdict::Exists,
            (None, None) => ChangeVerdict::NotCreated,
            (None, Some(_)) => ChangeVerdict::Gone,
            (Some(_), Some(_)) if is_circular => ChangeVerdict::Circular,
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

/// Whether an organization has [`MAX_ROLES`]: the column `full`.
#[must_use]
pub fn is_full(organization: &OrganizationId) -> Statement {
    Statement::new(
        "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM roles WHERE org_id = ?1 LIMIT ?2)) >= ?2 AS full",
    )
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

impl RoleDeletion<'_> {
    /// Whether a caller may delete it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, caller: &Grants) -> Result<(), RoleRefusal> {
        self.role.check_held(caller)?;
        if self.role.role.as_str() == ADMINISTRATOR { Err(RoleRefusal::Administrator) } else { Ok(()) }
    }

    /// The batch: the record, the deletion (a row if it held), what hung on the role, and what is in the way.
    #[must_use]
    pub fn statements(&self, event: AuditEvent) -> Vec<Statement> {
        let asked =
            json!([self.role.role, self.role.revision, self.by_force, MAX_TAKEN_FROM + 1]).to_string();
        let about = |text: &'static str| Statement::new(text).bind(self.organization).bind(&self.role.role);
        vec![
            event.record_if(ROLE_DELETABLE, asked.as_str()),
            Statement::new(concat!(
                "DELETE FROM roles WHERE org_id = ?1 AND role = ?2 ->> 0 AND ",
                deletable!("?2"),
                " RETURNING role"
            ))
            .bind(self.organization)
            .bind(asked),
            about(
                "DELETE FROM user_roles WHERE org_id = ?1 AND role = ?2 AND NOT EXISTS (SELECT 1 FROM roles \
                 WHERE org_id = ?1 AND role = ?2)",
            ),
            about(
                "DELETE FROM role_parents WHERE org_id = ?1 AND role = ?2 AND NOT EXISTS (SELECT 1 FROM \
                 roles WHERE org_id = ?1 AND role = ?2)",
            ),
            about(
                "SELECT EXISTS (SELECT 1 FROM roles WHERE org_id = ?1 AND role = ?2) AS present, EXISTS \
                 (SELECT 1 FROM role_parents INDEXED BY role_parents_by_parent WHERE org_id = ?1 AND parent \
                 = ?2) AS inherited, (SELECT COUNT(*) FROM (SELECT DISTINCT user_id FROM user_roles INDEXED \
                 BY user_roles_by_role WHERE org_id = ?1 AND role = ?2 LIMIT ?3)) AS holders",
            )
            .bind(MAX_TAKEN_FROM + 1),
        ]
    }

    /// Tells what became of it, from the rows of [`RoleDeletion::statements`].
    ///
    /// # Errors
    /// When a row is not as expected.
    pub fn verdict(&self, rows: &[Rows]) -> Result<DeletionVerdict, RowError> {
        let is = |row: &Row, column| row.integer(column).map(|number| number > 0);
        if rows.get(1).is_some_and(|deleted| !deleted.is_empty()) {
            return Ok(DeletionVerdict::Done);
        }
        let Some(row) = rows.last().and_then(Rows::first) else { return Ok(DeletionVerdict::Gone) };
        let most = if self.by_force { MAX_TAKEN_FROM } else { 0 };
        Ok(if !is(row, "present")? {
            DeletionVerdict::Gone
        } else if is(row, "inherited")? {
            DeletionVerdict::Inherited
        } else if row.integer("holders")? > i64::from(most) {
            DeletionVerdict::InUse
        } else {
            DeletionVerdict::ChangedMeanwhile
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
