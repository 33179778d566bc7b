//! What an instance gathers between two hand-overs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::attribute::Value;
use crate::batch::{Batch, Dropped, Resource, Span, encoded_size};
use crate::context::Sampler;
use crate::log::{LogRecord, Severity, json_line};
use crate::metrics::{Aggregates, Counter, Gauge, Histogram};
use crate::redaction::Redaction;
use crate::subscriber;

/// The most bytes of spans, and as many of log records, that wait for a hand-over.
const MAX_BUFFER_BYTES: usize = 96 * 1024;

/// The most spans, and as many log records, that wait for a hand-over.
const MAX_BUFFER_RECORDS: usize = 1024;

/// A hand-over is due once this many bytes wait.
const DUE_BYTES: usize = 48 * 1024;

/// What a function says about its telemetry when it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who speaks.
    pub resource: Resource,
    /// Nanoseconds since the epoch.
    pub clock: fn() -> u64,
    /// Where a log line goes: the host's console.
    pub console: fn(&str),
    /// The share of traces that are recorded; 0.1 unless said otherwise.
    pub sample_rate: f64,
    /// Whether a caller's `traceparent` decides for us, as W3C means it to. Where callers are not trusted
    /// to decide how much is recorded, `false`: the trace continues, and our rate decides.
    pub honour_caller: bool,
    /// Less grave log records are dropped; [`Severity::Info`] unless said otherwise.
    pub severity: Severity,
    /// Of so many routine requests one gets a log line, the first among them; 1 for all. Verbose logging
    /// writes all.
    pub routine_every: u32,
    /// What is hidden.
    pub redaction: Redaction,
    /// A hand-over is due once the oldest record waits this long; 5 s unless said otherwise.
    pub due_after_ms: u64,
    /// Whether anybody takes what is gathered; `true` unless said otherwise. Where nobody does, log lines are
    /// still written, and nothing is kept.
    pub delivers: bool,
}

impl Settings {
    /// The defaults.
    #[must_use]
    pub fn new(resource: Resource, clock: fn() -> u64, console: fn(&str)) -> Self {
        Self {
            resource,
            clock,
            console,
            sample_rate: 0.1,
            honour_caller: true,
            severity: Severity::Info,
            routine_every: 1,
            redaction: Redaction::default(),
            due_after_ms: 5_000,
            delivers: true,
        }
    }
}

/// Gathers an instance's spans, metrics and log records until they are handed over. Everything is bounded:
/// when a buffer is full its oldest record goes, and is counted.
#[derive(Debug)]
pub struct Collector {
    settings: Settings,
    sampler: Sampler,
    gathered: Mutex<Gathered>,
    is_verbose: AtomicBool,
    routine: AtomicU32,
}

#[derive(Debug, Default)]
struct Gathered {
    /// When the first record came since the last hand-over.
    start: Option<u64>,
    spans: Buffer<Span>,
    logs: Buffer<LogRecord>,
    metrics: Aggregates,
    lost: Dropped,
}

/// A queue bounded in records and bytes.
#[derive(Debug)]
struct Buffer<T> {
    records: VecDeque<(usize, T)>,
    bytes: usize,
    dropped: u64,
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self { records: VecDeque::new(), bytes: 0, dropped: 0 }
    }
}

impl<T: Serialize> Buffer<T> {
    fn push(&mut self, record: T) {
        let size = encoded_size(&record);
        if size > MAX_BUFFER_BYTES {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.bytes += size;
        self.records.push_back((size, record));
        while self.bytes > MAX_BUFFER_BYTES || self.records.len() > MAX_BUFFER_RECORDS {
            let Some((size, _)) = self.records.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(size);
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    fn into_records(self) -> Vec<T> {
        self.records.into_iter().map(|(_, record)| record).collect()
    }
}

impl Collector {
    /// A collector for this instance. `tracing` spans and events get to it through a subscriber that the
    /// first collector installs for the whole process. Several collectors (functions side by side in a test)
    /// don't mix: a span belongs to the collector of the request that it was made in.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        subscriber::install();
        let sampler = Sampler::new(settings.sample_rate, settings.honour_caller);
        Arc::new(Self {
            settings,
            sampler,
            gathered: Mutex::default(),
            is_verbose: AtomicBool::new(false),
            routine: AtomicU32::new(0),
        })
    }

    /// The collector of the request that is being answered here and now.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        subscriber::current().map(|(trace, _)| Arc::clone(&trace.collector))
    }

    /// Whether every log record is written, however slight, from now on.
    pub fn set_verbose(&self, is_verbose: bool) {
        self.is_verbose.store(is_verbose, Ordering::Relaxed);
    }

    /// Whether every log record is written.
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.is_verbose.load(Ordering::Relaxed)
    }

    /// Whether a routine request gets a log line: the first, and then one of so many.
    pub(crate) fn is_routine_due(&self) -> bool {
        let number = self.routine.fetch_add(1, Ordering::Relaxed);
        self.is_verbose() || number.checked_rem(self.settings.routine_every).unwrap_or_default() == 0
    }

