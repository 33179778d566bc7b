//! What a request costs whose trace is not sampled.

mod support;

use std::alloc::System;

use iam_telemetry::RequestTrace;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{answered, collector};
use tracing::info_span;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn work() {
    let _outer = info_span!("outer", number = 1, text = "text").entered();
    let _inner = info_span!("inner", debug = ?[1, 2, 3]).entered();
    tracing::info!(number = 1, "event");
}

/// The only test of its binary: another thread's allocations would be counted too.
#[test]
fn spans_and_events_of_an_unsampled_request_allocate_nothing() {
    let collector = collector(0.0);
    let request = RequestTrace::start(&collector, None, [7; 24]);
    let span = request.span();
    // The first entry makes the thread's stack.
    span.in_scope(work);
    let region = Region::new(ALLOCATOR);
    for _ in 0..1_000 {
        span.in_scope(work);
    }
    assert_eq!(region.change().allocations, 0);
    request.finish(&answered(200), []);
    assert!(collector.drain().unwrap().spans.is_empty());
}
