//! Requests, their spans and what is recorded of them.

mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;

use futures_util::future::{FutureExt, join, join_all};
use iam_telemetry::{
    Batch, Collector, RequestTrace, Settings, Severity, Span, SpanKind, TraceParent, Value, traceparent,
};
use support::{answered, collector, settings};
use tracing::{Instrument, info_span};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Gives way once, so that another future is polled in between.
async fn give_way() {
    let mut gave_way = false;
    poll_fn(|context| {
        if std::mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A handler with spans two deep, giving way inside of each.
async fn handler(number: u64) {
    async {
        give_way().await;
        async {
            give_way().await;
            tracing::info!(number, "inside");
        }
        .instrument(info_span!("inner", number))
        .await;
        give_way().await;
    }
    .instrument(info_span!("outer", number))
    .await;
}

fn random(number: u64) -> [u8; 24] {
    let mut random = [9; 24];
    random[..8].copy_from_slice(&number.to_be_bytes());
    random[16..].copy_from_slice(&number.wrapping_mul(77).wrapping_add(1).to_be_bytes());
    random
}

async fn request(collector: &std::sync::Arc<Collector>, number: u64) {
    let request = RequestTrace::start(collector, None, random(number));
    handler(number).instrument(request.span()).await;
    request.finish(&answered(200), []);
}

fn number(span: &Span) -> Option<&Value<'static>> {
    span.attributes.iter().find(|attribute| attribute.key == "number").map(|attribute| &attribute.value)
}

/// The one span under another.
fn only_child<'a>(batch: &'a Batch, parent: &Span) -> Option<&'a Span> {
    let mut children = batch
        .spans
        .iter()
        .filter(|span| span.trace_id == parent.trace_id && span.parent_span_id == Some(parent.span_id));
    let child = children.next()?;
    assert!(children.next().is_none());
    assert!(parent.start <= child.start && child.end <= parent.end);
    Some(child)
}

/// Each of the traces is one tree of three spans that carry its own number.
fn assert_whole_trees(batch: &Batch, count: usize) {
    let roots: Vec<_> = batch.spans.iter().filter(|span| span.kind == SpanKind::Server).collect();
    assert_eq!((roots.len(), batch.spans.len()), (count, 3 * count));
    for root in roots {
        let outer = only_child(batch, root);
        let inner = outer.and_then(|outer| only_child(batch, outer));
        let expected = root.trace_id.0.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte));
        let expected = Some(&Value::Integer(expected));
        assert_eq!(outer.map(|outer| outer.name.as_ref()), Some("outer"));
        assert_eq!(inner.map(|inner| inner.name.as_ref()), Some("inner"));
        assert_eq!(outer.and_then(number), expected);
        assert_eq!(inner.and_then(number), expected);
        let event = inner.and_then(|inner| inner.events.first());
        assert_eq!(event.map(|event| event.name.as_str()), Some("inside"));
        assert_eq!(event.and_then(|event| event.attributes.first()).map(|number| &number.value), expected);
    }
}

#[test]
fn requests_that_interleave_on_one_thread_keep_apart() {
    let collector = collector(1.0);
    assert!(join_all((1..=40).map(|number| request(&collector, number))).in_turns().is_some());
    assert_whole_trees(&collector.drain().unwrap(), 40);
}

#[test]
fn requests_on_many_threads_keep_apart() {
    let collector = collector(1.0);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let collector = &collector;
            scope.spawn(move || {
                let first = 1 + thread * 1_000;
                assert!(
                    join_all((first..first + 5).map(|number| request(collector, number)))
                        .in_turns()
                        .is_some()
                );
            });
        }
    });
    assert_whole_trees(&collector.drain().unwrap(), 40);
}

