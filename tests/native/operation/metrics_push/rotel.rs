//! A real collector takes what is sent.
//!
//! `IAM_TEST_COLLECTOR` names the program (PyPI `rotel` ships it as `rotel/rotel-agent`):
//! `IAM_TEST_COLLECTOR=… cargo test -p iam-tests --test native rotel -- --ignored`

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use super::support::batch;
use iam_edge::native::TestHost;
use iam_metrics_push::delivery::Destination;
use iam_metrics_push::{Delivery, push};
use tokio::process::{Child, Command};

/// What the collector prints once it has decoded the sample.
const EXPECTED: [&str; 20] = [
    "login",
    "1.2.3",
    "edge-iam",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00f067aa0ba902b7",
    "POST /api/v1/auth/login",
    "verify_password",
    "SPAN_KIND_SERVER",
    "database",
    "http.response.status_code",
    "cronos_requests_total",
    "cronos_request_duration_seconds",
    "cronos_waiting",
    "http.server.request.duration",
    "otel.metric.overflow",
    "AGGREGATION_TEMPORALITY_DELTA",
    "password almost locked",
    "WARN",
    "request.id",
    "r-1",
];

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn collector(program: &str, output: std::fs::File, http: u16, grpc: u16) -> std::io::Result<Child> {
    Command::new(program)
        .args(["start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"])
        .args(["--debug-log", "traces", "--debug-log", "metrics", "--debug-log", "logs"])
        .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
        .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
        .stderr(output.try_clone()?)
        .stdout(Stdio::from(output))
        .kill_on_drop(true)
        .spawn()
}

#[tokio::test]
#[ignore = "needs the collector: set IAM_TEST_COLLECTOR to its program"]
async fn rotel_shows_spans_metrics_and_logs() {
    let program = std::env::var("IAM_TEST_COLLECTOR").expect("IAM_TEST_COLLECTOR is not set");
    let (http, grpc) = (free_port().unwrap(), free_port().unwrap());
    let log = std::env::temp_dir().join(format!("iam-metrics-push-rotel-{http}.log"));
    let mut child = collector(&program, std::fs::File::create(&log).unwrap(), http, grpc).unwrap();
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(("127.0.0.1", http)).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let host = TestHost::new_in_memory().unwrap().request();
    let destination = Destination::new(&format!("http://127.0.0.1:{http}"), []).unwrap();
    let outcome = push(&host, &destination, "cronos_", &[batch("1").unwrap()]).await;
    assert_eq!(outcome.traces, Ok(Delivery::Accepted));
    assert_eq!(outcome.metrics, Ok(Delivery::Accepted));
    assert_eq!(outcome.logs, Ok(Delivery::Accepted));

    let mut missing = EXPECTED.to_vec();
    for _ in 0..100 {
        let shown = std::fs::read_to_string(&log).unwrap();
        missing.retain(|expected| !shown.contains(expected));
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.kill().await.unwrap();
    let shown = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(missing.is_empty(), "not shown: {missing:?} in\n{shown}");
}
