//! OTLP over HTTP: what is sent, what an answer means, how long to wait before the next try.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use jiff::fmt::rfc2822;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::MetricsPushError;

/// How often one message is sent at most.
pub const MAX_ATTEMPTS: u32 = 4;

/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT_MS: u32 = 500;

/// The longest wait. Work after an answer may not last long: whoever asks for more patience is not asked
/// again.
const LONGEST_WAIT_MS: u32 = 8_000;

/// The longest part of a collector's complaint that is kept, in bytes.
const MAX_REASON_BYTES: usize = 300;

/// What kind of telemetry a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// Where it goes, below the collector's endpoint.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }
}

/// A collector.
#[derive(Clone, Debug)]
pub struct Destination {
    endpoint: String,
    headers: HeaderMap,
}

impl Destination {
    /// A collector by its endpoint, without `/v1/…`, and the headers it wants: a token, most often.
    ///
    /// # Errors
    /// Where the endpoint is not an absolute `http` or `https` URL without query, or a header is none.
    pub fn new<'a>(
        endpoint: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, MetricsPushError> {
        let uri: Uri = endpoint.parse().map_err(|_| MetricsPushError::Endpoint)?;
        let spoken = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        if !spoken || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
            return Err(MetricsPushError::Endpoint);
        }
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| MetricsPushError::Header)?;
            let mut value = HeaderValue::from_str(value).map_err(|_| MetricsPushError::Header)?;
            value.set_sensitive(true);
            all.append(name, value);
        }
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("edge-iam/", env!("CARGO_PKG_VERSION"))));
        Ok(Self { endpoint: endpoint.trim_end_matches('/').to_owned(), headers: all })
    }

    /// The request that carries an encoded message there.
    ///
    /// # Errors
    /// Where the endpoint and the signal's path make no URL together; [`Destination::new`] has seen to it
    /// that they do.
    pub fn request(&self, signal: Signal, body: Bytes) -> Result<Request<Bytes>, MetricsPushError> {
        let uri: Uri =
            format!("{}{}", self.endpoint, signal.path()).parse().map_err(|_| MetricsPushError::Endpoint)?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

/// What a collector's answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was taken.
    Accepted,
    /// Some was not taken and never will be (or, where nothing was rejected, the collector has a warning).
    Partial {
        /// How many spans, points or records.
        rejected: i64,
        /// Why.
        reason: String,
    },
    /// Nothing was taken now; try again, not before this long where it is said.
    Later {
        /// Why.
        reason: String,
        /// The wait that the collector asks for.
        after_ms: Option<u32>,
    },
    /// Nothing was taken and never will be.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Judges an answer that came at `now`.
#[must_use]
pub fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], now: jiff::Timestamp) -> Verdict {
    match status.as_u16() {
        200..=299 => accepted(body),
        429 | 502 | 503 | 504 => {
            Verdict::Later { reason: refusal(status, body), after_ms: retry_after(headers, now) }
        }
        _ => Verdict::Refused { reason: refusal(status, body) },
    }
}

/// The three signals' answers have one form on the wire, so one type reads them all. An answer that is not
/// one (a proxy's page) is a success by its status.
fn accepted(body: &[u8]) -> Verdict {
    let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|answer| answer.partial_success);
    match partial {
        Some(partial) if partial.rejected_spans != 0 || !partial.error_message.is_empty() => {
            Verdict::Partial { rejected: partial.rejected_spans, reason: reason(&partial.error_message) }
        }
        _ => Verdict::Accepted,
    }
}

/// An answer's status and the beginning of what it says, which is a protobuf message or a text.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let printable: String = text.chars().filter(|character| !character.is_control()).collect();
    format!("status {}: {}", status.as_u16(), reason(&printable))
}

fn reason(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_REASON_BYTES)).unwrap_or_default().to_owned()
}

/// Seconds, or an HTTP date.
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<u32> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let moment = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let wait_ms = moment.as_millisecond().saturating_sub(now.as_millisecond()).max(0);
    Some(u32::try_from(wait_ms).unwrap_or(u32::MAX))
}

