//! Users in pages, by filter.
//!
//! Of the filters of a question one drives, by index; the others look at the users it comes upon, [`SCAN`] at
//! most, and then the page ends, full or not. So a page's cost has a bound whatever is asked for, and every
//! combination may be.

use serde::Deserialize;

use super::email_key;
use super::user::{DirectoryStatus, DirectoryUser, ManagedBy, UserKind};
use crate::directory::account::{MAX_GROUPS_SHOWN, username_key};
use crate::encoding::{base64url, from_base64url};
use crate::id::{GroupId, OrganizationId};
use crate::sql::{Answers, Batch, FromRow, Query, Row, RowError, Ticket, Value};
use crate::time::Timestamp;

/// How many users a page looks at, at most, where more than one filter is given.
const SCAN: u32 = 1000;

/// Which users. What is `None` does not matter; deleted ones are found where their status is asked for,
/// alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct UserFilter {
    /// By user name, without regard to case.
    pub username: Option<String>,
    /// By how the user name begins, without regard to case.
    pub username_prefix: Option<String>,
    /// By e-mail address, without regard to case.
    pub email: Option<String>,
    /// By status.
    pub status: Option<DirectoryStatus>,
    /// By role.
    pub role: Option<String>,
    /// By group.
    pub group_id: Option<GroupId>,
    /// By what they are.
    pub kind: Option<UserKind>,
    /// By who keeps them.
    pub managed_by: Option<ManagedBy>,
}

/// The filter that is asked first: where it finds users, from `?2` on, `?3` of them after `?4` others; its
/// own value is `?5`.
struct Driver {
    candidates: &'static str,
    value: Option<String>,
    /// Whether whoever it comes upon is wanted for sure.
    is_exact: bool,
}

const IN_ORDER: &str = "SELECT user_id AS candidate_id, user_id AS position FROM users INDEXED BY \
     users_in_order WHERE org_id = ?1 AND deleted_at IS NULL AND user_id >= ?2 ORDER BY user_id LIMIT ?3 \
     OFFSET ?4";
const BY_USERNAME: &str = "SELECT user_id AS candidate_id, user_id AS position FROM users INDEXED BY \
     users_by_username WHERE org_id = ?1 AND username_key = ?5 AND deleted_at IS NULL AND user_id >= ?2 \
     LIMIT ?3 OFFSET ?4";
const BY_EMAIL: &str = "SELECT user_id AS candidate_id, user_id AS position FROM users INDEXED BY \
     users_by_email WHERE org_id = ?1 AND lower(email) = ?5 AND email IS NOT NULL AND deleted_at IS NULL AND \
     user_id >= ?2 ORDER BY user_id LIMIT ?3 OFFSET ?4";
const BY_PREFIX: &str = "SELECT user_id AS candidate_id, username_key AS position FROM users INDEXED BY \
     users_by_username WHERE org_id = ?1 AND username_key >= ?2 AND username_key < ?5 AND deleted_at IS NULL \
     ORDER BY username_key LIMIT ?3 OFFSET ?4";
const BY_ROLE: &str = "SELECT DISTINCT user_id AS candidate_id, user_id AS position FROM user_roles INDEXED \
     BY user_roles_by_role WHERE org_id = ?1 AND role = ?5 AND user_id >= ?2 ORDER BY user_id LIMIT ?3 \
     OFFSET ?4";
const BY_GROUP: &str = "SELECT user_id AS candidate_id, user_id AS position FROM group_members INDEXED BY \
     group_members_by_group WHERE org_id = ?1 AND group_id = ?5 AND user_id >= ?2 ORDER BY user_id LIMIT ?3 \
     OFFSET ?4";
const LOCKED: &str = "SELECT substr(subject, 9) AS candidate_id, substr(subject, 9) AS position FROM \
     sign_in_attempts WHERE org_id = ?1 AND subject >= 'account:' || ?2 AND subject < 'account;' ORDER BY \
     subject LIMIT ?3 OFFSET ?4";
const SUSPENDED: &str = "SELECT user_id AS candidate_id, user_id AS position FROM users INDEXED BY \
     users_suspended WHERE org_id = ?1 AND status = 'suspended' AND deleted_at IS NULL AND user_id >= ?2 \
     ORDER BY user_id LIMIT ?3 OFFSET ?4";
