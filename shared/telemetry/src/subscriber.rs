//! The `tracing` subscriber: where spans and events become records.
//!
//! One subscriber serves the process and holds the open spans; a thread's stack says which are entered.
//! Futures that are polled in turn enter and leave their spans at each poll (`Instrument`), so requests that
//! interleave on one instance never see each other's. A span identifier carries whether its trace is sampled:
//! in a request that is not, a span costs one look at the stack and is never made.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::attribute::{Attribute, Fields, MAX_ATTRIBUTES};
use crate::batch::{MAX_SPAN_EVENTS, Span, SpanEvent, SpanKind};
use crate::collector::Collector;
use crate::context::{SpanId, TraceId, TraceParent};
use crate::log::{LogRecord, Severity};

/// The target of the one span that stands for a whole request.
pub(crate) const ROOT_TARGET: &str = "iam_telemetry::request";

/// The most spans that one request may make, so that a loop costs others nothing.
const MAX_SPANS_OF_A_TRACE: u32 = 256;

/// What all spans of one request share.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) collector: Arc<Collector>,
    pub(crate) trace_id: TraceId,
    pub(crate) root: SpanId,
    pub(crate) sampled: bool,
    pub(crate) events: Mutex<Vec<SpanEvent>>,
    made: AtomicU32,
    next_span_id: AtomicU64,
}

impl Trace {
    pub(crate) fn new(collector: Arc<Collector>, trace_id: TraceId, root: SpanId, sampled: bool) -> Self {
        Self {
            collector,
            trace_id,
            root,
            sampled,
            events: Mutex::default(),
            made: AtomicU32::new(0),
            next_span_id: AtomicU64::new(u64::from_be_bytes(root.0)),
        }
    }

    /// An identifier that no other span of the trace has: the next number after the root's random one, mixed
    /// by a bijection (SplitMix64), so that it looks as random as the root's.
    fn span_id(&self) -> SpanId {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.next_span_id.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        SpanId((mixed ^ (mixed >> 31)).max(1).to_be_bytes())
    }
}

/// A span that has not ended. The root's record is made by its request, which knows more.
#[derive(Debug)]
struct OpenSpan {
    references: usize,
    trace: Arc<Trace>,
    span_id: SpanId,
    record: Option<Box<Span>>,
}

#[derive(Debug)]
struct Slot {
    /// Tells a slot's present span from its former ones.
    generation: u32,
    span: Option<OpenSpan>,
}

/// The open spans of the process.
#[derive(Debug)]
struct OpenSpans {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

static OPEN_SPANS: Mutex<OpenSpans> = Mutex::new(OpenSpans { slots: Vec::new(), free: Vec::new() });

fn open_spans() -> MutexGuard<'static, OpenSpans> {
    OPEN_SPANS.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The spans entered on this thread, innermost last.
    static ENTERED: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
    /// Hands a request's trace to the span that is being made for it.
    static STARTING: Cell<Option<Arc<Trace>>> = const { Cell::new(None) };
}

/// A span identifier taken apart: bit 63 says sampled, bits 32–62 the slot's generation, the rest the slot's
/// number plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handle(u64);

impl Handle {
    /// Of a span that is not kept.
    const NONE: Self = Self(1 << 32);

    fn new(slot: u32, generation: u32, sampled: bool) -> Self {
        Self(u64::from(sampled) << 63 | u64::from(generation & 0x7fff_ffff) << 32 | (u64::from(slot) + 1))
    }

    fn sampled(self) -> bool {
        self.0 >> 63 == 1
    }

    fn slot(self) -> Option<usize> {
        usize::try_from(self.0 & 0xffff_ffff).ok()?.checked_sub(1)
    }

    fn generation(self) -> u32 {
        // Thirty-one bits always fit.
        u32::try_from(self.0 >> 32 & 0x7fff_ffff).unwrap_or_default()
    }

