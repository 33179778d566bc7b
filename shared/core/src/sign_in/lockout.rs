//! Lockout: how often a password may be tried.
//!
//! A try is *reserved* before the password is looked at, by one conditional statement in the batch that reads
//! the user: of any number of guesses at the same instant, as many as the threshold allows are looked at. It
//! is taken from pools, each a row that counts tries in a window of time:
//!
//! - `account:<user id>`: an account, from every address it has not signed in from lately. Where there is no
//!   such user, `account:#<digest of the name>` behaves the same, so that a lock tells nobody whether there
//!   is one.
//! - `known:<user id>:<address>`: an account from an address that it did sign in from. Strangers have no
//!   share in it: they can't lock anybody out of the places where they usually are.
//! - `address:<address>`: an address, over all accounts; not asked where the address is known to the account.
//!
//! A window begins with its first try and lasts
//! [`lockout_duration`](PasswordConfiguration::lockout_duration); the try that reaches the threshold moves
//! its end that far from itself. A refused try counts nowhere, so that no lock lasts longer for being knocked
//! at. A success forgets the account's pool and gives the address its try back.

use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest, Sha256};

use crate::config::PasswordConfiguration;
use crate::directory::account::username_key;
use crate::encoding::base64url;
use crate::id::{OrganizationId, UserId};
use crate::sql::{Answers, Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::{Duration, Timestamp};

/// How long an address stays known to an account after its last sign-in from there.
pub const KNOWN_FOR: Duration = Duration::from_days(90);

/// How many ended windows a failed try clears away: more than it can begin.
const CLEARED_AT_ONCE: u32 = 4;

/// The pools of a try and their thresholds. `?1` is the organization, `?2` the user name's key, `?3` its
/// digest, `?4` the address, `?5` now, `?6` since when an address counts as known, `?7` and `?8` the
/// thresholds.
macro_rules! pools {
    () => {
        concat!(
            "(SELECT COALESCE(",
            known_pool!(),
            ", (SELECT 'account:' || users.user_id FROM users WHERE users.org_id = ?1 AND users.username_key \
             = ?2 AND users.deleted_at IS NULL), 'account:#' || ?3) AS pool, ?7 AS threshold UNION ALL \
             SELECT 'address:' || ?4, ?8 WHERE ?4 IS NOT NULL AND ",
            known_pool!(),
            " IS NULL)"
        )
    };
}

macro_rules! known_pool {
    () => {
        "(SELECT 'known:' || users.user_id || ':' || ?4 FROM users JOIN known_addresses ON \
         known_addresses.org_id = users.org_id AND known_addresses.user_id = users.user_id AND \
         known_addresses.address = ?4 WHERE users.org_id = ?1 AND users.username_key = ?2 AND \
         users.deleted_at IS NULL AND known_addresses.last_seen > ?6)"
    };
}

/// One try at an account's password.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// In which organization; it need not exist.
    pub organization: &'a OrganizationId,
    /// The account's user name; it need not exist.
    pub username: &'a str,
    /// From where. Without an address the account's pool alone is asked.
    pub address: Option<IpAddr>,
    /// How many tries, and for how long.
    pub limits: &'a PasswordConfiguration,
    /// Now.
    pub now: Timestamp,
}

/// What a reservation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password may be looked at.
    Granted(Reservation),
    /// It may not, right or wrong.
    Locked {
        /// When a pool has room again.
        until: Timestamp,
    },
}

/// The tries that were taken, one from each pool. None where there is no such organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    tries: Vec<TakenTry>,
}

/// A try that was taken from a pool, and how many that makes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TakenTry {
    pool: String,
    tries: i64,
}

impl FromRow for TakenTry {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { pool: row.text("subject")?.to_owned(), tries: row.integer("tries")? })
    }
}

/// When a pool has room again, where one is empty.
#[derive(Debug)]
struct EmptyUntil(Option<Timestamp>);

impl FromRow for EmptyUntil {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self(row.optional_integer("until")?.map(Timestamp::from_millis)))
    }
}

/// A try that was asked for in a batch.
#[derive(Debug)]
#[must_use]
pub struct AskedTry {
    taken: Ticket<TakenTry>,
    until: Ticket<EmptyUntil>,
}

impl AskedTry {
    /// What came of it.
    ///
    /// # Errors
    /// When the batch was not answered, or a column is absent or of another type.
    pub fn verdict(&self, answers: &Answers) -> Result<Verdict, RowError> {
        let tries = answers.all(self.taken)?;
        let until = answers.one(self.until)?.and_then(|empty| empty.0);
        Ok(match until {
            Some(until) if tries.is_empty() => Verdict::Locked { until },
            _ => Verdict::Granted(Reservation { tries }),
        })
    }
}

/// A pool that a failed try has emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// The account's.
    Account,
    /// The address's, over all accounts.
    Address,
}

