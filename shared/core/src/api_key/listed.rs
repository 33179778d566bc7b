//! A key as the API lists it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{KeyStatus, rate_limit};
use crate::id::{KeyId, OrganizationId, UserId};
use crate::permission::Permission;
use crate::sql::{Row, RowError, Statement};
use crate::time::Timestamp;

/// A key as the API lists it: everything but its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedKey {
    /// Its id.
    pub key_id: KeyId,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub owner_id: UserId,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// Requests per minute.
    pub rate_limit: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, to five minutes.
    pub last_used: Option<Timestamp>,
    /// Whether it works.
    pub status: KeyStatus,
    /// The key that replaced it.
    pub replaced_by: Option<KeyId>,
}

impl ListedKey {
    /// A page of a user's keys, oldest first, after the key `after`. One row more than `limit` tells that
    /// there is another page.
    #[must_use]
    pub fn page(
        organization: &OrganizationId,
        owner_id: &UserId,
        after: Option<&KeyId>,
        limit: u32,
    ) -> Statement {
        Statement::new(
            "SELECT key_id, name, owner_id, permissions, rate_limit, created_at, expires_at, last_used, status, \
             replaced_by FROM api_keys INDEXED BY api_keys_by_owner WHERE org_id = ?1 AND owner_id = ?2 AND key_id > ?3 ORDER BY key_id LIMIT ?4",
        )
        .bind(organization)
        .bind(owner_id)
        .bind(after.map_or("", KeyId::as_str))
        .bind(limit.saturating_add(1))
    }

    /// Reads a row, with the status as of `now`.
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(row: &Row, now: Timestamp) -> Result<Self, RowError> {
        let expires_at = Timestamp::from_millis(row.integer("expires_at")?);
        Ok(Self {
            key_id: KeyId::from_column(row, "key_id")?,
            name: row.text("name")?.to_owned(),
            owner_id: UserId::from_column(row, "owner_id")?,
            permissions: row.json("permissions")?,
            rate_limit: rate_limit(row)?,
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            expires_at,
            last_used: row.optional_integer("last_used")?.map(Timestamp::from_millis),
            status: KeyStatus::read(row, expires_at, now)?,
            replaced_by: row.optional_text("replaced_by")?.and_then(|id| id.parse().ok()),
        })
    }
}
