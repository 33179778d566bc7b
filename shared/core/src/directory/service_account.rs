//! Service accounts: users without a password that act through OAuth clients and API keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::directory::account::{UserStatus, read_grants, username_key};
use crate::id::{OrganizationId, UserId};
use crate::permission::{Grant, Grants};
use crate::record::idempotency::CreationCondition;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::{creation_condition, grants_column, roles_column};

pub use crate::directory::{MAX_DISPLAY_NAME_CHARACTERS, MAX_ROLES_PER_USER as MAX_ROLES};

/// The longest name of a role, in bytes.
pub const MAX_ROLE_BYTES: usize = 128;

/// How many service accounts a page of the list holds at most.
pub const MAX_PAGE: u32 = 100;

/// A service account as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceAccount {
    /// Its id.
    pub user_id: UserId,
    /// Its name, unique among all users.
    pub username: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether it may act.
    pub status: UserStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

macro_rules! select_accounts {
    ($rest:literal) => {
        concat!(
            "SELECT users.user_id, users.username, users.display_name, users.status, users.created_at, \
             users.updated_at, ",
            roles_column!("users"),
            ", ",
            grants_column!("users"),
            " FROM users ",
            $rest
        )
    };
}

impl ServiceAccount {
    /// Finds one.
    pub fn by_id(organization: &OrganizationId, user_id: &UserId) -> Query<Self> {
        Query::new(select_accounts!(
            "WHERE users.org_id = ?1 AND users.user_id = ?2 AND users.kind = 'service_account' AND \
             users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(user_id)
    }

    /// A page, oldest first, after the account `after`. One row more than `limit` tells that there is another
    /// page.
    pub fn page(organization: &OrganizationId, after: Option<&UserId>, limit: u32) -> Query<Self> {
        Query::new(select_accounts!(
            "INDEXED BY users_service_accounts WHERE users.org_id = ?1 AND users.kind = 'service_account' \
             AND users.deleted_at IS NULL AND users.user_id > ?2 ORDER BY users.user_id LIMIT ?3"
        ))
        .bind(organization)
        .bind(after.map_or("", UserId::as_str))
        .bind(limit.saturating_add(1))
    }
}

impl FromRow for ServiceAccount {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            user_id: UserId::from_column(row, "user_id")?,
            username: row.text("username")?.to_owned(),
            display_name: row.optional_text("display_name")?.map(str::to_owned),
            roles: row.json("roles")?,
            status: row.text("status")?.parse()?,
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            updated_at: Timestamp::from_millis(row.integer("updated_at")?),
        })
    }
}

/// A service account, and what its roles let it do: for who wants to hand out its credentials.
#[derive(Debug)]
pub struct GrantedAccount {
    /// The account.
    pub account: ServiceAccount,
    /// What its roles give.
    pub grants: Grants,
}

impl GrantedAccount {
    /// Finds one.
    pub fn by_id(organization: &OrganizationId, user_id: &UserId) -> Query<Self> {
        ServiceAccount::by_id(organization, user_id).into_statement().into()
    }
}

impl FromRow for GrantedAccount {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { account: ServiceAccount::from_row(row)?, grants: read_grants(row)? })
    }
}

/// A role that is about to be assigned, with what it gave when that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedRole {
    /// Its name.
    pub role: String,
    /// Its effective grants, as they are stored.
    pub grants: String,
}

impl CheckedRole {
    /// Finds those of `names` that there are.
    pub fn find(organization: &OrganizationId, names: &[String]) -> Query<Self> {
        Query::new(
            "SELECT DISTINCT roles.role, roles.effective_grants FROM json_each(?2) AS wanted CROSS JOIN \
             roles ON roles.org_id = ?1 AND roles.role = wanted.value LIMIT ?3",
        )
        .bind(organization)
        .bind(serde_json::json!(names).to_string())
        .bind(i64::try_from(MAX_ROLES).unwrap_or(i64::MAX))
    }

    /// Whether whoever holds `grants` may give this role away: all it gives is included in them. What is no
    /// grant gives nothing, so it is no hindrance.
    #[must_use]
    pub fn may_be_given_by(&self, grants: &Grants) -> bool {
        let texts: Vec<String> = serde_json::from_str(&self.grants).unwrap_or_default();
        texts.iter().filter_map(|text| text.parse::<Grant>().ok()).all(|grant| grants.include(&grant))
    }
}

