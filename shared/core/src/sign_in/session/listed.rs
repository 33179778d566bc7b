//! Sessions as people see them: their own, or others' where they may.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::SessionConfiguration;
use crate::id::{OrganizationId, SessionId, UserId};
use crate::sign_in::device;
use crate::sign_in::session::SessionKind;
use crate::sql::{FromRow, Query, Row, RowError};
use crate::time::Timestamp;

/// How many sessions a page has at most.
pub const MAX_PAGE: u32 = 100;

/// Whether a session still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// It does.
    Active,
    /// It was ended, ran its time or idled out.
    Ended,
}

/// A session as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// How it came about.
    pub kind: SessionKind,
    /// The device's own id, where it gave one.
    pub device_id: Option<String>,
    /// The device in words, as far as its user agent tells: `Firefox on Linux`.
    pub device: Option<String>,
    /// From where it began.
    pub ip_address: Option<String>,
    /// With what it began.
    pub user_agent: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_activity: Timestamp,
    /// Whether a second factor was shown.
    pub mfa_verified: bool,
    /// Whether it still holds.
    pub status: SessionStatus,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it was ended before its time.
    pub ended_at: Option<Timestamp>,
    /// Why it was.
    pub ended_because: Option<String>,
}

/// What is asked about sessions, and what decides whether they hold.
#[derive(Debug)]
pub struct SessionQuery<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// How long they may idle.
    pub configuration: &'a SessionConfiguration,
    /// Now.
    pub now: Timestamp,
}

macro_rules! session_columns {
    ($idle_since:literal, $now:literal) => {
        concat!(
            "SELECT session_id, user_id, kind, device_id, ip_address, user_agent, created_at, expires_at, \
             last_activity, mfa_verified, ended_at, ended_because, ",
            holds!($idle_since, $now),
            " AS holds FROM sessions"
        )
    };
}

macro_rules! holds {
    ($idle_since:literal, $now:literal) => {
        concat!(
            "(ended_at IS NULL AND expires_at > ",
            $now,
            " AND (kind = 'client' OR last_activity > ",
            $idle_since,
            "))"
        )
    };
}

impl SessionQuery<'_> {
    /// A page of a user's sessions, the newest first, and one more where there is another page.
    pub fn page(
        &self,
        user_id: &UserId,
        status: Option<SessionStatus>,
        before: Option<&SessionId>,
        limit: u32,
    ) -> Query<Session> {
        Query::new(concat!(
            session_columns!("?3", "?4"),
            " INDEXED BY sessions_of_user WHERE org_id = ?1 AND user_id = ?2 AND session_id < ?5 AND (?6 IS \
             NULL OR ",
            holds!("?3", "?4"),
            " = ?6) ORDER BY session_id DESC LIMIT ?7"
        ))
        .bind(self.organization)
        .bind(user_id)
        .bind(self.idle_since())
        .bind(self.now)
        .bind(before.map_or("sess_~", SessionId::as_str))
        .bind(status.map(|status| status == SessionStatus::Active))
        .bind(limit.saturating_add(1))
    }

    /// One session.
    pub fn find(&self, session_id: &SessionId) -> Query<Session> {
        Query::new(concat!(session_columns!("?3", "?4"), " WHERE org_id = ?1 AND session_id = ?2"))
            .bind(self.organization)
            .bind(session_id)
            .bind(self.idle_since())
            .bind(self.now)
    }

    fn idle_since(&self) -> Timestamp {
        self.now.before(self.configuration.idle_timeout)
    }
}

impl FromRow for Session {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let user_agent = row.optional_text("user_agent")?;
        Ok(Self {
            session_id: SessionId::from_column(row, "session_id")?,
            user_id: UserId::from_column(row, "user_id")?,
            kind: SessionKind::from_str(row.text("kind")?)?,
            device_id: row.optional_text("device_id")?.map(str::to_owned),
            device: user_agent.and_then(device::describe),
            ip_address: row.optional_text("ip_address")?.map(str::to_owned),
            user_agent: user_agent.map(str::to_owned),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            expires_at: Timestamp::from_millis(row.integer("expires_at")?),
            last_activity: Timestamp::from_millis(row.integer("last_activity")?),
            mfa_verified: row.integer("mfa_verified")? != 0,
            status: if row.integer("holds")? == 0 { SessionStatus::Ended } else { SessionStatus::Active },
            current: false,
            ended_at: row.optional_integer("ended_at")?.map(Timestamp::from_millis),
            ended_because: row.optional_text("ended_because")?.map(str::to_owned),
        })
    }
}
