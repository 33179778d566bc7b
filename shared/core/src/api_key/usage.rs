//! How often a key was used, by day.

use crate::id::{KeyId, OrganizationId};
use crate::sql::Statement;
use crate::time::Timestamp;

/// One day of a key.
#[derive(Debug)]
pub struct KeyUsage;

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
            "INSERT INTO api_key_usage (org_id, key_id, day, accepted, refused) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT \
             (org_id, key_id, day) DO UPDATE SET accepted = accepted + excluded.accepted, refused = refused + \
             excluded.refused",
        )
        .bind(organization)
        .bind(key_id)
        .bind(now.as_seconds().div_euclid(86_400))
        .bind(accepted)
        .bind(refused)
    }
}