#[test]
fn a_future_that_moves_between_threads_keeps_its_spans() {
    let collector = collector(1.0);
    let future = Mutex::new(Box::pin(request(&collector, 5)));
    for _ in 0..10 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                future.lock().unwrap().as_mut().poll(&mut context).is_ready()
            });
        });
        if collector.is_due() {
            break;
        }
        if future.lock().unwrap().as_mut().now_or_never().is_some() {
            break;
        }
    }
    drop(future);
    assert_whole_trees(&collector.drain().unwrap(), 1);
}

#[test]
fn functions_side_by_side_do_not_mix() {
    let (first, second) = (collector(1.0), collector(1.0));
    assert!(join(request(&first, 1), request(&second, 2)).in_turns().is_some());
    assert_whole_trees(&first.drain().unwrap(), 1);
    assert_whole_trees(&second.drain().unwrap(), 1);
}

trait Turns: Future + Sized {
    /// Polls to the end; nothing here waits for anything but its turn.
    fn in_turns(self) -> Option<Self::Output> {
        let mut future = pin!(self);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..1_000 {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
        }
        None
    }
}

impl<F: Future> Turns for F {}

#[test]
fn the_caller_decides_whether_its_trace_is_recorded() {
    let header = |sampled: bool| CALLER.replace("-01", if sampled { "-01" } else { "-00" });
    for (sampled, rate) in [(true, 0.0), (false, 1.0)] {
        let collector = collector(rate);
        let request = RequestTrace::start(&collector, Some(&header(sampled)), [7; 24]);
        assert_eq!(request.traceparent().sampled, sampled);
        assert_eq!(request.traceparent().trace_id, TraceParent::parse(CALLER).unwrap().trace_id);
        request.span().in_scope(|| drop(info_span!("work").entered()));
        request.finish(&answered(200), []);
        let batch = collector.drain().unwrap();
        assert_eq!(batch.spans.len(), if sampled { 2 } else { 0 });
        if let Some(root) = batch.spans.last() {
            assert_eq!(root.parent_span_id, Some(TraceParent::parse(CALLER).unwrap().span_id));
            assert_eq!(batch.spans[0].parent_span_id, Some(root.span_id));
        }
    }
}

#[test]
fn a_stranger_decides_nothing_where_callers_are_not_trusted() {
    let collector = Collector::new(Settings { honour_caller: false, ..settings(0.0) });
    let request = RequestTrace::start(&collector, Some(CALLER), [7; 24]);
    assert!(!request.traceparent().sampled);
    assert_eq!(request.traceparent().trace_id, TraceParent::parse(CALLER).unwrap().trace_id);
}

#[test]
fn a_broken_header_begins_a_new_trace() {
    let collector = collector(1.0);
    let request = RequestTrace::start(&collector, Some("00-nonsense"), [7; 24]);
    assert_eq!(request.traceparent().trace_id.0, [7; 16]);
    let request = RequestTrace::start(&collector, None, [0; 24]);
    assert!(TraceParent::parse(&request.traceparent().to_string()).is_some());
}

#[test]
fn outgoing_calls_name_the_innermost_span() {
    assert_eq!(traceparent(), None);
    let collector = collector(1.0);
    let request = RequestTrace::start(&collector, None, [7; 24]);
    let inner = request.span().in_scope(|| {
        assert_eq!(traceparent(), Some(request.traceparent()));
        let _span = info_span!("call", otel.kind = "client").entered();
        traceparent().unwrap()
    });
    assert_eq!(traceparent(), None);
    request.finish(&answered(200), []);
    let batch = collector.drain().unwrap();
    assert_eq!(batch.spans[0].span_id, inner.span_id);
    assert_eq!(batch.spans[0].kind, SpanKind::Client);
    assert!(batch.spans[0].attributes.is_empty());
}

