//! A host for tests: a clock that ticks at each look and a console that nobody reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use iam_telemetry::{Answered, Collector, Resource, Settings};

static NANOSECONDS: AtomicU64 = AtomicU64::new(1_737_023_400_000_000_000);

pub(crate) fn clock() -> u64 {
    NANOSECONDS.fetch_add(1_000, Ordering::Relaxed)
}

pub(crate) fn settings(sample_rate: f64) -> Settings {
    let resource = Resource {
        service_name: "login".into(),
        service_version: "1.0.0".into(),
        host: "native".into(),
        instance_id: "test".into(),
    };
    Settings { sample_rate, ..Settings::new(resource, clock, |_| ()) }
}

pub(crate) fn collector(sample_rate: f64) -> Arc<Collector> {
    Collector::new(settings(sample_rate))
}

pub(crate) fn answered(status: u16) -> Answered<'static> {
    Answered {
        method: "POST",
        route: "/api/v1/auth/login",
        scheme: "https",
        status,
        error_type: if status >= 500 { "internal" } else { "" },
        request_bytes: 64,
        response_bytes: 512,
        is_routine: false,
    }
}