    /// Adds to a counter.
    pub fn count<const N: usize>(&self, counter: &'static Counter<N>, by: u64, labels: [Value<'_>; N]) {
        if self.settings.delivers {
            self.gather().metrics.count(counter, by, &labels);
        }
    }

    /// Sets a gauge.
    pub fn set<const N: usize>(&self, gauge: &'static Gauge<N>, to: f64, labels: [Value<'_>; N]) {
        if self.settings.delivers {
            self.gather().metrics.set(gauge, to, &labels);
        }
    }

    /// Adds a measurement to a histogram.
    pub fn observe<const N: usize>(
        &self,
        histogram: &'static Histogram<N>,
        value: f64,
        labels: [Value<'_>; N],
    ) {
        if self.settings.delivers {
            self.gather().metrics.observe(histogram, value, &labels);
        }
    }

    /// Writes a log record, its secrets hidden, to the host's console, and keeps it for the hand-over.
    pub fn log(&self, mut record: LogRecord) {
        if record.severity < self.settings.severity && !self.is_verbose() {
            return;
        }
        let redaction = &self.settings.redaction;
        redaction.apply_to_text(&mut record.message);
        record.attributes.truncate(crate::attribute::MAX_ATTRIBUTES);
        record.attributes.iter_mut().for_each(|attribute| redaction.apply_to_attribute(attribute));
        (self.settings.console)(&json_line(&self.settings.resource, &record));
        if self.settings.delivers {
            self.gather().logs.push(record);
        }
    }

    /// Whether it is time to hand over: much waits, or something has waited long.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let gathered = self.gathered();
        let waited_ms = gathered.start.map(|start| self.now().saturating_sub(start) / 1_000_000);
        waited_ms.is_some_and(|waited_ms| waited_ms >= self.settings.due_after_ms)
            || gathered.spans.bytes + gathered.logs.bytes >= DUE_BYTES
            || gathered.spans.records.len() + gathered.logs.records.len() >= MAX_BUFFER_RECORDS / 2
    }

    /// Takes everything gathered. `None` where there is nothing.
    #[must_use]
    pub fn drain(&self) -> Option<Batch> {
        let end = self.now();
        let gathered = std::mem::take(&mut *self.gathered());
        let Gathered { start, spans, logs, metrics, lost } = gathered;
        let start = start?.min(end);
        let dropped = Dropped {
            spans: lost.spans.saturating_add(spans.dropped),
            logs: lost.logs.saturating_add(logs.dropped),
            measurements: lost.measurements.saturating_add(metrics.dropped),
        };
        Some(Batch {
            resource: self.settings.resource.clone(),
            start,
            end,
            spans: spans.into_records(),
            metrics: metrics.into_metrics(&self.settings.redaction),
            logs: logs.into_records(),
            dropped,
        })
    }

    /// Notes that a batch could not be handed over, so that the next one tells.
    pub fn note_lost(&self, batch: &Batch) {
        let length = |records: usize| u64::try_from(records).unwrap_or(u64::MAX);
        let lost = &mut self.gather().lost;
        lost.spans = lost.spans.saturating_add(batch.dropped.spans).saturating_add(length(batch.spans.len()));
        lost.logs = lost.logs.saturating_add(batch.dropped.logs).saturating_add(length(batch.logs.len()));
        let measurements = length(batch.metrics.iter().map(|metric| metric.points.label_sets()).sum());
        lost.measurements =
            lost.measurements.saturating_add(batch.dropped.measurements).saturating_add(measurements);
    }

    pub(crate) fn keep_span(&self, mut span: Span) {
        if !self.settings.delivers {
            return;
        }
        let redaction = &self.settings.redaction;
        span.error.iter_mut().for_each(|error| redaction.apply_to_text(error));
        span.attributes.iter_mut().for_each(|attribute| redaction.apply_to_attribute(attribute));
        for event in &mut span.events {
            redaction.apply_to_text(&mut event.name);
            event.attributes.iter_mut().for_each(|attribute| redaction.apply_to_attribute(attribute));
        }
        self.gather().spans.push(span);
    }

    /// Counts a span that was never opened.
    pub(crate) fn note_dropped_span(&self) {
        let lost = &mut self.gather().lost;
        lost.spans = lost.spans.saturating_add(1);
    }

    pub(crate) fn now(&self) -> u64 {
        (self.settings.clock)()
    }

    pub(crate) fn sampler(&self) -> Sampler {
        self.sampler
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // A panic elsewhere leaves nothing half-done that would matter here.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For writing: notes the moment where the buffer was empty before.
    fn gather(&self) -> MutexGuard<'_, Gathered> {
        let mut gathered = self.gathered();
        if gathered.start.is_none() {
            gathered.start = Some(self.now());
        }
        gathered
    }
}
