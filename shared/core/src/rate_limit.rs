//! Limits that hold over all instances: never more than so many requests in any minute.
//!
//! An instance leases a slice of what is left by one conditional statement and spends it by itself, within
//! [`LEASE_LIFE`]. The database counts leases, not requests, second by second. Whatever is spent within a minute was
//! leased within that minute or a lease's life before it; the statement looks back over [`LOOK_BACK`] seconds: that
//! minute, a lease's life, the second that is not whole at either end, and a second of difference between two
//! clocks. So the bound is exact, and a steady stream gets 60/63 of it.

use crate::credential::CredentialHash;
use crate::id::OrganizationId;
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

/// That the key in `api_keys` works, as far as the database can say.
macro_rules! key_works {
    ($now:literal) => {
        concat!(
            "api_keys.status = 'active' AND api_keys.expires_at > ",
            $now,
            " AND EXISTS (SELECT 1 FROM users WHERE users.org_id = ?1 AND users.user_id = api_keys.owner_id AND \
             users.status = 'active' AND users.deleted_at IS NULL)"
        )
    };
}

/// The end of a lease: a slot of another second is taken over, and a clock 64 seconds behind takes nothing.
macro_rules! store {
    () => {
        " ON CONFLICT (org_id, subject, slot) DO UPDATE SET taken = CASE WHEN second = excluded.second THEN taken ELSE 0 \
         END + excluded.lease, second = excluded.second, lease = excluded.lease WHERE excluded.second >= second \
         RETURNING lease"
    };
}

/// What is left of a lease that was just taken, or that none was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(pub u32);

impl Lease {
    /// Leases `wanted` of what a working key has left, or less where less is left; no row where nothing is.
    #[must_use]
    pub fn of_key(
        organization: &OrganizationId,
        hash: &CredentialHash,
        wanted: u32,
        now: Timestamp,
    ) -> Statement {
        Statement::new(concat!(
            "INSERT INTO rate_windows (org_id, subject, slot, second, taken, lease) SELECT ?1, subject, ?4 % 64, ?4, given, \
             given FROM (SELECT subject, MIN(?3, MAX(1, rate_limit / ?5), rate_limit - used) AS given FROM (SELECT \
             'key:' || key_id AS subject, rate_limit, (",
            used!("'key:' || api_keys.key_id", "?4"),
            ") AS used FROM api_keys WHERE org_id = ?1 AND key_hash = ?2 AND ",
            key_works!("?6"),
            ")) WHERE given > 0",
            store!()
        ))
        .bind(organization)
        .bind(hash)
        .bind(wanted)
        .bind(now.as_seconds())
        .bind(LARGEST_SHARE)
        .bind(now)
    }

    /// Leases `wanted` of what a subject has left of `limit`; for the bearer of a key, if that works and has something left
    /// itself where it has to lease too: otherwise anybody could use up an organization's limit with keys that nobody has, and
    /// any key could with what it is refused. It goes before the key's own lease, which may take the last that it has.
    #[must_use]
    pub fn of_subject(
        organization: &OrganizationId,
        subject: &str,
        limit: u32,
        wanted: u32,
        key: Option<KeyBearer<'_>>,
        now: Timestamp,
    ) -> Statement {
        Statement::new(concat!(
            "INSERT INTO rate_windows (org_id, subject, slot, second, taken, lease) SELECT ?1, ?2, ?4 % 64, ?4, given, \
             given FROM (SELECT MIN(?3, MAX(1, ?6 / ?5), ?6 - used) AS given FROM (SELECT (",
            used!("?2", "?4"),
            ") AS used)) WHERE given > 0 AND (?7 IS NULL OR EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_hash = ?7 \
             AND ",
            key_works!("?8"),
            " AND (NOT ?9 OR rate_limit > (",
            used!("'key:' || api_keys.key_id", "?4"),
            "))))",
            store!()
        ))
        .bind(organization)
        .bind(subject)
        .bind(wanted)
        .bind(now.as_seconds())
        .bind(LARGEST_SHARE)
        .bind(limit)
        .bind(key.map(|key| key.hash))
        .bind(now)
        .bind(key.is_some_and(|key| key.leases))
    }
}

/// Whose key a request came with that counts towards a limit over several.
#[derive(Clone, Copy, Debug)]
pub struct KeyBearer<'a> {
    /// The key's hash.
    pub hash: &'a CredentialHash,
    /// Whether the key leases for this request, too: out of what it has left in the database.
    pub leases: bool,
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

impl Usage {
    /// How far a key's limit is used up.
    #[must_use]
    pub fn of_key(organization: &OrganizationId, hash: &CredentialHash, now: Timestamp) -> Statement {
        Statement::new(
            "SELECT COALESCE(SUM(taken), 0) AS taken, COALESCE(MIN(second), ?3) AS oldest FROM rate_windows WHERE \
             org_id = ?1 AND subject = (SELECT 'key:' || key_id FROM api_keys WHERE org_id = ?1 AND key_hash = ?2) AND \
             second > ?3 - 63",
        )
        .bind(organization)
        .bind(hash)
        .bind(now.as_seconds())
    }

    /// How far a subject's limit is used up.
    #[must_use]
    pub fn of_subject(organization: &OrganizationId, subject: &str, now: Timestamp) -> Statement {
        Statement::new(
            "SELECT COALESCE(SUM(taken), 0) AS taken, COALESCE(MIN(second), ?3) AS oldest FROM rate_windows WHERE \
             org_id = ?1 AND subject = ?2 AND second > ?3 - 63",
        )
        .bind(organization)
        .bind(subject)
        .bind(now.as_seconds())
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
