//! SCIM clients and their bearer tokens: who provisions users and groups.
//!
//! A client has at most two valid tokens, so that one can be rotated without a gap: create the second, use
//! it, revoke the first. The last valid one is not revoked by itself; to stop a client, revoke the client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::id::{OrganizationId, ScimClientId, ScimTokenId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::record::idempotency::CreationCondition;
use crate::secret::credential::CredentialHash;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::{Duration, Timestamp};
use crate::{creation_condition, only_row, record_condition};

/// The longest name of a client, in characters.
pub const MAX_NAME_CHARACTERS: usize = 128;

/// How many clients an organization has at most, revoked ones not counted.
pub const MAX_CLIENTS: u32 = 50;

/// How many valid tokens a client has at most.
pub const MAX_TOKENS: u32 = 2;

/// How many clients a page of the list holds at most.
pub const MAX_PAGE: u32 = 50;

/// How many requests a minute a token may be allowed.
pub const MAX_RATE_LIMIT: u32 = 1_000_000;

/// How long what was revoked or ended is kept, for whoever looks into an incident.
const RETENTION: Duration = Duration::from_days(30);

/// How exactly a token's last use is known.
const USE_GRAIN: Duration = Duration::from_seconds(60);

/// A SCIM client that is about to be created.
#[derive(Debug)]
pub struct NewScimClient<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its own id.
    pub client_id: &'a ScimClientId,
    /// What people call it.
    pub name: &'a str,
    /// How many requests a minute each of its tokens may make; `None` for what the configuration says.
    pub rate_limit: Option<u32>,
    /// Now.
    pub now: Timestamp,
}

impl NewScimClient<'_> {
    /// Forgets clients that were revoked long ago, so that those to look at stay few.
    #[must_use]
    pub fn forget_revoked(&self) -> Statement {
        Statement::new(
            "DELETE FROM scim_clients WHERE (org_id, client_id) IN (SELECT org_id, client_id FROM \
             scim_clients WHERE org_id = ?1 AND revoked_at < ?2 ORDER BY client_id LIMIT ?3)",
        )
        .bind(self.organization)
        .bind(self.now.before(RETENTION))
        .bind(MAX_CLIENTS)
    }

    /// Creates the client if its organization has fewer than [`MAX_CLIENTS`]; returns its id if so.
    #[must_use]
    pub fn create(&self) -> Statement {
        Statement::new(
            "INSERT INTO scim_clients (org_id, client_id, name, rate_limit, created_at) SELECT ?1, ?2, ?3, \
             ?4, ?5 WHERE (SELECT COUNT(*) FROM (SELECT 1 FROM scim_clients WHERE org_id = ?1 AND revoked_at \
             IS NULL LIMIT ?6)) < ?6 RETURNING client_id",
        )
        .bind(self.organization)
        .bind(self.client_id)
        .bind(self.name)
        .bind(self.rate_limit)
        .bind(self.now)
        .bind(MAX_CLIENTS)
    }
}

/// The audit condition "the SCIM client `?2` exists".
pub const SCIM_CLIENT_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM scim_clients WHERE org_id = ?1 AND client_id = ?2)");

/// The idempotency condition "the SCIM client `?4` exists".
pub const SCIM_CLIENT_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM scim_clients WHERE org_id = ?1 AND client_id = ?4)");

/// A token that is about to be created.
#[derive(Debug)]
pub struct NewScimToken<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// For which client.
    pub client_id: &'a ScimClientId,
    /// Its own id.
    pub token_id: &'a ScimTokenId,
    /// What is stored of it.
    pub hash: &'a CredentialHash,
    /// When it ends, where it does.
    pub expires_at: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

