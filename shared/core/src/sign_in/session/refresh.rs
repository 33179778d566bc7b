//! The family of a session's refresh tokens: each is spent once, for its successor.

use crate::config::SessionConfiguration;
use crate::id::{LogId, OrganizationId, SessionId, UserId};
use crate::record::audit::RecordCondition;
use crate::secret::credential::CredentialHash;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// One use of a refresh token.
///
/// Its successor follows from the token itself under the host's master key, so every refresh of one token
/// asks for the same successor: one of them makes it, and a retry gets it again.
#[derive(Debug)]
pub struct Refresh<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The token that came.
    pub presented: &'a CredentialHash,
    /// The token that replaces it.
    pub successor: &'a CredentialHash,
    /// The audit record of this refresh, which tells it from others of the same token.
    pub record: &'a LogId,
    /// Now.
    pub now: Timestamp,
}

impl Refresh<'_> {
    /// Spends the token if it is unspent, unexpired and its session still holds; returns the session if so.
    /// Of two at the same instant one gets a row.
    #[must_use]
    pub fn spend(&self, configuration: &SessionConfiguration) -> Statement {
        Statement::new(
            "UPDATE refresh_tokens SET spent_at = ?3, successor_hash = ?4, spent_by = ?6 WHERE org_id = ?1 \
             AND token_hash = ?2 AND spent_at IS NULL AND expires_at > ?3 AND EXISTS (SELECT 1 FROM sessions \
             JOIN users ON users.org_id = sessions.org_id AND users.user_id = sessions.user_id WHERE \
             sessions.org_id = ?1 AND sessions.session_id = refresh_tokens.session_id AND sessions.ended_at \
             IS NULL AND sessions.expires_at > ?3 AND sessions.last_activity > ?5 AND users.status = \
             'active' AND users.deleted_at IS NULL) RETURNING session_id",
        )
        .bind(self.organization)
        .bind(self.presented)
        .bind(self.now)
        .bind(self.successor)
        .bind(self.now.before(configuration.idle_timeout))
        .bind(self.record)
    }

    /// Stores the successor, if [`Refresh::spend`] did spend. It lives no longer than its session.
    #[must_use]
    pub fn store_successor(&self, expires_at: Timestamp) -> Statement {
        Statement::new(
            "INSERT INTO refresh_tokens (org_id, token_hash, session_id, issued_at, expires_at) SELECT ?1, \
             ?2, refresh_tokens.session_id, ?4, MIN(?5, sessions.expires_at) FROM refresh_tokens JOIN \
             sessions ON sessions.org_id = ?1 AND sessions.session_id = refresh_tokens.session_id WHERE \
             refresh_tokens.org_id = ?1 AND refresh_tokens.token_hash = ?3 AND refresh_tokens.spent_by = ?6",
        )
        .bind(self.organization)
        .bind(self.successor)
        .bind(self.presented)
        .bind(self.now)
        .bind(expires_at)
        .bind(self.record)
    }

    /// Notes that the session was used, if [`Refresh::spend`] did spend.
    #[must_use]
    pub fn note_activity(&self) -> Statement {
        Statement::new(
            "UPDATE sessions SET last_activity = MAX(last_activity, ?3) WHERE org_id = ?1 AND session_id = \
             (SELECT session_id FROM refresh_tokens WHERE org_id = ?1 AND token_hash = ?2 AND spent_by = ?4)",
        )
        .bind(self.organization)
        .bind(self.presented)
        .bind(self.now)
        .bind(self.record)
    }

    /// What became of the token that came, whether it was just spent or long ago, and of its successor.
    pub fn inspect(&self, configuration: &SessionConfiguration) -> Query<InspectedRefreshToken> {
        Query::new(
            "SELECT token.session_id, token.spent_at, token.spent_by, token.successor_hash, \
             sessions.user_id, sessions.client_id, sessions.scope, sessions.ended_at, (sessions.ended_at IS \
             NULL AND sessions.expires_at > ?3 AND sessions.last_activity > ?4 AND users.status = 'active' \
             AND users.deleted_at IS NULL) AS is_live, (successor.token_hash IS NOT NULL AND \
             successor.spent_at IS NULL AND successor.expires_at > ?3) AS is_successor_unspent FROM \
             refresh_tokens AS token JOIN sessions ON sessions.org_id = token.org_id AND sessions.session_id \
             = token.session_id JOIN users ON users.org_id = sessions.org_id AND users.user_id = \
             sessions.user_id LEFT JOIN refresh_tokens AS successor ON successor.org_id = token.org_id AND \
             successor.token_hash = token.successor_hash WHERE token.org_id = ?1 AND token.token_hash = ?2",
        )
        .bind(self.organization)
        .bind(self.presented)
        .bind(self.now)
        .bind(self.now.before(configuration.idle_timeout))
    }
}