impl FromRow for CheckedRole {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        // It must be a list: a text that is none would pass every check.
        let _: Vec<String> = row.json("effective_grants")?;
        Ok(Self { role: row.text("role")?.to_owned(), grants: row.text("effective_grants")?.to_owned() })
    }
}

/// Holds while each of the checked roles (the JSON in `$roles`, of the number in `$count`) gives what it
/// gave.
macro_rules! roles_unchanged {
    ($roles:literal, $count:literal) => {
        concat!(
            "(SELECT COUNT(*) FROM json_each(",
            $roles,
            ") AS wanted CROSS JOIN roles ON roles.org_id = ?1 AND roles.role = wanted.value ->> 'role' AND \
             roles.effective_grants = wanted.value ->> 'grants') = ",
            $count
        )
    };
}

fn count(roles: &[CheckedRole]) -> i64 {
    i64::try_from(roles.len()).unwrap_or(i64::MAX)
}

/// A service account that is about to be created.
#[derive(Debug)]
pub struct NewServiceAccount<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its own id.
    pub user_id: &'a UserId,
    /// Its name.
    pub username: &'a str,
    /// Its name for people.
    pub display_name: Option<&'a str>,
    /// Its roles, as they were checked.
    pub roles: &'a [CheckedRole],
    /// Now.
    pub now: Timestamp,
}

impl NewServiceAccount<'_> {
    /// Creates it if its name is free and its roles still give what was checked; returns its id if so.
    #[must_use]
    pub fn create(&self) -> Statement {
        Statement::new(concat!(
            "INSERT INTO users (org_id, user_id, kind, username, username_key, display_name, status, \
             managed_by, created_at, updated_at) SELECT ?1, ?2, 'service_account', ?3, ?4, ?5, 'active', \
             'manual', ?6, ?6 WHERE ",
            roles_unchanged!("?7", "?8"),
            " ON CONFLICT DO NOTHING RETURNING user_id"
        ))
        .bind(self.organization)
        .bind(self.user_id)
        .bind(self.username)
        .bind(username_key(self.username))
        .bind(self.display_name)
        .bind(self.now)
        .bind(serde_json::json!(self.roles).to_string())
        .bind(count(self.roles))
    }

    /// Gives it its roles, if it was created.
    #[must_use]
    pub fn assign_roles(&self) -> Statement {
        Statement::new(
            "INSERT INTO user_roles (org_id, user_id, role) SELECT ?1, ?2, wanted.value ->> 'role' FROM \
             json_each(?3) AS wanted WHERE EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2)",
        )
        .bind(self.organization)
        .bind(self.user_id)
        .bind(serde_json::json!(self.roles).to_string())
    }

    /// Whether somebody has the name: a row if so.
    pub fn find_name(organization: &OrganizationId, username: &str) -> Query<Row> {
        Query::new(
            "SELECT user_id FROM users INDEXED BY users_by_username WHERE org_id = ?1 AND username_key = ?2 \
             AND deleted_at IS NULL",
        )
        .bind(organization)
        .bind(username_key(username))
    }
}

/// The idempotency condition "the user `?4` exists".
pub const ACCOUNT_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?4)");

/// A change of a service account.
#[derive(Debug)]
pub struct AccountChange<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The account.
    pub user_id: &'a UserId,
    /// Now.
    pub now: Timestamp,
}

/// New roles for a service account.
#[derive(Debug, Default)]
pub struct RoleChange {
    /// Those it keeps or gets.
    pub wanted: Vec<String>,
    /// Those it gets, as they were checked.
    pub added: Vec<CheckedRole>,
}