    fn id(self) -> Id {
        // INVARIANT: never zero, for the slot's number plus one and `NONE`'s generation are not.
        Id::from_u64(self.0.max(1))
    }
}

impl OpenSpans {
    fn insert(&mut self, span: OpenSpan) -> Handle {
        let sampled = span.trace.sampled;
        if let Some(number) = self.free.pop()
            && let Some(slot) = usize::try_from(number).ok().and_then(|index| self.slots.get_mut(index))
        {
            slot.span = Some(span);
            return Handle::new(number, slot.generation, sampled);
        }
        let Ok(number) = u32::try_from(self.slots.len()) else { return Handle::NONE };
        self.slots.push(Slot { generation: 0, span: Some(span) });
        Handle::new(number, 0, sampled)
    }

    fn get(&mut self, handle: Handle) -> Option<&mut OpenSpan> {
        let slot = self.slots.get_mut(handle.slot()?)?;
        if slot.generation == handle.generation() { slot.span.as_mut() } else { None }
    }

    /// Takes one reference away, and the span with its last one.
    fn release(&mut self, handle: Handle) -> Option<OpenSpan> {
        let span = self.get(handle)?;
        span.references = span.references.saturating_sub(1);
        if span.references > 0 {
            return None;
        }
        let slot = self.slots.get_mut(handle.slot()?)?;
        slot.generation = slot.generation.wrapping_add(1) & 0x7fff_ffff;
        self.free.extend(handle.slot().and_then(|index| u32::try_from(index).ok()));
        slot.span.take()
    }
}

fn entered() -> Option<Handle> {
    ENTERED.try_with(|entered| entered.try_borrow().ok()?.last().copied()).ok().flatten()
}

/// The trace of the request being answered on this thread, and the innermost span.
pub(crate) fn current() -> Option<(Arc<Trace>, SpanId)> {
    let handle = entered()?;
    let mut open = open_spans();
    let span = open.get(handle)?;
    Some((Arc::clone(&span.trace), span.span_id))
}

/// The `traceparent` to send along with a call that is made here and now; `None` outside of a request.
///
/// It names the innermost span, so the callee's spans hang under it.
#[must_use]
pub fn traceparent() -> Option<TraceParent> {
    current().map(|(trace, span_id)| TraceParent {
        trace_id: trace.trace_id,
        span_id,
        sampled: trace.sampled,
    })
}

/// Makes the span that stands for a request; whatever is made inside belongs to the trace.
pub(crate) fn root_span(trace: &Arc<Trace>) -> tracing::Span {
    STARTING.set(Some(Arc::clone(trace)));
    let span = tracing::info_span!(target: ROOT_TARGET, parent: None, "request");
    // Where another subscriber was installed first, nobody took it.
    STARTING.take();
    span
}

/// Installs the subscriber, once for the process. Where the process has another one already, that one stays:
/// metrics, log records and requests' own spans are gathered all the same.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let _ = tracing::subscriber::set_global_default(RequestSubscriber);
    });
}

struct RequestSubscriber;

