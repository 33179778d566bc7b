//! Verifying an API key: one round trip, whatever is asked along with it, or none where that is allowed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use iam_core::id::{KeyId, OrganizationId};
use iam_core::keys::{KeyRefusal, KeyUsage, PresentedKey};
use iam_core::limit::Bearer;
use iam_core::secret::credential::Credential;
use iam_core::time::{Duration, Timestamp};
use iam_edge::HostKind;

use crate::context::Context;
use crate::error::ApiError;
use crate::instance::lock;
use crate::rate_limit::{Charge, RateLimited, RateLimits};

/// How many keys an instance remembers at most, to verify and to count.
const MAX_KEYS: usize = 4096;

/// How often an instance writes down how often it saw a key.
const WRITING_INTERVAL: Duration = Duration::from_seconds(10);

/// The same where an instance ends soon after its last answer, Spin after a second: it lives on for work that is under way, so
/// that nothing is lost, but not for long.
const SHORT_WRITING_INTERVAL: Duration = Duration::from_seconds(1);

/// A key that works.
#[derive(Debug)]
pub struct KeyVerification {
    /// The key.
    pub key: Arc<PresentedKey>,
    /// The limits that this use counts towards.
    pub limits: RateLimits,
    /// When the database said so: now, or up to `api_keys.verification_cache` ago.
    pub looked_up_at: Timestamp,
}

/// A key that does not work.
#[derive(Debug)]
pub struct RefusedKey {
    /// Why not.
    pub reason: KeyRefusal,
    /// The limits, where that is why.
    pub limited: Option<RateLimited>,
}

impl From<KeyRefusal> for RefusedKey {
    fn from(reason: KeyRefusal) -> Self {
        Self { reason, limited: None }
    }
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

/// Verifies a key that is used from `address`: that it is there, works, is within its limits and may be used from there.
/// A use is counted, and written down after the answer. One round trip; none where the configuration allows to remember
/// keys, and this one is.
///
/// # Errors
/// When the database can't say.
pub async fn verify_key(
    context: &Context,
    credential: &Credential,
    address: Option<IpAddr>,
) -> Result<Result<KeyVerification, RefusedKey>, ApiError> {
    let (organization, hash) = (credential.organization(), credential.hash());
    let known = &context.instance.api_keys;
    let max_age = context.configuration().api_keys.verification_cache;
    let charge = Charge::plan(context, organization, Some(Bearer::ApiKey(&hash)));
    let questions = charge.statements();
    let remembered = known.remembered(hash.as_str(), context.now, max_age).filter(|_| questions.is_empty());
    let (key, looked_up_at, leases) = match remembered {
        Some((key, looked_up_at)) => (Some(key), looked_up_at, Vec::new()),
        None => {
            let find = PresentedKey::find(organization, &hash).into_statement();
            let db = context.db(organization);
            let (found, leases) = if questions.is_empty() {
                (db.run(find).await?, Vec::new())
            } else {
                let mut rows =
                    db.batch_of(std::iter::once(find).chain(questions).collect()).await?.into_iter();
                (rows.next().unwrap_or_default(), rows.collect())
            };
            (found.decode_first::<PresentedKey>()?.map(Arc::new), context.now, leases)
        }
    };
    let checked = key.as_ref().map_or(Err(KeyRefusal::Unknown), |key| key.check(context.now));
    let (Some(key), Ok(())) = (key, checked) else {
        charge.give_back_unsettled();
        return Ok(Err(checked.err().unwrap_or(KeyRefusal::Unknown).into()));
    };
    let limits = match charge.settle(key.rate_limit, leases)? {
        Ok(limits) => limits,
        Err(limited) => {
            known.note_use(context, organization, &key.key_id, false);
            return Ok(Err(RefusedKey { reason: KeyRefusal::RateLimited, limited: Some(limited) }));
        }
    };
    if !key.allows_address(address) {
        charge.give_back(&limits);
        known.note_use(context, organization, &key.key_id, false);
        return Ok(Err(KeyRefusal::AddressNotAllowed.into()));
    }
    known.remember(hash.as_str(), &key, looked_up_at, max_age);
    known.note_use(context, organization, &key.key_id, true);
    Ok(Ok(KeyVerification { key, limits, looked_up_at }))
}

impl KnownKeys {
    fn remembered(
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

    fn remember(&self, hash: &str, key: &Arc<PresentedKey>, looked_up_at: Timestamp, max_age: Duration) {
        if max_age.as_seconds() == 0 {
            return;
        }
        let mut verified = lock(&self.verified);
        if verified.len() >= MAX_KEYS && !verified.contains_key(hash) {
            verified.clear();
        }
        verified.insert(hash.to_owned(), (Arc::clone(key), looked_up_at));
    }

    /// Counts a use. The first one of a key is written after the answer, and what was counted since once every few seconds: each
    /// use that was not written yet has somebody who is about to.
    fn note_use(&self, context: &Context, organization: &OrganizationId, key_id: &KeyId, is_accepted: bool) {
        let now = context.now;
        let (is_due, waits) = {
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
            let is_due = is_new || now >= uses.written_at.after(WRITING_INTERVAL);
            let waits = !is_due && !uses.is_awaited;
            uses.is_awaited |= waits;
            (is_due, waits)
        };
        if is_due {
            write_uses(context, organization, key_id);
        } else if waits {
            write_uses_later(context, organization, key_id);
        }
    }

    fn take(&self, key_id: &KeyId, now: Timestamp) -> Option<(u32, u32)> {
        let mut uses = lock(&self.uses);
        let uses = uses.get_mut(key_id)?;
        uses.written_at = now;
        uses.is_awaited = false;
        let counted = (std::mem::take(&mut uses.accepted), std::mem::take(&mut uses.refused));
        (counted != (0, 0)).then_some(counted)
    }
}

fn write_uses(context: &Context, organization: &OrganizationId, key_id: &KeyId) {
    let now = iam_edge::now();
    let Some((accepted, refused)) = context.instance.api_keys.take(key_id, now) else { return };
    let note = KeyUsage::add(organization, key_id, now, accepted, refused);
    let mut batch = vec![note];
    if accepted > 0 {
        batch.push(PresentedKey::note_use(organization, key_id, now));
    }
    context.defer_batch(organization, batch);
}

fn write_uses_later(context: &Context, organization: &OrganizationId, key_id: &KeyId) {
    let (deferred, organization, key_id) = (context.clone(), organization.clone(), key_id.clone());
    let interval = match context.host.kind() {
        HostKind::Cloudflare => WRITING_INTERVAL,
        _ => SHORT_WRITING_INTERVAL,
    };
    let milliseconds = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
    context.host.defer(async move {
        deferred.host.sleep(milliseconds).await;
        write_uses(&deferred, &organization, &key_id);
    });
}
