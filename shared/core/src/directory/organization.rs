//! Organizations: tenants, made with their built-in roles and a first administrator.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::directory::account::username_key;
use crate::directory::{ADMINISTRATOR, acts};
use crate::encoding::base62;
use crate::id::{ENTROPY_BYTES, LogId, OrganizationId, UserId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record::idempotency::CreationCondition;
use crate::secret::password::{self, PasswordCost, PasswordError, SALT_BYTES};
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::{creation_condition, record_condition};

/// The longest name, in characters.
pub const MAX_NAME_CHARACTERS: usize = 128;

/// How many organizations a page holds at most.
pub const MAX_PAGE: u32 = 100;

/// The roles every organization begins with, and their grants. Managing one's own API keys is added to the
/// roles of the source document, so that not only administrators can have some.
pub const BUILT_IN_ROLES: [(&str, &[&str]); 5] = [
    (ADMINISTRATOR, &["*"]),
    ("security_engineer", &["security.*", "compliance.*", "api_keys.*.own"]),
    ("analyst", &["read.*", "analyze.*", "api_keys.*.own"]),
    ("viewer", &["read.*"]),
    ("service_account", &["api_keys.*.own"]),
];

/// An organization as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organization {
    /// Its id.
    pub organization_id: OrganizationId,
    /// Its name for people.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}

impl FromRow for Organization {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            organization_id: OrganizationId::from_column(row, "org_id")?,
            name: row.text("name")?.to_owned(),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
        })
    }
}

impl Organization {
    /// Finds an organization.
    pub fn find(organization: &OrganizationId) -> Query<Self> {
        Query::new("SELECT org_id, name, created_at FROM organizations WHERE org_id = ?1").bind(organization)
    }

    /// A page of all organizations, after the organization `after`. One row more than `limit` tells that
    /// there is another page.
    pub fn page(after: Option<&OrganizationId>, limit: u32) -> Query<Self> {
        Query::new(
            "SELECT org_id, name, created_at FROM organizations WHERE org_id > ?1 ORDER BY org_id LIMIT ?2",
        )
        .bind(after.map_or("", OrganizationId::as_str))
        .bind(limit.saturating_add(1))
    }

    /// Renames an organization; gives it back if it is there.
    pub fn rename(organization: &OrganizationId, name: &str) -> Query<Self> {
        Query::new("UPDATE organizations SET name = ?2 WHERE org_id = ?1 RETURNING org_id, name, created_at")
            .bind(organization)
            .bind(name)
    }
}

/// The audit condition "the organization `?2` exists": a made-up one leaves no trace.
pub const ORGANIZATION_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM organizations WHERE org_id = ?2)");

/// The idempotency condition "the organization `?4` exists".
pub const ORGANIZATION_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM organizations WHERE org_id = ?4)");

/// An organization that is about to be made.
#[derive(Debug)]
pub struct NewOrganization<'a> {
    /// Its id.
    pub organization: &'a OrganizationId,
    /// Its name for people.
    pub name: &'a str,
    /// Its administrator's user name.
    pub username: &'a str,
    /// Its administrator's e-mail address.
    pub email: Option<&'a str>,
    /// What hashing the administrator's password costs.
    pub cost: PasswordCost,
    /// Now.
    pub now: Timestamp,
}

/// Randomness for an organization.
pub struct OrganizationEntropy {
    /// For the administrator's id.
    pub user: [u8; ENTROPY_BYTES],
    /// For the audit record's id.
    pub log: [u8; ENTROPY_BYTES],
    /// For the administrator's password.
    pub password: [u8; 16],
    /// For its salt.
    pub salt: [u8; SALT_BYTES],
}

/// An organization that was made: statements for one transaction, and the secret that is shown once.
pub struct MadeOrganization {
    /// Where the organization is there already they violate its primary key, and nothing happens.
    pub statements: Vec<Statement>,
    /// The administrator.
    pub user_id: UserId,
    /// The administrator's password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for MadeOrganization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MadeOrganization of `{}`", self.user_id)
    }
}

impl NewOrganization<'_> {
    /// Makes the organization with its built-in roles and one administrator.
    ///
    /// # Errors
    /// When the password cost can't be paid.
    pub fn make(&self, entropy: &OrganizationEntropy) -> Result<MadeOrganization, PasswordError> {
        // 21 base-62 digits are 125 bits, and one of each class that a policy may ask for.
        let password = Zeroizing::new(format!("{}-aA1", base62(&entropy.password, 21)));
        let hash = password::hash(&password, &entropy.salt, self.cost)?;
        let user_id = UserId::new(self.now, entropy.user);
        let log_id = LogId::new(self.now, entropy.log);
        let mut statements = vec![
            Statement::new("INSERT INTO organizations (org_id, name, created_at) VALUES (?1, ?2, ?3)")
                .bind(self.organization)
                .bind(self.name)
                .bind(self.now),
        ];
        statements.extend(BUILT_IN_ROLES.map(|(role, grants)| self.built_in_role(role, grants, &log_id)));
        statements.push(self.administrator(&user_id, hash));
        statements.push(
            Statement::new("INSERT INTO user_roles (org_id, user_id, role) VALUES (?1, ?2, ?3)")
                .bind(self.organization)
                .bind(&user_id)
                .bind(ADMINISTRATOR),
        );
        statements.push(self.record(&user_id, log_id));
        Ok(MadeOrganization { statements, user_id, password })
    }

    fn built_in_role(&self, role: &str, grants: &[&str], log_id: &LogId) -> Statement {
        Statement::new(
            "INSERT INTO roles (org_id, role, grants, effective_grants, built_in, revision) VALUES (?1, ?2, \
             ?3, ?3, 1, ?4)",
        )
        .bind(self.organization)
        .bind(role)
        .bind(json!(grants).to_string())
        .bind(log_id)
    }

    fn administrator(&self, user_id: &UserId, hash: String) -> Statement {
        Statement::new(
            "INSERT INTO users (org_id, user_id, username, username_key, email, display_name, status, \
             password_hash, password_changed_at, managed_by, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, \
             ?5, 'Administrator', 'active', ?6, ?7, 'manual', ?7, ?7)",
        )
        .bind(self.organization)
        .bind(user_id)
        .bind(self.username)
        .bind(username_key(self.username))
        .bind(self.email)
        .bind(hash)
        .bind(self.now)
    }

    /// In the new organization's own log.
    fn record(&self, user_id: &UserId, log_id: LogId) -> Statement {
        AuditEvent::by_system(self.organization, log_id, acts::ORGANIZATION_CREATE, self.now)
            .of_user(user_id)
            .on(self.organization.as_str())
            .record()
    }
}