const DELETED: &str = "SELECT user_id AS candidate_id, user_id AS position FROM users INDEXED BY \
     users_deleted WHERE org_id = ?1 AND deleted_at IS NOT NULL AND user_id >= ?2 ORDER BY user_id LIMIT ?3 \
     OFFSET ?4";
const SERVICE_ACCOUNTS: &str = "SELECT user_id AS candidate_id, user_id AS position FROM users INDEXED BY \
     users_service_accounts WHERE org_id = ?1 AND kind = 'service_account' AND deleted_at IS NULL AND \
     user_id >= ?2 ORDER BY user_id LIMIT ?3 OFFSET ?4";
const BY_KEEPER: &str = "SELECT user_id AS candidate_id, user_id AS position FROM users INDEXED BY \
     users_by_keeper WHERE org_id = ?1 AND managed_by = ?5 AND deleted_at IS NULL AND user_id >= ?2 ORDER BY \
     user_id LIMIT ?3 OFFSET ?4";

/// Those among the candidates that every filter lets through, whole. Parameters from `?6` on.
const PAGE_BEGIN: &str = concat!(
    "SELECT position, ",
    directory_columns!("?6", "?7", "?8"),
    " FROM (SELECT candidate_id AS page_id, position FROM ("
);
const PAGE_END: &str = concat!(
    ") CROSS JOIN users ON users.org_id = ?1 AND users.user_id = candidate_id WHERE (users.deleted_at IS NOT \
     NULL) = ?9 AND (?10 IS NULL OR users.username_key = ?10) AND (?11 IS NULL OR lower(users.email) = ?11) \
     AND (?12 IS NULL OR EXISTS (SELECT 1 FROM user_roles WHERE user_roles.org_id = ?1 AND \
     user_roles.user_id = candidate_id AND user_roles.role = ?12)) AND (?13 IS NULL OR EXISTS (SELECT 1 FROM \
     group_members WHERE group_members.org_id = ?1 AND group_members.user_id = candidate_id AND \
     group_members.group_id = ?13)) AND (?14 IS NULL OR users.kind = ?14) AND (?15 IS NULL OR \
     users.managed_by = ?15) AND (?16 IS NULL OR ",
    shown_status!("?6", "?7"),
    " = ?16) AND (?17 IS NULL OR substr(users.username_key, 1, length(?17)) = ?17) ORDER BY position LIMIT \
     ?18) CROSS JOIN users ON users.org_id = ?1 AND users.user_id = page_id"
);

impl UserFilter {
    fn driver(&self) -> Driver {
        let given = [
            self.username.is_some(),
            self.username_prefix.is_some(),
            self.email.is_some(),
            self.status.is_some(),
            self.role.is_some(),
            self.group_id.is_some(),
            self.kind.is_some(),
            self.managed_by.is_some(),
        ];
        let is_alone = given.into_iter().filter(|given| *given).count() <= 1;
        let driver =
            |candidates, value, is_exact| Driver { candidates, value, is_exact: is_exact && is_alone };
        let prefix_end = |prefix: &String| format!("{}{}", username_key(prefix), char::MAX);
        match self {
            Self { status: Some(DirectoryStatus::Deleted), .. } => driver(DELETED, None, true),
            Self { username: Some(name), .. } => driver(BY_USERNAME, Some(username_key(name)), true),
            Self { email: Some(email), .. } => driver(BY_EMAIL, Some(email_key(email)), true),
            Self { group_id: Some(group), .. } => driver(BY_GROUP, Some(group.to_string()), false),
            Self { role: Some(role), .. } => driver(BY_ROLE, Some(role.clone()), false),
            Self { status: Some(DirectoryStatus::Locked), .. } => driver(LOCKED, None, false),
            Self { status: Some(DirectoryStatus::Suspended), .. } => driver(SUSPENDED, None, true),
            Self { kind: Some(UserKind::ServiceAccount), .. } => driver(SERVICE_ACCOUNTS, None, true),
            Self { username_prefix: Some(prefix), .. } => driver(BY_PREFIX, Some(prefix_end(prefix)), true),
            Self { managed_by: Some(keeper), .. } => {
                driver(BY_KEEPER, Some(keeper.as_str().to_owned()), true)
            }
            Self { status, kind, .. } => driver(IN_ORDER, None, status.is_none() && kind.is_none()),
        }
    }
}

