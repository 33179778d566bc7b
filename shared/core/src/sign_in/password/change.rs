//! Replacing a password: whose it is, the ones before it, and everything that goes with a new one.
//!
//! A password replaces the hash that was read, in one conditional statement; whatever follows in the batch
//! asks whether the user has the new hash, which no other request can have made: its salt is random.

use std::net::IpAddr;

use serde_json::json;

use super::policy::Names;
use crate::directory::ManagedBy;
use crate::id::{OrganizationId, SessionId, UserId};
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::secret::credential::CredentialHash;
use crate::sign_in::lockout::address_key;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::Timestamp;

/// The owner's columns; `?3` is how many former passwords count.
macro_rules! select_owner {
    ($rest:literal) => {
        concat!(
            "SELECT users.user_id, users.username, users.email, users.display_name, users.password_hash, \
             users.managed_by, (SELECT json_group_array(password_hash) FROM (SELECT \
             password_history.password_hash FROM password_history WHERE password_history.org_id = \
             users.org_id AND password_history.user_id = users.user_id ORDER BY password_history.changed_at \
             DESC LIMIT ?3)) AS former_hashes FROM ",
            $rest
        )
    };
}

/// The user whose password is to be replaced.
#[derive(Debug)]
pub struct PasswordOwner {
    /// Its id.
    pub user_id: UserId,
    /// The hash of its password, where it has one.
    pub password_hash: Option<String>,
    /// Who keeps the user.
    pub managed_by: ManagedBy,
    username: String,
    email: Option<String>,
    display_name: Option<String>,
    former_hashes: Vec<String>,
}

impl PasswordOwner {
    /// Finds a user, with the hashes of the last so many passwords before its own.
    pub fn by_id(organization: &OrganizationId, user_id: &UserId, history_size: u32) -> Query<Self> {
        Query::new(select_owner!(
            "users WHERE users.org_id = ?1 AND users.user_id = ?2 AND users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(user_id)
        .bind(history_size)
    }

    /// Finds the user whose reset token this is, where it can still be used.
    pub fn by_reset_token(
        organization: &OrganizationId,
        token: &CredentialHash,
        history_size: u32,
        now: Timestamp,
    ) -> Query<Self> {
        Query::new(select_owner!(
            "reset_tokens JOIN users ON users.org_id = reset_tokens.org_id AND users.user_id = \
             reset_tokens.user_id WHERE reset_tokens.org_id = ?1 AND reset_tokens.token_hash = ?2 AND \
             reset_tokens.used_at IS NULL AND reset_tokens.expires_at > ?4 AND users.status = 'active' AND \
             users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(token)
        .bind(history_size)
        .bind(now)
    }

    /// The names that its password may not resemble.
    #[must_use]
    pub fn names(&self) -> Names<'_> {
        Names {
            username: &self.username,
            email: self.email.as_deref(),
            display_name: self.display_name.as_deref(),
        }
    }

    /// The hashes of the passwords that it may not use again: its own, and those before it.
    pub fn hashes(&self) -> impl Iterator<Item = &str> {
        self.password_hash.iter().chain(&self.former_hashes).map(String::as_str)
    }
}

impl FromRow for PasswordOwner {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            user_id: UserId::from_column(row, "user_id")?,
            username: row.text("username")?.to_owned(),
            email: row.optional_text("email")?.map(str::to_owned),
            display_name: row.optional_text("display_name")?.map(str::to_owned),
            password_hash: row.optional_text("password_hash")?.map(str::to_owned),
            managed_by: row.text("managed_by")?.parse()?,
            former_hashes: row.json("former_hashes")?,
        })
    }
}

/// A new password for a user that was read.
#[derive(Debug)]
pub struct PasswordChange<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The user as it was read.
    pub owner: &'a PasswordOwner,
    /// The hash of the new password.
    pub new_hash: &'a str,
    /// The reset token that [`spend`](super::reset::spend) spends in the same batch, where one is.
    pub token: Option<&'a CredentialHash>,
    /// How many former passwords are kept.
    pub history_size: u32,
    /// Now.
    pub now: Timestamp,
}

