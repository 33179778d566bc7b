//! Every metric that the functions record: OpenTelemetry's own names, and the product's. One that nobody
//! records is not here: `tests/instruments.rs` looks for each.
//!
//! A label without a value is given as an empty text and left out. No label holds what a caller can make up:
//! an endpoint is the matched route, a reason is one of a few words.

#[cfg(not(target_family = "wasm"))]
use crate::metrics::Instrument;
use crate::metrics::{Counter, Histogram};

/// Bounds for a request's duration in seconds, as OpenTelemetry advises.
const REQUEST_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Bounds for a body's size in bytes.
const BODY_BYTES: &[f64] = &[128.0, 512.0, 2_048.0, 8_192.0, 32_768.0, 131_072.0, 524_288.0, 2_097_152.0];

/// How many API keys one instance tells apart between two hand-overs. Beyond, usage is counted under the
/// overflow set: a caller with very many keys costs the collector a bounded number of series.
const API_KEYS_TOLD_APART: usize = 50;

/// Declares instruments, each once: a static, and a line of the reference.
macro_rules! instruments {
    ($($(#[doc = $documentation:literal])+ pub static $name:ident: $kind:ty = $new:expr;)+) => {
        $($(#[doc = $documentation])+ pub static $name: $kind = $new;)+

        /// All of them, for the reference.
        #[cfg(not(target_family = "wasm"))]
        #[must_use]
        pub fn all() -> Vec<Instrument> {
            vec![$($name.describe(concat!($($documentation),+))),+]
        }
    };
}

instruments! {
    /// Requests answered, by method, route and status.
    pub static REQUESTS: Counter<3> =
        Counter::new("cronos_requests_total", "{request}", ["method", "endpoint", "status"]);

    /// How long answering took.
    pub static REQUEST_DURATION: Histogram<2> =
        Histogram::new("cronos_request_duration_seconds", "s", ["method", "endpoint"], REQUEST_SECONDS);

    /// How large request bodies are.
    pub static REQUEST_SIZE: Histogram<2> =
        Histogram::new("cronos_request_size_bytes", "By", ["method", "endpoint"], BODY_BYTES);

    /// How large answers' bodies are.
    pub static RESPONSE_SIZE: Histogram<2> =
        Histogram::new("cronos_response_size_bytes", "By", ["method", "endpoint"], BODY_BYTES);

    /// Sign-ins and checks of a credential, by method (`password`, `api_key`, `refresh_token`, …) and result
    /// (`success`, `failure`).
    pub static AUTH_ATTEMPTS: Counter<2> =
        Counter::new("cronos_auth_attempts_total", "{attempt}", ["method", "result"]);

    /// Those that failed, by method and reason.
    pub static AUTH_FAILURES: Counter<2> =
        Counter::new("cronos_auth_failures_total", "{attempt}", ["method", "reason"]);

    /// How often each API key was used, by the key's public identifier.
    pub static API_KEY_USAGE: Counter<1> =
        Counter::new("cronos_api_key_usage_total", "{use}", ["key_id"]).with_label_sets(API_KEYS_TOLD_APART);

    /// Webhooks, by service (as configured; empty for one that is none) and result: `accepted`, `challenge`,
    /// `duplicate`, or why it was refused.
    pub static WEBHOOKS: Counter<2> =
        Counter::new("cronos_webhooks_total", "{message}", ["service", "result"]);

    /// What security people want to know of, by type and severity (`low`, `medium`, `high`, `critical`).
    pub static SECURITY_EVENTS: Counter<2> =
        Counter::new("cronos_security_events_total", "{event}", ["type", "severity"]);

    /// Look-ups that the key-value cache answered.
    pub static CACHE_HITS: Counter<0> = Counter::new("cronos_cache_hits_total", "{lookup}", []);

    /// Look-ups that it could not: it had nothing, or what it had was too old.
    pub static CACHE_MISSES: Counter<0> = Counter::new("cronos_cache_misses_total", "{lookup}", []);

    /// OpenTelemetry: how long answering took.
    pub static HTTP_SERVER_REQUEST_DURATION: Histogram<5> = Histogram::new(
        "http.server.request.duration",
        "s",
        ["http.request.method", "http.route", "http.response.status_code", "url.scheme", "error.type"],
        REQUEST_SECONDS,
    );
}