/// A question for a page.
#[derive(Clone, Debug)]
pub struct UserListQuery<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Which users.
    pub filter: &'a UserFilter,
    /// The cursor of the page before.
    pub cursor: Option<&'a str>,
    /// How many at most.
    pub limit: u32,
    /// How many failed sign-ins lock an account.
    pub lockout_threshold: u32,
    /// Now.
    pub now: Timestamp,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPage {
    /// The users.
    pub users: Vec<DirectoryUser>,
    /// For the next page; `None` on the last one.
    pub next_cursor: Option<String>,
}

/// Where the answers to a question for a page are found.
#[derive(Clone, Copy, Debug)]
pub struct UserListTickets {
    page: Ticket<PlacedUser>,
    next: Ticket<Position>,
}

/// A user, and where in the list it stands.
#[derive(Debug)]
struct PlacedUser {
    position: Position,
    user: DirectoryUser,
}

/// A place in the list: of another kind with each filter that drives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position(String);

impl FromRow for PlacedUser {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { position: Position::from_row(row)?, user: DirectoryUser::from_row(row)? })
    }
}

impl FromRow for Position {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self(row.text("position")?.to_owned()))
    }
}

impl UserListQuery<'_> {
    /// Asks for the page; `None` where the cursor is none of ours.
    #[must_use]
    pub fn ask(&self, batch: &mut Batch) -> Option<UserListTickets> {
        let driver = self.filter.driver();
        let start = match self.cursor {
            Some(cursor) => String::from_utf8(from_base64url(cursor)?).ok()?,
            None => match &self.filter.username_prefix {
                Some(prefix) if driver.candidates == BY_PREFIX => username_key(prefix),
                _ => String::new(),
            },
        };
        let scanned = if driver.is_exact { self.limit.saturating_add(1) } else { SCAN };
        let page = format!("{PAGE_BEGIN}{}{PAGE_END}", driver.candidates);
        let page = self.candidates(page, &start, scanned, 0).bind(driver.value.clone());
        let next = format!("SELECT position FROM ({})", driver.candidates);
        let next = self.candidates(next, &start, 1, scanned);
        let next = match driver.value {
            Some(value) => next.bind(value),
            None => next,
        };
        Some(UserListTickets { page: batch.ask(self.bind_filter(page)), next: batch.ask(next) })
    }

    fn candidates<T>(&self, text: String, start: &str, limit: u32, offset: u32) -> Query<T> {
        Query::new(text).bind(self.organization).bind(start).bind(limit).bind(offset)
    }

    fn bind_filter<T>(&self, query: Query<T>) -> Query<T> {
        let filter = self.filter;
        query
            .bind(self.now)
            .bind(self.lockout_threshold)
            .bind(MAX_GROUPS_SHOWN)
            .bind(filter.status == Some(DirectoryStatus::Deleted))
            .bind(filter.username.as_deref().map(username_key))
            .bind(filter.email.as_deref().map(email_key))
            .bind(filter.role.as_deref())
            .bind(filter.group_id.as_ref().map(|group| Value::Text(group.to_string())))
            .bind(filter.kind.map(UserKind::as_str))
            .bind(filter.managed_by.map(ManagedBy::as_str))
            .bind(filter.status.map(DirectoryStatus::as_str))
            .bind(filter.username_prefix.as_deref().map(username_key))
            .bind(self.limit.saturating_add(1))
    }

    /// The page that was found.
    ///
    /// # Errors
    /// When a row does not decode.
    pub fn page(&self, answers: &Answers, tickets: UserListTickets) -> Result<UserPage, RowError> {
        let mut found = answers.all(tickets.page)?;
        found.sort_by(|left, right| left.position.cmp(&right.position));
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        // A cursor is the place of the first user of its page, which may be one that no filter let through.
        let next = match found.get(limit) {
            Some(first) => Some(first.position.clone()),
            None => answers.one(tickets.next)?,
        };
        found.truncate(limit);
        Ok(UserPage {
            users: found.into_iter().map(|found| found.user).collect(),
            next_cursor: next.map(|position| base64url(position.0.as_bytes())),
        })
    }
}