impl PasswordChange<'_> {
    /// Keeps the password that will be replaced, replaces it, and forgets those that no longer count. The
    /// ticket tells whether it was replaced.
    pub fn replace(&self, batch: &mut Batch) -> Ticket {
        batch.then(self.keep());
        let replaced = batch.then(self.set());
        batch.then(forget(self.organization, &self.owner.user_id, self.history_size));
        replaced
    }

    fn keep(&self) -> Statement {
        Statement::new(
            "INSERT INTO password_history (org_id, user_id, changed_at, password_hash) SELECT org_id, \
             user_id, ?3, password_hash FROM users WHERE org_id = ?1 AND user_id = ?2 AND password_hash = ?4 \
             AND status = 'active' AND deleted_at IS NULL AND (?5 IS NULL OR EXISTS (SELECT 1 FROM \
             reset_tokens WHERE org_id = ?1 AND token_hash = ?5 AND used_at = ?3)) ON CONFLICT (org_id, \
             user_id, changed_at) DO NOTHING",
        )
        .bind(self.organization)
        .bind(&self.owner.user_id)
        .bind(self.now)
        .bind(self.owner.password_hash.as_deref())
        .bind(self.token)
    }

    fn set(&self) -> Statement {
        Statement::new(
            "UPDATE users SET password_hash = ?6, password_changed_at = ?3, updated_at = ?3, version = \
             version + 1 WHERE org_id = ?1 AND user_id = ?2 AND password_hash IS ?4 AND status = 'active' \
             AND deleted_at IS NULL AND (?5 IS NULL OR EXISTS (SELECT 1 FROM reset_tokens WHERE org_id = ?1 \
             AND token_hash = ?5 AND used_at = ?3)) RETURNING user_id",
        )
        .bind(self.organization)
        .bind(&self.owner.user_id)
        .bind(self.now)
        .bind(self.owner.password_hash.as_deref())
        .bind(self.token)
        .bind(self.new_hash)
    }

    /// Ends the user's sessions and with them their tokens, all but the one to keep, if the password was
    /// replaced.
    #[must_use]
    pub fn end_sessions(&self, keep: Option<&SessionId>, because: &'static str) -> Statement {
        Statement::new(
            "UPDATE sessions INDEXED BY sessions_by_user SET ended_at = ?3, ended_because = ?4 WHERE org_id \
             = ?1 AND user_id = ?2 AND ended_at IS NULL AND session_id IS NOT ?5 AND EXISTS (SELECT 1 FROM \
             users WHERE org_id = ?1 AND user_id = ?2 AND password_hash = ?6)",
        )
        .bind(self.organization)
        .bind(&self.owner.user_id)
        .bind(self.now)
        .bind(because)
        .bind(keep)
        .bind(self.new_hash)
    }

    /// Makes the address known to the account, if the password was replaced: whoever proved to be its owner
    /// there is not held up by what strangers try.
    #[must_use]
    pub fn know_address(&self, address: IpAddr) -> Statement {
        Statement::new(
            "INSERT INTO known_addresses (org_id, user_id, address, last_seen) SELECT ?1, ?2, ?4, ?5 WHERE \
             EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 AND password_hash = ?3) ON \
             CONFLICT (org_id, user_id, address) DO UPDATE SET last_seen = ?5",
        )
        .bind(self.organization)
        .bind(&self.owner.user_id)
        .bind(self.new_hash)
        .bind(address_key(address))
        .bind(self.now)
    }

    /// Forgets the account's failed sign-ins, if the password was replaced: whoever proved to be its owner is
    /// let in.
    #[must_use]
    pub fn unlock(&self) -> Statement {
        Statement::new(
            "DELETE FROM sign_in_attempts WHERE org_id = ?1 AND subject = 'account:' || ?2 AND EXISTS \
             (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 AND password_hash = ?3)",
        )
        .bind(self.organization)
        .bind(&self.owner.user_id)
        .bind(self.new_hash)
    }

    /// The parameter of [`PASSWORD_REPLACED`].
    #[must_use]
    pub fn replaced(&self) -> String {
        json!([self.owner.user_id, self.new_hash]).to_string()
    }
}

/// The audit condition "the user has this password hash"; `?2` is a JSON array of the two.
pub const PASSWORD_REPLACED: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?2 ->> 0 AND password_hash = ?2 ->> 1)"
);

/// Forgets a user's former passwords beyond the last so many.
#[must_use]
pub fn forget(organization: &OrganizationId, user_id: &UserId, history_size: u32) -> Statement {
    Statement::new(
        "DELETE FROM password_history WHERE org_id = ?1 AND user_id = ?2 AND changed_at <= (SELECT \
         changed_at FROM password_history WHERE org_id = ?1 AND user_id = ?2 ORDER BY changed_at DESC LIMIT \
         1 OFFSET ?3)",
    )
    .bind(organization)
    .bind(user_id)
    .bind(history_size)
}
