//! Verifying an API key: one round trip, whatever is asked along with it, or none where that is allowed.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use iam_core::id::{KeyId, OrganizationId};
use iam_core::keys::{KeyRefusal, KeyUsage, PresentedKey};
use iam_core::limit::Bearer;
use iam_core::permission::Grants;
use iam_core::secret::credential::Credential;
use iam_core::sql::{Answers, Batch};
use iam_core::time::{Duration, Timestamp};
use iam_edge::HostKind;

use super::caller::{Caller, CallerCredential};
use super::charge::{Charge, Leases, RateLimited, RateLimits};
use crate::context::Context;
use crate::instance::known_keys::{WRITING_INTERVAL, Writing};
use crate::request::error::{ApiError, parse_credential};

/// How often an instance writes down how often it saw a key where it ends soon after its last answer, Spin
/// after a second: it lives on for work that is under way, so that nothing is lost, but not for long.
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

/// Verifies a key that is used from `address`: that it is there, works, is within its limits and may be used
/// from there. A use is counted, and written down after the answer. One round trip; none where the
/// configuration allows to remember keys, and this one is.
///
/// # Errors
/// When the database can't say.
pub async fn verify_key(
    context: &Context,
    credential: &Credential,
    address: Option<IpAddr>,
) -> Result<Result<KeyVerification, RefusedKey>, ApiError> {
    let (organization, hash) = (credential.organization(), credential.hash());
    let known = &context.instance.known_keys;
    let max_age = context.configuration().api_keys.verification_cache;
    let charge = Charge::plan(context, organization, Some(Bearer::ApiKey(&hash)));
    let remembered = known.remembered(hash.as_str(), context.now, max_age).filter(|_| charge.asks_nothing());
    let (key, looked_up_at, leased) = match remembered {
        Some((key, looked_up_at)) => (Some(key), looked_up_at, None),
        None => {
            let mut batch = Batch::new();
            let found = batch.ask(PresentedKey::find(organization, &hash));
            let leases = charge.ask(&mut batch);
            let answers = context.db(organization).batch(batch).await?;
            (answers.one(found)?.map(Arc::new), context.now, Some((leases, answers)))
        }
    };
    let checked = key.as_ref().map_or(Err(KeyRefusal::Unknown), |key| key.check(context.now));
    let (Some(key), Ok(())) = (key, checked) else {
        charge.give_back_unsettled();
        return Ok(Err(checked.err().unwrap_or(KeyRefusal::Unknown).into()));
    };
    let (leases, answers) = leased.unwrap_or_else(|| (Leases::default(), Answers::new(Vec::new())));
    let limits = match charge.settle(key.rate_limit, &leases, &answers)? {
        Ok(limits) => limits,
        Err(limited) => {
            note_use(context, organization, &key.key_id, false);
            return Ok(Err(RefusedKey { reason: KeyRefusal::RateLimited, limited: Some(limited) }));
        }
    };
    if !key.allows_address(address) {
        charge.give_back(&limits);
        note_use(context, organization, &key.key_id, false);
        return Ok(Err(KeyRefusal::AddressNotAllowed.into()));
    }
    known.remember(hash.as_str(), &key, looked_up_at, max_age);
    note_use(context, organization, &key.key_id, true);
    Ok(Ok(KeyVerification { key, limits, looked_up_at }))
}

/// Counts a use, and has it written down.
fn note_use(context: &Context, organization: &OrganizationId, key_id: &KeyId, is_accepted: bool) {
    match context.instance.known_keys.count_use(key_id, is_accepted, context.now) {
        Writing::Now => write_uses(context, organization, key_id),
        Writing::Later => write_uses_later(context, organization, key_id),
        Writing::ByAnother => {}
    }
}

fn write_uses(context: &Context, organization: &OrganizationId, key_id: &KeyId) {
    let now = iam_edge::now();
    let Some((accepted, refused)) = context.instance.known_keys.take(key_id, now) else { return };
    let note = KeyUsage::add(organization, key_id, now, accepted, refused);
    let mut batch = Batch::from([note]);
    if accepted > 0 {
        batch.then(PresentedKey::note_use(organization, key_id, now));
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

/// Whoever calls with an API key.
pub(super) async fn by_api_key(context: &Context, text: &str) -> Result<(Caller, RateLimits), ApiError> {
    let credential = parse_credential(&context.configuration().api_key_prefix(), text)?;
    let verification = match verify_key(context, &credential, context.client_address).await? {
        Ok(verification) => verification,
        Err(refused) => return Err(key_refused(refused)),
    };
    let key = verification.key;
    let caller = Caller {
        organization: credential.organization().clone(),
        grants: Grants::from_permissions(&key.permissions()),
        user_id: key.owner_id.clone(),
        username: key.owner_username.clone(),
        credential: CallerCredential::ApiKey(key.key_id.clone()),
    };
    Ok((caller, verification.limits))
}

fn key_refused(refused: RefusedKey) -> ApiError {
    match (refused.reason, refused.limited) {
        (_, Some(limited)) => limited.into(),
        (KeyRefusal::AddressNotAllowed, None) => {
            let detail = "this API key may not be used from this address";
            ApiError::new(StatusCode::FORBIDDEN, "address_not_allowed", detail)
        }
        (reason, None) => ApiError::invalid_token(reason.as_str()),
    }
}
