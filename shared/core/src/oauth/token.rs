//! What the token endpoint asks and writes: a client and its proof, the scope of a token, and the session
//! that every token belongs to. There are no refresh tokens for clients: they can come again with their own
//! credential.

use crate::directory::account::{UserStatus, read_grants};
use crate::id::{ClientId, OrganizationId, SessionId, TokenId, UserId};
use crate::jose::jwk::JwkSet;
use crate::oauth::client::{AuthMethod, read_keys};
use crate::oauth::client_assertion::UsedAssertion;
use crate::permission::{Grant, Grants};
use crate::secret::credential::CredentialHash;
use crate::sign_in::session::LiveSession;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::{grants_column, only_row};

/// The longest scope, in bytes: a token has to carry it.
pub const MAX_SCOPE_BYTES: usize = 1024;

/// Reads a scope (RFC 6749 section 3.3): grants separated by single spaces.
///
/// # Errors
/// What is allowed, where it is something else.
pub fn parse_scope(text: &str) -> Result<Vec<Grant>, &'static str> {
    if text.len() > MAX_SCOPE_BYTES {
        return Err("at most 1024 bytes");
    }
    let grants: Result<Vec<Grant>, _> = text.split(' ').map(str::parse).collect();
    grants.map_err(|_| "grants such as `users.read.organization`, separated by one space each")
}

/// A client that wants something, as it was registered.
#[derive(Debug)]
pub struct PresentedClient {
    /// Its id.
    pub client_id: ClientId,
    /// The service account it acts as.
    pub user_id: UserId,
    /// That account's name.
    pub username: String,
    /// How it proves itself.
    pub auth_method: AuthMethod,
    /// Its public keys.
    pub keys: Option<JwkSet>,
    /// What bounds its tokens.
    pub scope: Option<String>,
    grants: Grants,
    status: UserStatus,
    has_secret: bool,
    secret_ends: Option<Timestamp>,
    is_secret_revoked: bool,
}

impl PresentedClient {
    /// Finds a client that was not revoked, and the secret it shows if that is one of its own.
    pub fn find(
        organization: &OrganizationId,
        client_id: &ClientId,
        secret: Option<&CredentialHash>,
    ) -> Query<Self> {
        Query::new(concat!(
            "SELECT clients.client_id, clients.user_id, clients.auth_method, clients.jwks, clients.scope, \
             users.username, users.status, client_secrets.secret_id, client_secrets.expires_at AS \
             secret_ends, client_secrets.revoked_at AS secret_revoked_at, ",
            grants_column!("users"),
            " FROM clients JOIN users ON users.org_id = clients.org_id AND users.user_id = clients.user_id \
             LEFT JOIN client_secrets ON client_secrets.org_id = clients.org_id AND \
             client_secrets.secret_hash = ?3 AND client_secrets.client_id = clients.client_id WHERE \
             clients.org_id = ?1 AND clients.client_id = ?2 AND clients.revoked_at IS NULL AND \
             users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(client_id)
        .bind(secret)
    }

    /// Whether its service account may act.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Whether the secret it showed is one of its own and valid now.
    #[must_use]
    pub fn has_valid_secret(&self, now: Timestamp) -> bool {
        self.auth_method == AuthMethod::ClientSecret
            && self.has_secret
            && !self.is_secret_revoked
            && self.secret_ends.is_none_or(|ends| now < ends)
    }

    /// The scope of a token: what was asked for, if client and service account have all of it; without a
    /// wish, what the client may have at most. `None` is all that the service account's roles give.
    ///
    /// # Errors
    /// Why the wish is no scope of this client's.
    pub fn narrow(&self, wanted: Option<&str>) -> Result<Option<String>, &'static str> {
        let Some(wanted) = wanted else { return Ok(self.scope.clone()) };
        let bound = match &self.scope {
            None => self.grants.clone(),
            Some(scope) => self.grants.clone().narrowed_to(scope),
        };
        if parse_scope(wanted)?.iter().all(|grant| bound.include(grant)) {
            Ok(Some(wanted.to_owned()))
        } else {
            Err("the client may not have all of this scope")
        }
    }
}

impl FromRow for PresentedClient {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            client_id: ClientId::from_column(row, "client_id")?,
            user_id: UserId::from_column(row, "user_id")?,
            username: row.text("username")?.to_owned(),
            auth_method: row.text("auth_method")?.parse()?,
            keys: read_keys(row)?,
            scope: row.optional_text("scope")?.map(str::to_owned),
            grants: read_grants(row)?,
            status: row.text("status")?.parse()?,
            has_secret: row.optional_text("secret_id")?.is_some(),
            secret_ends: row.optional_integer("secret_ends")?.map(Timestamp::from_millis),
            is_secret_revoked: row.optional_integer("secret_revoked_at")?.is_some(),
        })
    }
}

