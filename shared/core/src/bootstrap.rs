//! The first organization, its roles and its administrator: what an empty database needs before anybody can
//! sign in.

use std::fmt;

use zeroize::Zeroizing;

use crate::audit::{Actor, AuditEvent, Outcome};
use crate::config::Configuration;
use crate::credential::{Credential, SCIM_TOKEN_PREFIX, SECRET_BYTES};
use crate::encoding::base62;
use crate::id::{ENTROPY_BYTES, LogId, ScimTokenId, UserId};
use crate::password::{self, PasswordError, SALT_BYTES};
use crate::scim_token::ScimToken;
use crate::sql::Statement;
use crate::time::Timestamp;
use crate::user::username_key;

/// The roles every organization begins with, and their grants. Managing one's own API keys is added to the
/// roles of the source document, so that not only administrators can have some.
pub const ROLES: [(&str, &[&str]); 5] = [
    ("admin", &["*"]),
    ("security_engineer", &["security.*", "compliance.*", "api_keys.*.own"]),
    ("analyst", &["read.*", "analyze.*", "api_keys.*.own"]),
    ("viewer", &["read.*"]),
    ("service_account", &["api_keys.*.own"]),
];

/// Randomness for everything that is made.
pub struct Entropy {
    /// For the ids of the administrator, the SCIM token and the audit record.
    pub ids: [[u8; ENTROPY_BYTES]; 3],
    /// For the administrator's password.
    pub password: [u8; 16],
    /// For its salt.
    pub salt: [u8; SALT_BYTES],
    /// For the SCIM token.
    pub scim_token: [u8; SECRET_BYTES],
}

/// What was made: statements for one transaction, and the secrets that are shown once.
pub struct FirstOrganization {
    /// To run as one transaction on an empty database. On one that has the organization already they violate
    /// its primary key, and nothing happens.
    pub statements: Vec<Statement>,
    /// The administrator's name.
    pub username: String,
    /// The administrator's password.
    pub password: Zeroizing<String>,
    /// A SCIM client's bearer token.
    pub scim_token: Credential,
}

impl fmt::Debug for FirstOrganization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FirstOrganization of `{}`", self.username)
    }
}

impl FirstOrganization {
    /// Makes the organization that the configuration names, with one administrator.
    ///
    /// # Errors
    /// When the configured password cost can't be paid.
    pub fn new(
        name: &str,
        username: &str,
        configuration: &Configuration,
        entropy: &Entropy,
        now: Timestamp,
    ) -> Result<Self, PasswordError> {
        let organization = &configuration.organization;
        // 21 base-62 digits are 125 bits, and one of each class that a policy may ask for.
        let password = Zeroizing::new(format!("{}-aA1", base62(&entropy.password, 21)));
        let hash = password::hash(&password, &entropy.salt, configuration.password.argon2)?;
        let [user, token, log] = entropy.ids;
        let user_id = UserId::new(now, user);
        let scim_token = Credential::new(SCIM_TOKEN_PREFIX, organization, &entropy.scim_token);
        let mut statements = vec![
            Statement::new("INSERT INTO organizations (org_id, name, created_at) VALUES (?1, ?2, ?3)")
                .bind(organization)
                .bind(name)
                .bind(now),
        ];
        for (role, grants) in ROLES {
            statements.push(
                Statement::new(
                    "INSERT INTO roles (org_id, role, grants, effective_grants) VALUES (?1, ?2, ?3, ?3)",
                )
                .bind(organization)
                .bind(role)
                .bind(serde_json::json!(grants).to_string()),
            );
        }
        statements.push(
            Statement::new(
                "INSERT INTO users (org_id, user_id, username, username_key, email, display_name, status, \
                 password_hash, password_changed_at, managed_by, created_at, updated_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, 'Administrator', 'active', ?6, ?7, 'manual', ?7, ?7)",
            )
            .bind(organization)
            .bind(&user_id)
            .bind(username)
            .bind(username_key(username))
            .bind(username.contains('@').then_some(username))
            .bind(hash)
            .bind(now),
        );
        statements.push(
            Statement::new("INSERT INTO user_roles (org_id, user_id, role) VALUES (?1, ?2, 'admin')")
                .bind(organization)
                .bind(&user_id),
        );
        let token_id = ScimTokenId::new(now, token);
        statements.push(ScimToken::store(organization, &token_id, &scim_token.hash(), "first client", now));
        let event = AuditEvent {
            organization: organization.clone(),
            log_id: LogId::new(now, log),
            timestamp: now,
            actor: Actor::System,
            user_id: Some(user_id),
            action: "organization.create",
            resource: "organization",
            resource_id: Some(organization.to_string()),
            ip_address: None,
            user_agent: None,
            outcome: Outcome::Success,
            request_id: None,
            details: serde_json::Map::new(),
        };
        statements.push(event.record());
        Ok(Self { statements, username: username.to_owned(), password, scim_token })
    }
}
