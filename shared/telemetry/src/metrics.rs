//! Instruments, and the sums they leave in an instance between two hand-overs.

use std::borrow::Cow;

use crate::attribute::Value;
use crate::batch::{Distribution, Metric, Point, Points};
use crate::redaction::Redaction;

/// The most sets of labels one instrument keeps between two hand-overs; whatever comes beyond is counted
/// together in one overflow set, as OpenTelemetry prescribes.
pub const MAX_LABEL_SETS: usize = 100;

/// The most sets of labels that all instruments together keep.
const MAX_LABEL_SETS_IN_ALL: usize = 400;

/// The longest label kept, in bytes.
const MAX_LABEL_BYTES: usize = 96;

/// What every instrument has.
#[derive(Debug)]
struct Description<const N: usize> {
    name: &'static str,
    unit: &'static str,
    keys: [&'static str; N],
    label_sets: usize,
}

/// An instrument as the reference shows it.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, serde::Serialize)]
pub struct Instrument {
    /// What its measurements are called.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its unit (UCUM).
    pub unit: &'static str,
    /// The labels of its measurements.
    pub labels: &'static [&'static str],
    /// The upper bounds of a histogram's buckets.
    pub bounds: &'static [f64],
    /// What it measures, as its source says.
    pub meaning: &'static str,
}

#[cfg(not(target_family = "wasm"))]
impl<const N: usize> Description<N> {
    fn describe(&'static self, kind: &'static str, meaning: &'static str) -> Instrument {
        Instrument { name: self.name, kind, unit: self.unit, labels: &self.keys, bounds: &[], meaning }
    }
}

/// Counts what happens: a sum that only grows.
#[derive(Debug)]
pub struct Counter<const N: usize>(Description<N>);

/// Holds what was last measured: a number that goes up and down.
#[derive(Debug)]
pub struct Gauge<const N: usize>(Description<N>);

/// Tells how measurements spread.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    description: Description<N>,
    bounds: &'static [f64],
}

