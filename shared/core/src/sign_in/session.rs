//! Sessions and their refresh tokens.
//!
//! A session begins with a sign-in and is the family of the refresh tokens that follow from it. Whatever must
//! happen once is one conditional statement: of two refreshes at the same instant one finds the token unspent.

pub mod listed;

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::SessionConfiguration;
use crate::directory::account::{UserStatus, read_grants};
use crate::id::{LogId, OrganizationId, SessionId, UserId};
use crate::permission::Grants;
use crate::secret::credential::CredentialHash;
use crate::sql::{FromRow, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::{grants_column, only_row, record::audit::RecordCondition, record_condition};

/// Last activity is written at most this often: it is kept to the minute, not to the request.
pub const ACTIVITY_GRAIN: Duration = Duration::from_seconds(60);

/// How a session came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A person signed in. It idles out, and counts towards the person's limit.
    Interactive,
    /// One token of an OAuth client: it lasts as long as the token, used or not.
    Client,
    /// An emergency credential was used. It idles out and counts towards no limit.
    BreakGlass,
}

impl SessionKind {
    /// Its word in the database and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Client => "client",
            Self::BreakGlass => "break_glass",
        }
    }

    fn idles_out(self) -> bool {
        self != Self::Client
    }
}

impl FromStr for SessionKind {
    type Err = RowError;

    fn from_str(text: &str) -> Result<Self, RowError> {
        [Self::Interactive, Self::Client, Self::BreakGlass]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(RowError::unreadable("kind"))
    }
}

/// A session that is about to begin.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its own id.
    pub session_id: &'a SessionId,
    /// Whose.
    pub user_id: &'a UserId,
    /// How it comes about.
    pub kind: SessionKind,
    /// The OAuth client whose token this is.
    pub client_id: Option<&'a str>,
    /// Grants that narrow what the user's roles allow, space-separated.
    pub scope: Option<&'a str>,
    /// The hash of its cookie, where it has one.
    pub token_hash: Option<&'a CredentialHash>,
    /// How long it lasts at most.
    pub life: Duration,
    /// From where.
    pub ip_address: Option<&'a str>,
    /// With what.
    pub user_agent: Option<&'a str>,
    /// Whether a second factor was shown.
    pub mfa_verified: bool,
    /// Now.
    pub now: Timestamp,
}

impl NewSession<'_> {
    /// Begins the session if its user is still active; returns its id if so.
    #[must_use]
    pub fn begin(&self) -> Statement {
        self.begin_on(None)
    }

    /// The same on a device that has an id of its own.
    #[must_use]
    pub fn begin_on(&self, device_id: Option<&str>) -> Statement {
        Statement::new(
            "INSERT INTO sessions (org_id, session_id, user_id, ip_address, user_agent, created_at, expires_at, \
             last_activity, mfa_verified, kind, client_id, scope, token_hash, device_id) SELECT ?1, ?2, ?3, ?4, ?5, \
             ?6, ?7, ?6, ?8, ?9, ?10, ?11, ?12, ?13 WHERE EXISTS (SELECT 1 FROM users WHERE org_id = ?1 AND user_id = ?3 AND status = \
             'active' AND deleted_at IS NULL) RETURNING session_id",
        )
        .bind(self.organization)
        .bind(self.session_id)
        .bind(self.user_id)
        .bind(self.ip_address)
        .bind(self.user_agent)
        .bind(self.now)
        .bind(self.now.after(self.life))
        .bind(self.mfa_verified)
        .bind(self.kind.as_str())
        .bind(self.client_id)
        .bind(self.scope)
        .bind(self.token_hash)
        .bind(device_id)
    }

    /// Ends the user's oldest sessions beyond the allowed number, this one counted.
    #[must_use]
    pub fn end_oldest(&self, configuration: &SessionConfiguration) -> Statement {
        Statement::new(
            "UPDATE sessions SET ended_at = ?3, ended_because = 'limit' WHERE org_id = ?1 AND session_id IN \
             (SELECT session_id FROM sessions WHERE org_id = ?1 AND user_id = ?2 AND kind = 'interactive' AND ended_at IS NULL \
             ORDER BY created_at DESC, session_id DESC LIMIT 100 OFFSET ?4)",
        )
        .bind(self.organization)
        .bind(self.user_id)
        .bind(self.now)
        .bind(configuration.max_sessions_per_user)
    }

    /// Stores the first refresh token, if the session began.
    #[must_use]
    pub fn first_refresh_token(&self, hash: &CredentialHash, expires_at: Timestamp) -> Statement {
        Statement::new(
            "INSERT INTO refresh_tokens (org_id, token_hash, session_id, issued_at, expires_at) \
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM sessions WHERE org_id = ?1 AND session_id = ?3)",
        )
        .bind(self.organization)
        .bind(hash)
        .bind(self.session_id)
        .bind(self.now)
        .bind(expires_at)
    }

    /// Notes the sign-in with the user, if the session began.
    #[must_use]
    pub fn note_login(&self) -> Statement {
        Statement::new(
            "UPDATE users SET last_login = ?3 WHERE org_id = ?1 AND user_id = ?2 AND EXISTS (SELECT 1 FROM \
             sessions WHERE org_id = ?1 AND session_id = ?4)",
        )
        .bind(self.organization)
        .bind(self.user_id)
        .bind(self.now)
        .bind(self.session_id)
    }
}

