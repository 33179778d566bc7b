//! The signing keys as an instance holds them, and the signatures it has already verified.
//!
//! Keys are read anew with the first question to the database after [`KEYS_LIFE`], in the same round trip.
//! Which one signs is told by the time, so all instances agree; one that a token names and the instance does
//! not know is looked for once more before the token is refused.
//!
//! Verifying ES256 in wasm takes about a millisecond, more than everything else on a hot path together. A
//! token comes many times, so the instance remembers the digest of each exact token whose signature it
//! verified, until the token's own `exp`, and believes it as long as the key is published. It never remembers
//! anything of the session: that is read at every request.

use std::collections::HashMap;
use std::sync::Mutex;

use iam_core::id::OrganizationId;
use iam_core::jose::jwt::{PublicKey, UnverifiedToken};
use iam_core::oauth::keyring::{KEYS_LIFE, StoredKey};
use iam_core::time::{Duration, Timestamp};

use super::lock;

/// Keys that were read this long ago are read again for a token that names an unknown one: made-up names cost
/// at most one reading a second and organization.
const KEYS_REREAD_AFTER: Duration = Duration::from_seconds(1);

/// Of how many organizations an instance holds the keys at most.
const MAX_ORGANIZATIONS: usize = 256;

/// How many verified tokens an instance remembers at most: 40 bytes each.
const MAX_VERIFIED: usize = 4096;

/// What an instance knows of keys and signatures.
#[derive(Default)]
pub(crate) struct SigningKeys {
    keys: Mutex<HashMap<OrganizationId, HeldKeys>>,
    verified: Mutex<HashMap<[u8; 32], i64>>,
}

/// What is known of the key that a token names.
pub(crate) enum LookUp {
    /// It is at hand.
    Known(PublicKey),
    /// There is none by that name: the keys were just read.
    Unknown,
    /// The keys have to be read.
    Unread,
}

struct HeldKeys {
    keys: Vec<StoredKey>,
    read_at: Timestamp,
}

impl SigningKeys {
    pub(crate) fn look_up(
        &self,
        organization: &OrganizationId,
        token: &UnverifiedToken<'_>,
        now: Timestamp,
    ) -> LookUp {
        let held = lock(&self.keys);
        let Some(held) = held.get(organization).filter(|held| now < held.read_at.after(KEYS_LIFE)) else {
            return LookUp::Unread;
        };
        match public_key(&held.keys, token, now) {
            Some(key) => LookUp::Known(key),
            None if now < held.read_at.after(KEYS_REREAD_AFTER) => LookUp::Unknown,
            None => LookUp::Unread,
        }
    }

    pub(crate) fn held(&self, organization: &OrganizationId, now: Timestamp) -> Option<Vec<StoredKey>> {
        let held = lock(&self.keys);
        let held = held.get(organization).filter(|held| now < held.read_at.after(KEYS_LIFE))?;
        Some(held.keys.clone())
    }

    pub(crate) fn hold(
        &self,
        organization: &OrganizationId,
        keys: Vec<StoredKey>,
        now: Timestamp,
    ) -> Vec<StoredKey> {
        let mut held = lock(&self.keys);
        // An organization that anybody made up takes nobody's place.
        if keys.is_empty() {
            held.remove(organization);
            return keys;
        }
        if held.len() >= MAX_ORGANIZATIONS {
            held.clear();
        }
        held.insert(organization.clone(), HeldKeys { keys: keys.clone(), read_at: now });
        keys
    }

    /// Reads everything anew when it is next needed: what is held was sealed under master keys that were
    /// replaced.
    pub(crate) fn forget_keys(&self) {
        lock(&self.keys).clear();
    }

    pub(crate) fn is_verified(&self, digest: &[u8; 32], now: Timestamp) -> bool {
        lock(&self.verified).get(digest).is_some_and(|exp| now.as_seconds() < *exp)
    }

    pub(crate) fn remember(&self, digest: [u8; 32], exp: i64, now: Timestamp) {
        let mut verified = lock(&self.verified);
        if verified.len() >= MAX_VERIFIED {
            verified.retain(|_, exp| now.as_seconds() < *exp);
        }
        if verified.len() >= MAX_VERIFIED {
            verified.clear();
        }
        verified.insert(digest, exp);
    }
}

pub(crate) fn public_key(
    keys: &[StoredKey],
    token: &UnverifiedToken<'_>,
    now: Timestamp,
) -> Option<PublicKey> {
    let named = keys.iter().find(|key| key.key_id.as_str() == token.key_id())?;
    named.phase(now).map(|_| named.public.clone())
}
