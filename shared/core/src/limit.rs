//! Limits that hold over all instances: never more than so many requests in any minute.
//!
//! An instance leases a slice of what is left by one conditional statement and spends it by itself, within
//! [`LEASE_LIFE`]. The database counts leases, not requests, second by second. Whatever is spent within a
//! minute was leased within that minute or a lease's life before it; the statement looks back over
//! [`LOOK_BACK`] seconds: that minute, a lease's life, the second that is not whole at either end, and a
//! second of difference between two clocks. So the bound is exact, and a steady stream gets 60/63 of it.

use crate::id::{OrganizationId, SessionId};
use crate::secret::credential::CredentialHash;
use crate::sql::{FromRow, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// What limits are per, in seconds.
pub const WINDOW_SECONDS: i64 = 60;

/// How long an instance may spend what it leased.
pub const LEASE_LIFE: Duration = Duration::from_seconds(1);

/// How many seconds count: the current one and those before it.
const LOOK_BACK: i64 = 63;

/// The subject of an organization's own limit.
pub const ORGANIZATION: &str = "organization";

/// A lease is at most this part of the limit, so that little is lost where nobody spends it.
const LARGEST_SHARE: i64 = 50;

/// A credential with a limit of its own, as it was presented: what it counts towards is known once the
/// database found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// An API key, which says its limit itself.
    ApiKey(&'a CredentialHash),
    /// A SCIM client's token.
    ScimToken {
        /// The token.
        hash: &'a CredentialHash,
        /// The limit where the client says none.
        default_limit: u32,
    },
}

impl<'a> Bearer<'a> {
    /// What is stored of the credential.
    #[must_use]
    pub fn hash(&self) -> &'a CredentialHash {
        match self {
            Self::ApiKey(hash) | Self::ScimToken { hash, .. } => hash,
        }
    }
}

/// That the key in `api_keys` works, as far as the database can say.
macro_rules! key_works {
    ($now:literal) => {
        concat!(
            "api_keys.status = 'active' AND api_keys.expires_at > ",
            $now,
            " AND EXISTS (SELECT 1 FROM users WHERE users.org_id = ?1 AND users.user_id = api_keys.owner_id \
             AND users.status = 'active' AND users.deleted_at IS NULL)"
        )
    };
}

/// The API key `$hash` where it works at `$now`: its `subject` and `rate_limit`.
macro_rules! working_key {
    ($hash:literal, $now:literal) => {
        concat!(
            "SELECT 'key:' || key_id AS subject, rate_limit FROM api_keys WHERE org_id = ?1 AND key_hash = ",
            $hash,
            " AND ",
            key_works!($now)
        )
    };
}

/// The SCIM token `$hash` where it and its client work at `$now`: its `subject` and `rate_limit`, or
/// `$default`.
macro_rules! working_token {
    ($hash:literal, $now:literal, $default:literal) => {
        concat!(
            "SELECT 'scim:' || scim_tokens.token_id AS subject, COALESCE(scim_clients.rate_limit, ",
            $default,
            ") AS rate_limit FROM scim_tokens INDEXED BY scim_tokens_by_hash CROSS JOIN scim_clients ON \
             scim_clients.org_id = scim_tokens.org_id AND scim_clients.client_id = scim_tokens.client_id \
             WHERE scim_tokens.org_id = ?1 AND scim_tokens.token_hash = ",
            $hash,
            " AND scim_tokens.revoked_at IS NULL AND scim_clients.revoked_at IS NULL AND \
             (scim_tokens.expires_at IS NULL OR scim_tokens.expires_at > ",
            $now,
            ")"
        )
    };
}

macro_rules! used {
    ($subject:literal, $now:literal) => {
        concat!(
            "SELECT COALESCE(SUM(taken), 0) FROM rate_windows WHERE org_id = ?1 AND subject = ",
            $subject,
            " AND second > ",
            $now,
            " - 63"
        )
    };
}