impl AccountChange<'_> {
    fn bind(&self, statement: Statement) -> Statement {
        statement.bind(self.organization).bind(self.user_id).bind(self.now)
    }

    /// Notes a change, and the new name for people where there is one, if the roles that are added still give
    /// what was checked; returns the id if so.
    #[must_use]
    pub fn update(&self, display_name: Option<Option<&str>>, added: &[CheckedRole]) -> Statement {
        self.bind(Statement::new(concat!(
            "UPDATE users SET display_name = CASE WHEN ?4 THEN ?5 ELSE display_name END, updated_at = ?3, \
             version = version + 1 WHERE org_id = ?1 AND user_id = ?2 AND kind = 'service_account' AND \
             deleted_at IS NULL AND ",
            roles_unchanged!("?6", "?7"),
            " RETURNING user_id"
        )))
        .bind(display_name.is_some())
        .bind(display_name.flatten())
        .bind(serde_json::json!(added).to_string())
        .bind(count(added))
    }

    /// Takes the roles away that are not wanted, under the same condition as [`AccountChange::update`].
    #[must_use]
    pub fn remove_roles(&self, change: &RoleChange) -> Statement {
        Statement::new(concat!(
            "DELETE FROM user_roles WHERE org_id = ?1 AND user_id = ?2 AND via_group = '' AND role NOT IN \
             (SELECT value FROM json_each(?3)) AND EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id \
             = ?2 AND kind = 'service_account' AND deleted_at IS NULL) AND ",
            roles_unchanged!("?4", "?5")
        ))
        .bind(self.organization)
        .bind(self.user_id)
        .bind(serde_json::json!(change.wanted).to_string())
        .bind(serde_json::json!(change.added).to_string())
        .bind(count(&change.added))
    }

    /// Gives the roles that are added, under the same condition as [`AccountChange::update`].
    #[must_use]
    pub fn add_roles(&self, change: &RoleChange) -> Statement {
        Statement::new(concat!(
            "INSERT INTO user_roles (org_id, user_id, role) SELECT ?1, ?2, added.value ->> 'role' FROM \
             json_each(?3) AS added WHERE EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 AND \
             kind = 'service_account' AND deleted_at IS NULL) AND ",
            roles_unchanged!("?3", "?4"),
            " ON CONFLICT DO NOTHING"
        ))
        .bind(self.organization)
        .bind(self.user_id)
        .bind(serde_json::json!(change.added).to_string())
        .bind(count(&change.added))
    }

    /// Suspends or activates it; returns the id if there is one.
    #[must_use]
    pub fn set_status(&self, status: UserStatus) -> Statement {
        self.bind(Statement::new(
            "UPDATE users SET status = ?4, updated_at = ?3, version = version + 1 WHERE org_id = ?1 AND \
             user_id = ?2 AND kind = 'service_account' AND deleted_at IS NULL RETURNING user_id",
        ))
        .bind(status.as_str())
    }

    /// Deletes it, softly: its name is free again, its credentials are dead. Returns the id if there was one.
    #[must_use]
    pub fn delete(&self) -> Statement {
        self.bind(Statement::new(
            "UPDATE users SET deleted_at = ?3, updated_at = ?3, version = version + 1 WHERE org_id = ?1 AND \
             user_id = ?2 AND kind = 'service_account' AND deleted_at IS NULL RETURNING user_id",
        ))
    }

    /// Ends the sessions of a service account that is no longer active.
    #[must_use]
    pub fn end_sessions(&self) -> Statement {
        self.bind(Statement::new(
            "UPDATE sessions INDEXED BY sessions_by_user SET ended_at = ?3, ended_because = \
             'account_inactive' WHERE org_id = ?1 AND user_id = ?2 AND ended_at IS NULL AND EXISTS (SELECT 1 \
             FROM users WHERE org_id = ?1 AND user_id = ?2 AND kind = 'service_account' AND (status <> \
             'active' OR deleted_at IS NOT NULL))",
        ))
    }

    /// Revokes the clients of a service account that is deleted.
    #[must_use]
    pub fn revoke_clients(&self) -> Statement {
        self.bind(Statement::new(
            "UPDATE clients INDEXED BY clients_by_user SET revoked_at = ?3 WHERE org_id = ?1 AND user_id = \
             ?2 AND revoked_at IS NULL AND EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 \
             AND kind = 'service_account' AND deleted_at IS NOT NULL)",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_given_by_who_holds_all_of_it() {
        let role = |grants: &str| CheckedRole { role: "r".to_owned(), grants: grants.to_owned() };
        let holds = Grants::from_texts(["users.*.organization", "read.*"]);
        assert!(role(r#"["users.read.organization","a.read.all"]"#).may_be_given_by(&holds));
        assert!(role("[]").may_be_given_by(&holds));
        assert!(role(r#"["nonsense"]"#).may_be_given_by(&holds));
        assert!(!role(r#"["users.read.own","*"]"#).may_be_given_by(&holds));
        // A scope narrows what may be given away.
        let narrowed = Grants::from_texts(["*"]).narrowed_to("users.read.own");
        assert!(!role(r#"["users.write.own"]"#).may_be_given_by(&narrowed));
    }
}
