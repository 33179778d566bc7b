//! The directory: users, groups, roles and organizations, found, created, changed, deleted, carried in and
//! out.
//!
//! `account` is a user as it signs in and acts, `user` the same one as its administrators see it; `change`,
//! `create`, `list` and `transfer` are what they do to it.

/// Whether the user in the table `users` may act, in the words of [`DirectoryStatus`]. `$now` and
/// `$threshold` are the parameters for the moment and for how many failed sign-ins lock an account.
macro_rules! shown_status {
    ($now:literal, $threshold:literal) => {
        concat!(
            "CASE WHEN users.deleted_at IS NOT NULL THEN 'deleted' WHEN users.status = 'suspended' THEN \
             'suspended' WHEN users.status = 'locked' OR EXISTS (SELECT 1 FROM sign_in_attempts WHERE \
             sign_in_attempts.org_id = users.org_id AND sign_in_attempts.subject = 'account:' || \
             users.user_id AND sign_in_attempts.tries >= ",
            $threshold,
            " AND sign_in_attempts.window_ends_at > ",
            $now,
            ") THEN 'locked' ELSE 'active' END"
        )
    };
}

/// The columns of a [`DirectoryUser`].
macro_rules! directory_columns {
    ($now:literal, $threshold:literal, $groups:literal) => {
        concat!(
            "users.user_id, users.username, users.email, users.display_name, users.kind, users.managed_by, \
             users.mfa_methods, users.last_login, users.created_at, users.updated_at, users.deleted_at, \
             users.version, ",
            shown_status!($now, $threshold),
            " AS shown_status, ",
            $crate::roles_column!("users"),
            ", (SELECT json_group_array(display_name) FROM (SELECT groups.display_name FROM group_members \
             JOIN groups ON groups.org_id = group_members.org_id AND groups.group_id = \
             group_members.group_id WHERE group_members.org_id = users.org_id AND group_members.user_id = \
             users.user_id LIMIT ",
            $groups,
            ")) AS groups"
        )
    };
}

pub mod account;
pub mod acts;
mod assignment;
mod change;
mod create;
pub mod group;
pub mod import;
mod list;
pub mod managed;
pub mod organization;
pub mod purge;
pub mod role;
pub mod role_mapping;
pub mod service_account;
pub mod transfer;
mod user;

pub use assignment::{
    AssignmentRefusal, FoundGroup, GroupLookUp, KnownGroup, KnownGroups, KnownRole, KnownRoles, RoleLookUp,
    hold_all,
};
pub use change::{TargetUser, UserAct, UserChange, UserChangeRefusal, UserChangeTickets, UserPatch};
pub use create::{NewUser, NewUserTickets, USER_CREATED, USER_EXISTS, UsernameTaken, repeatable_salt};
pub use list::{UserFilter, UserListQuery, UserListTickets, UserPage};
pub use user::{DirectoryStatus, DirectoryUser, ManagedBy, UserKind};

use crate::directory::account::MAX_USERNAME_BYTES;

/// The role that holds every right. It can't be deleted nor lose that, and somebody active always has it.
pub const ADMINISTRATOR: &str = "admin";

/// The longest e-mail address, in bytes (RFC 5321 section 4.5.3.1).
pub const MAX_EMAIL_BYTES: usize = 254;

/// The longest name for people, in characters.
pub const MAX_DISPLAY_NAME_CHARACTERS: usize = 256;

/// How many roles a user has at most: all of them are read at each of its requests.
pub const MAX_ROLES_PER_USER: usize = 32;

/// How many groups one request puts a user into at most.
pub const MAX_GROUPS: usize = 100;

/// The longest name of a role or group, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The longest id that another directory gave, in bytes.
pub const MAX_EXTERNAL_ID_BYTES: usize = 256;

/// A field that does not fit: where it is (a JSON pointer) and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is allowed.
    pub detail: String,
}

impl FieldProblem {
    /// A problem of a field.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A user name without the white space around it.
///
/// # Errors
/// When it is empty, too long or holds control characters.
pub fn check_username(username: &str) -> Result<&str, FieldProblem> {
    let username = username.trim();
    if username.is_empty() || username.len() > MAX_USERNAME_BYTES || username.contains(char::is_control) {
        let detail = format!("1 to {MAX_USERNAME_BYTES} bytes without control characters");
        return Err(FieldProblem::new("/username", detail));
    }
    Ok(username)
}

/// Whether this may be an e-mail address: something on both sides of an `@`, no white space. Whether mail
/// arrives there only sending some can tell.
///
/// # Errors
/// When it can't be one, or is too long.
pub fn check_email(email: &str) -> Result<(), FieldProblem> {
    let has_sides =
        email.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let is_odd = |character: char| character.is_whitespace() || character.is_control();
    if !has_sides || email.len() > MAX_EMAIL_BYTES || email.contains(is_odd) {
        let detail = format!("an e-mail address of at most {MAX_EMAIL_BYTES} bytes");
        return Err(FieldProblem::new("/email", detail));
    }
    Ok(())
}

/// Whether this may be a name for people.
///
/// # Errors
/// When it is empty, too long or holds control characters.
pub fn check_display_name(name: &str) -> Result<(), FieldProblem> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > MAX_DISPLAY_NAME_CHARACTERS || name.contains(char::is_control) {
        let detail = format!("1 to {MAX_DISPLAY_NAME_CHARACTERS} characters, no control characters");
        return Err(FieldProblem::new("/display_name", detail));
    }
    Ok(())
}

/// Whether these may be the names of roles or groups in the list at `pointer`.
///
/// # Errors
/// When there are too many, or one is empty, too long or there twice.
pub fn check_names(pointer: &str, names: &[String], most: usize) -> Result<(), FieldProblem> {
    if names.len() > most {
        return Err(FieldProblem::new(pointer, format!("at most {most}")));
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(FieldProblem::new(
                format!("{pointer}/{index}"),
                format!("1 to {MAX_NAME_BYTES} bytes"),
            ));
        }
        if names.iter().take(index).any(|earlier| earlier == name) {
            return Err(FieldProblem::new(format!("{pointer}/{index}"), "named twice"));
        }
    }
    Ok(())
}

/// What e-mail addresses are found by: without regard to the case of ASCII letters, as SQLite's `lower` does
/// it.
#[must_use]
pub fn email_key(email: &str) -> String {
    email.trim().to_ascii_lowercase()
}
