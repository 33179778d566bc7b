//! API keys as an instance knows them: those that were verified, where the configuration allows to remember
//! them, and how often each was used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use iam_core::id::KeyId;
use iam_core::keys::PresentedKey;
use iam_core::time::{Duration, Timestamp};

use super::lock;

/// How many keys an instance remembers at most, to verify and to count.
const MAX_KEYS: usize = 4096;

/// How often an instance writes down how often it saw a key.
pub(crate) const WRITING_INTERVAL: Duration = Duration::from_seconds(10);

/// Who writes a use down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// This request, at once.
    Now,
    /// This request, a while after its answer.
    Later,
    /// Another request, which waits already.
    ByAnother,
}

/// What an instance knows of keys.
#[derive(Default)]
pub(crate) struct KnownKeys {
    verified: Mutex<HashMap<String, (Arc<PresentedKey>, Timestamp)>>,
    uses: Mutex<HashMap<KeyId, Uses>>,
}

/// How often a key was used since that was last written.
struct Uses {
    accepted: u32,
    refused: u32,
    written_at: Timestamp,
    is_awaited: bool,
}

impl KnownKeys {
    pub(crate) fn remembered(
        &self,
        hash: &str,
        now: Timestamp,
        max_age: Duration,
    ) -> Option<(Arc<PresentedKey>, Timestamp)> {
        if max_age.as_seconds() == 0 {
            return None;
        }
        let verified = lock(&self.verified);
        verified.get(hash).filter(|(_, at)| now >= *at && now < at.after(max_age)).cloned()
    }

    pub(crate) fn remember(
        &self,
        hash: &str,
        key: &Arc<PresentedKey>,
        looked_up_at: Timestamp,
        max_age: Duration,
    ) {
        if max_age.as_seconds() == 0 {
            return;
        }
        let mut verified = lock(&self.verified);
        if verified.len() >= MAX_KEYS && !verified.contains_key(hash) {
            verified.clear();
        }
        verified.insert(hash.to_owned(), (Arc::clone(key), looked_up_at));
    }

    /// Counts a use, and says who writes it down. The first one of a key is written after the answer, and
    /// what was counted since once every few seconds: each use that was not written yet has somebody who is
    /// about to.
    pub(crate) fn count_use(&self, key_id: &KeyId, is_accepted: bool, now: Timestamp) -> Writing {
        let mut uses = lock(&self.uses);
        if uses.len() >= MAX_KEYS && !uses.contains_key(key_id) {
            // What nobody is about to write is written.
            uses.retain(|_, uses| uses.is_awaited || (uses.accepted, uses.refused) != (0, 0));
        }
        let is_new = !uses.contains_key(key_id);
        let uses = uses.entry(key_id.clone()).or_insert(Uses {
            accepted: 0,
            refused: 0,
            written_at: now,
            is_awaited: false,
        });
        let count = if is_accepted { &mut uses.accepted } else { &mut uses.refused };
        *count = count.saturating_add(1);
        if is_new || now >= uses.written_at.after(WRITING_INTERVAL) {
            return Writing::Now;
        }
        if std::mem::replace(&mut uses.is_awaited, true) { Writing::ByAnother } else { Writing::Later }
    }

    pub(crate) fn take(&self, key_id: &KeyId, now: Timestamp) -> Option<(u32, u32)> {
        let mut uses = lock(&self.uses);
        let uses = uses.get_mut(key_id)?;
        uses.written_at = now;
        uses.is_awaited = false;
        let counted = (std::mem::take(&mut uses.accepted), std::mem::take(&mut uses.refused));
        (counted != (0, 0)).then_some(counted)
    }
}
