//! A user as its administrators see it: with its kind, its keeper, its version, deleted or not. The same row
//! as it signs in and acts is in [`account`](super::account).

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::directory::account::MAX_GROUPS_SHOWN;
use crate::id::{OrganizationId, UserId};
use crate::sql::{FromRow, Query, Row, RowError};
use crate::time::Timestamp;

macro_rules! words {
    (
        $(#[$documentation:meta])*
        $name:ident, $column:literal {
            $($(#[$variant_documentation:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_documentation])* $variant,)+
        }

        impl $name {
            /// Its word in the API and the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = RowError;

            fn from_str(text: &str) -> Result<Self, RowError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(RowError::unreadable($column)),
                }
            }
        }
    };
}

words! {
    /// Whether a user may act.
    DirectoryStatus, "status" {
        /// It may.
        Active = "active",
        /// An administrator or a SCIM client stopped it.
        Suspended = "suspended",
        /// Too many sign-ins failed: it can't sign in for a while.
        Locked = "locked",
        /// It was deleted and can be restored for a while.
        Deleted = "deleted",
    }
}

words! {
    /// What a user is.
    UserKind, "kind" {
        /// Somebody.
        Person = "person",
        /// A program.
        ServiceAccount = "service_account",
    }
}

words! {
    /// Who keeps a user.
    ManagedBy, "managed_by" {
        /// Administrators.
        Manual = "manual",
        /// A SCIM client.
        Scim = "scim",
    }
}

/// A user as its administrators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DirectoryUser {
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
    pub status: DirectoryStatus,
    /// What it is.
    pub kind: UserKind,
    /// Who keeps it.
    pub managed_by: ManagedBy,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Counts its changes: the `ETag` of the answer, for `If-Match`.
    pub version: i64,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

impl DirectoryUser {
    /// Finds a user that is not deleted. `lockout_threshold` failed sign-ins lock an account.
    pub fn by_id(
        organization: &OrganizationId,
        user_id: &UserId,
        lockout_threshold: u32,
        now: Timestamp,
    ) -> Query<Self> {
        Query::new(concat!(
            "SELECT ",
            directory_columns!("?3", "?4", "?5"),
            " FROM users WHERE users.org_id = ?1 AND users.user_id = ?2 AND users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(user_id)
        .bind(now)
        .bind(lockout_threshold)
        .bind(MAX_GROUPS_SHOWN)
    }
}

impl FromRow for DirectoryUser {
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
            status: row.text("shown_status")?.parse()?,
            kind: row.text("kind")?.parse()?,
            managed_by: row.text("managed_by")?.parse()?,
            updated_at: Timestamp::from_millis(row.integer("updated_at")?),
            version: row.integer("version")?,
            deleted_at: row.optional_integer("deleted_at")?.map(Timestamp::from_millis),
        })
    }
}
