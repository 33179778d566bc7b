//! Spans.

use iam_telemetry::{Batch, Resource, Span, SpanEvent, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, SpanFlags, Status, span, status,
};

use super::{key_values, otlp_resource, scope};

pub(super) fn of_resource(resource: &Resource, batches: &[&Batch]) -> Option<ResourceSpans> {
    let spans: Vec<_> = batches.iter().flat_map(|batch| &batch.spans).map(otlp_span).collect();
    if spans.is_empty() {
        return None;
    }
    Some(ResourceSpans {
        resource: Some(otlp_resource(resource)),
        scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    })
}

fn otlp_span(span: &Span) -> OtlpSpan {
    let (status, message) = match &span.error {
        Some(reason) => (status::StatusCode::Error, reason.clone()),
        None => (status::StatusCode::Unset, String::new()),
    };
    OtlpSpan {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        parent_span_id: span.parent_span_id.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: flags(span),
        name: span.name.clone().into_owned(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: key_values(&span.attributes),
        events: span.events.iter().map(otlp_event).collect(),
        status: Some(Status { message, code: status.into() }),
        ..OtlpSpan::default()
    }
}

fn kind(kind: SpanKind) -> span::SpanKind {
    match kind {
        SpanKind::Internal => span::SpanKind::Internal,
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Client => span::SpanKind::Client,
    }
}

/// The W3C flags, and whether the parent was somewhere else: only a request's own span has such a parent.
fn flags(span: &Span) -> u32 {
    let remote = span.kind == SpanKind::Server && span.parent_span_id.is_some();
    [
        (span.sampled, 1),
        (true, SpanFlags::ContextHasIsRemoteMask as u32),
        (remote, SpanFlags::ContextIsRemoteMask as u32),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(0, |flags, (_, flag)| flags | flag)
}

fn otlp_event(event: &SpanEvent) -> span::Event {
    span::Event {
        time_unix_nano: event.time,
        name: event.name.clone(),
        attributes: key_values(&event.attributes),
        ..span::Event::default()
    }
}
