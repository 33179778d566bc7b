//! The keyring: an organization's signing keys, their private halves sealed under the host's master key.
//!
//! A key goes through its phases by time alone: it is announced in the JWKS, waits until every verifier that
//! caches has seen it, signs until its successor does, and stays published until the last token it signed has
//! ended. Everybody who read the keys at some time agrees on which one signs at a moment. The keys of an
//! organization are a chain, whatever their algorithms: the youngest one signs without end until a successor
//! is announced, and one insert decides between two successors ([`StoredKey::store`]).

use crate::config::Configuration;
use crate::encoding::{base64url, from_base64url};
use crate::id::{OrganizationId, SigningKeyId};
use crate::jose::jwt::{Algorithm, LEEWAY, PrivateKey, PublicKey};
use crate::secret::register::SIGNING_KEY;
use crate::secret::seal::{MasterKeys, NONCE_BYTES, SealError, sealed_under};
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::{Duration, Timestamp};
use crate::{record::audit::RecordCondition, record_condition};

mod upkeep;

pub use upkeep::{DESTROYING_BATCH, DueSuccessor, RETIRED_KEYS, destroy_private_halves, due_to_destroy};

/// How long an instance uses keys that it read before it reads them again.
pub const KEYS_LIFE: Duration = Duration::from_seconds(60);

/// How many published keys of an organization are looked at.
const MAX_KEYS: u32 = 16;

/// With how many published keys no rotation is asked for by hand. The schedule never gets near.
const MAX_KEYS_BY_HAND: usize = 12;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is in the JWKS and does not sign yet.
    Announced,
    /// It signs.
    Signing,
    /// It no longer signs; what it signed still verifies.
    Retiring,
}

/// The lengths of the phases, as the configuration has them.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a key's announcement until it signs.
    pub wait: Duration,
    /// From a key's last signature until it is no longer published.
    pub retire_after: Duration,
    /// From a key's first signature until the schedule has its successor sign.
    pub period: Duration,
}

impl Timing {
    /// A key waits twice what verifiers may keep the JWKS, so that a cache in between may keep it too, and
    /// what an instance may keep the keys, and what clocks may disagree. A key signs at least as long as a
    /// token lives, which bounds how many are published at once.
    #[must_use]
    pub fn of(configuration: &Configuration) -> Self {
        let sum = |parts: [Duration; 4]| {
            Duration::from_millis(parts.iter().fold(0, |sum, part| part.as_millis().saturating_add(sum)))
        };
        let cached = configuration.keyring.jwks_max_age;
        let token = configuration.jwt.access_token_expiry;
        let wait = sum([cached, cached, KEYS_LIFE, LEEWAY]);
        Self {
            wait,
            retire_after: sum([token, LEEWAY, KEYS_LIFE, KEYS_LIFE]),
            period: configuration.keyring.rotation_period.max(token).max(wait),
        }
    }
}

/// A signing key as it is stored.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Its id, the `kid` of the tokens it signs.
    pub key_id: SigningKeyId,
    /// What verifies its signatures.
    pub public: PublicKey,
    /// When it was made, and so announced.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// When its successor signs in its place, once it has one.
    pub signs_until: Option<Timestamp>,
    /// When it is no longer published, once it has a successor.
    pub retires_at: Option<Timestamp>,
    generation: i64,
    sealed_private: Option<String>,
}

/// A place in the chain that a new key may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    generation: i64,
    /// Now: the key is announced from here on.
    pub created_at: Timestamp,
    /// When the key begins to sign.
    pub signs_from: Timestamp,
}

/// Why no successor is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationRefusal {
    /// One waits already, and signs from then on.
    Pending(Timestamp),
    /// So many keys are published already that the oldest would be lost.
    TooManyKeys,
}

impl Place {
    /// The very first key signs at once: nobody can have cached the keys of an organization without any.
    #[must_use]
    pub fn first(now: Timestamp) -> Self {
        Self { generation: 1, created_at: now, signs_from: now }
    }

    /// The place after the youngest of these keys.
    ///
    /// # Errors
    /// When a successor waits already, or too many keys are published.
    pub fn successor(keys: &[StoredKey], timing: &Timing, now: Timestamp) -> Result<Self, RotationRefusal> {
        if let Some(waiting) = keys.iter().find(|key| now < key.signs_from) {
            return Err(RotationRefusal::Pending(waiting.signs_from));
        }
        if keys.len() >= MAX_KEYS_BY_HAND {
            return Err(RotationRefusal::TooManyKeys);
        }
        Ok(Self::after(youngest(keys), timing, now))
    }

    /// The place after these keys for one that signs at once, because the others can't be trusted any more.
    #[must_use]
    pub fn emergency(keys: &[StoredKey], now: Timestamp) -> Self {
        Self { generation: youngest(keys).saturating_add(1), created_at: now, signs_from: now }
    }

