//! Reset tokens: a new password for whoever can't sign in. The newest of a user alone holds, once.

use crate::directory::ManagedBy;
use crate::directory::account::username_key;
use crate::id::{OrganizationId, UserId};
use crate::permission::Grant;
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::secret::credential::CredentialHash;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// How many tokens an account gets by asking, within [`REQUEST_WINDOW`].
pub const MAX_REQUESTS: u32 = 3;

/// The time in which [`MAX_REQUESTS`] counts.
pub const REQUEST_WINDOW: Duration = Duration::from_hours(1);

/// Whose token it is to be.
#[derive(Clone, Copy, Debug)]
pub enum ResetSubject<'a> {
    /// The user whom somebody authorized chose, or who just showed its password.
    User(&'a UserId),
    /// Whoever has this user name: somebody unknown asks, so it must have a password and an address to send
    /// the token to, and gets [`MAX_REQUESTS`] at most.
    Username(&'a str),
}

/// A reset token that is to be made.
#[derive(Debug)]
pub struct ResetToken<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The hash of the token.
    pub hash: &'a CredentialHash,
    /// Whose.
    pub subject: ResetSubject<'a>,
    /// Whether also for somebody whom SCIM manages.
    pub includes_managed: bool,
    /// How long it works.
    pub life: Duration,
    /// Now.
    pub now: Timestamp,
}

/// Stores a token for the active person that `$which` finds, if SCIM does not manage it or `$managed` holds.
macro_rules! insert_token {
    ($which:literal, $managed:literal) => {
        concat!(
            "INSERT INTO reset_tokens (org_id, token_hash, user_id, created_at, expires_at) SELECT ?1, ?2, \
             users.user_id, ?3, ?4 FROM users WHERE users.org_id = ?1 AND users.kind = 'person' AND \
             users.status = 'active' AND users.deleted_at IS NULL AND (users.managed_by <> 'scim' OR ",
            $managed,
            ") AND ",
            $which,
            " RETURNING user_id"
        )
    };
}

impl ResetToken<'_> {
    /// Makes the token if its subject is an active person whose password may be changed here, and then ends
    /// the ones before. Whether it did is told by [`Recipient::of`] in the same batch.
    #[must_use]
    pub fn issue(&self) -> [Statement; 3] {
        [self.store(), self.end_others(), self.forget_old()]
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.now.after(self.life)
    }

    fn store(&self) -> Statement {
        let bound = |text: &'static str| {
            Statement::new(text)
                .bind(self.organization)
                .bind(self.hash)
                .bind(self.now)
                .bind(self.expires_at())
        };
        match self.subject {
            ResetSubject::User(user_id) => {
                bound(insert_token!("users.user_id = ?5", "?6")).bind(user_id).bind(self.includes_managed)
            }
            ResetSubject::Username(username) => bound(insert_token!(
                "users.username_key = ?5 AND users.password_hash IS NOT NULL AND users.email IS NOT NULL AND \
                 (SELECT COUNT(*) FROM reset_tokens INDEXED BY reset_tokens_by_user WHERE \
                 reset_tokens.org_id = ?1 AND reset_tokens.user_id = users.user_id AND \
                 reset_tokens.created_at > ?6) < ?7",
                "?8"
            ))
            .bind(username_key(username))
            .bind(self.now.before(REQUEST_WINDOW))
            .bind(MAX_REQUESTS)
            .bind(self.includes_managed),
        }
    }

    fn end_others(&self) -> Statement {
        Statement::new(
            "UPDATE reset_tokens INDEXED BY reset_tokens_by_user SET expires_at = ?3 WHERE org_id = ?1 AND \
             user_id = (SELECT user_id FROM reset_tokens WHERE org_id = ?1 AND token_hash = ?2) AND \
             token_hash <> ?2 AND used_at IS NULL AND expires_at > ?3",
        )
        .bind(self.organization)
        .bind(self.hash)
        .bind(self.now)
    }

    /// What is older than the window neither holds nor counts.
    fn forget_old(&self) -> Statement {
        Statement::new(
            "DELETE FROM reset_tokens INDEXED BY reset_tokens_by_user WHERE org_id = ?1 AND user_id = \
             (SELECT user_id FROM reset_tokens WHERE org_id = ?1 AND token_hash = ?2) AND created_at <= ?3",
        )
        .bind(self.organization)
        .bind(self.hash)
        .bind(self.now.before(REQUEST_WINDOW))
    }
}