/// The audit condition "the session `?2` exists".
pub const SESSION_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM sessions WHERE org_id = ?1 AND session_id = ?2)");

/// A session as an access token's check sees it.
#[derive(Debug)]
pub struct LiveSession {
    /// Its own id.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Its user's name.
    pub username: String,
    /// When it was last used, to the grain of [`ACTIVITY_GRAIN`].
    pub last_activity: Timestamp,
    /// What the user's roles let it do, narrowed to the session's scope.
    pub grants: Grants,
    /// How it came about.
    pub kind: SessionKind,
    status: UserStatus,
    expires_at: Timestamp,
    ended: bool,
}

macro_rules! live_session {
    ($which:literal) => {
        concat!(
            "SELECT session_id, session.user_id, expires_at, last_activity, ended_at, session.kind, scope, username, \
             users.status, ",
            grants_column!("users"),
            " FROM ",
            only_row!("sessions", "org_id = ?1 AND ", $which),
            " AS session CROSS JOIN users ON users.org_id = session.org_id AND users.user_id = session.user_id AND \
             users.deleted_at IS NULL"
        )
    };
}

impl LiveSession {
    /// Finds a session that an access token names, ended or not.
    #[must_use]
    pub fn find(organization: &OrganizationId, session_id: &SessionId) -> Statement {
        Statement::new(live_session!("session_id = ?2")).bind(organization).bind(session_id)
    }

    /// Finds the session whose cookie this is, ended or not.
    #[must_use]
    pub fn find_by_cookie(organization: &OrganizationId, hash: &CredentialHash) -> Statement {
        Statement::new(live_session!("token_hash = ?2")).bind(organization).bind(hash)
    }

    /// Whether the session still holds.
    #[must_use]
    pub fn is_alive(&self, configuration: &SessionConfiguration, now: Timestamp) -> bool {
        !self.ended
            && self.status == UserStatus::Active
            && now < self.expires_at
            && (!self.kind.idles_out() || now < self.last_activity.after(configuration.idle_timeout))
    }

    /// Whether this use is worth writing down.
    #[must_use]
    pub fn is_activity_due(&self, now: Timestamp) -> bool {
        now >= self.last_activity.after(ACTIVITY_GRAIN)
    }

    /// Writes this use down.
    #[must_use]
    pub fn note_activity(organization: &OrganizationId, session_id: &SessionId, now: Timestamp) -> Statement {
        Statement::new(
            "UPDATE sessions SET last_activity = ?3 WHERE org_id = ?1 AND session_id = ?2 AND last_activity < ?3",
        )
        .bind(organization)
        .bind(session_id)
        .bind(now)
    }
}

impl FromRow for LiveSession {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            session_id: SessionId::from_column(row, "session_id")?,
            user_id: UserId::from_column(row, "user_id")?,
            username: row.text("username")?.to_owned(),
            last_activity: Timestamp::from_millis(row.integer("last_activity")?),
            grants: match row.optional_text("scope")? {
                None => read_grants(row)?,
                Some(scope) => read_grants(row)?.narrowed_to(scope),
            },
            kind: row.text("kind")?.parse()?,
            status: row.text("status")?.parse()?,
            expires_at: Timestamp::from_millis(row.integer("expires_at")?),
            ended: row.optional_integer("ended_at")?.is_some(),
        })
    }
}

