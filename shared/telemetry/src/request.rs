//! A request, from its first byte to its last record.

use std::sync::Arc;

use crate::attribute::{Attribute, MAX_ATTRIBUTES};
use crate::batch::{Span, SpanKind};
use crate::collector::Collector;
use crate::context::{SpanId, TraceId, TraceParent};
use crate::instruments::{
    HTTP_SERVER_REQUEST_DURATION, REQUEST_DURATION, REQUEST_SIZE, REQUESTS, RESPONSE_SIZE,
};
use crate::log::{LogRecord, Severity};
use crate::subscriber::{Trace, lock, root_span};

/// How much randomness a request's identifiers take.
pub const TRACE_RANDOM_BYTES: usize = 24;

/// The methods that OpenTelemetry tells apart.
const KNOWN_METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// What the request layer knows once the answer stands.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The matched route, as declared; empty where none matched. Never the path, which callers make up.
    pub route: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The answer's status.
    pub status: u16,
    /// The kind of error, of a few known words; empty where there was none.
    pub error_type: &'a str,
    /// The size of the request's body.
    pub request_bytes: u64,
    /// The size of the answer's body.
    pub response_bytes: u64,
    /// One of very many that went as always: counted, but hardly ever worth a line. See
    /// [`Settings::routine_every`].
    ///
    /// [`Settings::routine_every`]: crate::Settings::routine_every
    pub is_routine: bool,
}

/// A request that is being answered. Dropped without [`RequestTrace::finish`] (the caller went away), it
/// leaves no root span; what was done for it until then stays recorded.
#[derive(Debug)]
pub struct RequestTrace {
    trace: Arc<Trace>,
    caller: Option<SpanId>,
    span: tracing::Span,
    start: u64,
}

impl RequestTrace {
    /// Begins a trace, or goes on with the caller's where its `traceparent` header is valid.
    #[must_use]
    pub fn start(
        collector: &Arc<Collector>,
        traceparent: Option<&str>,
        random: [u8; TRACE_RANDOM_BYTES],
    ) -> Self {
        let caller = traceparent.and_then(TraceParent::parse);
        let (trace_id, root) = identifiers(random);
        let trace_id = caller.map_or(trace_id, |caller| caller.trace_id);
        let sampled = collector.sampler().samples(trace_id, caller);
        let trace = Arc::new(Trace::new(Arc::clone(collector), trace_id, root, sampled));
        let span = root_span(&trace);
        Self { trace, caller: caller.map(|caller| caller.span_id), span, start: collector.now() }
    }

