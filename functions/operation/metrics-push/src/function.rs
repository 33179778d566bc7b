//! The route: other functions hand over what they gathered, and are answered at once.

use bytes::Bytes;
use http::StatusCode;
use iam_service::{Access, ApiError, Context, Function, Route};
use iam_telemetry::{Attribute, Batch, LogRecord, Severity};

use crate::delivery::Destination;
use crate::push::{Delivery, FailedDelivery, push};

/// The host secret with headers for the collector, as `OTEL_EXPORTER_OTLP_HEADERS` has them:
/// `api-key=…,tenant=…`. Of the host alone: whoever asks a Vault hands its telemetry to this function.
pub const HEADERS: &str = "IAM_OTLP_HEADERS";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("metrics-push", "Delivers traces, metrics and logs to a collector")
        .always_open()
        .calls_only(&[])
        .uses_host_secret(HEADERS)
        .connects_to(&["http://*:*", "https://*:*"])
        .route(
            Route::post("/internal/telemetry", Access::internal(), take)
                .summary("Takes what a function gathered")
                .answers(202, "It will be delivered")
                .internal_only(),
        )
}

/// Answers before it delivers: a slow collector is nobody's problem but ours.
async fn take(context: Context, body: Bytes) -> Result<StatusCode, ApiError> {
    let batch = Batch::decode(&body).map_err(|error| {
        ApiError::bad_request("malformed_batch", "not a telemetry batch").cause(error.to_string())
    })?;
    let Some(endpoint) = &context.configuration().monitoring.otlp_endpoint else {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_collector",
            "no collector is configured",
        ));
    };
    let headers =
        context.host.secret(HEADERS).await.map_err(|error| ApiError::internal(error.to_string()))?;
    let headers = headers.as_ref().map_or("", |headers| headers.expose());
    let pairs = headers.split(',').filter_map(|pair| pair.split_once('='));
    let destination = Destination::new(endpoint, pairs.map(|(name, value)| (name.trim(), value.trim())))
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let mut batches = vec![batch];
    batches.extend(context.instance.telemetry.drain());
    let deferred = context.clone();
    context.host.defer(async move { deliver(&deferred, &destination, &batches).await });
    Ok(StatusCode::ACCEPTED)
}

async fn deliver(context: &Context, destination: &Destination, batches: &[Batch]) {
    let prefix = &context.configuration().monitoring.metric_prefix;
    let outcome = push(&context.host, destination, prefix, batches).await;
    for (signal, outcome) in
        [("traces", outcome.traces), ("metrics", outcome.metrics), ("logs", outcome.logs)]
    {
        report(context, signal, outcome);
    }
}

/// What is lost is said on the console. It can't be told to the collector, which is what failed.
fn report(context: &Context, signal: &'static str, outcome: Result<Delivery, FailedDelivery>) {
    let (severity, reason) = match outcome {
        Ok(Delivery::Nothing | Delivery::Accepted) => return,
        Ok(Delivery::Partial { rejected, reason }) => {
            (Severity::Warn, format!("{rejected} rejected: {reason}"))
        }
        Err(FailedDelivery { attempts, reason }) => {
            (Severity::Error, format!("after {attempts} attempts: {reason}"))
        }
    };
    let now = u64::try_from(iam_edge::now().as_millis()).unwrap_or_default();
    context.instance.telemetry.log(LogRecord {
        time: now.saturating_mul(1_000_000),
        severity,
        message: format!("{signal} not delivered"),
        attributes: vec![Attribute::new("error.cause", reason)],
        context: None,
    });
}
