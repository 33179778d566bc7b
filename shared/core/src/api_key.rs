//! API keys: created, verified, rotated with an overlap, revoked at once.

use schemars::JsonSchema;
use serde::Serialize;

use crate::audit::RecordCondition;
use crate::credential::CredentialHash;
use crate::id::{KeyId, LogId, OrganizationId, UserId};
use crate::idempotency::CreationCondition;
use crate::permission::{Grants, Permission};
use crate::sql::{FromRow, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::user::{UserStatus, read_grants};
use crate::{creation_condition, grants_column, record_condition};

/// The longest name of a key, in characters.
pub const MAX_NAME_CHARACTERS: usize = 128;

/// How many permissions a key carries at most.
pub const MAX_PERMISSIONS: usize = 64;

/// How many keys a page of the list holds at most.
pub const MAX_PAGE: u32 = 100;

/// Last use is written at most this often.
pub const LAST_USED_GRAIN: Duration = Duration::from_seconds(300);

/// Whether a key works. Time decides before the stored word: a key past its date is expired even before the
/// scheduled job has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
            "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, status, \
             life_ms, created_at, expires_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, 'active', ?8, ?9, ?10 WHERE \
             (SELECT COUNT(*) FROM api_keys WHERE org_id = ?1 AND owner_id = ?5 AND status = 'active' AND \
             expires_at > ?9) < ?11 RETURNING key_id",
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
    }
}

/// The audit condition "the key `?14` exists".
pub const KEY_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?14)");

/// The idempotency condition "the key `?4` exists".
pub const KEY_CREATED: CreationCondition =
    creation_condition!("EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?4)");

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

fn rate_limit(row: &Row) -> Result<u32, RowError> {
    u32::try_from(row.integer("rate_limit")?).map_err(|_| RowError::unreadable("rate_limit"))
}

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
    last_used: Option<Timestamp>,
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
        }
    }
}

impl PresentedKey {
    /// Finds a key by the hash of its secret, working or not.
    #[must_use]
    pub fn find(organization: &OrganizationId, hash: &CredentialHash) -> Statement {
        Statement::new(concat!(
            "SELECT api_keys.key_id, api_keys.name, api_keys.owner_id, api_keys.permissions, api_keys.rate_limit, \
             api_keys.status, api_keys.expires_at, api_keys.last_used, users.username, \
             users.status AS owner_status, ",
            grants_column!("users"),
            " FROM api_keys JOIN users ON users.org_id = api_keys.org_id AND users.user_id = api_keys.owner_id \
             WHERE api_keys.org_id = ?1 AND api_keys.key_hash = ?2 AND users.deleted_at IS NULL"
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

    /// What it may do: what it was given, less what its owner may no longer do.
    #[must_use]
    pub fn permissions(&self) -> Vec<Permission> {
        self.permissions.iter().filter(|permission| self.owner_grants.allow(permission)).cloned().collect()
    }

    /// Whether this use is worth writing down.
    #[must_use]
    pub fn is_use_due(&self, now: Timestamp) -> bool {
        self.last_used.is_none_or(|last_used| now >= last_used.after(LAST_USED_GRAIN))
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
            last_used: row.optional_integer("last_used")?.map(Timestamp::from_millis),
            permissions: row.json("permissions")?,
            owner_grants: read_grants(row)?,
            owner_status: row.text("owner_status")?.parse()?,
            stored_status: row.text("status")?.to_owned(),
        })
    }
}

/// Whose keys a caller may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// Its own.
    Own(&'a UserId),
    /// Everybody's in the organization.
    Organization,
}

impl Reach<'_> {
    fn owner(&self) -> Option<&UserId> {
        match self {
            Self::Own(user_id) => Some(user_id),
            Self::Organization => None,
        }
    }
}

/// One rotation: a new key with the old one's name, permissions and limits; the old one works until the
/// overlap ends.
#[derive(Debug)]
pub struct Rotation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose keys the caller may change.
    pub reach: Reach<'a>,
    /// The key that is replaced.
    pub old_key_id: &'a KeyId,
    /// The key that replaces it.
    pub new_key_id: &'a KeyId,
    /// The hash of the new secret.
    pub new_hash: &'a CredentialHash,
    /// How long both work.
    pub overlap: Duration,
    /// Now.
    pub now: Timestamp,
}