    /// The span to run the handler in: `handler.instrument(trace.span())`.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        self.span.clone()
    }

    /// What the caller is told about the trace, and what calls made outside of the handler send along;
    /// inside of it [`crate::traceparent`] names the innermost span.
    #[must_use]
    pub fn traceparent(&self) -> TraceParent {
        TraceParent { trace_id: self.trace.trace_id, span_id: self.trace.root, sampled: self.trace.sampled }
    }

    /// How long the request has taken so far, in nanoseconds.
    #[must_use]
    pub fn elapsed(&self) -> u64 {
        self.trace.collector.now().saturating_sub(self.start)
    }

    /// Records the request: its metrics, one log line, and its span where the trace is sampled or the answer
    /// is a server error. `attributes` are what else the layers know, for the log line and the span.
    pub fn finish(self, answered: &Answered<'_>, attributes: impl IntoIterator<Item = Attribute>) {
        let end = self.trace.collector.now().max(self.start);
        let answered = Answered { method: known_method(answered.method), ..*answered };
        self.measure(&answered, end);
        let failed = answered.status >= 500;
        let keeps_span = self.trace.sampled || failed;
        let is_logged = !answered.is_routine || failed || self.trace.collector.is_routine_due();
        if !keeps_span && !is_logged {
            return;
        }
        let mut known = describe(&answered);
        known.push(Attribute::new("http.server.request.duration_ms", self.seconds(end) * 1_000.0));
        known.extend(attributes.into_iter().take(MAX_ATTRIBUTES.saturating_sub(known.len())));
        let name = if answered.route.is_empty() {
            answered.method.to_owned()
        } else {
            format!("{} {}", answered.method, answered.route)
        };
        if keeps_span {
            self.keep_span(&answered, &name, end, known.clone());
        }
        if is_logged {
            self.log(&answered, &name, end, known);
        }
    }

    fn keep_span(&self, answered: &Answered<'_>, name: &str, end: u64, attributes: Vec<Attribute>) {
        self.trace.collector.keep_span(Span {
            trace_id: self.trace.trace_id,
            span_id: self.trace.root,
            parent_span_id: self.caller,
            sampled: self.trace.sampled,
            name: name.to_owned().into(),
            kind: SpanKind::Server,
            start: self.start,
            end,
            error: (answered.status >= 500).then(|| answered.error_type.to_owned()),
            attributes,
            events: std::mem::take(&mut lock(&self.trace.events)),
        });
    }

    fn seconds(&self, end: u64) -> f64 {
        std::time::Duration::from_nanos(end.saturating_sub(self.start)).as_secs_f64()
    }

    fn measure(&self, answered: &Answered<'_>, end: u64) {
        let Answered { method, route, scheme, status, error_type, .. } = *answered;
        let collector = &self.trace.collector;
        let seconds = self.seconds(end);
        let (request_bytes, response_bytes) = (answered.request_bytes as f64, answered.response_bytes as f64);
        collector.count(&REQUESTS, 1, [method.into(), route.into(), status.into()]);
        collector.observe(&REQUEST_DURATION, seconds, [method.into(), route.into()]);
        collector.observe(&REQUEST_SIZE, request_bytes, [method.into(), route.into()]);
        collector.observe(&RESPONSE_SIZE, response_bytes, [method.into(), route.into()]);
        collector.observe(
            &HTTP_SERVER_REQUEST_DURATION,
            seconds,
            [method.into(), route.into(), status.into(), scheme.into(), error_type.into()],
        );
    }

    fn log(&self, answered: &Answered<'_>, name: &str, end: u64, attributes: Vec<Attribute>) {
        let severity = if answered.status >= 500 { Severity::Error } else { Severity::Info };
        self.trace.collector.log(LogRecord {
            time: end,
            severity,
            message: format!("{name} {}", answered.status),
            attributes,
            context: Some((self.trace.trace_id, self.trace.root)),
        });
    }
}

fn known_method(method: &str) -> &str {
    if KNOWN_METHODS.contains(&method) { method } else { "_OTHER" }
}

fn describe(answered: &Answered<'_>) -> Vec<Attribute> {
    let mut known = Vec::with_capacity(16);
    let texts = [
        ("http.request.method", answered.method),
        ("http.route", answered.route),
        ("url.scheme", answered.scheme),
        ("error.type", answered.error_type),
    ];
    known.extend(
        texts
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| Attribute::new(key, text.to_owned())),
    );
    known.push(Attribute::new("http.response.status_code", answered.status));
    known.push(Attribute::new("http.request.body.size_bytes", answered.request_bytes));
    known.push(Attribute::new("http.response.body.size_bytes", answered.response_bytes));
    known
}

/// Splits the randomness. An all-zero identifier is forbidden; should the generator give one, it is 1.
fn identifiers(random: [u8; TRACE_RANDOM_BYTES]) -> (TraceId, SpanId) {
    let mut trace_id = [0; 16];
    let mut span_id = [0; 8];
    for (to, from) in trace_id.iter_mut().chain(span_id.iter_mut()).zip(random) {
        *to = from;
    }
    let trace_id = u128::from_be_bytes(trace_id).max(1).to_be_bytes();
    let span_id = u64::from_be_bytes(span_id).max(1).to_be_bytes();
    (TraceId(trace_id), SpanId(span_id))
}
