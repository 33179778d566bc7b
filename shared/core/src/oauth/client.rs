//! OAuth clients of service accounts, and their secrets.
//!
//! A client has at most two valid secrets, so that one can be rotated without a gap: create the second, use
//! it, revoke the first. The last valid one is not revoked by itself; to stop a client, revoke the client.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ClientId, ClientSecretId, OrganizationId, UserId};
use crate::jose::jwk::{Jwk, JwkSet};
use crate::record::audit::RecordCondition;
use crate::record::idempotency::CreationCondition;
use crate::secret::credential::CredentialHash;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::{creation_condition, record_condition};

/// The longest name of a client, in characters.
pub const MAX_NAME_CHARACTERS: usize = 128;

/// How many clients a service account has at most, revoked ones not counted.
pub const MAX_CLIENTS: u32 = 20;

/// How many valid secrets a client has at most.
pub const MAX_SECRETS: u32 = 2;

/// How a client proves itself (RFC 7591 section 2, `token_endpoint_auth_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// By a secret, as `client_secret_basic` or `client_secret_post`.
    ClientSecret,
    /// By an assertion that it signs (RFC 7523).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// Its word in the database and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecret => "client_secret",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

impl FromStr for AuthMethod {
    type Err = RowError;

    fn from_str(text: &str) -> Result<Self, RowError> {
        [Self::ClientSecret, Self::PrivateKeyJwt]
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or(RowError::unreadable("auth_method"))
    }
}

/// A client that is about to be created.
#[derive(Debug)]
pub struct NewClient<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its own id.
    pub client_id: &'a ClientId,
    /// The service account it acts as.
    pub user_id: &'a UserId,
    /// What people call it.
    pub name: &'a str,
    /// How it proves itself.
    pub auth_method: AuthMethod,
    /// Its public keys, for [`AuthMethod::PrivateKeyJwt`].
    pub jwks: Option<&'a JwkSet>,
    /// What bounds its tokens: grants separated by spaces.
    pub scope: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

impl NewClient<'_> {
    /// Creates the client if its service account is there and has fewer than [`MAX_CLIENTS`]; returns its id
    /// if so.
    #[must_use]
    pub fn create(&self) -> Statement {
        Statement::new(
            "INSERT INTO clients (org_id, client_id, user_id, name, auth_method, jwks, scope, created_at) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND \
             user_id = ?3 AND kind = 'service_account' AND deleted_at IS NULL) AND (SELECT COUNT(*) FROM \
             clients INDEXED BY clients_by_user WHERE org_id = ?1 AND user_id = ?3 AND revoked_at IS NULL) < \
             ?9 RETURNING client_id",
        )
        .bind(self.organization)
        .bind(self.client_id)
        .bind(self.user_id)
        .bind(self.name)
        .bind(self.auth_method.as_str())
        .bind(self.jwks.map(|jwks| serde_json::json!(jwks.keys).to_string()))
        .bind(self.scope)
        .bind(self.now)
        .bind(MAX_CLIENTS)
    }
}

/// The audit condition "the client `?2` exists".
pub const CLIENT_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM clients WHERE org_id = ?1 AND client_id = ?2)");

/// The idempotency condition "the client `?4` exists".
pub const CLIENT_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM clients WHERE org_id = ?1 AND client_id = ?4)");

/// A secret that is about to be created.
#[derive(Debug)]
pub struct NewSecret<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The service account whose client it is for.
    pub user_id: &'a UserId,
    /// For which client.
    pub client_id: &'a ClientId,
    /// Its own id.
    pub secret_id: &'a ClientSecretId,
    /// What is stored of it.
    pub hash: &'a CredentialHash,
    /// When it ends, where it does.
    pub expires_at: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

impl NewSecret<'_> {
    /// Closes the client's secrets that ended by themselves, so that those to look at stay two.
    #[must_use]
    pub fn close_expired(&self) -> Statement {
        Statement::new(
            "UPDATE client_secrets INDEXED BY client_secrets_not_revoked SET revoked_at = expires_at WHERE \
             org_id = ?1 AND client_id = ?2 AND revoked_at IS NULL AND expires_at <= ?3",
        )
        .bind(self.organization)
        .bind(self.client_id)
        .bind(self.now)
    }

    /// Creates the secret if the client works, proves itself by secrets and has fewer than [`MAX_SECRETS`]
    /// valid ones; returns its id if so.
    #[must_use]
    pub fn create(&self) -> Statement {
        Statement::new(
            "INSERT INTO client_secrets (org_id, secret_hash, secret_id, client_id, created_at, expires_at) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM clients WHERE org_id = ?1 AND \
             client_id = ?4 AND user_id = ?7 AND auth_method = 'client_secret' AND revoked_at IS NULL) AND \
             (SELECT COUNT(*) FROM client_secrets INDEXED BY client_secrets_not_revoked WHERE org_id = ?1 \
             AND client_id = ?4 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?5)) < ?8 \
             RETURNING secret_id",
        )
        .bind(self.organization)
        .bind(self.hash)
        .bind(self.secret_id)
        .bind(self.client_id)
        .bind(self.now)
        .bind(self.expires_at)
        .bind(self.user_id)
        .bind(MAX_SECRETS)
    }
}