/// With what a client proved itself.
#[derive(Debug)]
pub enum ClientProof {
    /// With this secret.
    Secret(CredentialHash),
    /// With this assertion, which is to be used up.
    Assertion(UsedAssertion),
}

/// A token that is about to be issued to a client: the session behind it.
#[derive(Debug)]
pub struct ClientToken<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The client.
    pub client: &'a PresentedClient,
    /// With what it proved itself.
    pub proof: &'a ClientProof,
    /// The session's id.
    pub session_id: &'a SessionId,
    /// The token's id.
    pub token_id: &'a TokenId,
    /// What it is narrowed to.
    pub scope: Option<&'a str>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// From where.
    pub ip_address: Option<&'a str>,
    /// With what.
    pub user_agent: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// The session of a token, if account, client and proof still hold at the moment of writing: who revokes one
/// of them ends the sessions that are there, so none may come after.
macro_rules! begin_session {
    ($proof:literal) => {
        concat!(
            "INSERT INTO sessions (org_id, session_id, user_id, kind, client_id, scope, ip_address, \
             user_agent, created_at, expires_at, last_activity, mfa_verified) SELECT ?1, ?2, ?3, 'client', \
             ?4, ?5, ?6, ?7, ?8, ?9, ?8, 0 WHERE EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = \
             ?3 AND status = 'active' AND deleted_at IS NULL) AND EXISTS (SELECT 1 FROM clients WHERE org_id \
             = ?1 AND client_id = ?4 AND user_id = ?3 AND revoked_at IS NULL) AND ",
            $proof,
            " RETURNING session_id"
        )
    };
}

impl ClientToken<'_> {
    /// Begins the session if account, client and proof still hold; returns its id if so. An assertion has to
    /// be stored for this token before, in the same transaction.
    #[must_use]
    pub fn begin(&self) -> Statement {
        let statement = Statement::new(match self.proof {
            ClientProof::Secret(_) => begin_session!(
                "EXISTS (SELECT 1 FROM client_secrets WHERE org_id = ?1 AND secret_hash = ?10 AND client_id \
                 = ?4 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?8))"
            ),
            ClientProof::Assertion(_) => begin_session!(
                "EXISTS (SELECT 1 FROM used_assertions WHERE org_id = ?1 AND client_id = ?4 AND jti_hash = \
                 ?10 AND use_id = ?11)"
            ),
        })
        .bind(self.organization)
        .bind(self.session_id)
        .bind(&self.client.user_id)
        .bind(&self.client.client_id)
        .bind(self.scope)
        .bind(self.ip_address)
        .bind(self.user_agent)
        .bind(self.now)
        .bind(self.expires_at);
        match self.proof {
            ClientProof::Secret(hash) => statement.bind(hash),
            ClientProof::Assertion(used) => statement.bind(used.jti_hash()).bind(self.token_id),
        }
    }
}