impl NewScimToken<'_> {
    /// Forgets the client's tokens that ended long ago, so that those to look at stay few.
    #[must_use]
    pub fn forget_ended(&self) -> Statement {
        Statement::new(
            "DELETE FROM scim_tokens INDEXED BY scim_tokens_by_client WHERE org_id = ?1 AND client_id = ?2 \
             AND (revoked_at < ?3 OR expires_at < ?3)",
        )
        .bind(self.organization)
        .bind(self.client_id)
        .bind(self.now.before(RETENTION))
    }

    /// Creates the token if the client works and has fewer than [`MAX_TOKENS`] valid ones; returns its id if
    /// so.
    #[must_use]
    pub fn create(&self) -> Statement {
        Statement::new(
            "INSERT INTO scim_tokens (org_id, token_id, client_id, token_hash, created_at, expires_at) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM scim_clients WHERE org_id = ?1 AND \
             client_id = ?3 AND revoked_at IS NULL) AND (SELECT COUNT(*) FROM scim_tokens INDEXED BY \
             scim_tokens_by_client WHERE org_id = ?1 AND client_id = ?3 AND revoked_at IS NULL AND \
             (expires_at IS NULL OR expires_at > ?5)) < ?7 RETURNING token_id",
        )
        .bind(self.organization)
        .bind(self.token_id)
        .bind(self.client_id)
        .bind(self.hash)
        .bind(self.now)
        .bind(self.expires_at)
        .bind(MAX_TOKENS)
    }
}

/// The audit condition "the token `?2` of the SCIM client that the record is about exists".
pub const SCIM_TOKEN_EXISTS: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM scim_tokens WHERE org_id = ?1 AND token_id = ?2 AND client_id = ?8)"
);

/// The idempotency condition "the token `?4` exists".
pub const SCIM_TOKEN_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM scim_tokens WHERE org_id = ?1 AND token_id = ?4)");

/// A token as the API lists it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ListedScimToken {
    /// Its id.
    pub token_id: ScimTokenId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends, where it does.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
}

#[derive(Deserialize)]
struct TokenColumn {
    token_id: ScimTokenId,
    created_at: i64,
    expires_at: Option<i64>,
    last_used: Option<i64>,
}

/// A SCIM client as the API shows it: everything but its tokens themselves.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedScimClient {
    /// Its id.
    pub client_id: ScimClientId,
    /// What people call it.
    pub name: String,
    /// How many requests a minute each of its tokens may make; null for what the configuration says.
    pub rate_limit: Option<u32>,
    /// Its tokens that were not revoked.
    pub tokens: Vec<ListedScimToken>,
    /// When it was created.
    pub created_at: Timestamp,
}

macro_rules! select_clients {
    ($rest:literal) => {
        concat!(
            "SELECT scim_clients.client_id, scim_clients.name, scim_clients.rate_limit, \
             scim_clients.created_at, (SELECT json_group_array(json_object('token_id', scim_tokens.token_id, \
             'created_at', scim_tokens.created_at, 'expires_at', scim_tokens.expires_at, 'last_used', \
             scim_tokens.last_used)) FROM scim_tokens INDEXED BY scim_tokens_by_client WHERE \
             scim_tokens.org_id = scim_clients.org_id AND scim_tokens.client_id = scim_clients.client_id AND \
             scim_tokens.revoked_at IS NULL) AS tokens FROM scim_clients WHERE scim_clients.org_id = ?1 AND \
             scim_clients.revoked_at IS NULL AND ",
            $rest
        )
    };
}

impl ListedScimClient {
    /// A page of an organization's clients that were not revoked, oldest first, after the client `after`. One
    /// row more than `limit` tells that there is another page.
    pub fn page(organization: &OrganizationId, after: Option<&ScimClientId>, limit: u32) -> Query<Self> {
        Query::new(select_clients!("scim_clients.client_id > ?2 ORDER BY scim_clients.client_id LIMIT ?3"))
            .bind(organization)
            .bind(after.map_or("", ScimClientId::as_str))
            .bind(limit.saturating_add(1))
    }

    /// One client, unless it was revoked.
    pub fn by_id(organization: &OrganizationId, client_id: &ScimClientId) -> Query<Self> {
        Query::new(select_clients!("scim_clients.client_id = ?2")).bind(organization).bind(client_id)
    }
}

