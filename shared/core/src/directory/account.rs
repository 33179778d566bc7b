//! An account as it signs in and acts: what sign-in has to know of a user, what its roles grant, and the user
//! as it sees itself. The same row as administrators see and change it is in [`user`](super::DirectoryUser).

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{OrganizationId, UserId};
use crate::permission::Grants;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;

/// The longest user name, in bytes: an e-mail address fits (RFC 5321).
pub const MAX_USERNAME_BYTES: usize = 254;

/// What every signed-in user may do, whatever its roles: see itself, change its password, see its sessions
/// and end them.
pub const SELF_GRANTS: [&str; 4] =
    ["profile.read.own", "profile.write.own", "sessions.read.own", "sessions.delete.own"];

/// Whether a user may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    /// It may.
    Active,
    /// An administrator or a SCIM client stopped it.
    Suspended,
    /// It locked itself out.
    Locked,
}

impl UserStatus {
    /// Its word in the API and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Locked => "locked",
        }
    }
}

impl FromStr for UserStatus {
    type Err = RowError;

    fn from_str(text: &str) -> Result<Self, RowError> {
        [Self::Active, Self::Suspended, Self::Locked]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(RowError::unreadable("status"))
    }
}

/// What uniqueness and sign-in go by: the user name without regard to case, trimmed.
#[must_use]
pub fn username_key(username: &str) -> String {
    username.trim().to_lowercase()
}

/// The roles of the user in `$user` as a JSON array, each once, whoever gives it: the column `roles`. A user
/// has a handful.
#[macro_export]
macro_rules! roles_column {
    ($user:literal) => {
        concat!(
            "(SELECT json_group_array(DISTINCT user_roles.role) FROM user_roles WHERE user_roles.org_id = ",
            $user,
            ".org_id AND user_roles.user_id = ",
            $user,
            ".user_id) AS roles"
        )
    };
}

/// What the roles of the user in `$user` grant: the column `grants`, for [`read_grants`]. The arrays of the
/// roles are put side by side as they are stored, which costs a third of taking them apart in SQL; this is
/// read at every request. A role counts once, however many groups give it.
#[macro_export]
macro_rules! grants_column {
    ($user:literal) => {
        concat!(
            "(SELECT group_concat(roles.effective_grants) FROM (SELECT DISTINCT user_roles.role FROM \
             user_roles WHERE user_roles.org_id = ",
            $user,
            ".org_id AND user_roles.user_id = ",
            $user,
            ".user_id) AS held_role CROSS JOIN roles ON roles.org_id = ",
            $user,
            ".org_id AND roles.role = held_role.role) AS grants"
        )
    };
}

/// Reads the column of [`grants_column`](crate::grants_column).
///
/// # Errors
/// When it is absent, or a role's grants are no JSON array of texts.
pub fn read_grants(row: &Row) -> Result<Grants, RowError> {
    let arrays = row.optional_text("grants")?.unwrap_or_default();
    let roles: Vec<Vec<String>> =
        serde_json::from_str(&format!("[{arrays}]")).map_err(|_| RowError::unreadable("grants"))?;
    Ok(Grants::from_texts(roles.into_iter().flatten()))
}

/// What sign-in needs to know of a user.
#[derive(Debug)]
pub struct SignInUser {
    /// Its id.
    pub user_id: UserId,
    /// Its name, as it was given.
    pub username: String,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Whether it may act.
    pub status: UserStatus,
    /// The PHC string of its password, where it has one.
    pub password_hash: Option<String>,
    /// When that was set; `None` for one that was imported.
    pub password_changed_at: Option<Timestamp>,
    /// Its roles.
    pub roles: Vec<String>,
    /// Its second factors.
    pub mfa_methods: Vec<String>,
}

impl SignInUser {
    /// Finds a user by name.
    pub fn by_username(organization: &OrganizationId, username: &str) -> Query<Self> {
        Query::new(concat!(
            "SELECT users.user_id, users.username, users.email, users.status, CASE WHEN users.kind = \
             'person' THEN users.password_hash END AS password_hash, users.password_changed_at, \
             users.mfa_methods, ",
            roles_column!("users"),
            " FROM users WHERE users.org_id = ?1 AND users.username_key = ?2 AND users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(username_key(username))
    }

    /// Replaces a password hash that was made at another cost by one at today's, unless the password has
    /// changed meanwhile.
    #[must_use]
    pub fn upgrade_hash(organization: &OrganizationId, user: &Self, new_hash: &str) -> Statement {
        Statement::new(
            "UPDATE users SET password_hash = ?3 WHERE org_id = ?1 AND user_id = ?2 AND password_hash = ?4",
        )
        .bind(organization)
        .bind(&user.user_id)
        .bind(new_hash)
        .bind(user.password_hash.as_deref())
    }
}

impl FromRow for SignInUser {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            user_id: UserId::from_column(row, "user_id")?,
            username: row.text("username")?.to_owned(),
            email: row.optional_text("email")?.map(str::to_owned),
            status: row.text("status")?.parse()?,
            password_hash: row.optional_text("password_hash")?.map(str::to_owned),
            password_changed_at: row.optional_integer("password_changed_at")?.map(Timestamp::from_millis),
            roles: row.json("roles")?,
            mfa_methods: row.json("mfa_methods")?,
        })
    }
}

/// A user as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct User {
    /// Its id.
    pub user_id: UserId,
    /// Its name for signing in.
    pub username: String,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// The groups it is a member of, by display name.
    pub groups: Vec<String>,
    /// Whether it has a second factor.
    pub mfa_enabled: bool,
    /// Its second factors.
    pub mfa_methods: Vec<String>,
    /// When it last signed in.
    pub last_login: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it may act.
    pub status: UserStatus,
}

/// How many groups an answer names at most.
pub const MAX_GROUPS_SHOWN: u32 = 200;

impl User {
    /// Finds a user by id.
    pub fn by_id(organization: &OrganizationId, user_id: &UserId) -> Query<Self> {
        Query::new(concat!(
            "SELECT users.user_id, users.username, users.email, users.display_name, users.mfa_methods, \
             users.last_login, users.created_at, users.status, ",
            roles_column!("users"),
            ", (SELECT json_group_array(display_name) FROM (SELECT groups.display_name FROM group_members \
             JOIN groups ON groups.org_id = group_members.org_id AND groups.group_id = \
             group_members.group_id WHERE group_members.org_id = users.org_id AND group_members.user_id = \
             users.user_id LIMIT ?3)) AS groups FROM users WHERE users.org_id = ?1 AND users.user_id = ?2 \
             AND users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(user_id)
        .bind(MAX_GROUPS_SHOWN)
    }
}

impl FromRow for User {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let mfa_methods: Vec<String> = row.json("mfa_methods")?;
        Ok(Self {
            user_id: UserId::from_column(row, "user_id")?,
            username: row.text("username")?.to_owned(),
            email: row.optional_text("email")?.map(str::to_owned),
            display_name: row.optional_text("display_name")?.map(str::to_owned),
            roles: row.json("roles")?,
            groups: row.json("groups")?,
            mfa_enabled: !mfa_methods.is_empty(),
            mfa_methods,
            last_login: row.optional_integer("last_login")?.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            status: row.text("status")?.parse()?,
        })
    }
}