/// Spends a token if it is unspent, unexpired and its user still has the password that was read; returns the
/// user's id if so. Of two at the same instant one gets a row.
#[must_use]
pub fn spend(
    organization: &OrganizationId,
    token: &CredentialHash,
    password_hash: Option<&str>,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "UPDATE reset_tokens SET used_at = ?3 WHERE org_id = ?1 AND token_hash = ?2 AND used_at IS NULL AND \
         expires_at > ?3 AND EXISTS (SELECT 1 FROM users WHERE users.org_id = ?1 AND users.user_id = \
         reset_tokens.user_id AND users.password_hash IS ?4 AND users.status = 'active' AND users.deleted_at \
         IS NULL) RETURNING user_id",
    )
    .bind(organization)
    .bind(token)
    .bind(now)
    .bind(password_hash)
}

/// The audit condition "the reset token `?2` exists"; the record names its user.
pub const RESET_TOKEN_EXISTS: RecordCondition = crate::record_rows!(
    user_id: "COALESCE(?5, reset_tokens.user_id)",
    resource_id: "COALESCE(?8, reset_tokens.user_id)",
    from: " FROM reset_tokens WHERE reset_tokens.org_id = ?1 AND reset_tokens.token_hash = ?2",
);

/// The audit condition "the reset token `?2` was not made".
pub const RESET_TOKEN_MISSING: RecordCondition =
    record_condition!("NOT EXISTS (SELECT 1 FROM reset_tokens WHERE org_id = ?1 AND token_hash = ?2)");

/// To whom a token is sent.
#[derive(Debug)]
pub struct Recipient {
    /// Its id.
    pub user_id: UserId,
    /// Its name for signing in.
    pub username: String,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its name for people.
    pub display_name: Option<String>,
}

impl Recipient {
    /// Finds whom a token was made for.
    pub fn of(organization: &OrganizationId, token: &CredentialHash) -> Query<Self> {
        Query::new(
            "SELECT users.user_id, users.username, users.email, users.display_name FROM reset_tokens JOIN \
             users ON users.org_id = reset_tokens.org_id AND users.user_id = reset_tokens.user_id WHERE \
             reset_tokens.org_id = ?1 AND reset_tokens.token_hash = ?2",
        )
        .bind(organization)
        .bind(token)
    }
}

impl FromRow for Recipient {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            user_id: UserId::from_column(row, "user_id")?,
            username: row.text("username")?.to_owned(),
            email: row.optional_text("email")?.map(str::to_owned),
            display_name: row.optional_text("display_name")?.map(str::to_owned),
        })
    }
}

/// A user whose password an administrator resets: what its roles grant. Who sets its password could act as
/// it, so must hold all of that.
#[derive(Debug)]
pub struct ResetTarget {
    /// What its roles grant.
    pub grants: Vec<Grant>,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Who keeps it.
    pub managed_by: ManagedBy,
}

impl ResetTarget {
    /// Finds an active person.
    pub fn find(organization: &OrganizationId, user_id: &UserId) -> Query<Self> {
        Query::new(concat!(
            "SELECT users.email, users.managed_by, ",
            crate::grants_column!("users"),
            " FROM users WHERE users.org_id = ?1 AND users.user_id = ?2 AND users.kind = 'person' AND \
             users.status = 'active' AND users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(user_id)
    }
}

impl FromRow for ResetTarget {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let arrays = row.optional_text("grants")?.unwrap_or_default();
        let roles: Vec<Vec<String>> =
            serde_json::from_str(&format!("[{arrays}]")).map_err(|_| RowError::unreadable("grants"))?;
        Ok(Self {
            // A text that is no grant gives nothing.
            grants: roles.iter().flatten().filter_map(|text| text.parse().ok()).collect(),
            managed_by: row.text("managed_by")?.parse()?,
            email: row.optional_text("email")?.map(str::to_owned),
        })
    }
}