/// The audit condition "the secret `?2` of the client that the record is about exists".
pub const SECRET_EXISTS: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM client_secrets INDEXED BY client_secrets_by_id WHERE org_id = ?1 AND client_id = \
     ?8 AND secret_id = ?2)"
);

/// The idempotency condition "the secret `?4` exists".
pub const SECRET_CREATED: CreationCondition = creation_condition!(
    "EXISTS (SELECT 1 FROM client_secrets INDEXED BY client_secrets_by_id WHERE org_id = ?1 AND secret_id = \
     ?4)"
);

/// A secret as the API lists it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ListedSecret {
    /// Its id.
    pub secret_id: ClientSecretId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends, where it does.
    pub expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct SecretColumn {
    secret_id: ClientSecretId,
    created_at: i64,
    expires_at: Option<i64>,
}

/// A client as the API lists it: everything but its secrets themselves.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedClient {
    /// Its id.
    pub client_id: ClientId,
    /// The service account it acts as.
    pub user_id: UserId,
    /// What people call it.
    pub name: String,
    /// How it proves itself.
    pub auth_method: AuthMethod,
    /// Its public keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<JwkSet>,
    /// What bounds its tokens: grants separated by spaces. Without it, the roles of its service account.
    pub scope: Option<String>,
    /// Its secrets that were not revoked.
    pub secrets: Vec<ListedSecret>,
    /// When it was created.
    pub created_at: Timestamp,
}

macro_rules! select_clients {
    ($rest:literal) => {
        concat!(
            "SELECT clients.client_id, clients.user_id, clients.name, clients.auth_method, clients.jwks, \
             clients.scope, clients.created_at, (SELECT json_group_array(json_object('secret_id', \
             client_secrets.secret_id, 'created_at', client_secrets.created_at, 'expires_at', \
             client_secrets.expires_at)) FROM client_secrets INDEXED BY client_secrets_not_revoked WHERE \
             client_secrets.org_id = clients.org_id AND client_secrets.client_id = clients.client_id AND \
             client_secrets.revoked_at IS NULL) AS secrets FROM clients ",
            $rest
        )
    };
}

impl ListedClient {
    /// The clients of a service account that were not revoked, oldest first: [`MAX_CLIENTS`] at most.
    pub fn all(organization: &OrganizationId, user_id: &UserId) -> Query<Self> {
        Query::new(select_clients!(
            "INDEXED BY clients_by_user WHERE clients.org_id = ?1 AND clients.user_id = ?2 AND \
             clients.revoked_at IS NULL ORDER BY clients.client_id LIMIT ?3"
        ))
        .bind(organization)
        .bind(user_id)
        .bind(MAX_CLIENTS)
    }

    /// One client of a service account, unless it was revoked.
    pub fn by_id(organization: &OrganizationId, user_id: &UserId, client_id: &ClientId) -> Query<Self> {
        Query::new(select_clients!(
            "WHERE clients.org_id = ?1 AND clients.client_id = ?3 AND clients.user_id = ?2 AND \
             clients.revoked_at IS NULL"
        ))
        .bind(organization)
        .bind(user_id)
        .bind(client_id)
    }
}

impl FromRow for ListedClient {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let secrets: Vec<SecretColumn> = row.json("secrets")?;
        let secret = |secret: SecretColumn| ListedSecret {
            secret_id: secret.secret_id,
            created_at: Timestamp::from_millis(secret.created_at),
            expires_at: secret.expires_at.map(Timestamp::from_millis),
        };
        Ok(Self {
            client_id: ClientId::from_column(row, "client_id")?,
            user_id: UserId::from_column(row, "user_id")?,
            name: row.text("name")?.to_owned(),
            auth_method: row.text("auth_method")?.parse()?,
            jwks: read_keys(row)?,
            scope: row.optional_text("scope")?.map(str::to_owned),
            secrets: secrets.into_iter().map(secret).collect(),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
        })
    }
}

