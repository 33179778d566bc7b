//! What waits in an instance: bounds, sums and the compact form.

mod support;

use iam_telemetry::instruments::{API_KEY_USAGE, AUTH_FAILURES, REQUEST_DURATION};
use iam_telemetry::{
    Attribute, Batch, Collector, Gauge, LogRecord, MAX_BATCH_BYTES, Points, RequestTrace, Settings, Severity,
    TelemetryError, Value,
};
use proptest::prelude::*;
use support::{answered, clock, collector, settings};

static WAITING: Gauge<0> = Gauge::new("test_waiting", "{message}", []);

fn record(message: &str, attributes: Vec<Attribute>) -> LogRecord {
    LogRecord {
        time: clock(),
        severity: Severity::Info,
        message: message.to_owned(),
        attributes,
        context: None,
    }
}

#[test]
fn nothing_gathered_is_nothing_to_hand_over() {
    let collector = collector(1.0);
    assert!(!collector.is_due());
    assert_eq!(collector.drain(), None);
    collector.set(&WAITING, 3.0, []);
    assert!(collector.drain().is_some());
    assert_eq!(collector.drain(), None);
}

#[test]
fn a_hand_over_is_due_by_age_or_by_size() {
    let settings = settings(1.0);
    assert_eq!(settings.due_after_ms, 5_000);
    let quick = Collector::new(Settings { due_after_ms: 0, ..settings.clone() });
    quick.count(&AUTH_FAILURES, 1, ["password".into(), "mismatch".into()]);
    assert!(quick.is_due());

    let patient = Collector::new(Settings { due_after_ms: 3_600_000, ..settings });
    patient.log(record("one", vec![]));
    assert!(!patient.is_due());
    for _ in 0..60 {
        patient.log(record(&"x".repeat(1_000), vec![]));
    }
    assert!(patient.is_due());
    assert!(patient.drain().is_some());
    assert!(!patient.is_due());
}

#[test]
fn the_oldest_goes_first_and_is_counted() {
    let collector = collector(1.0);
    for number in 0..3_000_u64 {
        collector.log(record("event", vec![Attribute::new("number", number)]));
    }
    let batch = collector.drain().unwrap();
    assert_eq!(batch.logs.len(), 1_024);
    assert_eq!(batch.dropped.logs, 3_000 - 1_024);
    assert_eq!(batch.logs.last().unwrap().attributes[0].value, Value::Integer(2_999));
}

#[test]
fn a_lost_batch_is_told_by_the_next() {
    let collector = collector(1.0);
    collector.log(record("one", vec![]));
    collector.set(&WAITING, 3.0, []);
    let lost = collector.drain().unwrap();
    collector.note_lost(&lost);
    let next = collector.drain().unwrap();
    assert_eq!((next.dropped.logs, next.dropped.measurements), (1, 1));
}

/// The sums of a counter by its labels' texts; the overflow set's under no label.
fn sums(batch: &Batch, name: &str) -> Vec<(Vec<Value<'static>>, u64)> {
    let metric = batch.metrics.iter().find(|metric| metric.name == name);
    match metric.map(|metric| &metric.points) {
        Some(Points::Counter(points)) => {
            points.iter().map(|point| (point.labels.clone(), point.value)).collect()
        }
        _ => vec![],
    }
}

#[test]
fn labels_beyond_the_limit_are_counted_together() {
    let collector = collector(1.0);
    for round in 0..2 {
        for key in 0..200 {
            collector.count(&API_KEY_USAGE, 1 + round, [format!("key_{key}").into()]);
        }
    }
    let sums = sums(&collector.drain().unwrap(), "cronos_api_key_usage_total");
    assert_eq!(sums.len(), 51);
    assert_eq!(sums[0], (vec!["key_0".into()], 3));
    assert_eq!(sums[50], (vec![], 150 * 3));
}

#[test]
fn a_long_label_is_one_label() {
    let collector = collector(1.0);
    for _ in 0..5 {
        collector.count(&API_KEY_USAGE, 1, ["ü".repeat(500).into()]);
    }
    let sums = sums(&collector.drain().unwrap(), "cronos_api_key_usage_total");
    assert_eq!(sums, [(vec!["ü".repeat(48).into()], 5)]);
}

#[test]
fn a_bound_belongs_to_the_bucket_below() {
    let collector = collector(1.0);
    for seconds in [0.0, 0.005, 0.006, 10.0, 10.1, f64::NAN, f64::INFINITY] {
        collector.observe(&REQUEST_DURATION, seconds, ["GET".into(), "/health".into()]);
    }
    let batch = collector.drain().unwrap();
    assert_eq!(batch.dropped.measurements, 2);
    let Points::Histogram { bounds, points } = &batch.metrics[0].points else { panic!("not a histogram") };
    let value = &points[0].value;
    assert_eq!((bounds.len(), value.buckets.len(), value.count), (14, 15, 5));
    assert_eq!((value.buckets[0], value.buckets[1], value.buckets[13], value.buckets[14]), (2, 1, 1, 1));
    assert_eq!((value.min, value.max), (0.0, 10.1));
    assert!((value.sum - 20.111).abs() < 1e-9);
}

