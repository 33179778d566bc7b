//! The scheduled job that forgets: users past their grace, sessions and refresh tokens past their use, failed sign-ins
//! and repeated SCIM changes past their window.

use serde::Serialize;
use serde_json::json;

use crate::id::{LogId, OrganizationId, UserId};
use crate::sql::{Row, RowError, Statement};
use crate::time::{Duration, Timestamp};

/// How many users one batch purges at most.
pub const USERS_PER_BATCH: u32 = 50;

/// How many rows of a table one statement deletes at most.
pub const ROWS_PER_STATEMENT: u32 = 500;

/// How long a session is kept after its end, for whoever looks into an incident.
const SESSION_RETENTION: Duration = Duration::from_days(1);

/// A user that is due to be purged.
#[derive(Clone, Debug, Serialize)]
pub struct DueUser {
    organization: OrganizationId,
    user_id: UserId,
    log_id: LogId,
}

impl DueUser {
    /// Finds users that were deleted longer ago than the grace, the longest gone first.
    #[must_use]
    pub fn find(deletion_grace: Duration, now: Timestamp) -> Statement {
        Statement::new(
            "SELECT org_id, user_id FROM users INDEXED BY users_by_deletion WHERE deleted_at IS NOT NULL AND deleted_at < \
             ?1 ORDER BY deleted_at LIMIT ?2",
        )
        .bind(now.before(deletion_grace))
        .bind(USERS_PER_BATCH)
    }

    /// Reads a row of [`DueUser::find`]; `log_id` is for its audit record.
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(row: &Row, log_id: LogId) -> Result<Self, RowError> {
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            user_id: UserId::from_column(row, "user_id")?,
            log_id,
        })
    }
}

/// The users `?1` that are still due (nobody restored one meanwhile).
macro_rules! due {
    () => {
        "json_each(?1) AS due CROSS JOIN users ON users.org_id = due.value ->> 'organization' AND users.user_id = \
         due.value ->> 'user_id' AND users.deleted_at < ?2"
    };
}

/// Deletes rows of `$table`, whose primary key is `$key` and which has the columns `org_id` and `user_id`, that belong to
/// users that are due. `?3` of them at most.
macro_rules! delete_theirs {
    ($table:literal, $key:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM (SELECT ",
            $table,
            ".* FROM ",
            due!(),
            " CROSS JOIN ",
            $table,
            " ON ",
            $table,
            ".org_id = users.org_id AND ",
            $table,
            ".user_id = users.user_id LIMIT ?3))"
        )
    };
}

/// What belongs to a user and goes with it. Another table of users' things is another line. API keys stay for the audit,
/// revoked; sessions ended with the deletion, and go as all that ended do.
const THEIRS: [&str; 4] = [
    delete_theirs!("user_roles", "org_id, user_id, role, via_group"),
    delete_theirs!("group_members", "org_id, user_id, group_id"),
    delete_theirs!("password_history", "org_id, user_id, changed_at"),
    delete_theirs!("known_addresses", "org_id, user_id, address"),
];

/// Purges users with everything of theirs, in one transaction, and records each. Who has more of something than one
/// statement deletes stays until the next time. Running it twice does no harm.
#[must_use]
pub fn purge(users: &[DueUser], deletion_grace: Duration, now: Timestamp) -> Vec<Statement> {
    let users = json!(users).to_string();
    let cutoff = now.before(deletion_grace);
    let of_due = |text| Statement::new(text).bind(users.as_str()).bind(cutoff);
    let mut statements: Vec<Statement> =
        THEIRS.into_iter().map(|text| of_due(text).bind(ROWS_PER_STATEMENT)).collect();
    statements.push(of_due(RECORD).bind(now));
    statements.push(of_due(DELETE));
    statements
}

/// Nothing is left of it.
macro_rules! is_bare {
    () => {
        "NOT EXISTS (SELECT 1 FROM user_roles WHERE user_roles.org_id = users.org_id AND user_roles.user_id = users.user_id) \
         AND NOT EXISTS (SELECT 1 FROM group_members WHERE group_members.org_id = users.org_id AND group_members.user_id = \
         users.user_id) AND NOT EXISTS (SELECT 1 FROM password_history WHERE password_history.org_id = users.org_id AND \
         password_history.user_id = users.user_id) AND NOT EXISTS (SELECT 1 FROM known_addresses WHERE \
         known_addresses.org_id = users.org_id AND known_addresses.user_id = users.user_id)"
    };
}

const RECORD: &str = concat!(
    "INSERT INTO audit_events (org_id, log_id, timestamp, actor, user_id, action, resource, resource_id, result, details) \
     SELECT users.org_id, due.value ->> 'log_id', ?3, 'system', users.user_id, 'user.purge', 'user', users.user_id, \
     'success', '{}' FROM ",
    due!(),
    " WHERE ",
    is_bare!()
);

const DELETE: &str = concat!(
    "DELETE FROM users WHERE (org_id, user_id) IN (SELECT users.org_id, users.user_id FROM ",
    due!(),
    " WHERE ",
    is_bare!(),
    ")"
);

/// Forgets what is past its use, some of each: sessions that ended or expired more than a day ago, refresh tokens that
/// expired as long ago, failed sign-ins and repeated SCIM changes whose window ended. Each returns what it deleted, so
/// that whoever runs them sees when they are through.
#[must_use]
pub fn forget(now: Timestamp) -> Vec<Statement> {
    let past = now.before(SESSION_RETENTION);
    [
        (
            "DELETE FROM sessions WHERE (org_id, session_id) IN (SELECT org_id, session_id FROM sessions INDEXED BY \
             sessions_by_end WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2) RETURNING 1 AS gone",
            past,
        ),
        (
            "DELETE FROM sessions WHERE (org_id, session_id) IN (SELECT org_id, session_id FROM sessions INDEXED BY \
             sessions_by_ending WHERE ended_at IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2) RETURNING 1 AS \
             gone",
            past,
        ),
        (
            "DELETE FROM refresh_tokens WHERE (org_id, token_hash) IN (SELECT org_id, token_hash FROM refresh_tokens \
             INDEXED BY refresh_tokens_by_expiry WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2) RETURNING 1 AS gone",
            past,
        ),
        (
            "DELETE FROM sign_in_attempts WHERE (org_id, subject) IN (SELECT org_id, subject FROM sign_in_attempts \
             INDEXED BY sign_in_attempts_by_end WHERE window_ends_at < ?1 ORDER BY window_ends_at LIMIT ?2) RETURNING 1 \
             AS gone",
            now,
        ),
        (
            "DELETE FROM scim_changes WHERE (org_id, client_id, change_hash) IN (SELECT org_id, client_id, change_hash \
             FROM scim_changes INDEXED BY scim_changes_by_end WHERE window_ends_at < ?1 ORDER BY window_ends_at LIMIT \
             ?2) RETURNING 1 AS gone",
            now,
        ),
    ]
    .into_iter()
    .map(|(text, before)| Statement::new(text).bind(before).bind(ROWS_PER_STATEMENT))
    .collect()
}
