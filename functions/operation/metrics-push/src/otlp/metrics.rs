//! Metrics, with delta temporality: an instance tells what happened since it last spoke, and nobody has to
//! remember instances that are gone.

use std::borrow::Cow;

use iam_telemetry::{Batch, Distribution, Metric, Point, Points, Resource, Value};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as OtlpMetric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};

use super::{key_value, otlp_resource, scope, text};

/// The prefix that functions give the product's own metrics; what it becomes is the operator's choice.
const OWN_PREFIX: &str = "cronos_";

/// Counts what a full buffer or a failed hand-over cost, by signal.
const DROPPED: &str = "cronos_telemetry_dropped_total";

pub(super) fn of_resource(resource: &Resource, batches: &[&Batch], prefix: &str) -> Option<ResourceMetrics> {
    let mut metrics: Vec<OtlpMetric> = Vec::new();
    for batch in batches {
        let converted = batch.metrics.iter().map(|metric| otlp_metric(metric, batch, prefix));
        for metric in converted.chain(dropped(batch, prefix)) {
            merge(&mut metrics, metric);
        }
    }
    if metrics.is_empty() {
        return None;
    }
    Some(ResourceMetrics {
        resource: Some(otlp_resource(resource)),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    })
}

/// Puts the points under the metric that is there already: a metric is named once in a scope.
fn merge(metrics: &mut Vec<OtlpMetric>, metric: OtlpMetric) {
    let known = metrics.iter_mut().find(|known| known.name == metric.name && known.unit == metric.unit);
    match (known.and_then(|known| known.data.as_mut()), metric.data) {
        (Some(Data::Sum(known)), Some(Data::Sum(new))) => known.data_points.extend(new.data_points),
        (Some(Data::Gauge(known)), Some(Data::Gauge(new))) => known.data_points.extend(new.data_points),
        (Some(Data::Histogram(known)), Some(Data::Histogram(new))) => {
            known.data_points.extend(new.data_points);
        }
        (_, data) => metrics.push(OtlpMetric { data, ..metric }),
    }
}

fn own_name(name: &str, prefix: &str) -> String {
    match name.strip_prefix(OWN_PREFIX) {
        Some(rest) => format!("{prefix}{rest}"),
        None => name.to_owned(),
    }
}

fn otlp_metric(metric: &Metric, batch: &Batch, prefix: &str) -> OtlpMetric {
    let keys = &metric.keys;
    let data = match &metric.points {
        Points::Counter(points) => {
            sum(points.iter().map(|point| counted(labels(keys, point), point.value, batch)).collect())
        }
        Points::Gauge(points) => Data::Gauge(Gauge {
            data_points: points.iter().map(|point| measured(keys, point, batch)).collect(),
        }),
        Points::Histogram { bounds, points } => Data::Histogram(Histogram {
            data_points: points.iter().map(|point| distribution(keys, bounds, point, batch)).collect(),
            aggregation_temporality: AggregationTemporality::Delta.into(),
        }),
    };
    OtlpMetric {
        name: own_name(&metric.name, prefix),
        unit: metric.unit.clone().into_owned(),
        data: Some(data),
        ..OtlpMetric::default()
    }
}

fn sum(data_points: Vec<NumberDataPoint>) -> Data {
    Data::Sum(Sum {
        data_points,
        aggregation_temporality: AggregationTemporality::Delta.into(),
        is_monotonic: true,
    })
}

fn counted(attributes: Vec<KeyValue>, count: u64, batch: &Batch) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: batch.start,
        time_unix_nano: batch.end,
        value: Some(number_data_point::Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX))),
        ..NumberDataPoint::default()
    }
}

fn measured(keys: &[Cow<'_, str>], point: &Point<f64>, batch: &Batch) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(keys, point),
        time_unix_nano: batch.end,
        value: Some(number_data_point::Value::AsDouble(point.value)),
        ..NumberDataPoint::default()
    }
}

fn distribution(
    keys: &[Cow<'_, str>],
    bounds: &[f64],
    point: &Point<Distribution>,
    batch: &Batch,
) -> HistogramDataPoint {
    let Distribution { count, sum, min, max, buckets } = &point.value;
    HistogramDataPoint {
        attributes: labels(keys, point),
        start_time_unix_nano: batch.start,
        time_unix_nano: batch.end,
        count: *count,
        sum: Some(*sum),
        bucket_counts: buckets.clone(),
        explicit_bounds: bounds.to_vec(),
        min: Some(*min),
        max: Some(*max),
        ..HistogramDataPoint::default()
    }
}

/// The labels that have a value; the overflow set says that it is one, as OpenTelemetry prescribes.
fn labels<T>(keys: &[Cow<'_, str>], point: &Point<T>) -> Vec<KeyValue> {
    if point.labels.is_empty() && !keys.is_empty() {
        return vec![key_value("otel.metric.overflow", &true.into())];
    }
    keys.iter()
        .zip(&point.labels)
        .filter(|(_, label)| !matches!(label, Value::Text(text) if text.is_empty()))
        .map(|(key, label)| key_value(key, label))
        .collect()
}

fn dropped(batch: &Batch, prefix: &str) -> Option<OtlpMetric> {
    let dropped = &batch.dropped;
    let signals = [("spans", dropped.spans), ("logs", dropped.logs), ("measurements", dropped.measurements)];
    let points: Vec<_> = signals
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(signal, count)| counted(vec![text("signal", signal)], count, batch))
        .collect();
    (!points.is_empty()).then(|| OtlpMetric {
        name: own_name(DROPPED, prefix),
        unit: "{record}".to_owned(),
        data: Some(sum(points)),
        ..OtlpMetric::default()
    })
}