/// A refresh token as introspection and revocation see it.
#[derive(Debug)]
pub struct PresentedRefreshToken {
    /// Its session.
    pub session: LiveSession,
    /// The client it was issued to, where it was one.
    pub client_id: Option<String>,
    /// What its session is narrowed to.
    pub scope: Option<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it was used.
    pub is_spent: bool,
}

impl PresentedRefreshToken {
    /// Finds a refresh token, good or not.
    pub fn find(organization: &OrganizationId, hash: &CredentialHash) -> Query<Self> {
        Query::new(concat!(
            "SELECT issued_at, token.expires_at AS token_expires_at, spent_at, sessions.session_id, \
             sessions.user_id, sessions.expires_at, last_activity, ended_at, sessions.kind, client_id, \
             scope, username, users.status, ",
            grants_column!("users"),
            " FROM ",
            only_row!("refresh_tokens", "org_id = ?1 AND token_hash = ?2"),
            " AS token CROSS JOIN sessions ON sessions.org_id = token.org_id AND sessions.session_id = \
             token.session_id CROSS JOIN users ON users.org_id = sessions.org_id AND users.user_id = \
             sessions.user_id AND users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(hash)
    }
}

impl FromRow for PresentedRefreshToken {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            session: LiveSession::from_row(row)?,
            client_id: row.optional_text("client_id")?.map(str::to_owned),
            scope: row.optional_text("scope")?.map(str::to_owned),
            issued_at: Timestamp::from_millis(row.integer("issued_at")?),
            expires_at: Timestamp::from_millis(row.integer("token_expires_at")?),
            is_spent: row.optional_integer("spent_at")?.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(roles: &[&str], scope: Option<&str>) -> PresentedClient {
        let organization: OrganizationId = "org_7Gk2QxAb0".parse().unwrap();
        let now = Timestamp::from_millis(1);
        PresentedClient {
            client_id: ClientId::new(&organization, now, [1; 10]),
            user_id: UserId::new(now, [2; 10]),
            username: "robot".to_owned(),
            auth_method: AuthMethod::ClientSecret,
            keys: None,
            scope: scope.map(str::to_owned),
            grants: Grants::from_texts(roles),
            status: UserStatus::Active,
            has_secret: true,
            secret_ends: Some(Timestamp::from_millis(10)),
            is_secret_revoked: false,
        }
    }

    #[test]
    fn a_scope_is_within_the_client_and_the_account() {
        let free = client(&["users.*.organization", "read.*"], None);
        assert_eq!(free.narrow(None), Ok(None));
        assert_eq!(free.narrow(Some("users.read.own")), Ok(Some("users.read.own".to_owned())));
        assert!(free.narrow(Some("users.delete.organization a.read.all")).is_ok());
        let refused =
            ["users.delete.all", "*", "a.write.own", "users.read.own  a.read.own", "", " ", "nonsense"];
        for scope in refused {
            assert!(free.narrow(Some(scope)).is_err(), "{scope}");
        }
        let bounded = client(&["*"], Some("users.read.organization"));
        assert_eq!(bounded.narrow(None), Ok(Some("users.read.organization".to_owned())));
        assert!(bounded.narrow(Some("users.read.team")).is_ok());
        assert!(bounded.narrow(Some("users.write.own")).is_err());
        // A bound gives nothing that the account's roles don't.
        assert!(client(&["read.*"], Some("*")).narrow(Some("users.write.own")).is_err());
        assert!(free.narrow(Some(&"users.read.own ".repeat(100))).is_err());
    }

    #[test]
    fn a_secret_holds_until_its_end() {
        let mut presented = client(&[], None);
        assert!(presented.has_valid_secret(Timestamp::from_millis(9)));
        assert!(!presented.has_valid_secret(Timestamp::from_millis(10)));
        presented.secret_ends = None;
        assert!(presented.has_valid_secret(Timestamp::from_millis(10)));
        presented.is_secret_revoked = true;
        assert!(!presented.has_valid_secret(Timestamp::from_millis(9)));
    }
}
