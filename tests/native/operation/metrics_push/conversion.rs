//! Batches as OTLP.

use super::support::batch;
use iam_metrics_push::otlp;
use iam_telemetry::Batch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::{span, status};
use prost::Message;

fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn empty() -> Option<Batch> {
    let mut batch = batch("1")?;
    batch.spans.clear();
    batch.logs.clear();
    batch.metrics.clear();
    batch.dropped = iam_telemetry::Dropped::default();
    Some(batch)
}

#[test]
fn nothing_makes_no_message() {
    let batches = [empty().unwrap()];
    assert_eq!(otlp::traces(&batches), None);
    assert_eq!(otlp::metrics(&batches, "cronos_"), None);
    assert_eq!(otlp::logs(&batches), None);
}

#[test]
fn instances_are_resources() {
    let batches = [batch("1").unwrap(), batch("2").unwrap(), batch("1").unwrap()];
    let traces = otlp::traces(&batches).unwrap();
    let resources: Vec<_> = traces
        .resource_spans
        .iter()
        .map(|spans| {
            let attributes = &spans.resource.as_ref().unwrap().attributes;
            assert_eq!(text(attributes, "service.name").as_deref(), Some("login"));
            assert_eq!(text(attributes, "service.version").as_deref(), Some("1.2.3"));
            assert_eq!(text(attributes, "cloud.provider").as_deref(), Some("cloudflare"));
            (text(attributes, "service.instance.id").unwrap(), spans.scope_spans[0].spans.len())
        })
        .collect();
    assert_eq!(resources, [("1".to_owned(), 6), ("2".to_owned(), 3)]);
    assert_eq!(otlp::metrics(&batches, "").unwrap().resource_metrics.len(), 2);
    assert_eq!(otlp::logs(&batches).unwrap().resource_logs.len(), 2);
}

#[test]
fn spans_keep_their_tree_and_their_state() {
    let message = otlp::traces(&[batch("1").unwrap()]).unwrap();
    let message = ExportTraceServiceRequest::decode(message.encode_to_vec().as_slice()).unwrap();
    let [child, root, failed] = message.resource_spans[0].scope_spans[0].spans.as_slice() else {
        panic!("not three spans")
    };
    assert_eq!(root.parent_span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_eq!((root.trace_id[0], root.span_id.as_slice()), (0x4b, [7; 8].as_slice()));
    assert_eq!((child.parent_span_id.as_slice(), &child.trace_id), (root.span_id.as_slice(), &root.trace_id));
    assert_eq!((root.kind, child.kind), (span::SpanKind::Server.into(), span::SpanKind::Client.into()));
    assert_eq!((root.flags, child.flags, failed.flags), (0x301, 0x101, 0x100));
    assert_eq!(root.name, "POST /api/v1/auth/login");
    assert_eq!(value(&root.attributes, "http.response.status_code"), Some(Value::IntValue(200)));
    assert_eq!(child.events[0].name, "password almost locked");
    assert_eq!(value(&child.events[0].attributes, "attempts"), Some(Value::IntValue(3)));
    assert!(root.start_time_unix_nano <= child.start_time_unix_nano && child.end_time_unix_nano > 0);
    let code = |span: &opentelemetry_proto::tonic::trace::v1::Span| span.status.as_ref().unwrap().code;
    assert_eq!(code(root), i32::from(status::StatusCode::Unset));
    assert_eq!(code(failed), i32::from(status::StatusCode::Error));
    assert_eq!(failed.status.as_ref().unwrap().message, "database");
}

fn metrics(batches: &[Batch], prefix: &str) -> Vec<Metric> {
    otlp::metrics(batches, prefix)
        .into_iter()
        .flat_map(|message| message.resource_metrics)
        .flat_map(|resource| resource.scope_metrics)
        .flat_map(|scope| scope.metrics)
        .collect()
}

fn data(metrics: &[Metric], name: &str) -> Option<Data> {
    metrics.iter().find(|metric| metric.name == name)?.data.clone()
}

#[test]
fn counters_are_monotonic_deltas_with_an_overflow_set() {
    let batch = batch("1").unwrap();
    let (start, end) = (batch.start, batch.end);
    let metrics = metrics(&[batch], "cronos_");
    let Some(Data::Sum(sum)) = data(&metrics, "cronos_api_key_usage_total") else { panic!("not a sum") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality, i32::from(AggregationTemporality::Delta));
    assert_eq!(sum.data_points.len(), 51);
    let (first, overflow) = (&sum.data_points[0], &sum.data_points[50]);
    assert_eq!(text(&first.attributes, "key_id").as_deref(), Some("key_0"));
    assert_eq!(first.value, Some(number_data_point::Value::AsInt(2)));
    assert_eq!((first.start_time_unix_nano, first.time_unix_nano), (start, end));
    assert_eq!(overflow.attributes.len(), 1);
    assert_eq!(value(&overflow.attributes, "otel.metric.overflow"), Some(Value::BoolValue(true)));
    assert_eq!(overflow.value, Some(number_data_point::Value::AsInt(20)));

    let Some(Data::Sum(dropped)) = data(&metrics, "cronos_telemetry_dropped_total") else {
        panic!("not a sum")
    };
    assert_eq!(dropped.data_points.len(), 1);
    assert_eq!(text(&dropped.data_points[0].attributes, "signal").as_deref(), Some("logs"));
    assert_eq!(dropped.data_points[0].value, Some(number_data_point::Value::AsInt(4)));
}

#[test]
fn a_gauge_without_labels_is_no_overflow() {
    let Some(Data::Gauge(gauge)) = data(&metrics(&[batch("1").unwrap()], ""), "waiting") else {
        panic!("not a gauge")
    };
    assert!(gauge.data_points[0].attributes.is_empty());
    assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(17.0)));
}

