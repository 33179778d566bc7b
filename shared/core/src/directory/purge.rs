//! The scheduled job that forgets: users past their grace, sessions and refresh tokens past their use, failed
//! sign-ins and repeated SCIM changes past their window.

use serde_json::json;

use super::acts;
use crate::due::{Due, Sweep};
use crate::id::{LogId, OrganizationId, UserId};
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::sql::{Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::{record_rows, sweep, who_is_due};

/// How many users one batch purges at most.
pub const USERS_PER_BATCH: u32 = 50;

/// How many rows of a table one statement deletes at most of what users leave.
const ROWS_PER_STATEMENT: u32 = 500;

/// A user that is due to be purged.
#[derive(Clone, Debug)]
pub struct DueUser {
    organization: OrganizationId,
    user_id: UserId,
    log_id: LogId,
}

impl DueUser {
    /// Who has users that were deleted longer ago than the grace.
    pub fn due(deletion_grace: Duration, now: Timestamp, known: &[OrganizationId]) -> Query<Due> {
        const WHO: &str = who_is_due!(
            of: "org_id", from: "users INDEXED BY users_by_deletion",
            where: "deleted_at IS NOT NULL AND deleted_at < ?3", by: "deleted_at"
        );
        Due::find(WHO, known).bind(now.before(deletion_grace))
    }

    /// Finds an organization's users that were deleted longer ago than the grace, the longest gone first; for
    /// [`DueUser::read`].
    pub fn find(organization: &OrganizationId, deletion_grace: Duration, now: Timestamp) -> Query<Row> {
        Query::new(
            "SELECT user_id FROM users INDEXED BY users_by_deletion WHERE org_id = ?1 AND deleted_at IS NOT \
             NULL AND deleted_at < ?2 ORDER BY deleted_at LIMIT ?3",
        )
        .bind(organization)
        .bind(now.before(deletion_grace))
        .bind(USERS_PER_BATCH)
    }

    /// Reads a row of [`DueUser::find`]; `log_id` is for its audit record.
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(organization: &OrganizationId, row: &Row, log_id: LogId) -> Result<Self, RowError> {
        let organization = organization.clone();
        Ok(Self { organization, user_id: UserId::from_column(row, "user_id")?, log_id })
    }
}

/// The users of the list `$list` that are still due: nobody restored them meanwhile.
macro_rules! due {
    ($list:literal) => {
        concat!(
            "json_each(",
            $list,
            ") AS due CROSS JOIN users ON users.org_id = due.value ->> 'organization' AND users.user_id = \
             due.value ->> 'user_id' AND users.deleted_at < due.value ->> 'cutoff'"
        )
    };
}

/// Deletes rows of `$table`, whose primary key is `$key` and which has the columns `org_id` and `user_id`,
/// that belong to users that are due. `?2` of them at most.
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
            due!("?1"),
            " CROSS JOIN ",
            $table,
            " ON ",
            $table,
            ".org_id = users.org_id AND ",
            $table,
            ".user_id = users.user_id LIMIT ?2))"
        )
    };
}

/// What belongs to a user and goes with it. Another table of users' things is another line. API keys stay for
/// the audit, revoked; sessions ended with the deletion, and go as all that ended do.
const THEIRS: [&str; 4] = [
    delete_theirs!("user_roles", "org_id, user_id, role, via_group"),
    delete_theirs!("group_members", "org_id, user_id, group_id"),
    delete_theirs!("password_history", "org_id, user_id, changed_at"),
    delete_theirs!("known_addresses", "org_id, user_id, address"),
];

/// Purges users with everything of theirs, in one transaction, and records each. Who has more of something
/// than one statement deletes stays until the next time. Running it twice does no harm.
#[must_use]
pub fn purge(users: &[DueUser], deletion_grace: Duration, now: Timestamp) -> Vec<Statement> {
    let Some(first) = users.first() else { return Vec::new() };
    let cutoff = now.before(deletion_grace).as_millis();
    let item = |user: &DueUser| {
        json!({
            "organization": user.organization, "user_id": user.user_id, "log_id": user.log_id,
            "cutoff": cutoff,
        })
    };
    let users = users.iter().map(item).collect::<serde_json::Value>().to_string();
    let of_due = |text| Statement::new(text).bind(users.as_str());
    let mut statements: Vec<Statement> =
        THEIRS.into_iter().map(|text| of_due(text).bind(ROWS_PER_STATEMENT)).collect();
    let record = AuditEvent::by_system(&first.organization, first.log_id.clone(), acts::USER_PURGE, now);
    statements.push(record.record_if(PURGED, users.as_str()));
    statements.push(of_due(DELETE));
    statements
}

/// Nothing is left of it.
macro_rules! is_bare {
    () => {
        "NOT EXISTS (SELECT 1 FROM user_roles WHERE user_roles.org_id = users.org_id AND user_roles.user_id \
         = users.user_id) AND NOT EXISTS (SELECT 1 FROM group_members WHERE group_members.org_id = \
         users.org_id AND group_members.user_id = users.user_id) AND NOT EXISTS (SELECT 1 FROM \
         password_history WHERE password_history.org_id = users.org_id AND password_history.user_id = \
         users.user_id) AND NOT EXISTS (SELECT 1 FROM known_addresses WHERE known_addresses.org_id = \
         users.org_id AND known_addresses.user_id = users.user_id)"
    };
}

/// A record for each of the users `?2` of which nothing is left.
const PURGED: RecordCondition = record_rows!(
    org_id: "users.org_id",
    log_id: "due.value ->> 'log_id'",
    user_id: "users.user_id",
    resource_id: "users.user_id",
    from: " FROM ",
    due!("?2"),
    " WHERE ",
    is_bare!(),
);

const DELETE: &str = concat!(
    "DELETE FROM users WHERE (org_id, user_id) IN (SELECT users.org_id, users.user_id FROM ",
    due!("?1"),
    " WHERE ",
    is_bare!(),
    ")"
);

/// How long a session is kept after its end, for whoever looks into an incident, and a refresh token after
/// its own.
pub const SESSION_RETENTION: Duration = Duration::from_days(1);

/// Sessions past their time.
pub const EXPIRED_SESSIONS: Sweep =
    sweep!(of: "sessions", key: "org_id, session_id", past: "expires_at", by: "sessions_by_end");

/// Sessions that were ended.
pub const ENDED_SESSIONS: Sweep =
    sweep!(of: "sessions", key: "org_id, session_id", past: "ended_at", by: "sessions_by_ending");

/// Refresh tokens past their time.
pub const REFRESH_TOKENS: Sweep = sweep!(
    of: "refresh_tokens", key: "org_id, token_hash", past: "expires_at", by: "refresh_tokens_by_expiry",
);

/// Failed sign-ins whose window ended.
pub const SIGN_IN_ATTEMPTS: Sweep = sweep!(
    of: "sign_in_attempts", key: "org_id, subject", past: "window_ends_at", by: "sign_in_attempts_by_end",
);

/// Repeated SCIM changes whose window ended.
pub const SCIM_CHANGES: Sweep = sweep!(
    of: "scim_changes", key: "org_id, client_id, change_hash", past: "window_ends_at",
    by: "scim_changes_by_end",
);