#[test]
fn an_unsampled_request_leaves_no_span_unless_it_fails() {
    let collector = collector(0.0);
    for (status, spans) in [(200, 0), (404, 0), (500, 1), (503, 1)] {
        let request = RequestTrace::start(&collector, None, [7; 24]);
        request.span().in_scope(|| {
            let _span = info_span!("work").entered();
            tracing::info!("not kept");
            assert_eq!(traceparent(), Some(request.traceparent()));
        });
        request.finish(&answered(status), []);
        let batch = collector.drain().unwrap();
        assert_eq!(batch.spans.len(), spans, "{status}");
        assert_eq!(batch.logs.len(), 1);
        if let [root] = batch.spans.as_slice() {
            assert_eq!(root.name, "POST /api/v1/auth/login");
            assert_eq!(root.error.as_deref(), Some("internal"));
            assert!(!root.sampled);
        }
    }
}

#[test]
fn warnings_are_logged_whether_sampled_or_not() {
    for rate in [0.0, 1.0] {
        let collector = collector(rate);
        let request = RequestTrace::start(&collector, None, [7; 24]);
        request.span().in_scope(|| {
            let _span = info_span!("work").entered();
            tracing::error!(attempt = 3, password = "hunter2", "database is gone");
        });
        request.finish(&answered(200), []);
        let batch = collector.drain().unwrap();
        let log = &batch.logs[0];
        assert_eq!((log.severity, log.message.as_str()), (Severity::Error, "database is gone"));
        assert_eq!(log.attributes[0].value, Value::Integer(3));
        assert_eq!(log.attributes[1].value, Value::from("[redacted]"));
        assert_eq!(log.context.unwrap().0.0, [7; 16]);
        if rate > 0.0 {
            assert_eq!(batch.spans[0].error.as_deref(), Some("database is gone"));
            assert_eq!(log.context.unwrap().1, batch.spans[0].span_id);
        }
    }
}

#[test]
fn fields_recorded_later_are_kept() {
    let collector = collector(1.0);
    let request = RequestTrace::start(&collector, None, [7; 24]);
    request.span().in_scope(|| {
        let span = info_span!("query", rows = tracing::field::Empty, table = "users");
        span.record("rows", 2_u64);
        span.record("rows", 3_u64);
    });
    request.finish(&answered(200), []);
    let batch = collector.drain().unwrap();
    let keys: Vec<_> = batch.spans[0].attributes.iter().map(|attribute| attribute.key.as_ref()).collect();
    assert_eq!(keys, ["table", "rows"]);
    assert_eq!(batch.spans[0].attributes[1].value, Value::Integer(3));
}

#[test]
fn a_loop_of_spans_stops_at_its_bound_and_is_counted() {
    let collector = collector(1.0);
    let request = RequestTrace::start(&collector, None, [7; 24]);
    request.span().in_scope(|| {
        for _ in 0..1_000 {
            drop(info_span!("again").entered());
        }
    });
    request.finish(&answered(200), []);
    let batch = collector.drain().unwrap();
    assert_eq!(batch.spans.len(), 257);
    assert_eq!(batch.dropped.spans, 744);
}

#[test]
fn a_caller_that_leaves_costs_nothing_later() {
    let collector = collector(1.0);
    {
        let request = RequestTrace::start(&collector, None, [7; 24]);
        let future = handler(1).instrument(request.span());
        assert!(future.now_or_never().is_none());
    }
    let batch = collector.drain().unwrap();
    assert_eq!(batch.spans.len(), 1, "what was begun has ended with the future");
    assert_eq!(batch.spans[0].name, "outer");
    assert_eq!(traceparent(), None);
}

#[test]
fn an_unknown_method_is_no_label() {
    let collector = collector(1.0);
    let request = RequestTrace::start(&collector, None, [7; 24]);
    let strange = iam_telemetry::Answered { method: "BREW", route: "", ..answered(404) };
    request.finish(&strange, []);
    assert_eq!(collector.drain().unwrap().spans[0].name, "_OTHER");
}

#[test]
fn where_nobody_takes_it_nothing_is_kept() {
    let settings = Settings { delivers: false, ..settings(1.0) };
    let collector = Collector::new(settings);
    let request = RequestTrace::start(&collector, None, [7; 24]);
    request.finish(&answered(500), []);
    assert!(collector.drain().is_none());
}