impl Rotation<'_> {
    /// Marks the old key as replaced, if it works and was not replaced yet.
    #[must_use]
    pub fn replace_old(&self) -> Statement {
        Statement::new(
            "UPDATE api_keys SET replaced_by = ?3, expires_at = MIN(expires_at, ?5) WHERE org_id = ?1 AND \
             key_id = ?2 AND status = 'active' AND expires_at > ?4 AND replaced_by IS NULL AND \
             (?6 IS NULL OR owner_id = ?6)",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.now)
        .bind(self.now.after(self.overlap))
        .bind(self.reach.owner())
    }

    /// Creates the new key, if [`Rotation::replace_old`] did replace.
    #[must_use]
    pub fn create_new(&self) -> Statement {
        Statement::new(
            "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, status, \
             life_ms, created_at, expires_at) SELECT org_id, ?3, ?4, name, owner_id, permissions, rate_limit, \
             'active', life_ms, ?5, ?5 + life_ms FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND \
             replaced_by = ?3",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.new_hash)
        .bind(self.now)
    }

    /// Both keys after the attempt: the old one where the caller may see it, the new one where it was made.
    #[must_use]
    pub fn result(&self) -> Statement {
        Statement::new(
            "SELECT key_id, name, owner_id, permissions, rate_limit, created_at, expires_at, last_used, status, \
             replaced_by FROM api_keys WHERE org_id = ?1 AND key_id IN (?2, ?3) AND (?4 IS NULL OR owner_id = ?4)",
        )
        .bind(self.organization)
        .bind(self.old_key_id)
        .bind(self.new_key_id)
        .bind(self.reach.owner())
    }
}

/// One revocation.
#[derive(Debug)]
pub struct Revocation<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose keys the caller may change.
    pub reach: Reach<'a>,
    /// The key.
    pub key_id: &'a KeyId,
    /// Now.
    pub now: Timestamp,
}

impl Revocation<'_> {
    /// Revokes the key unless it is revoked already; returns its id if it did. An expired key can be revoked
    /// too: whoever revokes wants to be sure.
    #[must_use]
    pub fn revoke(&self) -> Statement {
        Statement::new(
            "UPDATE api_keys SET status = 'revoked', revoked_at = ?3 WHERE org_id = ?1 AND key_id = ?2 AND \
             status <> 'revoked' AND (?4 IS NULL OR owner_id = ?4) RETURNING key_id",
        )
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.now)
        .bind(self.reach.owner())
    }

    /// When it was revoked: now or before.
    #[must_use]
    pub fn result(&self) -> Statement {
        Statement::new(
            "SELECT key_id, revoked_at FROM api_keys WHERE org_id = ?1 AND key_id = ?2 AND \
             (?3 IS NULL OR owner_id = ?3)",
        )
        .bind(self.organization)
        .bind(self.key_id)
        .bind(self.reach.owner())
    }
}

/// The audit condition "the key `?14` was revoked by this record's moment".
pub const KEY_REVOKED_NOW: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM api_keys WHERE org_id = ?1 AND key_id = ?14 AND revoked_at = ?3)"
);

/// How many keys one run of the scheduled job expires at most; the next run goes on.
pub const EXPIRY_BATCH: u32 = 500;

/// Keys past their date that are not marked as expired yet, overlaps that ended among them.
#[must_use]
pub fn due_to_expire(now: Timestamp) -> Statement {
    Statement::new(
        "SELECT org_id, key_id, owner_id, replaced_by FROM api_keys WHERE status = 'active' AND expires_at <= ?1 \
         ORDER BY expires_at LIMIT ?2",
    )
    .bind(now)
    .bind(EXPIRY_BATCH)
}

/// Records and marks them, in one transaction. A key that another run marked meanwhile is neither recorded nor
/// marked again, so a job that runs twice or dies half-way leaves one record a key.
#[must_use]
pub fn expire(keys: &[DueKey], now: Timestamp) -> [Statement; 2] {
    let list = serde_json::json!(keys).to_string();
    let record = Statement::new(
        "INSERT INTO audit_events (org_id, log_id, timestamp, actor, user_id, action, resource, resource_id, result, \
         details) SELECT api_keys.org_id, due.value ->> 'log_id', ?2, 'system', api_keys.owner_id, \
         due.value ->> 'action', 'api_key', api_keys.key_id, 'success', '{}' FROM json_each(?1) AS due JOIN api_keys \
         ON api_keys.org_id = due.value ->> 'organization' AND api_keys.key_id = due.value ->> 'key_id' \
         WHERE api_keys.status = 'active' AND api_keys.expires_at <= ?2",
    );
    let mark = Statement::new(
        "UPDATE api_keys SET status = 'expired' WHERE status = 'active' AND expires_at <= ?2 AND (org_id, key_id) IN \
         (SELECT due.value ->> 'organization', due.value ->> 'key_id' FROM json_each(?1) AS due)",
    );
    [record, mark].map(|statement| statement.bind(list.as_str()).bind(now))
}

/// A key that is due to expire.
#[derive(Debug, Serialize)]
pub struct DueKey {
    organization: OrganizationId,
    key_id: KeyId,
    action: &'static str,
    log_id: LogId,
}

impl DueKey {
    /// Reads a row of [`due_to_expire`]; `log_id` is for its audit record.
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(row: &Row, log_id: LogId) -> Result<Self, RowError> {
        let overlap_ended = row.optional_text("replaced_by")?.is_some();
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            key_id: KeyId::from_column(row, "key_id")?,
            action: if overlap_ended { "api_key.overlap_end" } else { "api_key.expire" },
            log_id,
        })
    }
}
