//! A key as the API shows it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{KeyMetadata, KeyStatus, rate_limit};
use crate::id::{KeyId, OrganizationId, UserId};
use crate::permission::{Permission, Reach};
use crate::sql::{Answers, Batch, Query, Row, RowError, Ticket};
use crate::time::Timestamp;

/// How many keys a page of a filtered list looks at, at most.
pub const CANDIDATES: u32 = 500;

/// A key as the API shows it: everything but its secret.
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
    /// The address ranges that it may be used from; absent where it may be used from anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_addresses: Option<Vec<String>>,
    /// Notes about it.
    pub metadata: KeyMetadata,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, to ten seconds.
    pub last_used: Option<Timestamp>,
    /// Whether it works.
    pub status: KeyStatus,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked: `leaked`, or the words of whoever did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_because: Option<String>,
    /// The key that replaced it.
    pub replaced_by: Option<KeyId>,
    /// When it is rotated by schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotates_at: Option<Timestamp>,
}

/// The columns of a [`ListedKey`], from `api_keys AS listed`.
macro_rules! listed_columns {
    () => {
        "key_id, name, owner_id, permissions, rate_limit, allowed_addresses, metadata, created_at, \
         expires_at, last_used, status, revoked_at, revoked_because, replaced_by, (SELECT due_at FROM \
         api_key_rotations AS schedule WHERE schedule.org_id = listed.org_id AND schedule.key_id = \
         listed.key_id) AS rotates_at"
    };
}

/// A page of the list: of a user's keys, or of everybody's. `$index` and `$owner` are where they are looked
/// for.
macro_rules! page {
    ($index:literal, $owner:literal) => {
        concat!(
            "SELECT ",
            listed_columns!(),
            " FROM (SELECT * FROM api_keys",
            $index,
            " WHERE org_id = ?1 AND key_id > ?3",
            $owner,
            " ORDER BY key_id LIMIT ?4) AS listed WHERE (?6 IS NULL OR CASE status WHEN 'active' THEN \
             IIF(expires_at > ?7, 'active', 'expired') ELSE status END = ?6) AND (?8 IS NULL OR \
             instr(lower(name), lower(?8)) > 0) AND (?9 IS NULL OR expires_at < ?9) AND (?10 IS NULL OR \
             COALESCE(last_used, created_at) < ?10) ORDER BY key_id LIMIT ?5"
        )
    };
}

/// The last key that a page looks at, if there are so many.
macro_rules! end {
    ($index:literal, $owner:literal) => {
        concat!(
            "SELECT key_id FROM api_keys",
            $index,
            " WHERE org_id = ?1 AND key_id > ?3",
            $owner,
            " ORDER BY key_id LIMIT 1 OFFSET ?4 - 1"
        )
    };
}

/// Which keys a list shows.
#[derive(Debug)]
pub struct KeyFilter<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Whose; everybody's without.
    pub owner_id: Option<&'a UserId>,
    /// With which status.
    pub status: Option<KeyStatus>,
    /// With this in its name, in whatever case (ASCII).
    pub name: Option<&'a str>,
    /// That end before this.
    pub expires_before: Option<Timestamp>,
    /// Neither used nor created since.
    pub unused_since: Option<Timestamp>,
    /// Now, which tells the status.
    pub now: Timestamp,
}

impl KeyFilter<'_> {
    /// Asks for a page, oldest first, after the key `after`. One key more than `limit` tells that there is
    /// another page.
    pub fn page(&self, after: Option<&KeyId>, limit: u32, batch: &mut Batch) -> KeyPage {
        let (page, end) = match self.owner_id {
            Some(_) => (
                page!(" INDEXED BY api_keys_by_owner", " AND owner_id = ?2"),
                end!(" INDEXED BY api_keys_by_owner", " AND owner_id = ?2"),
            ),
            None => (page!("", " AND ?2 IS NULL"), end!("", " AND ?2 IS NULL")),
        };
        let begin = |text: &'static str| {
            Query::new(text)
                .bind(self.organization)
                .bind(self.owner_id)
                .bind(after.map_or("", KeyId::as_str))
                .bind(CANDIDATES)
        };
        let page = begin(page)
            .bind(limit.saturating_add(1))
            .bind(self.status.map(KeyStatus::as_str))
            .bind(self.now)
            .bind(self.name)
            .bind(self.expires_before)
            .bind(self.unused_since);
        KeyPage { keys: batch.ask(page), end: batch.ask(begin(end)), now: self.now }
    }
}

/// A page that was asked for.
#[derive(Debug)]
pub struct KeyPage {
    keys: Ticket<Row>,
    end: Ticket<Row>,
    now: Timestamp,
}

impl KeyPage {
    /// The keys, and the last one of [`CANDIDATES`] that were looked at, where there are more.
    ///
    /// # Errors
    /// When the page was not answered, or a row does not decode.
    pub fn read(&self, answers: &Answers) -> Result<(Vec<ListedKey>, Option<KeyId>), RowError> {
        let keys = answers.all(self.keys)?;
        let keys = keys.iter().map(|row| ListedKey::read(row, self.now)).collect::<Result<_, _>>()?;
        let end = answers.one(self.end)?;
        Ok((keys, end.map(|row| KeyId::from_column(&row, "key_id")).transpose()?))
    }
}

impl ListedKey {
    /// Finds one, for [`ListedKey::read`].
    pub fn find(organization: &OrganizationId, key_id: &KeyId, reach: Reach<'_>) -> Query<Row> {
        Query::new(concat!(
            "SELECT ",
            listed_columns!(),
            " FROM api_keys AS listed WHERE org_id = ?1 AND key_id = ?2 AND (?3 IS NULL OR owner_id = ?3)"
        ))
        .bind(organization)
        .bind(key_id)
        .bind(reach.owner())
    }

    /// Reads a row, with the status as of `now`.
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(row: &Row, now: Timestamp) -> Result<Self, RowError> {
        let moment = |name| Ok(row.optional_integer(name)?.map(Timestamp::from_millis));
        let expires_at = Timestamp::from_millis(row.integer("expires_at")?);
        Ok(Self {
            key_id: KeyId::from_column(row, "key_id")?,
            name: row.text("name")?.to_owned(),
            owner_id: UserId::from_column(row, "owner_id")?,
            permissions: row.json("permissions")?,
            rate_limit: rate_limit(row)?,
            allowed_addresses: match row.optional_text("allowed_addresses")? {
                None => None,
                Some(_) => Some(row.json("allowed_addresses")?),
            },
            metadata: row.json("metadata")?,
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            expires_at,
            last_used: moment("last_used")?,
            status: KeyStatus::read(row, expires_at, now)?,
            revoked_at: moment("revoked_at")?,
            revoked_because: row.optional_text("revoked_because")?.map(str::to_owned),
            replaced_by: row.optional_text("replaced_by")?.and_then(|id| id.parse().ok()),
            rotates_at: moment("rotates_at")?,
        })
    }
}