/// One use of a refresh token.
///
/// Its successor follows from the token itself under the host's master key, so every refresh of one token asks for the
/// same successor: one of them makes it, and a retry gets it again.
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
            "UPDATE refresh_tokens SET spent_at = ?3, successor_hash = ?4, spent_by = ?6 WHERE org_id = ?1 AND \
             token_hash = ?2 AND spent_at IS NULL AND expires_at > ?3 AND EXISTS (SELECT 1 FROM sessions JOIN users ON \
             users.org_id = sessions.org_id AND users.user_id = sessions.user_id WHERE sessions.org_id = ?1 AND \
             sessions.session_id = refresh_tokens.session_id AND sessions.ended_at IS NULL AND \
             sessions.expires_at > ?3 AND sessions.last_activity > ?5 AND users.status = 'active' AND \
             users.deleted_at IS NULL) RETURNING session_id",
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
            "INSERT INTO refresh_tokens (org_id, token_hash, session_id, issued_at, expires_at) \
             SELECT ?1, ?2, refresh_tokens.session_id, ?4, MIN(?5, sessions.expires_at) FROM refresh_tokens JOIN \
             sessions ON sessions.org_id = ?1 AND sessions.session_id = refresh_tokens.session_id \
             WHERE refresh_tokens.org_id = ?1 AND refresh_tokens.token_hash = ?3 AND refresh_tokens.spent_by = ?6",
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
            "UPDATE sessions SET last_activity = MAX(last_activity, ?3) WHERE org_id = ?1 AND session_id = (SELECT \
             session_id FROM refresh_tokens WHERE org_id = ?1 AND token_hash = ?2 AND spent_by = ?4)",
        )
        .bind(self.organization)
        .bind(self.presented)
        .bind(self.now)
        .bind(self.record)
    }

    /// What became of the token that came, whether it was just spent or long ago, and of its successor.
    #[must_use]
    pub fn inspect(&self, configuration: &SessionConfiguration) -> Statement {
        Statement::new(
            "SELECT token.session_id, token.spent_at, token.spent_by, token.successor_hash, sessions.user_id, \
             sessions.client_id, sessions.scope, sessions.ended_at, (sessions.ended_at IS NULL AND sessions.expires_at > \
             ?3 AND sessions.last_activity > ?4 AND users.status = 'active' AND users.deleted_at IS NULL) AS is_live, \
             (successor.token_hash IS NOT NULL AND successor.spent_at IS NULL AND successor.expires_at > ?3) AS \
             is_successor_unspent FROM refresh_tokens AS token JOIN sessions ON sessions.org_id = token.org_id AND \
             sessions.session_id = token.session_id JOIN users ON users.org_id = sessions.org_id AND users.user_id = \
             sessions.user_id LEFT JOIN refresh_tokens AS successor ON successor.org_id = token.org_id AND \
             successor.token_hash = token.successor_hash WHERE token.org_id = ?1 AND token.token_hash = ?2",
        )
        .bind(self.organization)
        .bind(self.presented)
        .bind(self.now)
        .bind(self.now.before(configuration.idle_timeout))
    }
}

/// The audit condition "this very record's refresh spent the token `?2`"; the record names its session and user.
pub const REFRESH_TOKEN_SPENT: RecordCondition = crate::record_rows!(
    user_id: "COALESCE(?5, sessions.user_id)",
    resource_id: "COALESCE(?8, sessions.session_id)",
    from: " FROM refresh_tokens JOIN sessions ON sessions.org_id = \
     refresh_tokens.org_id AND sessions.session_id = refresh_tokens.session_id WHERE refresh_tokens.org_id = ?1 AND \
     refresh_tokens.token_hash = ?2 AND refresh_tokens.spent_by = ?12",
);

/// The audit condition "the session `?2` has not ended": the record of an end, before [`end`] in its batch.
pub const SESSION_NOT_ENDED: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM sessions WHERE org_id = ?1 AND session_id = ?2 AND ended_at IS NULL)"
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
    /// Another request of the same client did, a moment ago, and the successor still waits for its first use: this one
    /// gets it too. Which of the successors that were asked about.
    Repeated(usize),
    /// Another request did, a moment ago, and its successor is spent as well.
    AlreadySpent,
    /// It was spent long ago: somebody has a copy. The session must end.
    Reused,
    /// It is past its time, or its session no longer holds.
    Ended,
}

impl InspectedRefreshToken {
    /// Tells what the refresh that inspected it came to. `successors` are those that follow from the token that came:
    /// one for each master key that the host has.
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

/// Ends a session, and with it its access and refresh tokens.
#[must_use]
pub fn end(
    organization: &OrganizationId,
    session_id: &SessionId,
    because: &'static str,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "UPDATE sessions SET ended_at = ?3, ended_because = ?4 WHERE org_id = ?1 AND session_id = ?2 \
         AND ended_at IS NULL",
    )
    .bind(organization)
    .bind(session_id)
    .bind(now)
    .bind(because)
}
