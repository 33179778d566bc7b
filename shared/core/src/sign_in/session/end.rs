//! The end of sessions: one, or all of a user's.

use crate::id::{OrganizationId, SessionId, UserId};
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;

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

/// The audit condition "the session `?2` has not ended": the record of an end, before [`end`] in its batch.
pub const SESSION_NOT_ENDED: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM sessions WHERE org_id = ?1 AND session_id = ?2 AND ended_at IS NULL)"
);

/// Ends one session, if it is the owner's (anybody's where that is `None`) and has not been ended.
#[must_use]
pub fn end_owned(
    organization: &OrganizationId,
    session_id: &SessionId,
    owner: Option<&str>,
    because: &'static str,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "UPDATE sessions SET ended_at = ?4, ended_because = ?5 WHERE org_id = ?1 AND session_id = ?2 AND \
         user_id = COALESCE(?3, user_id) AND ended_at IS NULL",
    )
    .bind(organization)
    .bind(session_id)
    .bind(owner)
    .bind(now)
    .bind(because)
}

/// [`SESSION_NOT_ENDED`], and it is the user's own whose act is recorded.
pub const OWN_SESSION_NOT_ENDED: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM sessions WHERE org_id = ?1 AND session_id = ?2 AND user_id = ?5 AND ended_at IS \
     NULL)"
);

/// How many sessions there are.
#[derive(Clone, Copy, Debug)]
pub struct SessionCount(pub i64);

impl FromRow for SessionCount {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self(row.integer("count")?))
    }
}

/// Counts a user's sessions that have not been ended, but for one.
pub fn count_of(
    organization: &OrganizationId,
    user_id: &UserId,
    except: Option<&SessionId>,
) -> Query<SessionCount> {
    Query::new(
        "SELECT COUNT(*) AS count FROM sessions INDEXED BY sessions_by_user WHERE org_id = ?1 AND user_id = \
         ?2 AND ended_at IS NULL AND session_id IS NOT ?3",
    )
    .bind(organization)
    .bind(user_id)
    .bind(except)
}

/// Ends a user's sessions, but for one.
#[must_use]
pub fn end_all_but(
    organization: &OrganizationId,
    user_id: &UserId,
    except: Option<&SessionId>,
    because: &'static str,
    now: Timestamp,
) -> Statement {
    Statement::new(
        "UPDATE sessions INDEXED BY sessions_by_user SET ended_at = ?4, ended_because = ?5 WHERE org_id = ?1 \
         AND user_id = ?2 AND ended_at IS NULL AND session_id IS NOT ?3",
    )
    .bind(organization)
    .bind(user_id)
    .bind(except)
    .bind(now)
    .bind(because)
}