/// How long to wait after the attempt of this number (the first is 1) before the next one; `None` where there
/// is to be none. `random` spreads the callers of a collector that has come back.
#[must_use]
pub fn wait_ms(attempt: u32, after_ms: Option<u32>, random: u8) -> Option<u32> {
    if attempt >= MAX_ATTEMPTS || after_ms.is_some_and(|after_ms| after_ms > LONGEST_WAIT_MS) {
        return None;
    }
    let doubled = FIRST_WAIT_MS.saturating_mul(1 << attempt.saturating_sub(1).min(8)).min(LONGEST_WAIT_MS);
    // Between half the wait and all of it.
    let spread = doubled / 2 + doubled / 2 * u32::from(random) / 255;
    Some(after_ms.map_or(spread, |after_ms| after_ms.max(spread)))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use proptest::prelude::*;

    use super::*;

    fn judged(status: u16, retry_after: Option<&'static str>, body: &[u8]) -> Verdict {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        judge(StatusCode::from_u16(status).unwrap(), &headers, body, "2025-01-16T10:30:00Z".parse().unwrap())
    }

    #[test]
    fn answers_mean_what_the_protocol_says() {
        let partial = |rejected_spans, error_message: &str| {
            let error_message = error_message.to_owned();
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        };
        assert_eq!(judged(200, None, b""), Verdict::Accepted);
        assert_eq!(judged(200, None, &partial(0, "")), Verdict::Accepted);
        assert_eq!(judged(200, None, b"<html>"), Verdict::Accepted);
        assert_eq!(
            judged(200, None, &partial(3, "too old")),
            Verdict::Partial { rejected: 3, reason: "too old".to_owned() }
        );
        for status in [429, 502, 503, 504] {
            let later = Verdict::Later { reason: format!("status {status}: busy"), after_ms: None };
            assert_eq!(judged(status, None, b"busy\n"), later);
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert!(matches!(judged(status, Some("1"), b"no"), Verdict::Refused { .. }), "{status}");
        }
    }

    #[test]
    fn a_collector_says_when_to_come_back() {
        for (value, after_ms) in [
            ("3", Some(3_000)),
            ("4294967295", Some(u32::MAX)),
            ("Thu, 16 Jan 2025 10:30:05 GMT", Some(5_000)),
            ("Thu, 16 Jan 2025 10:29:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let later = Verdict::Later { reason: "status 503: ".to_owned(), after_ms };
            assert_eq!(judged(503, Some(value), b""), later, "{value}");
        }
    }

    #[test]
    fn waits_double_and_end() {
        let waits: Vec<_> = (1..=MAX_ATTEMPTS).map(|attempt| wait_ms(attempt, None, 255)).collect();
        assert_eq!(waits, [Some(500), Some(1_000), Some(2_000), None]);
        assert_eq!(wait_ms(1, None, 0), Some(250));
        assert_eq!(wait_ms(1, Some(3_000), 0), Some(3_000));
        assert_eq!(wait_ms(1, Some(60_000), 0), None);
    }

    #[test]
    fn an_endpoint_may_have_a_path() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"),
            ("https://otel.example.com/", "https://otel.example.com/v1/logs"),
            ("https://api.example.com/otlp", "https://api.example.com/otlp/v1/logs"),
        ] {
            let destination = Destination::new(endpoint, [("api-key", "k")]).unwrap();
            let request = destination.request(Signal::Logs, Bytes::from_static(b"x")).unwrap();
            assert_eq!(request.uri(), expected);
            assert_eq!(request.headers()["content-type"], "application/x-protobuf");
            assert_eq!(request.headers()["api-key"], "k");
            assert!(!format!("{destination:?}").contains("\"k\""));
        }
        for endpoint in ["", "collector:4318", "/otlp", "ftp://x", "http://", "http://x/?a=b"] {
            assert_eq!(Destination::new(endpoint, []).unwrap_err(), MetricsPushError::Endpoint, "{endpoint}");
        }
        assert_eq!(Destination::new("http://x", [("a b", "")]).unwrap_err(), MetricsPushError::Header);
        assert_eq!(Destination::new("http://x", [("a", "\n")]).unwrap_err(), MetricsPushError::Header);
    }

    proptest! {
        #[test]
        fn foreign_answers_never_panic(
            status in 100_u16..600,
            body in proptest::collection::vec(any::<u8>(), 0..200),
            header in "[ -~]{0,40}",
        ) {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, header.parse().unwrap());
            let status = StatusCode::from_u16(status).unwrap();
            let verdict = judge(status, &headers, &body, jiff::Timestamp::UNIX_EPOCH);
            if let Verdict::Later { after_ms, .. } = verdict {
                prop_assert!(wait_ms(1, after_ms, 7).is_none_or(|wait_ms| wait_ms <= LONGEST_WAIT_MS));
            }
        }
    }
}
