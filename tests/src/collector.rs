//! A real OpenTelemetry collector (Rotel), which prints what it decoded.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::process::{Attached, watched};

/// A running collector.
pub struct Collector {
    /// Its OTLP/HTTP address.
    pub endpoint: String,
    printed: Arc<Mutex<String>>,
    _running: Attached,
}

impl Collector {
    /// Starts it and waits until it listens.
    #[must_use]
    pub fn start() -> Self {
        let (http, grpc) = (free_port(), free_port());
        let program = std::env::var_os("IAM_TEST_COLLECTOR").expect("IAM_TEST_COLLECTOR names rotel-agent");
        let mut child = watched(program)
            .args(["start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"])
            .args(["--debug-log", "traces", "--debug-log", "metrics", "--debug-log", "logs"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rotel-agent starts");
        let printed = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), &printed);
        collect(child.stderr.take().unwrap(), &printed);
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", http)).is_err() {
            assert!(Instant::now() < deadline, "rotel-agent does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { endpoint: format!("http://127.0.0.1:{http}"), printed, _running: Attached::new(child) }
    }

    /// Waits until it has printed all of these, up to twenty seconds.
    pub async fn wait_for(&self, wanted: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let printed = self.printed.lock().unwrap().clone();
            let missing: Vec<_> = wanted.iter().filter(|text| !printed.contains(**text)).collect();
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "the collector never saw {missing:?} in:\n{printed}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Everything printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }
}

fn collect(output: impl std::io::Read + Send + 'static, printed: &Arc<Mutex<String>>) {
    let printed = Arc::clone(printed);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut printed = printed.lock().unwrap();
            printed.push_str(&line);
            printed.push('\n');
        }
    });
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
