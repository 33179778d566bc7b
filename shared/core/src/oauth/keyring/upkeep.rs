//! What the job does to the keys of an organization: announces a successor in time, destroys private halves
//! that no longer sign, deletes keys that are no longer published.

use super::{Place, Timing};
use crate::due::{Due, Sweep};
use crate::id::OrganizationId;
use crate::jose::jwt::{Algorithm, LEEWAY};
use crate::sql::{FromRow, Query, Row, RowError};
use crate::time::Timestamp;
use crate::{sweep, who_is_due};

/// How many private halves are destroyed at once.
pub const DESTROYING_BATCH: u32 = 20;

/// The youngest key of an organization, which needs a successor.
#[derive(Debug)]
pub struct DueSuccessor {
    generation: i64,
}

/// From when a youngest key must have signed so that its successor is due: nearly its period, or any time
/// where it is of another algorithm than new keys are.
fn began(stored: Algorithm, algorithm: Algorithm, timing: &Timing, now: Timestamp) -> Timestamp {
    if stored == algorithm { now.before(timing.period).after(timing.wait) } else { now }
}

impl DueSuccessor {
    /// Who has a youngest key that needs a successor; one question an algorithm.
    pub fn due(
        algorithm: Algorithm,
        timing: &Timing,
        now: Timestamp,
        known: &[OrganizationId],
    ) -> [Query<Due>; 3] {
        const WHO: &str = who_is_due!(
            of: "org_id", from: "signing_keys INDEXED BY signing_keys_youngest",
            where: "signs_until IS NULL AND algorithm = ?3 AND signs_from <= ?4 AND EXISTS (SELECT 1 FROM \
                    organizations WHERE organizations.org_id = signing_keys.org_id)",
            by: "signs_from"
        );
        [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256].map(|stored| {
            Due::find(WHO, known).bind(stored.as_str()).bind(began(stored, algorithm, timing, now))
        })
    }

    /// An organization's youngest key, if it needs a successor.
    pub fn find(
        organization: &OrganizationId,
        algorithm: Algorithm,
        timing: &Timing,
        now: Timestamp,
    ) -> Query<Self> {
        Query::new(
            "SELECT generation FROM signing_keys INDEXED BY signing_keys_by_generation WHERE org_id = ?1 AND \
             signs_until IS NULL AND signs_from <= CASE algorithm WHEN ?2 THEN ?3 ELSE ?4 END AND EXISTS \
             (SELECT 1 FROM organizations WHERE org_id = ?1) ORDER BY generation DESC LIMIT 1",
        )
        .bind(organization)
        .bind(algorithm.as_str())
        .bind(began(algorithm, algorithm, timing, now))
        .bind(now)
    }

    /// The place of the successor.
    #[must_use]
    pub fn place(&self, timing: &Timing, now: Timestamp) -> Place {
        Place::after(self.generation, timing, now)
    }
}

impl FromRow for DueSuccessor {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { generation: row.integer("generation")? })
    }
}

/// Who has private halves that no longer sign. A host whose clock is somewhat behind still signs with them
/// for a while.
pub fn due_to_destroy(now: Timestamp, known: &[OrganizationId]) -> Query<Due> {
    const WHO: &str = who_is_due!(
        of: "org_id", from: "signing_keys INDEXED BY signing_keys_to_destroy",
        where: "sealed_private_key IS NOT NULL AND signs_until <= ?3", by: "signs_until"
    );
    Due::find(WHO, known).bind(now.before(LEEWAY))
}

/// Destroys an organization's private halves that no longer sign, [`DESTROYING_BATCH`] at a time; a row for
/// each. The keys stay published as long as tokens live by today's configuration, should that have changed
/// since.
pub fn destroy_private_halves(organization: &OrganizationId, timing: &Timing, now: Timestamp) -> Query<Row> {
    Query::new(
        "UPDATE signing_keys SET sealed_private_key = NULL, retires_at = MAX(retires_at, signs_until + ?3) \
         WHERE (org_id, key_id) IN (SELECT org_id, key_id FROM signing_keys INDEXED BY \
         signing_keys_to_destroy WHERE org_id = ?1 AND sealed_private_key IS NOT NULL AND signs_until <= ?2 \
         ORDER BY signs_until LIMIT ?4) RETURNING key_id",
    )
    .bind(organization)
    .bind(now.before(LEEWAY))
    .bind(timing.retire_after.as_millis())
    .bind(DESTROYING_BATCH)
}

/// Keys that are no longer published.
pub const RETIRED_KEYS: Sweep =
    sweep!(of: "signing_keys", key: "org_id, key_id", past: "retires_at", by: "signing_keys_by_retirement");
