//! A session in use: whether it holds, and what it lets its user do.

use crate::config::SessionConfiguration;
use crate::directory::account::{UserStatus, read_grants};
use crate::id::{OrganizationId, SessionId, UserId};
use crate::permission::Grants;
use crate::secret::credential::CredentialHash;
use crate::sign_in::session::SessionKind;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::{grants_column, only_row};

/// Last activity is written at most this often: it is kept to the minute, not to the request.
pub const ACTIVITY_GRAIN: Duration = Duration::from_seconds(60);

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
            "SELECT session_id, session.user_id, expires_at, last_activity, ended_at, session.kind, scope, \
             username, users.status, ",
            grants_column!("users"),
            " FROM ",
            only_row!("sessions", "org_id = ?1 AND ", $which),
            " AS session CROSS JOIN users ON users.org_id = session.org_id AND users.user_id = \
             session.user_id AND users.deleted_at IS NULL"
        )
    };
}

impl LiveSession {
    /// Finds a session that an access token names, ended or not.
    pub fn find(organization: &OrganizationId, session_id: &SessionId) -> Query<Self> {
        Query::new(live_session!("session_id = ?2")).bind(organization).bind(session_id)
    }

    /// Finds the session whose cookie this is, ended or not.
    pub fn find_by_cookie(organization: &OrganizationId, hash: &CredentialHash) -> Query<Self> {
        Query::new(live_session!("token_hash = ?2")).bind(organization).bind(hash)
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
            "UPDATE sessions SET last_activity = ?3 WHERE org_id = ?1 AND session_id = ?2 AND last_activity \
             < ?3",
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