/// The audit condition "this very record's refresh spent the token `?2`"; the record names its session and
/// user.
pub const REFRESH_TOKEN_SPENT: RecordCondition = crate::record_rows!(
    user_id: "COALESCE(?5, sessions.user_id)",
    resource_id: "COALESCE(?8, sessions.session_id)",
    from: " FROM refresh_tokens JOIN sessions ON sessions.org_id = refresh_tokens.org_id AND \
           sessions.session_id = refresh_tokens.session_id WHERE refresh_tokens.org_id = ?1 AND \
           refresh_tokens.token_hash = ?2 AND refresh_tokens.spent_by = ?12",
);

/// A refresh token after [`Refresh::inspect`].
#[derive(Debug)]
pub struct InspectedRefreshToken {
    /// Its session.
    pub session_id: SessionId,
    /// The session's user.
    pub user_id: UserId,
    /// The OAuth client whose session it is.
    pub client_id: Option<String>,
    /// What the session is narrowed to.
    pub scope: Option<String>,
    spent_at: Option<Timestamp>,
    spent_by: Option<String>,
    successor_hash: Option<String>,
    has_ended: bool,
    is_live: bool,
    is_successor_unspent: bool,
}

/// What a refresh came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshVerdict {
    /// This request spent the token.
    Granted,
    /// Another request of the same client did, a moment ago, and the successor still waits for its first use:
    /// this one gets it too. Which of the successors that were asked about.
    Repeated(usize),
    /// Another request did, a moment ago, and its successor is spent as well.
    AlreadySpent,
    /// It was spent long ago: somebody has a copy. The session must end.
    Reused,
    /// It is past its time, or its session no longer holds.
    Ended,
}

impl InspectedRefreshToken {
    /// Tells what the refresh that inspected it came to. `successors` are those that follow from the token
    /// that came: one for each master key that the host has.
    #[must_use]
    pub fn verdict(
        &self,
        refresh: &Refresh<'_>,
        successors: &[CredentialHash],
        tolerance: Duration,
    ) -> RefreshVerdict {
        if self.spent_by.as_deref() == Some(refresh.record.as_str()) {
            return RefreshVerdict::Granted;
        }
        let Some(spent_at) = self.spent_at else { return RefreshVerdict::Ended };
        if self.has_ended {
            return RefreshVerdict::Ended;
        }
        if refresh.now >= spent_at.after(tolerance) {
            return RefreshVerdict::Reused;
        }
        if !self.is_live {
            return RefreshVerdict::Ended;
        }
        let known = successors.iter().position(|hash| self.successor_hash.as_deref() == Some(hash.as_str()));
        known
            .filter(|_| self.is_successor_unspent)
            .map_or(RefreshVerdict::AlreadySpent, RefreshVerdict::Repeated)
    }
}

impl FromRow for InspectedRefreshToken {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            session_id: SessionId::from_column(row, "session_id")?,
            user_id: UserId::from_column(row, "user_id")?,
            client_id: row.optional_text("client_id")?.map(str::to_owned),
            scope: row.optional_text("scope")?.map(str::to_owned),
            spent_at: row.optional_integer("spent_at")?.map(Timestamp::from_millis),
            spent_by: row.optional_text("spent_by")?.map(str::to_owned),
            successor_hash: row.optional_text("successor_hash")?.map(str::to_owned),
            has_ended: row.optional_integer("ended_at")?.is_some(),
            is_live: row.integer("is_live")? != 0,
            is_successor_unspent: row.integer("is_successor_unspent")? != 0,
        })
    }
}
