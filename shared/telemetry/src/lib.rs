//! Telemetry inside a function: spans, metrics and logs, gathered in the instance and handed over in one
//! compact form.
//!
//! Nothing here knows a host or speaks OTLP; every function links it, so it is small. The clock, the
//! randomness and the console come from the host. The function `metrics-push` turns batches into OTLP.
//!
//! ```
//! use iam_telemetry::instruments::AUTH_ATTEMPTS;
//! use iam_telemetry::{Answered, Batch, Collector, RequestTrace, Resource, Settings};
//! use tracing::Instrument;
//!
//! // Once for each instance:
//! let resource = Resource {
//!     service_name: "login".into(),
//!     service_version: "1.0.0".into(),
//!     host: "spin".into(),
//!     instance_id: "7f3a".into(),
//! };
//! fn clock() -> u64 { 1_737_023_400_000_000_000 }
//! fn console(line: &str) { println!("{line}") }
//! let collector = Collector::new(Settings { sample_rate: 1.0, ..Settings::new(resource, clock, console) });
//!
//! // For each request; the bytes come from the host's generator:
//! let request = RequestTrace::start(&collector, None, [7; 24]);
//! let handler = async {
//!     let _span = tracing::info_span!("verify_password").entered();
//!     if let Some(collector) = Collector::current() {
//!         collector.count(&AUTH_ATTEMPTS, 1, ["password".into(), "success".into()]);
//!     }
//! };
//! futures_util::future::FutureExt::now_or_never(handler.instrument(request.span()));
//! let answered = Answered {
//!     method: "POST", route: "/api/v1/auth/login", scheme: "https", status: 200, error_type: "",
//!     request_bytes: 64, response_bytes: 512, is_routine: false,
//! };
//! request.finish(&answered, []);
//!
//! // After the answer, where `collector.is_due()` or the instance ends with the request:
//! let batch = collector.drain().unwrap();
//! assert_eq!(batch.spans.len(), 2);
//! assert_eq!(batch.logs.len(), 1);
//! let bytes = batch.encode().unwrap();
//! assert_eq!(Batch::decode(&bytes).unwrap(), batch);
//! ```

mod attribute;
mod batch;
mod collector;
mod context;
pub mod instruments;
mod log;
mod metrics;
mod redaction;
mod request;
mod subscriber;

use std::fmt;

pub use attribute::{Attribute, MAX_ATTRIBUTES, MAX_TEXT_BYTES, Value};
pub use batch::{
    Batch, Distribution, Dropped, MAX_BATCH_BYTES, MAX_SPAN_EVENTS, Metric, Point, Points, Resource, Span,
    SpanEvent, SpanKind,
};
pub use collector::{Collector, Settings};
pub use context::{SpanId, TraceId, TraceParent};
pub use log::{LogRecord, Severity, json_line};
#[cfg(not(target_family = "wasm"))]
pub use metrics::Instrument;
pub use metrics::{Counter, Gauge, Histogram, MAX_LABEL_SETS};
pub use redaction::{REDACTED, Redaction};
pub use request::{Answered, RequestTrace, TRACE_RANDOM_BYTES};
pub use subscriber::traceparent;

/// A batch that can't be written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryError {
    /// More than [`MAX_BATCH_BYTES`].
    TooLarge,
    /// A form that this version does not know.
    Version(u8),
    /// Not a batch.
    Malformed,
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(formatter, "telemetry batch of more than {MAX_BATCH_BYTES} bytes"),
            Self::Version(version) => write!(formatter, "telemetry batch of unknown version {version}"),
            Self::Malformed => formatter.write_str("malformed telemetry batch"),
        }
    }
}

impl std::error::Error for TelemetryError {}