    fn after(generation: i64, timing: &Timing, now: Timestamp) -> Self {
        Self { generation: generation.saturating_add(1), created_at: now, signs_from: now.after(timing.wait) }
    }
}

fn youngest(keys: &[StoredKey]) -> i64 {
    keys.iter().map(|key| key.generation).max().unwrap_or_default()
}

/// The key that signs now. Where the clock is so far behind that the private half of the one due is destroyed
/// already, the next one signs: elsewhere it does too.
#[must_use]
pub fn signing_key(keys: &[StoredKey], now: Timestamp) -> Option<&StoredKey> {
    let can_sign = || keys.iter().filter(|key| key.sealed_private.is_some());
    can_sign().find(|key| key.signs_at(now)).or_else(|| can_sign().min_by_key(|key| key.generation))
}

impl StoredKey {
    /// Seals a new key for its place.
    ///
    /// # Errors
    /// When the cipher refuses.
    pub fn new(
        organization: &OrganizationId,
        key_id: SigningKeyId,
        private: &PrivateKey,
        public: PublicKey,
        place: Place,
        master: &MasterKeys,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, SealError> {
        let sealed_private = master.seal(&purpose(organization, &key_id), &private.bytes, nonce)?;
        Ok(Self {
            key_id,
            public,
            created_at: place.created_at,
            signs_from: place.signs_from,
            signs_until: None,
            retires_at: None,
            generation: place.generation,
            sealed_private: Some(sealed_private),
        })
    }

    /// The organization's published keys, youngest first.
    pub fn all(organization: &OrganizationId, now: Timestamp) -> Query<Self> {
        Query::new(
            "SELECT key_id, algorithm, generation, public_key, sealed_private_key, created_at, signs_from, \
             signs_until, retires_at FROM signing_keys INDEXED BY signing_keys_by_generation WHERE org_id = \
             ?1 AND (retires_at IS NULL OR retires_at > ?2) ORDER BY generation DESC LIMIT ?3",
        )
        .bind(organization)
        .bind(now)
        .bind(MAX_KEYS)
    }

    /// Stores the key in an organization that exists, unless its place or a later one is taken: of two made
    /// at the same instant one stays.
    #[must_use]
    pub fn store(&self, organization: &OrganizationId) -> Statement {
        Statement::new(
            "INSERT INTO signing_keys (org_id, key_id, algorithm, public_key, sealed_private_key, \
             generation, created_at, signs_from) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE EXISTS (SELECT \
             1 FROM organizations WHERE org_id = ?1) AND NOT EXISTS (SELECT 1 FROM signing_keys WHERE org_id \
             = ?1 AND generation >= ?6)",
        )
        .bind(organization)
        .bind(&self.key_id)
        .bind(self.public.algorithm.as_str())
        .bind(base64url(&self.public.bytes))
        .bind(self.sealed_private.as_deref())
        .bind(self.generation)
        .bind(self.created_at)
        .bind(self.signs_from)
    }

    /// Ends the signing of the keys before this one when this one begins, if it was stored.
    #[must_use]
    pub fn supersede(&self, organization: &OrganizationId, timing: &Timing) -> Statement {
        Statement::new(
            "UPDATE signing_keys SET signs_until = ?3, retires_at = ?4 WHERE org_id = ?1 AND generation < \
             (SELECT generation FROM signing_keys WHERE org_id = ?1 AND key_id = ?2) AND signs_until IS NULL",
        )
        .bind(organization)
        .bind(&self.key_id)
        .bind(self.signs_from)
        .bind(self.signs_from.after(timing.retire_after))
    }

    /// Retires the keys before this one at once, and destroys their private halves, if this one was stored.
    /// What they signed is refused by every instance within [`KEYS_LIFE`].
    #[must_use]
    pub fn condemn(&self, organization: &OrganizationId) -> Statement {
        Statement::new(
            "UPDATE signing_keys SET signs_until = MIN(COALESCE(signs_until, ?3), ?3), retires_at = \
             MIN(COALESCE(retires_at, ?3), ?3), sealed_private_key = NULL WHERE org_id = ?1 AND generation < \
             (SELECT generation FROM signing_keys WHERE org_id = ?1 AND key_id = ?2)",
        )
        .bind(organization)
        .bind(&self.key_id)
        .bind(self.signs_from)
    }

    /// Opens the private half.
    ///
    /// # Errors
    /// When it was sealed under another master key, changed since, or is destroyed.
    pub fn open(&self, organization: &OrganizationId, master: &MasterKeys) -> Result<PrivateKey, SealError> {
        let sealed = self.sealed_private.as_deref().ok_or(SealError::Broken)?;
        let bytes = master.open(&purpose(organization, &self.key_id), sealed)?;
        Ok(PrivateKey { algorithm: self.public.algorithm, bytes })
    }

    /// Where it is in its life; `None` once it is no longer published.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Option<Phase> {
        if self.retires_at.is_some_and(|retires_at| retires_at <= now) {
            None
        } else if now < self.signs_from {
            Some(Phase::Announced)
        } else if self.signs_at(now) {
            Some(Phase::Signing)
        } else {
            Some(Phase::Retiring)
        }
    }

