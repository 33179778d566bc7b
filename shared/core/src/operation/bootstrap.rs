//! The first organization, its roles and its administrator: what an empty database needs before anybody can
//! sign in.

use std::fmt;

use zeroize::Zeroizing;

use crate::config::Configuration;
use crate::directory::organization::{NewOrganization, OrganizationEntropy};
use crate::id::{ENTROPY_BYTES, ScimClientId, ScimTokenId};
use crate::provisioning::client::{NewScimClient, NewScimToken};
use crate::secret::credential::{Credential, SCIM_TOKEN_PREFIX, SECRET_BYTES};
use crate::secret::password::{PasswordError, SALT_BYTES};
use crate::sql::Statement;
use crate::time::Timestamp;

/// Randomness for everything that is made.
pub struct Entropy {
    /// For the ids of the administrator, the SCIM client and its token, and the audit record.
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
        let [user, token, log] = entropy.ids;
        let new = NewOrganization {
            organization,
            name,
            username,
            email: username.contains('@').then_some(username),
            cost: configuration.password.argon2,
            now,
        };
        let made =
            new.make(&OrganizationEntropy { user, log, password: entropy.password, salt: entropy.salt })?;
        let scim_token = Credential::new(SCIM_TOKEN_PREFIX, organization, &entropy.scim_token);
        // Two ids of different kinds may be alike.
        let (client_id, token_id) = (ScimClientId::new(now, token), ScimTokenId::new(now, token));
        let client = NewScimClient {
            organization,
            client_id: &client_id,
            name: "first client",
            rate_limit: None,
            now,
        };
        let token = NewScimToken {
            organization,
            client_id: &client_id,
            token_id: &token_id,
            hash: &scim_token.hash(),
            expires_at: None,
            now,
        };
        let mut statements = made.statements;
        statements.extend([client.create(), token.create()]);
        Ok(Self { statements, username: username.to_owned(), password: made.password, scim_token })
    }
}
