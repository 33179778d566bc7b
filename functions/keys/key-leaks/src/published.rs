//! The keys of whoever reports, fetched seldom and kept in the key-value store.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use iam_core::time::{Duration, Timestamp};
use iam_edge::FetchLimits;
use iam_service::{ApiError, Context};
use iam_telemetry::Collector;
use iam_telemetry::instruments::{CACHE_HITS, CACHE_MISSES};
use serde::{Deserialize, Serialize};

use crate::signature::{PublishedKey, read_keys};

const LIMITS: FetchLimits = FetchLimits { timeout_ms: 5_000, max_response_bytes: 256 * 1024 };

/// How long they are used before they are fetched again; and, where that fails, how long they are kept.
const MAX_AGE: Duration = Duration::from_hours(24);
const KEPT_SECONDS: u32 = 30 * 86_400;

/// A report signed with a key that is not among them has them fetched again, but no more often than this:
/// anybody can name a key. Nor is a publisher that fails asked more often.
const LOOK_AGAIN: Duration = Duration::from_seconds(60);

const ENTRY: &str = "leak_report_keys";

/// What is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    address: String,
    fetched_at: i64,
    /// When they could not be fetched.
    #[serde(default)]
    failed_at: Option<i64>,
    keys: Vec<PublishedKey>,
}

/// The key that a report names; `None` where nobody published it.
pub(crate) async fn published_key(
    context: &Context,
    address: &str,
    identifier: &str,
) -> Result<Option<PublishedKey>, ApiError> {
    let kept = kept(context, address).await;
    let found = kept.as_ref().and_then(|kept| find(&kept.keys, identifier));
    let age = kept.as_ref().map(|kept| Timestamp::from_millis(kept.fetched_at));
    let is_younger_than = |life: Duration| age.is_some_and(|fetched| context.now < fetched.after(life));
    let is_answered = is_younger_than(if found.is_some() { MAX_AGE } else { LOOK_AGAIN });
    if let Some(telemetry) = Collector::current() {
        telemetry.count(if is_answered { &CACHE_HITS } else { &CACHE_MISSES }, 1, []);
    }
    if is_answered {
        return Ok(found);
    }
    let failed_at = kept.as_ref().and_then(|kept| kept.failed_at).map(Timestamp::from_millis);
    let fetched = match failed_at.filter(|failed_at| context.now < failed_at.after(LOOK_AGAIN)) {
        Some(_) => Err("they could not be fetched a moment ago".to_owned()),
        None => fetch(context, address).await,
    };
    let now = context.now.as_millis();
    let cause = match fetched {
        Ok(keys) => {
            let found = find(&keys, identifier);
            let kept = Kept { address: address.to_owned(), fetched_at: now, failed_at: None, keys };
            keep(context, kept).await;
            return Ok(found);
        }
        Err(cause) => cause,
    };
    if failed_at.is_none_or(|failed_at| context.now >= failed_at.after(LOOK_AGAIN)) {
        let none = || Kept { address: address.to_owned(), fetched_at: 0, failed_at: None, keys: Vec::new() };
        keep(context, Kept { failed_at: Some(now), ..kept.unwrap_or_else(none) }).await;
    }
    if found.is_some() {
        // A key that was published yesterday is better than no report.
        let message = "the keys that sign reports of leaks can't be fetched";
        context.log_failure(message, &cause);
        return Ok(found);
    }
    let detail = "the keys that sign reports can't be fetched now: send the report again";
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", detail)
        .header(header::RETRY_AFTER, 60.into())
        .cause(cause))
}

fn find(keys: &[PublishedKey], identifier: &str) -> Option<PublishedKey> {
    keys.iter().find(|key| key.identifier == identifier).cloned()
}

/// What can't be read is fetched again.
async fn kept(context: &Context, address: &str) -> Option<Kept> {
    let text = match context.host.kv().get(ENTRY).await {
        Ok(text) => text?,
        Err(error) => {
            context.log_failure("the key-value store failed", &error.to_string());
            return None;
        }
    };
    serde_json::from_str::<Kept>(&text).ok().filter(|kept| kept.address == address)
}

async fn keep(context: &Context, kept: Kept) {
    let text = serde_json::json!(kept).to_string();
    if let Err(error) = context.host.kv().put(ENTRY, &text, KEPT_SECONDS).await {
        context.log_failure("the key-value store failed", &error.to_string());
    }
}

async fn fetch(context: &Context, address: &str) -> Result<Vec<PublishedKey>, String> {
    let request = Request::get(address)
        .header(header::ACCEPT, "application/json")
        // GitHub refuses requests without one.
        .header(header::USER_AGENT, "edge-iam")
        .body(Bytes::new())
        .map_err(|_| "`api_keys.leak_reports_keys` is no address".to_owned())?;
    let answer = context.host.fetch(request, LIMITS).await.map_err(|error| error.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("the publisher answered {}", answer.status().as_u16()));
    }
    read_keys(answer.body()).map_err(|error| format!("no document of keys: {error}"))
}
