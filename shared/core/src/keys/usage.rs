//! How often a key was used, by day.

use schemars::JsonSchema;
use serde::Serialize;

use crate::due::Sweep;
use crate::id::{KeyId, OrganizationId};
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::sweep;
use crate::time::Timestamp;

/// How many days are kept, and shown at most.
pub const USAGE_DAYS: u32 = 90;

const DAY_SECONDS: i64 = 86_400;

/// One day of a key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KeyUsage {
    /// The day, UTC: `2026-11-22`.
    pub date: String,
    /// How often it was accepted.
    pub accepted: u64,
    /// How often it was refused because it was over its limit or used from an address it may not be used
    /// from.
    pub refused: u64,
}

fn day_of(now: Timestamp) -> i64 {
    now.as_seconds().div_euclid(DAY_SECONDS)
}

impl KeyUsage {
    /// Adds to the day of `now`.
    #[must_use]
    pub fn add(
        organization: &OrganizationId,
        key_id: &KeyId,
        now: Timestamp,
        accepted: u32,
        refused: u32,
    ) -> Statement {
        Statement::new(
            "INSERT INTO api_key_usage (org_id, key_id, day, accepted, refused) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (org_id, key_id, day) DO UPDATE SET accepted = accepted + excluded.accepted, \
             refused = refused + excluded.refused",
        )
        .bind(organization)
        .bind(key_id)
        .bind(day_of(now))
        .bind(accepted)
        .bind(refused)
    }

    /// The last `days` days on which a key was used, today included, oldest first.
    pub fn of_key(organization: &OrganizationId, key_id: &KeyId, days: u32, now: Timestamp) -> Query<Self> {
        Query::new(
            "SELECT day, accepted, refused FROM api_key_usage WHERE org_id = ?1 AND key_id = ?2 AND day > ?3 \
             ORDER BY day LIMIT ?4",
        )
        .bind(organization)
        .bind(key_id)
        .bind(day_of(now).saturating_sub(days.into()))
        .bind(days)
    }
}

/// Days of keys that are no longer shown; up to [`last_forgotten_day`].
pub const OLD_USAGE: Sweep =
    sweep!(of: "api_key_usage", key: "org_id, key_id, day", past: "day", by: "api_key_usage_by_day");

/// The last day that is no longer shown.
#[must_use]
pub fn last_forgotten_day(now: Timestamp) -> i64 {
    day_of(now).saturating_sub(USAGE_DAYS.into())
}

impl FromRow for KeyUsage {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let moment = Timestamp::from_seconds(row.integer("day")?.saturating_mul(DAY_SECONDS)).to_string();
        let count = |name| u64::try_from(row.integer(name)?).map_err(|_| RowError::unreadable(name));
        Ok(Self {
            date: moment.split('T').next().unwrap_or_default().to_owned(),
            accepted: count("accepted")?,
            refused: count("refused")?,
        })
    }
}