impl Attempt<'_> {
    /// Takes a try from each pool, or from none where one is empty; then [`AskedTry::verdict`] tells.
    pub fn reserve(&self, batch: &mut Batch) -> AskedTry {
        AskedTry { taken: batch.ask(self.take()), until: batch.ask(self.inspect()) }
    }

    fn take(&self) -> Query<TakenTry> {
        self.bind(Query::new(concat!(
            "INSERT INTO sign_in_attempts (org_id, subject, tries, window_began_at, window_ends_at) SELECT \
             ?1, pool, 1, ?5, ?9 FROM ",
            pools!(),
            " WHERE EXISTS (SELECT 1 FROM organizations WHERE org_id = ?1) AND NOT EXISTS (SELECT 1 FROM ",
            pools!(),
            " CROSS JOIN sign_in_attempts AS taken WHERE taken.org_id = ?1 AND taken.subject = pool AND \
             taken.tries >= threshold AND taken.window_ends_at > ?5) ON CONFLICT (org_id, subject) DO UPDATE \
             SET tries = CASE WHEN window_ends_at > ?5 THEN tries + 1 ELSE 1 END, window_began_at = CASE \
             WHEN window_ends_at > ?5 THEN MIN(window_began_at, ?5) ELSE ?5 END, window_ends_at = CASE WHEN \
             window_ends_at > ?5 AND tries + 1 < CASE subject WHEN 'address:' || ?4 THEN ?8 ELSE ?7 END THEN \
             window_ends_at ELSE ?9 END RETURNING subject, tries"
        )))
        .bind(self.now.after(self.limits.lockout_duration))
    }

    /// Until when a pool is empty. To run right after [`Attempt::take`].
    fn inspect(&self) -> Query<EmptyUntil> {
        self.bind(Query::new(concat!(
            "SELECT MAX(taken.window_ends_at) AS until FROM ",
            pools!(),
            " CROSS JOIN sign_in_attempts AS taken WHERE taken.org_id = ?1 AND taken.subject = pool AND \
             taken.tries >= threshold AND taken.window_ends_at > ?5"
        )))
    }

    /// What a right password is owed: its account's tries forgotten, the address's given back, the address
    /// known.
    #[must_use]
    pub fn forgive(&self, reservation: &Reservation, user_id: &UserId) -> Vec<Statement> {
        let mut statements: Vec<_> = reservation
            .tries
            .iter()
            .map(|TakenTry { pool, .. }| match Lock::of(pool) {
                Lock::Account => forget_pool(self.organization, pool),
                // Only out of the window that the try was taken from.
                Lock::Address => Statement::new(
                    "UPDATE sign_in_attempts SET tries = tries - 1 WHERE org_id = ?1 AND subject = ?2 AND \
                     tries > 0 AND window_began_at <= ?3",
                )
                .bind(self.organization)
                .bind(pool.as_str())
                .bind(self.now),
            })
            .collect();
        if let Some(address) = self.address {
            statements.push(know_address(self.organization, user_id, address, self.now));
            statements.push(forget_addresses(self.organization, user_id, self.now));
        }
        statements
    }

    /// The pools that this try has emptied, should it fail.
    #[must_use]
    pub fn locks(&self, reservation: &Reservation) -> Vec<Lock> {
        let pools = reservation.tries.iter().map(|taken| (Lock::of(&taken.pool), taken.tries));
        pools.filter(|(lock, tries)| *tries >= self.threshold(*lock).into()).map(|(lock, _)| lock).collect()
    }

    /// Clears away a few windows that have ended, of any organization: each failed try clears more than it
    /// begins.
    #[must_use]
    pub fn clear(&self) -> Statement {
        Statement::new(
            "DELETE FROM sign_in_attempts WHERE (org_id, subject) IN (SELECT org_id, subject FROM \
             sign_in_attempts INDEXED BY sign_in_attempts_by_end WHERE window_ends_at <= ?1 ORDER BY \
             window_ends_at LIMIT ?2)",
        )
        .bind(self.now)
        .bind(CLEARED_AT_ONCE)
    }

    fn threshold(&self, lock: Lock) -> u32 {
        match lock {
            Lock::Account => self.limits.lockout_threshold,
            Lock::Address => self.limits.lockout_address_threshold.unwrap_or(self.limits.lockout_threshold),
        }
    }

    fn bind<T>(&self, query: Query<T>) -> Query<T> {
        let key = username_key(self.username);
        // People type their password there, too: no table of digests fits every organization.
        let digest = base64url(&Sha256::digest(format!("{}\n{key}", self.organization)));
        query
            .bind(self.organization)
            .bind(key)
            .bind(digest)
            .bind(self.address.map(address_key))
            .bind(self.now)
            .bind(self.now.before(KNOWN_FOR))
            .bind(self.threshold(Lock::Account))
            .bind(self.threshold(Lock::Address))
    }
}

impl Lock {
    fn of(pool: &str) -> Self {
        if pool.starts_with("address:") { Self::Address } else { Self::Account }
    }
}

/// Makes an address known to an account: it signed in from there, or proved otherwise that it is the owner's.
#[must_use]
pub fn know_address(
    organization: &OrganizationId,
    user_id: &UserId,
    address: IpAddr,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "INSERT INTO known_addresses (org_id, user_id, address, last_seen) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (org_id, user_id, address) DO UPDATE SET last_seen = ?4",
    )
    .bind(organization)
    .bind(user_id)
    .bind(address_key(address))
    .bind(now)
}

fn forget_pool(organization: &OrganizationId, pool: &str) -> Statement {
    Statement::new("DELETE FROM sign_in_attempts WHERE org_id = ?1 AND subject = ?2")
        .bind(organization)
        .bind(pool)
}

/// Forgets the addresses that an account has not signed in from for long.
fn forget_addresses(organization: &OrganizationId, user_id: &UserId, now: Timestamp) -> Statement {
    Statement::new("DELETE FROM known_addresses WHERE org_id = ?1 AND user_id = ?2 AND last_seen <= ?3")
        .bind(organization)
        .bind(user_id)
        .bind(now.before(KNOWN_FOR))
}

/// What an address is counted under: itself, or its /64 in IPv6, of which one subscriber has all.
#[must_use]
pub fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_with_its_subscriber() {
        let key = |address: &str| address_key(address.parse().unwrap());
        assert_eq!(key("192.0.2.7"), "192.0.2.7");
        assert_eq!(key("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(key("2001:db8:1:2:ffff::1"), key("2001:db8:1:2::9"));
        assert_ne!(key("2001:db8:1:3::1"), key("2001:db8:1:2::1"));
    }
}
