//! A key as a verification sees it.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;

use super::rate_limit;
use crate::directory::account::{SELF_GRANTS, UserStatus, read_grants};
use crate::id::{KeyId, OrganizationId, UserId};
use crate::permission::{Grants, Permission};
use crate::secret::credential::CredentialHash;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;
use crate::{grants_column, only_row};

/// A key as a verification sees it.
#[derive(Debug)]
pub struct PresentedKey {
    /// Its id.
    pub key_id: KeyId,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub owner_id: UserId,
    /// The owner's name.
    pub owner_username: String,
    /// Requests per minute.
    pub rate_limit: u32,
    /// When it ends.
    pub expires_at: Timestamp,
    allowed_addresses: Option<Vec<IpNet>>,
    permissions: Vec<Permission>,
    owner_grants: Grants,
    owner_status: UserStatus,
    stored_status: String,
}

/// Why a key does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyRefusal {
    /// No such key: mistyped, of another deployment, or made up.
    Unknown,
    /// Past its date.
    Expired,
    /// Somebody ended it.
    Revoked,
    /// Its owner may not act.
    OwnerInactive,
    /// It, or its organization, was used too often in this minute.
    RateLimited,
    /// It may not be used from there.
    AddressNotAllowed,
}

impl KeyRefusal {
    /// Its word in the API, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::OwnerInactive => "owner_inactive",
            Self::RateLimited => "rate_limited",
            Self::AddressNotAllowed => "address_not_allowed",
        }
    }
}

impl PresentedKey {
    /// Finds a key by the hash of its secret, working or not.
    pub fn find(organization: &OrganizationId, hash: &CredentialHash) -> Query<Self> {
        Query::new(concat!(
            "SELECT key.key_id, name, owner_id, permissions, rate_limit, key.status, expires_at, \
             allowed_addresses, username, users.status AS owner_status, ",
            grants_column!("users"),
            " FROM ",
            only_row!("api_keys", "org_id = ?1 AND key_hash = ?2"),
            " AS key CROSS JOIN users ON users.org_id = key.org_id AND users.user_id = key.owner_id AND \
             users.deleted_at IS NULL"
        ))
        .bind(organization)
        .bind(hash)
    }

    /// Whether it works now.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(&self, now: Timestamp) -> Result<(), KeyRefusal> {
        if self.stored_status == "revoked" {
            return Err(KeyRefusal::Revoked);
        }
        if self.stored_status != "active" || now >= self.expires_at {
            return Err(KeyRefusal::Expired);
        }
        if self.owner_status != UserStatus::Active {
            return Err(KeyRefusal::OwnerInactive);
        }
        Ok(())
    }

    /// What it may do: what it was given, less what its owner may no longer do. As in a session, an owner may
    /// do for itself what everybody may, whatever its roles.
    #[must_use]
    pub fn permissions(&self) -> Vec<Permission> {
        self.permissions.iter().filter(|permission| self.owner_grants.allow(permission)).cloned().collect()
    }

    /// Whether it may be used from an address. Where it is bound to ranges, it may not from one that nobody
    /// knows.
    #[must_use]
    pub fn allows_address(&self, address: Option<IpAddr>) -> bool {
        let Some(ranges) = &self.allowed_addresses else { return true };
        let Some(address) = address.map(|address| address.to_canonical()) else { return false };
        ranges.iter().any(|range| range.contains(&address))
    }

    /// Writes a use down.
    #[must_use]
    pub fn note_use(organization: &OrganizationId, key_id: &KeyId, now: Timestamp) -> Statement {
        Statement::new(
            "UPDATE api_keys SET last_used = ?3 WHERE org_id = ?1 AND key_id = ?2 AND \
             (last_used IS NULL OR last_used < ?3)",
        )
        .bind(organization)
        .bind(key_id)
        .bind(now)
    }
}

impl FromRow for PresentedKey {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            key_id: KeyId::from_column(row, "key_id")?,
            name: row.text("name")?.to_owned(),
            owner_id: UserId::from_column(row, "owner_id")?,
            owner_username: row.text("username")?.to_owned(),
            rate_limit: rate_limit(row)?,
            expires_at: Timestamp::from_millis(row.integer("expires_at")?),
            allowed_addresses: match row.optional_text("allowed_addresses")? {
                None => None,
                Some(ranges) => Some(read_ranges(ranges)?),
            },
            permissions: row.json("permissions")?,
            owner_grants: read_grants(row)?.and(Grants::from_texts(SELF_GRANTS)),
            owner_status: row.text("owner_status")?.parse()?,
            stored_status: row.text("status")?.to_owned(),
        })
    }
}

/// Ranges that can't be read allow nothing.
fn read_ranges(text: &str) -> Result<Vec<IpNet>, RowError> {
    let unreadable = || RowError::unreadable("allowed_addresses");
    let ranges: Vec<String> = serde_json::from_str(text).map_err(|_| unreadable())?;
    ranges.iter().map(|range| range.parse().map_err(|_| unreadable())).collect()
}
