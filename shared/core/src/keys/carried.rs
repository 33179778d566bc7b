//! What a key carries, read before somebody may get its successor or loosen what limits it.

use crate::id::{KeyId, OrganizationId};
use crate::permission::{Grants, Permission, Reach};
use crate::sql::{FromRow, Query, Row, RowError};
use crate::time::{Duration, Timestamp};

/// What a key carries. Whoever gets a key's successor, or says where it goes, must hold all of its
/// permissions; the statement that follows asks that nothing of this has changed since.
#[derive(Debug)]
pub struct CarriedRights {
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// The same as it is stored, to be asked for again.
    pub as_stored: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How long its successor lives.
    pub life: Duration,
}

impl CarriedRights {
    /// Reads a key's, where the caller may change it.
    pub fn find(organization: &OrganizationId, key_id: &KeyId, reach: Reach<'_>) -> Query<Self> {
        Query::new(
            "SELECT permissions, expires_at, life_ms FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND \
             (?3 IS NULL OR owner_id = ?3)",
        )
        .bind(organization)
        .bind(key_id)
        .bind(reach.owner())
    }

    /// Whether with these permissions a key could do anything that this one can't.
    #[must_use]
    pub fn is_exceeded_by(&self, permissions: &[Permission]) -> bool {
        let held = Grants::from_permissions(&self.permissions);
        permissions.iter().any(|permission| !held.allow(permission))
    }
}

impl FromRow for CarriedRights {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            permissions: row.json("permissions")?,
            as_stored: row.text("permissions")?.to_owned(),
            expires_at: Timestamp::from_millis(row.integer("expires_at")?),
            life: Duration::from_millis(row.integer("life_ms")?),
        })
    }
}
