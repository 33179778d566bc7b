//! A batch as a function leaves it.

use iam_telemetry::instruments::{API_KEY_USAGE, AUTH_ATTEMPTS};
use iam_telemetry::{Answered, Attribute, Batch, Collector, Gauge, RequestTrace, Resource, Settings};

pub(crate) const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

static WAITING: Gauge<0> = Gauge::new("cronos_waiting", "{message}", []);

fn resource(instance_id: &str) -> Resource {
    Resource {
        service_name: "login".into(),
        service_version: "1.2.3".into(),
        host: "cloudflare".into(),
        instance_id: instance_id.to_owned(),
    }
}

fn clock() -> u64 {
    let now = u64::try_from(iam_edge::now().as_millis()).unwrap_or_default();
    now * 1_000_000
}

/// One sampled request with a span, a warning, some counts and one failure of the server.
pub(crate) fn batch(instance_id: &str) -> Option<Batch> {
    let collector = Collector::new(Settings::new(resource(instance_id), clock, |_| ()));
    let request = RequestTrace::start(&collector, Some(CALLER), [7; 24]);
    request.span().in_scope(|| {
        let _span = tracing::info_span!("verify_password", otel.kind = "client", rows = 1).entered();
        tracing::warn!(attempts = 3, "password almost locked");
    });
    collector.count(&AUTH_ATTEMPTS, 1, ["password".into(), "success".into()]);
    collector.set(&WAITING, 17.0, []);
    for key in 0..60 {
        collector.count(&API_KEY_USAGE, 2, [format!("key_{key}").into()]);
    }
    let answered = |status, error_type| Answered {
        method: "POST",
        route: "/api/v1/auth/login",
        scheme: "https",
        status,
        error_type,
        request_bytes: 64,
        response_bytes: 512,
        is_routine: false,
    };
    request.finish(&answered(200, ""), [Attribute::new("request.id", "r-1")]);
    RequestTrace::start(&collector, None, [200; 24]).finish(&answered(503, "database"), []);
    let mut batch = collector.drain()?;
    batch.dropped.logs = 4;
    Some(batch)
}