/// The end of a lease: a slot of another second is taken over, and a clock 64 seconds behind takes nothing.
macro_rules! store {
    () => {
        " ON CONFLICT (org_id, subject, slot) DO UPDATE SET taken = CASE WHEN second = excluded.second THEN \
         taken ELSE 0 END + excluded.lease, second = excluded.second, lease = excluded.lease WHERE \
         excluded.second >= second RETURNING lease"
    };
}

/// What is left of a lease that was just taken, or that none was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(pub u32);

/// Leases of what the credential of `$working` has left.
macro_rules! lease_of_bearer {
    ($working:expr) => {
        concat!(
            "INSERT INTO rate_windows (org_id, subject, slot, second, taken, lease) SELECT ?1, subject, ?4 % \
             64, ?4, given, given FROM (SELECT subject, MIN(?3, MAX(1, rate_limit / ?5), rate_limit - used) \
             AS given FROM (SELECT subject, rate_limit, (",
            used!("bearer.subject", "?4"),
            ") AS used FROM (",
            $working,
            ") AS bearer)) WHERE given > 0",
            store!()
        )
    };
}

/// Leases of what a subject has left, under a condition.
macro_rules! lease_of_subject {
    ($condition:expr) => {
        concat!(
            "INSERT INTO rate_windows (org_id, subject, slot, second, taken, lease) SELECT ?1, ?2, ?4 % 64, \
             ?4, given, given FROM (SELECT MIN(?3, MAX(1, ?6 / ?5), ?6 - used) AS given FROM (SELECT (",
            used!("?2", "?4"),
            ") AS used)) WHERE given > 0",
            $condition,
            store!()
        )
    };
}

/// The credential of `$working` works and, if `?9`, has something left itself.
macro_rules! bearer_has_left {
    ($working:expr) => {
        concat!(
            " AND EXISTS (SELECT 1 FROM (",
            $working,
            ") AS bearer WHERE NOT ?9 OR bearer.rate_limit > (",
            used!("bearer.subject", "?4"),
            "))"
        )
    };
}

impl Lease {
    /// Leases `wanted` of what a credential that works has left, or less where less is left; no row where
    /// nothing is.
    #[must_use]
    pub fn of_bearer(
        organization: &OrganizationId,
        bearer: Bearer<'_>,
        wanted: u32,
        now: Timestamp,
    ) -> Statement {
        let text = match bearer {
            Bearer::ApiKey(_) => lease_of_bearer!(working_key!("?2", "?6")),
            Bearer::ScimToken { .. } => lease_of_bearer!(working_token!("?2", "?6", "?7")),
        };
        let statement = Statement::new(text)
            .bind(organization)
            .bind(bearer.hash())
            .bind(wanted)
            .bind(now.as_seconds())
            .bind(LARGEST_SHARE)
            .bind(now);
        match bearer {
            Bearer::ApiKey(_) => statement,
            Bearer::ScimToken { default_limit, .. } => statement.bind(default_limit),
        }
    }

    /// Leases `wanted` of what a subject has left of `limit`; for whoever presents a credential, if that
    /// works and, where it leases too, has something left itself: otherwise anybody could use up an
    /// organization's limit with keys, cookies or tokens that nobody has or that ended, and any key could
    /// with what it is refused. It goes before the bearer's own lease, which may take the last that it has.
    #[must_use]
    pub fn of_subject(
        organization: &OrganizationId,
        subject: &str,
        limit: u32,
        wanted: u32,
        presented: Option<Presented<'_>>,
        now: Timestamp,
    ) -> Statement {
        let text = match presented {
            None => lease_of_subject!(""),
            Some(Presented::Bearer { bearer: Bearer::ApiKey(_), .. }) => {
                lease_of_subject!(bearer_has_left!(working_key!("?7", "?8")))
            }
            Some(Presented::Bearer { bearer: Bearer::ScimToken { .. }, .. }) => {
                lease_of_subject!(bearer_has_left!(working_token!("?7", "?8", "?10")))
            }
            Some(Presented::Session(SessionClaim::Cookie(_))) => lease_of_subject!(
                " AND EXISTS (SELECT 1 FROM sessions WHERE org_id = ?1 AND token_hash = ?7 AND token_hash IS \
                 NOT NULL AND ended_at IS NULL AND expires_at > ?8)"
            ),
            Some(Presented::Session(SessionClaim::AccessToken(_))) => lease_of_subject!(
                " AND EXISTS (SELECT 1 FROM sessions WHERE org_id = ?1 AND session_id = ?7 AND ended_at IS \
                 NULL AND expires_at > ?8)"
            ),
        };
        let statement = Statement::new(text)
            .bind(organization)
            .bind(subject)
            .bind(wanted)
            .bind(now.as_seconds())
            .bind(LARGEST_SHARE)
            .bind(limit);
        match presented {
            None => statement,
            Some(Presented::Session(SessionClaim::Cookie(hash))) => statement.bind(hash).bind(now),
            Some(Presented::Session(SessionClaim::AccessToken(session_id))) => {
                statement.bind(session_id).bind(now)
            }
            Some(Presented::Bearer { bearer, leases }) => {
                let statement = statement.bind(bearer.hash()).bind(now).bind(leases);
                match bearer {
                    Bearer::ApiKey(_) => statement,
                    Bearer::ScimToken { default_limit, .. } => statement.bind(default_limit),
                }
            }
        }
    }
}

