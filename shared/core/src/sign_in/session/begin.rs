//! The beginning of a session.

use crate::config::SessionConfiguration;
use crate::id::{OrganizationId, SessionId, UserId};
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::secret::credential::CredentialHash;
use crate::sign_in::session::SessionKind;
use crate::sql::Statement;
use crate::time::{Duration, Timestamp};

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
            "INSERT INTO sessions (org_id, session_id, user_id, ip_address, user_agent, created_at, \
             expires_at, last_activity, mfa_verified, kind, client_id, scope, token_hash, device_id) SELECT \
             ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, ?8, ?9, ?10, ?11, ?12, ?13 WHERE EXISTS (SELECT 1 FROM users \
             WHERE org_id = ?1 AND user_id = ?3 AND status = 'active' AND deleted_at IS NULL) RETURNING \
             session_id",
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
             (SELECT session_id FROM sessions WHERE org_id = ?1 AND user_id = ?2 AND kind = 'interactive' \
             AND ended_at IS NULL ORDER BY created_at DESC, session_id DESC LIMIT 100 OFFSET ?4)",
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
            "INSERT INTO refresh_tokens (org_id, token_hash, session_id, issued_at, expires_at) SELECT ?1, \
             ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM sessions WHERE org_id = ?1 AND session_id = ?3)",
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