#[test]
fn no_secret_is_in_a_batch() {
    let (key, token) =
        ("cronos_sk_live_7Gk2QxAb0SecretSecret", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiSecret.c2lnSecret");
    let collector = collector(1.0);
    collector.count(&API_KEY_USAGE, 1, [key.into()]);
    let request = RequestTrace::start(&collector, None, [7; 24]);
    request.span().in_scope(|| {
        let _span = tracing::info_span!("check", key, header = %format!("Bearer {token}")).entered();
        tracing::warn!(client_secret = "SecretSecret", "refused {token}");
    });
    request.finish(&answered(500), [Attribute::new("user.password", "SecretSecret")]);
    let bytes = collector.drain().unwrap().encode().unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"Secret"));
}

/// Fills everything that can be filled with the longest of everything.
fn overfilled() -> Option<Batch> {
    static WIDE: [iam_telemetry::Histogram<5>; 8] = {
        const BOUNDS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0];
        const fn wide(name: &'static str) -> iam_telemetry::Histogram<5> {
            iam_telemetry::Histogram::new(name, "s", ["a", "b", "c", "d", "e"], BOUNDS)
        }
        [wide("1"), wide("2"), wide("3"), wide("4"), wide("5"), wide("6"), wide("7"), wide("8")]
    };
    let collector = collector(1.0);
    for number in 0..60 {
        let long = |position: u32| Value::from(format!("{position}{number:03}{}", "x".repeat(200)));
        for histogram in &WIDE {
            collector.observe(histogram, 5.0, [0, 1, 2, 3, 4].map(long));
        }
        let attributes = || vec![Attribute::new("text", "token=a ".repeat(500)); 40];
        collector.log(record(&"x".repeat(9_000), attributes()));
        let request = RequestTrace::start(&collector, None, [7; 24]);
        request.span().in_scope(|| tracing::info!(text = "x".repeat(9_000), "y"));
        request.finish(&answered(200), attributes());
    }
    collector.drain()
}

#[test]
fn the_fullest_batch_is_within_the_bound() {
    let batch = overfilled().unwrap();
    let bytes = batch.encode().unwrap();
    assert!(bytes.len() > MAX_BATCH_BYTES / 2, "{} bytes: not full", bytes.len());
    assert_eq!(Batch::decode(&bytes).unwrap(), batch);
}

#[test]
fn a_batch_beyond_the_bound_is_neither_written_nor_read() {
    let mut batch = overfilled().unwrap();
    batch.logs = std::iter::repeat_n(batch.logs[0].clone(), 200).collect();
    assert_eq!(batch.encode(), Err(TelemetryError::TooLarge));
    assert_eq!(Batch::decode(&vec![1; MAX_BATCH_BYTES + 1]), Err(TelemetryError::TooLarge));
    assert_eq!(Batch::decode(&[]), Err(TelemetryError::Malformed));
    assert_eq!(Batch::decode(&[9, 1, 2]), Err(TelemetryError::Version(9)));
}

#[test]
fn a_histogram_with_too_few_buckets_is_refused() {
    let collector = collector(1.0);
    collector.observe(&REQUEST_DURATION, 1.0, ["GET".into(), "/health".into()]);
    let mut batch = collector.drain().unwrap();
    if let Points::Histogram { points, .. } = &mut batch.metrics[0].points {
        points[0].value.buckets.pop();
    }
    assert_eq!(Batch::decode(&batch.encode().unwrap()), Err(TelemetryError::Malformed));
}

fn sample() -> Option<Vec<u8>> {
    let collector = collector(1.0);
    for status in [200, 503] {
        let request = RequestTrace::start(&collector, None, [7; 24]);
        request.span().in_scope(|| {
            let _span = tracing::info_span!("work", number = 1, ratio = 0.5, done = true).entered();
            tracing::warn!("careful");
        });
        request.finish(&answered(status), [Attribute::new("request.id", "r1")]);
    }
    collector.set(&WAITING, 3.0, []);
    collector.drain()?.encode().ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn foreign_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Batch::decode(&body);
        let _ = Batch::decode(&[&[1], body.as_slice()].concat());
    }

    #[test]
    fn a_damaged_batch_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        length in any::<prop::sample::Index>(),
        cut: bool,
    ) {
        let mut bytes = sample().unwrap();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        if let Ok(batch) = Batch::decode(&bytes) {
            // NaN is not equal to itself, so the bytes are compared: they come from the same numbers.
            let written = batch.encode().unwrap();
            prop_assert_eq!(Batch::decode(&written).unwrap().encode().unwrap(), written);
        }
    }
}