/// Reads the column `jwks`.
pub(crate) fn read_keys(row: &Row) -> Result<Option<JwkSet>, RowError> {
    if row.optional_text("jwks")?.is_none() {
        return Ok(None);
    }
    let keys: Vec<Jwk> = row.json("jwks")?;
    Ok(Some(JwkSet { keys }))
}

/// What became of a secret.
#[derive(Clone, Copy, Debug)]
pub struct SecretState {
    /// Whether it was revoked, now or before.
    pub is_revoked: bool,
}

impl FromRow for SecretState {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { is_revoked: row.optional_integer("revoked_at")?.is_some() })
    }
}

/// The end of a client, or of one of its secrets.
#[derive(Debug)]
pub struct ClientRevocation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The service account whose client it is.
    pub user_id: &'a UserId,
    /// The client.
    pub client_id: &'a ClientId,
    /// Now.
    pub now: Timestamp,
}

impl ClientRevocation<'_> {
    fn bind(&self, statement: Statement) -> Statement {
        statement.bind(self.organization).bind(self.client_id).bind(self.now)
    }

    /// Revokes the client unless it is revoked already; returns its id if it did.
    #[must_use]
    pub fn revoke(&self) -> Statement {
        self.bind(Statement::new(
            "UPDATE clients SET revoked_at = ?3 WHERE org_id = ?1 AND client_id = ?2 AND user_id = ?4 AND \
             revoked_at IS NULL RETURNING client_id",
        ))
        .bind(self.user_id)
    }

    /// Revokes what secrets a revoked client still has.
    #[must_use]
    pub fn revoke_secrets(&self) -> Statement {
        self.bind(Statement::new(
            "UPDATE client_secrets INDEXED BY client_secrets_not_revoked SET revoked_at = ?3 WHERE org_id = \
             ?1 AND client_id = ?2 AND revoked_at IS NULL AND EXISTS (SELECT 1 FROM clients WHERE org_id = \
             ?1 AND client_id = ?2 AND revoked_at IS NOT NULL)",
        ))
    }

    /// Ends what sessions a revoked client still has: its access tokens are refused from now on.
    #[must_use]
    pub fn end_sessions(&self) -> Statement {
        self.bind(Statement::new(
            "UPDATE sessions INDEXED BY sessions_by_client SET ended_at = ?3, ended_because = \
             'client_revoked' WHERE org_id = ?1 AND client_id = ?2 AND ended_at IS NULL AND expires_at > ?3 \
             AND EXISTS (SELECT 1 FROM clients WHERE org_id = ?1 AND client_id = ?2 AND revoked_at IS NOT \
             NULL)",
        ))
    }

    /// Revokes one secret if another valid one stays, or it has ended by itself; returns its id if it did. Of
    /// two requests that revoke each other's last one, one finds no other left.
    #[must_use]
    pub fn revoke_secret(&self, secret_id: &ClientSecretId) -> Statement {
        self.bind(Statement::new(
            "UPDATE client_secrets INDEXED BY client_secrets_by_id SET revoked_at = ?3 WHERE org_id = ?1 AND \
             client_id = ?2 AND secret_id = ?4 AND revoked_at IS NULL AND EXISTS (SELECT 1 FROM clients \
             WHERE org_id = ?1 AND client_id = ?2 AND user_id = ?5) AND (expires_at <= ?3 OR EXISTS (SELECT \
             1 FROM client_secrets AS other INDEXED BY client_secrets_not_revoked WHERE other.org_id = ?1 \
             AND other.client_id = ?2 AND other.revoked_at IS NULL AND other.secret_id <> ?4 AND \
             (other.expires_at IS NULL OR other.expires_at > ?3))) RETURNING secret_id",
        ))
        .bind(secret_id)
        .bind(self.user_id)
    }

    /// Whether that secret was revoked, now or before.
    pub fn inspect_secret(&self, secret_id: &ClientSecretId) -> Query<SecretState> {
        Query::new(
            "SELECT client_secrets.revoked_at FROM client_secrets INDEXED BY client_secrets_by_id JOIN \
             clients ON clients.org_id = client_secrets.org_id AND clients.client_id = \
             client_secrets.client_id WHERE client_secrets.org_id = ?1 AND client_secrets.client_id = ?2 AND \
             client_secrets.secret_id = ?3 AND clients.user_id = ?4",
        )
        .bind(self.organization)
        .bind(self.client_id)
        .bind(secret_id)
        .bind(self.user_id)
    }
}