impl FromRow for ListedScimClient {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let tokens: Vec<TokenColumn> = row.json("tokens")?;
        let token = |token: TokenColumn| ListedScimToken {
            token_id: token.token_id,
            created_at: Timestamp::from_millis(token.created_at),
            expires_at: token.expires_at.map(Timestamp::from_millis),
            last_used: token.last_used.map(Timestamp::from_millis),
        };
        Ok(Self {
            client_id: ScimClientId::from_column(row, "client_id")?,
            name: row.text("name")?.to_owned(),
            rate_limit: read_limit(row)?,
            tokens: tokens.into_iter().map(token).collect(),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
        })
    }
}

fn read_limit(row: &Row) -> Result<Option<u32>, RowError> {
    let limit = row.optional_integer("rate_limit")?;
    limit.map(|limit| u32::try_from(limit).map_err(|_| RowError::unreadable("rate_limit"))).transpose()
}

/// The client `?2 ->> 0` works and is another one after the change.
macro_rules! changing {
    ($asked:literal) => {
        concat!(
            "org_id = ?1 AND client_id = ",
            $asked,
            " ->> 0 AND revoked_at IS NULL AND (name, rate_limit) IS NOT (COALESCE(",
            $asked,
            " ->> 1, name), CASE WHEN ",
            $asked,
            " ->> 2 THEN ",
            $asked,
            " ->> 3 ELSE rate_limit END)"
        )
    };
}

const CLIENT_CHANGES: RecordCondition = crate::record_rows!(from: " FROM \
     scim_clients WHERE ",
    changing!("?2")
);

/// A change of a SCIM client. What is `None` stays.
#[derive(Debug)]
pub struct ScimClientChange<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The client.
    pub client_id: &'a ScimClientId,
    /// Its new name.
    pub name: Option<&'a str>,
    /// Its new limit; an inner `None` for what the configuration says.
    pub rate_limit: Option<Option<u32>>,
}

impl ScimClientChange<'_> {
    /// Records and makes the change, where it changes something; the client as it is then.
    pub fn apply(&self, event: AuditEvent, batch: &mut Batch) -> Ticket<ListedScimClient> {
        let asked = json!([self.client_id, self.name, self.rate_limit.is_some(), self.rate_limit.flatten()]);
        let asked = asked.to_string();
        let change = Statement::new(concat!(
            "UPDATE scim_clients SET name = COALESCE(?2 ->> 1, name), rate_limit = CASE WHEN ?2 ->> 2 THEN \
             ?2 ->> 3 ELSE rate_limit END WHERE ",
            changing!("?2")
        ));
        batch.then(event.record_if(CLIENT_CHANGES, asked.as_str()));
        batch.then(change.bind(self.organization).bind(asked));
        batch.ask(ListedScimClient::by_id(self.organization, self.client_id))
    }
}

/// The end of a SCIM client, or of one of its tokens.
#[derive(Debug)]
pub struct ScimClientRevocation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The client.
    pub client_id: &'a ScimClientId,
    /// Now.
    pub now: Timestamp,
}

