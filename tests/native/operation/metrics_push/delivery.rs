//! Delivering to a collector that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::support::batch;
use iam_edge::native::TestHost;
use iam_metrics_push::delivery::{Destination, MAX_ATTEMPTS};
use iam_metrics_push::{Delivery, Outcome, push};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came in.
#[derive(Clone, Debug)]
struct Received {
    head: String,
    body: Vec<u8>,
}

/// Answers for each path, in order; 200 where there is none left.
type Script = Vec<(&'static str, Vec<Vec<u8>>)>;

struct Collector {
    endpoint: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    fn received(&self, path: &str) -> Vec<Received> {
        let all = self.received.lock().map(|received| received.clone()).unwrap_or_default();
        all.into_iter().filter(|received| received.head.starts_with(&format!("POST {path} "))).collect()
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn collector(script: Script) -> std::io::Result<Collector> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let received = Arc::new(Mutex::new(Vec::new()));
    let script: Vec<_> =
        script.into_iter().map(|(path, answers)| (path, Mutex::new(VecDeque::from(answers)))).collect();
    let seen = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(request) = read(&mut stream).await else { continue };
            let next = script
                .iter()
                .find(|(path, _)| request.head.starts_with(&format!("POST {path} ")))
                .and_then(|(_, answers)| answers.lock().ok()?.pop_front());
            if let Ok(mut seen) = seen.lock() {
                seen.push(request);
            }
            let _ = stream.write_all(&next.unwrap_or_else(|| answer("200 OK", "", b""))).await;
        }
    });
    Ok(Collector { endpoint, received })
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        let mut part = vec![0; 16 * 1024];
        let read = stream.read(&mut part).await.ok()?;
        bytes.extend_from_slice(part.get(..read)?);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
        let body = bytes.get(end + 4..)?;
        if body.len() >= length {
            return Some(Received { head, body: body.to_vec() });
        }
    }
}

async fn pushed(collector: &Collector) -> Option<Outcome> {
    let host = TestHost::new_in_memory().ok()?.request();
    let destination = Destination::new(&collector.endpoint, [("x-token", "t-1")]).ok()?;
    Some(push(&host, &destination, "cronos_", &[batch("1")?]).await)
}

#[tokio::test]
async fn three_messages_arrive() {
    let collector = collector(vec![]).await.unwrap();
    let outcome = pushed(&collector).await.unwrap();
    assert_eq!(
        outcome,
        Outcome {
            traces: Ok(Delivery::Accepted),
            metrics: Ok(Delivery::Accepted),
            logs: Ok(Delivery::Accepted)
        }
    );
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        let [request] = collector.received(path).try_into().unwrap();
        assert!(request.head.contains("content-type: application/x-protobuf"));
        assert!(request.head.contains("x-token: t-1"));
        if path == "/v1/traces" {
            let message = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
            assert_eq!(message.resource_spans[0].scope_spans[0].spans.len(), 3);
        }
    }
}

#[tokio::test]
async fn a_busy_collector_is_asked_again() {
    let busy = || answer("503 Service Unavailable", "", b"");
    let throttled = answer("429 Too Many Requests", "retry-after: 1\r\n", b"");
    let collector =
        collector(vec![("/v1/traces", vec![busy(), busy()]), ("/v1/logs", vec![throttled])]).await.unwrap();
    let started = iam_edge::now();
    let outcome = pushed(&collector).await.unwrap();
    assert_eq!((outcome.traces, outcome.logs), (Ok(Delivery::Accepted), Ok(Delivery::Accepted)));
    assert!(iam_edge::now().as_millis() >= started.as_millis() + 1_000);
    let traces = collector.received("/v1/traces");
    assert_eq!(traces.len(), 3);
    assert_eq!(traces[0].body, traces[2].body);
    assert_eq!(collector.received("/v1/logs").len(), 2);
}

#[tokio::test]
async fn some_may_be_rejected_and_some_refused() {
    let partial = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 2,
            error_message: "too old".to_owned(),
        }),
    };
    let collector = collector(vec![
        ("/v1/logs", vec![answer("200 OK", "", &partial.encode_to_vec())]),
        ("/v1/traces", vec![answer("401 Unauthorized", "", b"who are you?")]),
    ])
    .await
    .unwrap();
    let outcome = pushed(&collector).await.unwrap();
    assert_eq!(outcome.logs, Ok(Delivery::Partial { rejected: 2, reason: "too old".to_owned() }));
    let failed = outcome.traces.unwrap_err();
    assert_eq!((failed.attempts, failed.reason.as_str()), (1, "status 401: who are you?"));
    assert_eq!(collector.received("/v1/traces").len(), 1);
}

#[tokio::test]
async fn a_collector_that_asks_for_too_much_patience_is_left_alone() {
    let tired = answer("503 Service Unavailable", "retry-after: 3600\r\n", b"");
    let collector = collector(vec![("/v1/metrics", vec![tired])]).await.unwrap();
    let failed = pushed(&collector).await.unwrap().metrics.unwrap_err();
    assert_eq!(failed.attempts, 1);
    assert_eq!(collector.received("/v1/metrics").len(), 1);
}

#[tokio::test]
async fn no_collector_is_a_failure_after_a_few_attempts() {
    let nobody = Collector { endpoint: "http://127.0.0.1:9".to_owned(), received: Arc::default() };
    let outcome = pushed(&nobody).await.unwrap();
    for failed in [outcome.traces, outcome.metrics, outcome.logs] {
        assert_eq!(failed.unwrap_err().attempts, MAX_ATTEMPTS);
    }
}
