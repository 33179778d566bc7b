//! API keys: created, verified, rotated with an overlap, revoked at once.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{KeyId, OrganizationId, UserId};
use crate::permission::Permission;
use crate::record::audit::RecordCondition;
use crate::record::idempotency::CreationCondition;
use crate::secret::credential::CredentialHash;
use crate::sql::{Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::{creation_condition, record_condition};

pub mod acts;
mod attributes;
mod carried;
mod change;
mod delivery;
mod expiry;
mod leak;
mod listed;
mod open_delivery;
mod presented;
mod revocation;
mod rotation;
mod schedule;
mod scheduled_rotation;
mod successor;
mod usage;

pub use attributes::*;
pub use carried::CarriedRights;
pub use change::*;
pub use delivery::*;
pub use expiry::{DueKey, EXPIRY_BATCH, expire};
pub use leak::{Leak, LeakedKey};
pub use listed::{CANDIDATES, KeyFilter, KeyPage, ListedKey};
pub use open_delivery::{HOLDING_BATCH, OpenDelivery};
pub use presented::{KeyRefusal, PresentedKey};
pub use revocation::{MAX_REASON_CHARACTERS, Revocation, RevokedKey};
pub use rotation::{Rotation, RotationOutcome};
pub use schedule::*;
pub use scheduled_rotation::{DueRotation, ROTATION_BATCH, ScheduledRotation};
pub use usage::{KeyUsage, OLD_USAGE, USAGE_DAYS, last_forgotten_day};

/// The longest name of a key, in characters.
pub const MAX_NAME_CHARACTERS: usize = 128;

/// How many permissions a key carries at most.
pub const MAX_PERMISSIONS: usize = 64;

/// How many keys a page of the list holds at most.
pub const MAX_PAGE: u32 = 100;

/// Whether a key works. Time decides before the stored word: a key past its date is expired even before the
/// scheduled job has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// It works.
    Active,
    /// It is past its date.
    Expired,
    /// Somebody ended it.
    Revoked,
}

impl KeyStatus {
    /// Its word in the database.
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    fn read(row: &Row, expires_at: Timestamp, now: Timestamp) -> Result<Self, RowError> {
        match row.text("status")? {
            "revoked" => Ok(Self::Revoked),
            "active" if now < expires_at => Ok(Self::Active),
            "active" | "expired" => Ok(Self::Expired),
            _ => Err(RowError::unreadable("status")),
        }
    }
}

/// A key that is about to be created.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its own id.
    pub key_id: &'a KeyId,
    /// The hash of its secret.
    pub hash: &'a CredentialHash,
    /// What people call it.
    pub name: &'a str,
    /// Whose.
    pub owner_id: &'a UserId,
    /// What it may do, never more than its owner.
    pub permissions: &'a [Permission],
    /// Requests per minute.
    pub rate_limit: u32,
    /// The address ranges that it may be used from; from anywhere where there are none.
    pub allowed_addresses: &'a [IpNet],
    /// Notes about it.
    pub metadata: &'a KeyMetadata,
    /// How long it lives.
    pub life: Duration,
    /// Now.
    pub now: Timestamp,
}

impl NewKey<'_> {
    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.now.after(self.life)
    }

    /// Creates the key if its owner has fewer than `max_per_user` working ones; returns its id if so.
    #[must_use]
    pub fn create(&self, max_per_user: u32) -> Statement {
        Statement::new(
            "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, \
             status, life_ms, created_at, expires_at, allowed_addresses, metadata) SELECT ?1, ?2, ?3, ?4, \
             ?5, ?6, ?7, 'active', ?8, ?9, ?10, ?12, ?13 WHERE (SELECT COUNT(*) FROM api_keys WHERE org_id = \
             ?1 AND owner_id = ?5 AND status = 'active' AND expires_at > ?9) < ?11 RETURNING key_id",
        )
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.hash)
        .bind(self.name)
        .bind(self.owner_id)
        .bind(serde_json::json!(self.permissions).to_string())
        .bind(self.rate_limit)
        .bind(self.life.as_millis())
        .bind(self.now)
        .bind(self.expires_at())
        .bind(max_per_user)
        .bind(ranges_column(self.allowed_addresses))
        .bind(serde_json::json!(self.metadata).to_string())
    }
}

/// Address ranges as they are stored: none where a key may be used from anywhere.
#[must_use]
pub fn ranges_column(ranges: &[IpNet]) -> Option<String> {
    let texts: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
    (!texts.is_empty()).then(|| serde_json::json!(texts).to_string())
}

/// The audit condition "the key `?2` exists".
pub const KEY_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?2)");

/// The idempotency condition "the key `?4` exists".
pub const KEY_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?4)");

fn rate_limit(row: &Row) -> Result<u32, RowError> {
    u32::try_from(row.integer("rate_limit")?).map_err(|_| RowError::unreadable("rate_limit"))
}