#[test]
fn histograms_carry_their_bounds_and_leave_empty_labels_out() {
    let metrics = metrics(&[batch("1").unwrap()], "acme_");
    assert!(metrics.iter().all(|metric| !metric.name.starts_with("cronos_")));
    let Some(Data::Histogram(histogram)) = data(&metrics, "http.server.request.duration") else {
        panic!("not a histogram")
    };
    assert_eq!(histogram.aggregation_temporality, i32::from(AggregationTemporality::Delta));
    let [success, failure] = histogram.data_points.as_slice() else { panic!("not two points") };
    assert_eq!((success.count, success.explicit_bounds.len(), success.bucket_counts.len()), (1, 14, 15));
    assert_eq!(success.bucket_counts.iter().sum::<u64>(), 1);
    assert!(success.min <= success.max && success.sum >= success.max);
    assert_eq!(value(&success.attributes, "error.type"), None);
    assert_eq!(text(&failure.attributes, "error.type").as_deref(), Some("database"));
    assert_eq!(value(&failure.attributes, "http.response.status_code"), Some(Value::IntValue(503)));
    let unit = metrics.iter().find(|metric| metric.name == "acme_request_duration_seconds").unwrap();
    assert_eq!(unit.unit, "s");
}

#[test]
fn a_metric_is_named_once_in_a_resource() {
    let batches = [batch("1").unwrap(), batch("1").unwrap()];
    let metrics = metrics(&batches, "cronos_");
    let mut names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    let Some(Data::Sum(attempts)) = data(&metrics, "cronos_auth_attempts_total") else { panic!("not a sum") };
    assert_eq!(attempts.data_points.len(), 2);
}

#[test]
fn log_records_know_their_span() {
    let message = otlp::logs(&[batch("1").unwrap()]).unwrap();
    let [warning, request, failed] = message.resource_logs[0].scope_logs[0].log_records.as_slice() else {
        panic!("not three records")
    };
    assert_eq!((warning.severity_number, warning.severity_text.as_str()), (13, "WARN"));
    assert_eq!((request.severity_number, failed.severity_number), (9, 17));
    let body = warning.body.clone().unwrap().value;
    assert_eq!(body, Some(Value::StringValue("password almost locked".to_owned())));
    assert_eq!((warning.trace_id.len(), warning.span_id.len()), (16, 8));
    assert_eq!(request.span_id, [7; 8]);
    assert_eq!(text(&request.attributes, "request.id").as_deref(), Some("r-1"));
    assert!(request.time_unix_nano > 0 && request.observed_time_unix_nano >= request.time_unix_nano);
}