impl<const N: usize> Counter<N> {
    /// A counter whose measurements carry these labels.
    #[must_use]
    pub const fn new(name: &'static str, unit: &'static str, keys: [&'static str; N]) -> Self {
        Self(Description { name, unit, keys, label_sets: MAX_LABEL_SETS })
    }

    /// Keeps fewer sets of labels than [`MAX_LABEL_SETS`]: for labels that callers can multiply.
    #[must_use]
    pub const fn with_label_sets(mut self, label_sets: usize) -> Self {
        self.0.label_sets = label_sets;
        self
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn describe(&'static self, meaning: &'static str) -> Instrument {
        self.0.describe("counter", meaning)
    }
}

impl<const N: usize> Gauge<N> {
    /// A gauge whose measurements carry these labels.
    #[must_use]
    pub const fn new(name: &'static str, unit: &'static str, keys: [&'static str; N]) -> Self {
        Self(Description { name, unit, keys, label_sets: MAX_LABEL_SETS })
    }
}

impl<const N: usize> Histogram<N> {
    /// A histogram with these upper, inclusive bounds, and whose measurements carry these labels.
    #[must_use]
    pub const fn new(
        name: &'static str,
        unit: &'static str,
        keys: [&'static str; N],
        bounds: &'static [f64],
    ) -> Self {
        Self { description: Description { name, unit, keys, label_sets: MAX_LABEL_SETS }, bounds }
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn describe(&'static self, meaning: &'static str) -> Instrument {
        Instrument { bounds: self.bounds, ..self.description.describe("histogram", meaning) }
    }
}

/// The sums of one instance.
#[derive(Debug, Default)]
pub(crate) struct Aggregates {
    series: Vec<Series>,
    label_sets: usize,
    pub(crate) dropped: u64,
}

#[derive(Debug)]
struct Series {
    name: &'static str,
    unit: &'static str,
    keys: &'static [&'static str],
    sums: Sums,
}

#[derive(Debug)]
enum Sums {
    Counter(LabelSets<u64>),
    Gauge(LabelSets<f64>),
    Histogram(&'static [f64], LabelSets<Distribution>),
}

/// Measurements by their labels. A hash kept beside them makes the look-up a walk over a few integers.
#[derive(Debug)]
struct LabelSets<T>(Vec<(u64, Point<T>)>);

impl<T> Default for LabelSets<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> LabelSets<T> {
    /// The measurement under these labels; a new one, or the overflow set's, where there is none yet.
    fn find(
        &mut self,
        labels: &[Value<'_>],
        limit: usize,
        in_all: &mut usize,
        empty: impl FnOnce() -> T,
    ) -> Option<&mut T> {
        let hash = hash(labels);
        let mut index = self.0.iter().position(|(known, point)| *known == hash && point.labels == labels);
        if index.is_none() {
            let overflows = self.0.len() >= limit || *in_all >= MAX_LABEL_SETS_IN_ALL;
            let labels = if overflows {
                // An instrument without labels has one set, which is never beyond its limit; the one
                // overflow set an instrument may have is beyond the common limit.
                index = self.0.iter().position(|(_, point)| point.labels.is_empty());
                Vec::new()
            } else {
                *in_all += 1;
                labels.iter().map(|label| label.clone().into_owned()).collect()
            };
            if index.is_none() {
                self.0.push((hash, Point { labels, value: empty() }));
                index = self.0.len().checked_sub(1);
            }
        }
        self.0.get_mut(index?).map(|(_, point)| &mut point.value)
    }

    fn into_points(self, redaction: &Redaction) -> Vec<Point<T>> {
        let mut points: Vec<_> = self.0.into_iter().map(|(_, point)| point).collect();
        for label in points.iter_mut().flat_map(|point| &mut point.labels) {
            redaction.apply_to_value(label, MAX_LABEL_BYTES);
        }
        points
    }
}

/// A label within its length, so that a long one is found again under what is kept of it.
fn bounded<'a, const N: usize>(labels: &'a [Value<'_>; N]) -> [Value<'a>; N] {
    labels.each_ref().map(|label| match label {
        Value::Text(text) => text.get(..text.floor_char_boundary(MAX_LABEL_BYTES)).unwrap_or_default().into(),
        Value::Integer(number) => Value::Integer(*number),
        Value::Float(number) => Value::Float(*number),
        Value::Boolean(truth) => Value::Boolean(*truth),
    })
}

/// FNV-1a: quick for a handful of short labels. Equal hashes only cost a comparison.
fn hash(labels: &[Value<'_>]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for label in labels {
        match label {
            Value::Text(text) => take(text.as_bytes()),
            Value::Integer(number) => take(&number.to_le_bytes()),
            Value::Float(number) => take(&number.to_bits().to_le_bytes()),
            Value::Boolean(truth) => take(&[u8::from(*truth)]),
        }
        take(&[255]);
    }
    hash
}

impl Aggregates {
    pub(crate) fn count<const N: usize>(
        &mut self,
        counter: &'static Counter<N>,
        by: u64,
        labels: &[Value<'_>; N],
    ) {
        let description = &counter.0;
        if let Some((Sums::Counter(sets), in_all)) =
            self.series(description, || Sums::Counter(LabelSets::default()))
            && let Some(sum) = sets.find(&bounded(labels), description.label_sets, in_all, || 0)
        {
            *sum = sum.saturating_add(by);
        }
    }

    pub(crate) fn set<const N: usize>(&mut self, gauge: &'static Gauge<N>, to: f64, labels: &[Value<'_>; N]) {
        let description = &gauge.0;
        if let Some((Sums::Gauge(sets), in_all)) =
            self.series(description, || Sums::Gauge(LabelSets::default()))
            && let Some(last) = sets.find(&bounded(labels), description.label_sets, in_all, || to)
        {
            *last = to;
        }
    }

    pub(crate) fn observe<const N: usize>(
        &mut self,
        histogram: &'static Histogram<N>,
        value: f64,
        labels: &[Value<'_>; N],
    ) {
        if !value.is_finite() {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let Histogram { description, bounds } = histogram;
        let new = || Sums::Histogram(bounds, LabelSets::default());
        if let Some((Sums::Histogram(bounds, sets), in_all)) = self.series(description, new)
            && let Some(distribution) =
                sets.find(&bounded(labels), description.label_sets, in_all, || Distribution::empty(bounds))
        {
            distribution.take(value, bounds);
        }
    }

    /// The sums of an instrument, new where there are none yet, and the common count of label sets.
    fn series<const N: usize>(
        &mut self,
        description: &'static Description<N>,
        sums: impl FnOnce() -> Sums,
    ) -> Option<(&mut Sums, &mut usize)> {
        let known = self.series.iter().position(|series| series.name == description.name);
        let index = known.unwrap_or_else(|| {
            let Description { name, unit, keys, .. } = description;
            self.series.push(Series { name, unit, keys, sums: sums() });
            self.series.len().saturating_sub(1)
        });
        Some((&mut self.series.get_mut(index)?.sums, &mut self.label_sets))
    }

    pub(crate) fn into_metrics(self, redaction: &Redaction) -> Vec<Metric> {
        self.series.into_iter().map(|series| series.into_metric(redaction)).collect()
    }
}

impl Series {
    fn into_metric(self, redaction: &Redaction) -> Metric {
        Metric {
            name: Cow::Borrowed(self.name),
            unit: Cow::Borrowed(self.unit),
            keys: self.keys.iter().copied().map(Cow::Borrowed).collect(),
            points: match self.sums {
                Sums::Counter(sets) => Points::Counter(sets.into_points(redaction)),
                Sums::Gauge(sets) => Points::Gauge(sets.into_points(redaction)),
                Sums::Histogram(bounds, sets) => {
                    Points::Histogram { bounds: Cow::Borrowed(bounds), points: sets.into_points(redaction) }
                }
            },
        }
    }
}

impl Distribution {
    fn empty(bounds: &[f64]) -> Self {
        let buckets = vec![0; bounds.len() + 1];
        Self { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, buckets }
    }

    fn take(&mut self, value: f64, bounds: &[f64]) {
        self.count = self.count.saturating_add(1);
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        // A bound belongs to the bucket below it.
        if let Some(bucket) = self.buckets.get_mut(bounds.partition_point(|bound| *bound < value)) {
            *bucket = bucket.saturating_add(1);
        }
    }
}
