//! Delivering batches: three messages side by side, each with its own retries.

use bytes::Bytes;
use futures_util::future::join3;
use iam_edge::{FetchError, FetchLimits, Host};
use iam_telemetry::Batch;
use prost::Message;

use crate::delivery::{Destination, Signal, Verdict, judge, wait_ms};
use crate::otlp;

/// A collector that doesn't answer in this time is asked again.
const LIMITS: FetchLimits = FetchLimits { timeout_ms: 5_000, max_response_bytes: 64 * 1024 };

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// There was nothing to send.
    Nothing,
    /// It was taken.
    Accepted,
    /// It was taken in part.
    Partial {
        /// How many spans, points or records were not.
        rejected: i64,
        /// Why.
        reason: String,
    },
}

/// A message that did not get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedDelivery {
    /// How often it was sent.
    pub attempts: u32,
    /// Why.
    pub reason: String,
}

/// What became of each signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Spans.
    pub traces: Result<Delivery, FailedDelivery>,
    /// Metrics.
    pub metrics: Result<Delivery, FailedDelivery>,
    /// Log records.
    pub logs: Result<Delivery, FailedDelivery>,
}

/// Converts the batches and delivers them, with `metric_prefix` in place of the metrics' `cronos_`. It takes
/// as long as the retries take: do it after the answer.
pub async fn push(host: &Host, destination: &Destination, metric_prefix: &str, batches: &[Batch]) -> Outcome {
    let (traces, metrics, logs) = join3(
        deliver(host, destination, Signal::Traces, otlp::traces(batches)),
        deliver(host, destination, Signal::Metrics, otlp::metrics(batches, metric_prefix)),
        deliver(host, destination, Signal::Logs, otlp::logs(batches)),
    )
    .await;
    Outcome { traces, metrics, logs }
}

async fn deliver(
    host: &Host,
    destination: &Destination,
    signal: Signal,
    message: Option<impl Message>,
) -> Result<Delivery, FailedDelivery> {
    let Some(message) = message else { return Ok(Delivery::Nothing) };
    let body = Bytes::from(message.encode_to_vec());
    let mut attempts = 0;
    loop {
        attempts += 1;
        let failed = |reason: String| FailedDelivery { attempts, reason };
        let (reason, after_ms) = match send(host, destination, signal, body.clone()).await.map_err(failed)? {
            Verdict::Accepted => return Ok(Delivery::Accepted),
            Verdict::Partial { rejected, reason } => return Ok(Delivery::Partial { rejected, reason }),
            Verdict::Refused { reason } => return Err(failed(reason)),
            Verdict::Later { reason, after_ms } => (reason, after_ms),
        };
        match wait_ms(attempts, after_ms, random_byte()) {
            Some(wait_ms) => host.sleep(wait_ms).await,
            None => return Err(failed(reason)),
        }
    }
}

/// Sends once. An unreachable collector is one to try again; a request that no host would send is not.
async fn send(
    host: &Host,
    destination: &Destination,
    signal: Signal,
    body: Bytes,
) -> Result<Verdict, String> {
    let request = destination.request(signal, body).map_err(|error| error.to_string())?;
    match host.fetch(request, LIMITS).await {
        Ok(answer) => {
            let now = jiff::Timestamp::from_millisecond(iam_edge::now().as_millis()).unwrap_or_default();
            Ok(judge(answer.status(), answer.headers(), answer.body(), now))
        }
        Err(error @ (FetchError::Unreachable(_) | FetchError::Timeout)) => {
            Ok(Verdict::Later { reason: error.to_string(), after_ms: None })
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Without randomness callers are merely not spread.
fn random_byte() -> u8 {
    let mut byte = [255];
    match iam_edge::random(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => 255,
    }
}