impl Subscriber for RequestSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() > Level::INFO { Interest::never() } else { Interest::sometimes() }
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::INFO)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match entered() {
            Some(handle) if handle.sampled() => *metadata.level() <= Level::INFO,
            Some(_) if metadata.is_event() => *metadata.level() <= Level::WARN,
            _ => metadata.is_span() && metadata.target() == ROOT_TARGET,
        }
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        if let Some(trace) = STARTING.take() {
            let span_id = trace.root;
            return open_spans().insert(OpenSpan { references: 1, trace, span_id, record: None }).id();
        }
        let parent = match attributes.parent() {
            Some(parent) => Some(Handle(parent.into_u64())),
            None if attributes.is_contextual() => entered(),
            None => None,
        };
        parent.and_then(|parent| child(parent, attributes)).unwrap_or(Handle::NONE).id()
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        let mut open = open_spans();
        let span = open.get(Handle(span.into_u64()));
        let Some(record) = span.and_then(|span| span.record.as_mut()) else { return };
        for attribute in fields.attributes {
            set(&mut record.attributes, attribute);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let handle = match event.parent() {
            Some(parent) => Some(Handle(parent.into_u64())),
            None if event.is_contextual() => entered(),
            None => None,
        };
        if let Some(handle) = handle {
            take_event(handle, event);
        }
    }

    fn enter(&self, span: &Id) {
        let handle = Handle(span.into_u64());
        if handle != Handle::NONE {
            let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(handle));
        }
    }

    fn exit(&self, span: &Id) {
        let handle = Handle(span.into_u64());
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(index) = entered.iter().rposition(|open| *open == handle) {
                entered.remove(index);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = open_spans().get(Handle(id.into_u64())) {
            span.references += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        // Released before the collector is asked: no two requests wait for each other's records.
        let closed = open_spans().release(Handle(id.into_u64()));
        let Some(OpenSpan { trace, record, .. }) = closed else { return false };
        if let Some(mut record) = record {
            record.end = trace.collector.now().max(record.start);
            trace.collector.keep_span(*record);
        }
        true
    }
}

/// Opens a span under another. `None` where its trace is not sampled, has ended or has had too many.
fn child(parent: Handle, attributes: &Attributes<'_>) -> Option<Handle> {
    if !parent.sampled() {
        return None;
    }
    let (trace, parent_span_id) = {
        let mut open = open_spans();
        let span = open.get(parent)?;
        (Arc::clone(&span.trace), span.span_id)
    };
    if trace.made.fetch_add(1, Ordering::Relaxed) >= MAX_SPANS_OF_A_TRACE {
        trace.collector.note_dropped_span();
        return None;
    }
    let mut fields = Fields::default();
    attributes.record(&mut fields);
    let span_id = trace.span_id();
    let start = trace.collector.now();
    let record = Box::new(Span {
        trace_id: trace.trace_id,
        span_id,
        parent_span_id: Some(parent_span_id),
        sampled: true,
        name: attributes.metadata().name().into(),
        kind: if fields.client { SpanKind::Client } else { SpanKind::Internal },
        start,
        end: start,
        error: None,
        attributes: fields.attributes,
        events: Vec::new(),
    });
    Some(open_spans().insert(OpenSpan { references: 1, trace, span_id, record: Some(record) }))
}

/// An event becomes an event of its span where the trace is sampled, and a log record where it warns.
fn take_event(handle: Handle, event: &Event<'_>) {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let level = *event.metadata().level();
    let (trace, span_id) = {
        let mut open = open_spans();
        let Some(span) = open.get(handle) else { return };
        if span.trace.sampled {
            let time = span.trace.collector.now();
            let happened =
                SpanEvent { time, name: fields.message.clone(), attributes: fields.attributes.clone() };
            match &mut span.record {
                Some(record) => {
                    if level == Level::ERROR {
                        record.error = Some(fields.message.clone());
                    }
                    push_event(&mut record.events, happened);
                }
                None => push_event(&mut lock(&span.trace.events), happened),
            }
        }
        (Arc::clone(&span.trace), span.span_id)
    };
    if level <= Level::WARN {
        let severity = if level == Level::ERROR { Severity::Error } else { Severity::Warn };
        trace.collector.log(LogRecord {
            time: trace.collector.now(),
            severity,
            message: fields.message,
            attributes: fields.attributes,
            context: Some((trace.trace_id, span_id)),
        });
    }
}

fn push_event(events: &mut Vec<SpanEvent>, event: SpanEvent) {
    if events.len() < MAX_SPAN_EVENTS {
        events.push(event);
    }
}

fn set(attributes: &mut Vec<Attribute>, attribute: Attribute) {
    if let Some(known) = attributes.iter_mut().find(|known| known.key == attribute.key) {
        *known = attribute;
    } else if attributes.len() < MAX_ATTRIBUTES {
        attributes.push(attribute);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