impl ScimClientRevocation<'_> {
    fn bind(&self, text: &'static str) -> Statement {
        Statement::new(text).bind(self.organization).bind(self.client_id).bind(self.now)
    }

    /// Revokes the client unless it is revoked already; returns its id if it did.
    #[must_use]
    pub fn revoke(&self) -> Statement {
        self.bind(
            "UPDATE scim_clients SET revoked_at = ?3 WHERE org_id = ?1 AND client_id = ?2 AND revoked_at IS \
             NULL RETURNING client_id",
        )
    }

    /// Revokes what tokens a revoked client still has.
    #[must_use]
    pub fn revoke_tokens(&self) -> Statement {
        self.bind(
            "UPDATE scim_tokens INDEXED BY scim_tokens_by_client SET revoked_at = ?3 WHERE org_id = ?1 AND \
             client_id = ?2 AND revoked_at IS NULL AND EXISTS (SELECT 1 FROM scim_clients WHERE org_id = ?1 \
             AND client_id = ?2 AND revoked_at IS NOT NULL)",
        )
    }

    /// Revokes one token if another valid one stays, or it has ended by itself; returns its id if it did. Of
    /// two requests that revoke each other's last one, one finds no other left.
    #[must_use]
    pub fn revoke_token(&self, token_id: &ScimTokenId) -> Statement {
        self.bind(
            "UPDATE scim_tokens SET revoked_at = ?3 WHERE org_id = ?1 AND token_id = ?4 AND client_id = ?2 \
             AND revoked_at IS NULL AND (expires_at <= ?3 OR EXISTS (SELECT 1 FROM scim_tokens AS other \
             INDEXED BY scim_tokens_by_client WHERE other.org_id = ?1 AND other.client_id = ?2 AND \
             other.revoked_at IS NULL AND other.token_id <> ?4 AND (other.expires_at IS NULL OR \
             other.expires_at > ?3))) RETURNING token_id",
        )
        .bind(token_id)
    }

    /// Whether that token was revoked, now or before.
    pub fn inspect_token(&self, token_id: &ScimTokenId) -> Query<InspectedScimToken> {
        Query::new(
            "SELECT revoked_at FROM scim_tokens WHERE org_id = ?1 AND token_id = ?3 AND client_id = ?2",
        )
        .bind(self.organization)
        .bind(self.client_id)
        .bind(token_id)
    }
}

/// A token that somebody wants to revoke.
#[derive(Clone, Copy, Debug)]
pub struct InspectedScimToken {
    /// Whether it was revoked, now or before.
    pub is_revoked: bool,
}

impl FromRow for InspectedScimToken {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { is_revoked: row.optional_integer("revoked_at")?.is_some() })
    }
}

/// A token as a request's check sees it.
#[derive(Debug)]
pub struct PresentedScimToken {
    /// Its id.
    pub token_id: ScimTokenId,
    /// Whose it is.
    pub client_id: ScimClientId,
    /// What people call the client.
    pub name: String,
    /// How many requests a minute it may make, where the client says so.
    pub rate_limit: Option<u32>,
    expires_at: Option<Timestamp>,
    is_revoked: bool,
    last_used: Option<Timestamp>,
}

impl PresentedScimToken {
    /// Finds a token by its hash, working or not.
    pub fn find(organization: &OrganizationId, hash: &CredentialHash) -> Query<Self> {
        Query::new(concat!(
            "SELECT token_id, token.client_id, name, rate_limit, token.expires_at, last_used, \
             token.revoked_at IS NOT NULL OR scim_clients.revoked_at IS NOT NULL AS revoked FROM ",
            only_row!("scim_tokens INDEXED BY scim_tokens_by_hash", "org_id = ?1 AND token_hash = ?2"),
            " AS token CROSS JOIN scim_clients ON scim_clients.org_id = token.org_id AND \
             scim_clients.client_id = token.client_id"
        ))
        .bind(organization)
        .bind(hash)
    }

    /// Whether it works now.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        !self.is_revoked && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether its last use is to be written down.
    #[must_use]
    pub fn is_use_due(&self, now: Timestamp) -> bool {
        self.last_used.is_none_or(|last_used| now >= last_used.after(USE_GRAIN))
    }

    /// Writes this use down.
    #[must_use]
    pub fn note_use(organization: &OrganizationId, token_id: &ScimTokenId, now: Timestamp) -> Statement {
        Statement::new(
            "UPDATE scim_tokens SET last_used = ?3 WHERE org_id = ?1 AND token_id = ?2 AND (last_used IS \
             NULL OR last_used < ?3)",
        )
        .bind(organization)
        .bind(token_id)
        .bind(now)
    }
}

impl FromRow for PresentedScimToken {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            token_id: ScimTokenId::from_column(row, "token_id")?,
            client_id: ScimClientId::from_column(row, "client_id")?,
            name: row.text("name")?.to_owned(),
            rate_limit: read_limit(row)?,
            expires_at: row.optional_integer("expires_at")?.map(Timestamp::from_millis),
            is_revoked: row.integer("revoked")? != 0,
            last_used: row.optional_integer("last_used")?.map(Timestamp::from_millis),
        })
    }
}