/// What a request came with that counts towards a limit which is not its own.
#[derive(Clone, Copy, Debug)]
pub enum Presented<'a> {
    /// A credential with a limit of its own.
    Bearer {
        /// Which.
        bearer: Bearer<'a>,
        /// Whether it leases of its own limit in the same transaction.
        leases: bool,
    },
    /// What belongs to a session.
    Session(SessionClaim<'a>),
}

/// Which session a request says it belongs to.
#[derive(Clone, Copy, Debug)]
pub enum SessionClaim<'a> {
    /// That of a cookie, by its hash.
    Cookie(&'a CredentialHash),
    /// The one that an access token names.
    AccessToken(&'a SessionId),
}

impl FromRow for Lease {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        u32::try_from(row.integer("lease")?).map(Self).map_err(|_| RowError::unreadable("lease"))
    }
}

/// How far a limit is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How much of it is leased, by whomever.
    pub taken: u32,
    /// The oldest second that still counts; now, where nothing does.
    oldest_second: i64,
}

macro_rules! usage_of {
    ($subject:literal) => {
        concat!(
            "SELECT COALESCE(SUM(taken), 0) AS taken, COALESCE(MIN(second), ?3) AS oldest FROM rate_windows \
             WHERE org_id = ?1 AND subject = ",
            $subject,
            " AND second > ?3 - 63"
        )
    };
}

impl Usage {
    /// How far a credential's own limit is used up.
    #[must_use]
    pub fn of_bearer(organization: &OrganizationId, bearer: Bearer<'_>, now: Timestamp) -> Statement {
        let text = match bearer {
            Bearer::ApiKey(_) => {
                usage_of!("(SELECT 'key:' || key_id FROM api_keys WHERE org_id = ?1 AND key_hash = ?2)")
            }
            Bearer::ScimToken { .. } => usage_of!(
                "(SELECT 'scim:' || token_id FROM scim_tokens INDEXED BY scim_tokens_by_hash WHERE org_id = \
                 ?1 AND token_hash = ?2)"
            ),
        };
        Statement::new(text).bind(organization).bind(bearer.hash()).bind(now.as_seconds())
    }

    /// How far a subject's limit is used up.
    #[must_use]
    pub fn of_subject(organization: &OrganizationId, subject: &str, now: Timestamp) -> Statement {
        Statement::new(usage_of!("?2")).bind(organization).bind(subject).bind(now.as_seconds())
    }

    /// When the first of what was taken can be taken again.
    #[must_use]
    pub fn frees_at(&self) -> Timestamp {
        Timestamp::from_millis(self.oldest_second.saturating_add(LOOK_BACK).saturating_mul(1000))
    }
}

impl FromRow for Usage {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            taken: u32::try_from(row.integer("taken")?).unwrap_or(u32::MAX),
            oldest_second: row.integer("oldest")?,
        })
    }
}