    /// The id of the master key that its private half is sealed under; `None` once that is destroyed.
    #[must_use]
    pub fn sealed_under(&self) -> Option<&str> {
        sealed_under(self.sealed_private.as_deref()?)
    }

    fn signs_at(&self, now: Timestamp) -> bool {
        self.signs_from <= now && self.signs_until.is_none_or(|until| now < until)
    }
}

fn purpose(organization: &OrganizationId, key_id: &SigningKeyId) -> String {
    SIGNING_KEY.purpose(organization, &[key_id.as_str()])
}

impl FromRow for StoredKey {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let algorithm =
            Algorithm::from_name(row.text("algorithm")?).ok_or(RowError::unreadable("algorithm"))?;
        let bytes = from_base64url(row.text("public_key")?).ok_or(RowError::unreadable("public_key"))?;
        Ok(Self {
            key_id: SigningKeyId::from_column(row, "key_id")?,
            public: PublicKey { algorithm, bytes },
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            signs_from: Timestamp::from_millis(row.integer("signs_from")?),
            signs_until: row.optional_integer("signs_until")?.map(Timestamp::from_millis),
            retires_at: row.optional_integer("retires_at")?.map(Timestamp::from_millis),
            generation: row.integer("generation")?,
            sealed_private: row.optional_text("sealed_private_key")?.map(str::to_owned),
        })
    }
}

/// The audit condition "the signing key `?2` exists".
pub const SIGNING_KEY_EXISTS: RecordCondition =
    record_condition!("EXISTS (SELECT 1 FROM signing_keys WHERE org_id = ?1 AND key_id = ?2)");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::jwt::key_pair;
    use crate::secret::seal::MasterKey;

    const START: Timestamp = Timestamp::from_millis(1_763_800_000_000);

    fn organization() -> OrganizationId {
        "org_000000001".parse().unwrap()
    }

    fn master(byte: u8) -> MasterKeys {
        MasterKeys::new(MasterKey::parse(&base64url(&[byte; 32])).unwrap(), None)
    }

    fn key(place: Place) -> StoredKey {
        let (private, public) = key_pair(Algorithm::EdDsa, &[1; 32]).unwrap();
        let entropy = [u8::try_from(place.generation).unwrap(); 10];
        let key_id = SigningKeyId::new(place.created_at, entropy);
        StoredKey::new(&organization(), key_id, &private, public, place, &master(9), [2; NONCE_BYTES])
            .unwrap()
    }

    #[test]
    fn a_key_opens_for_its_own_organization_only() {
        let stored = key(Place::first(START));
        assert_eq!(stored.open(&organization(), &master(9)).unwrap().bytes.as_slice(), [1; 32]);
        let other: OrganizationId = "org_000000002".parse().unwrap();
        assert_eq!(stored.open(&other, &master(9)).err(), Some(SealError::Broken));
        assert_eq!(stored.open(&organization(), &master(8)).err(), Some(SealError::OtherMasterKey));
    }

    #[test]
    fn time_alone_moves_a_key_through_its_phases() {
        let timing = Timing::of(&Configuration::default());
        assert_eq!(timing.wait, Duration::from_seconds(690));
        let mut first = key(Place::first(START));
        assert_eq!(first.phase(START), Some(Phase::Signing));
        let now = START.after(Duration::from_hours(1));
        let place = Place::successor(std::slice::from_ref(&first), &timing, now).unwrap();
        let second = key(place);
        (first.signs_until, first.retires_at) =
            (Some(second.signs_from), Some(second.signs_from.after(timing.retire_after)));
        let keys = [second, first];
        let phases =
            |now| (keys[0].phase(now), keys[1].phase(now), signing_key(&keys, now).unwrap().generation);
        assert_eq!(phases(now), (Some(Phase::Announced), Some(Phase::Signing), 1));
        let handover = now.after(timing.wait);
        assert_eq!(phases(handover), (Some(Phase::Signing), Some(Phase::Retiring), 2));
        assert_eq!(phases(handover.after(timing.retire_after)), (Some(Phase::Signing), None, 2));
        assert_eq!(Place::successor(&keys, &timing, now), Err(RotationRefusal::Pending(handover)));
        assert_eq!(Place::emergency(&keys, now).signs_from, now);
    }

    #[test]
    fn a_clock_far_behind_signs_with_the_next_key() {
        let timing = Timing::of(&Configuration::default());
        let mut first = key(Place::first(START));
        let second = key(Place::successor(std::slice::from_ref(&first), &timing, START).unwrap());
        first.sealed_private = None;
        first.signs_until = Some(second.signs_from);
        let behind = second.signs_from.before(Duration::from_seconds(40));
        assert_eq!(signing_key(&[second, first], behind).unwrap().generation, 2);
    }
}
