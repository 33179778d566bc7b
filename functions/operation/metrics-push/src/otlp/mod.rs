//! Batches as OTLP messages, one resource for each instance that speaks.

mod logs;
mod metrics;
mod spans;

use iam_telemetry::{Attribute, Batch, Resource, Value};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;

/// What all functions together are called.
const SERVICE_NAMESPACE: &str = "edge-iam";

/// The spans of these batches; `None` where there are none.
#[must_use]
pub fn traces(batches: &[Batch]) -> Option<ExportTraceServiceRequest> {
    let resource_spans: Vec<_> = by_resource(batches)
        .into_iter()
        .filter_map(|(resource, batches)| spans::of_resource(resource, &batches))
        .collect();
    (!resource_spans.is_empty()).then_some(ExportTraceServiceRequest { resource_spans })
}

/// The metrics of these batches, with this prefix in place of `cronos_`; `None` where there are none.
#[must_use]
pub fn metrics(batches: &[Batch], prefix: &str) -> Option<ExportMetricsServiceRequest> {
    let resource_metrics: Vec<_> = by_resource(batches)
        .into_iter()
        .filter_map(|(resource, batches)| metrics::of_resource(resource, &batches, prefix))
        .collect();
    (!resource_metrics.is_empty()).then_some(ExportMetricsServiceRequest { resource_metrics })
}

/// The log records of these batches; `None` where there are none.
#[must_use]
pub fn logs(batches: &[Batch]) -> Option<ExportLogsServiceRequest> {
    let resource_logs: Vec<_> = by_resource(batches)
        .into_iter()
        .filter_map(|(resource, batches)| logs::of_resource(resource, &batches))
        .collect();
    (!resource_logs.is_empty()).then_some(ExportLogsServiceRequest { resource_logs })
}

/// The batches of each instance, in the order of their first.
fn by_resource(batches: &[Batch]) -> Vec<(&Resource, Vec<&Batch>)> {
    let mut groups: Vec<(&Resource, Vec<&Batch>)> = Vec::new();
    for batch in batches {
        match groups.iter_mut().find(|(resource, _)| **resource == batch.resource) {
            Some((_, group)) => group.push(batch),
            None => groups.push((&batch.resource, vec![batch])),
        }
    }
    groups
}

fn otlp_resource(resource: &Resource) -> OtlpResource {
    let mut attributes = vec![
        text("service.name", &resource.service_name),
        text("service.namespace", SERVICE_NAMESPACE),
        text("service.version", &resource.service_version),
        text("service.instance.id", &resource.instance_id),
        text("process.runtime.name", &resource.host),
        text("telemetry.sdk.name", "iam-telemetry"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    if resource.host == "cloudflare" {
        attributes.push(text("cloud.provider", "cloudflare"));
    }
    OtlpResource { attributes, ..OtlpResource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "iam-telemetry".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn text(key: &str, text: &str) -> KeyValue {
    key_value(key, &text.into())
}

fn key_value(key: &str, value: &Value<'_>) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text.clone().into_owned()),
        Value::Integer(number) => any_value::Value::IntValue(*number),
        Value::Float(number) => any_value::Value::DoubleValue(*number),
        Value::Boolean(truth) => any_value::Value::BoolValue(*truth),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn key_values(attributes: &[Attribute]) -> Vec<KeyValue> {
    attributes.iter().map(|attribute| key_value(&attribute.key, &attribute.value)).collect()
}
