//! What a function hands over: one compact, versioned, bounded form.

use std::borrow::Cow;

use postcard::ser_flavors::Size;
use serde::{Deserialize, Serialize};

use crate::TelemetryError;
use crate::attribute::{Attribute, MAX_ATTRIBUTES, Value};
use crate::context::{SpanId, TraceId};
use crate::log::LogRecord;

/// The largest encoded batch, in bytes. A [`crate::Collector`] never makes a larger one.
pub const MAX_BATCH_BYTES: usize = 512 * 1024;

/// The most events kept on one span.
pub const MAX_SPAN_EVENTS: usize = 16;

/// The most buckets a histogram may have, the one above its last bound included.
const MAX_BUCKETS: usize = 64;

/// The most labels a metric may have.
const MAX_LABELS: usize = 16;

/// The first byte of every encoded batch.
const VERSION: u8 = 1;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The function: `login`.
    pub service_name: Cow<'static, str>,
    /// The function's version.
    pub service_version: Cow<'static, str>,
    /// The kind of host: `cloudflare`, `spin` or `native`.
    pub host: Cow<'static, str>,
    /// This instance of the function among all that run.
    pub instance_id: String,
}

/// Everything gathered in one instance since it last handed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Who speaks.
    pub resource: Resource,
    /// When gathering began; nanoseconds since the epoch, as everywhere here.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Finished spans.
    pub spans: Vec<Span>,
    /// Metrics, each as its change between `start` and `end`.
    pub metrics: Vec<Metric>,
    /// Log records.
    pub logs: Vec<LogRecord>,
    /// What was not kept.
    pub dropped: Dropped,
}

/// How many records a full buffer, or a hand-over that failed, cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub logs: u64,
    /// Measurements.
    pub measurements: u64,
}

/// What a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpanKind {
    /// Work inside the function.
    Internal,
    /// A request that the function answers.
    Server,
    /// A call that the function makes.
    Client,
}

/// A finished span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// The span that caused it.
    pub parent_span_id: Option<SpanId>,
    /// Whether the trace was sampled; a failed request is recorded even where it was not.
    pub sampled: bool,
    /// What was done.
    pub name: Cow<'static, str>,
    /// What it stands for.
    pub kind: SpanKind,
    /// When it began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Set where it failed: why, possibly empty.
    pub error: Option<String>,
    /// What is known about it.
    pub attributes: Vec<Attribute>,
    /// What happened during it.
    pub events: Vec<SpanEvent>,
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanEvent {
    /// When.
    pub time: u64,
    /// What.
    pub name: String,
    /// What is known about it.
    pub attributes: Vec<Attribute>,
}

/// A metric's change during the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its unit (UCUM).
    pub unit: Cow<'static, str>,
    /// The names of its labels.
    pub keys: Vec<Cow<'static, str>>,
    /// The measurements.
    pub points: Points,
}

/// Measurements by kind of instrument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Points {
    /// By how much a count grew.
    Counter(Vec<Point<u64>>),
    /// What was last measured.
    Gauge(Vec<Point<f64>>),
    /// How measurements spread.
    Histogram {
        /// The upper, inclusive bounds of the buckets but the last.
        bounds: Cow<'static, [f64]>,
        /// The measurements.
        points: Vec<Point<Distribution>>,
    },
}

impl Points {
    /// How many sets of labels there are measurements for.
    pub(crate) fn label_sets(&self) -> usize {
        match self {
            Self::Counter(points) => points.len(),
            Self::Gauge(points) => points.len(),
            Self::Histogram { points, .. } => points.len(),
        }
    }
}

/// A measurement under one set of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point<T> {
    /// A value for each of the metric's keys, an empty text where there is none; or no value at all: the set
    /// of everything beyond the metric's cardinality limit.
    pub labels: Vec<Value<'static>>,
    /// What was measured.
    pub value: T,
}

/// How measurements spread over the buckets of a histogram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many there were.
    pub count: u64,
    /// All together.
    pub sum: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many fell into each bucket; one more than the metric has bounds.
    pub buckets: Vec<u64>,
}

impl Batch {
    /// Writes the batch.
    ///
    /// # Errors
    /// [`TelemetryError::TooLarge`] beyond [`MAX_BATCH_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, TelemetryError> {
        let bytes = postcard::to_extend(self, vec![VERSION]).map_err(|_| TelemetryError::Malformed)?;
        if bytes.len() > MAX_BATCH_BYTES { Err(TelemetryError::TooLarge) } else { Ok(bytes) }
    }

    /// Reads a batch from bytes that anybody may have sent.
    ///
    /// # Errors
    /// Where the bytes are too many, of another version, not a batch, or a batch beyond this crate's bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, TelemetryError> {
        if bytes.len() > MAX_BATCH_BYTES {
            return Err(TelemetryError::TooLarge);
        }
        let (version, body) = bytes.split_first().ok_or(TelemetryError::Malformed)?;
        if *version != VERSION {
            return Err(TelemetryError::Version(*version));
        }
        let (batch, rest) = postcard::take_from_bytes::<Self>(body).map_err(|_| TelemetryError::Malformed)?;
        if rest.is_empty() && batch.is_within_bounds() { Ok(batch) } else { Err(TelemetryError::Malformed) }
    }

    /// Whether every list is as long as this crate makes it at most, so that a reader may rely on it.
    fn is_within_bounds(&self) -> bool {
        self.spans.iter().all(Span::is_within_bounds)
            && self.metrics.iter().all(Metric::is_within_bounds)
            && self.logs.iter().all(|log| log.attributes.len() <= MAX_ATTRIBUTES)
    }
}

impl Span {
    fn is_within_bounds(&self) -> bool {
        self.start <= self.end
            && self.attributes.len() <= MAX_ATTRIBUTES
            && self.events.len() <= MAX_SPAN_EVENTS
            && self.events.iter().all(|event| event.attributes.len() <= MAX_ATTRIBUTES)
    }
}

impl Metric {
    fn is_within_bounds(&self) -> bool {
        let labelled = |labels: &[Value<'_>]| labels.is_empty() || labels.len() == self.keys.len();
        self.keys.len() <= MAX_LABELS
            && match &self.points {
                Points::Counter(points) => points.iter().all(|point| labelled(&point.labels)),
                Points::Gauge(points) => points.iter().all(|point| labelled(&point.labels)),
                Points::Histogram { bounds, points } => {
                    bounds.len() < MAX_BUCKETS
                        && points.iter().all(|point| {
                            labelled(&point.labels) && point.value.buckets.len() == bounds.len() + 1
                        })
                }
            }
    }
}

/// How many bytes a record takes when encoded.
pub(crate) fn encoded_size<T: Serialize>(record: &T) -> usize {
    postcard::serialize_with_flavor(record, Size::default()).unwrap_or(MAX_BATCH_BYTES)
}
