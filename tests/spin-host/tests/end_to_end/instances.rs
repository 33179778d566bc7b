//! How instances live and die, and what the host leaves on its outputs.

use std::collections::BTreeSet;
use std::time::Duration;

use hyper::StatusCode;

use crate::support::{Host, empty_folder};

const REQUESTS_PER_INSTANCE: u64 = 128;
const CONCURRENT_REQUESTS: u64 = 16;

#[tokio::test]
async fn an_instance_keeps_its_statics_for_128_requests() {
    let host = Host::start("reuse");
    let mut counts = BTreeSet::new();
    for _ in 0..2 * REQUESTS_PER_INSTANCE {
        counts.insert(host.get("/open/count").await.json().as_u64().unwrap());
    }
    assert_eq!(counts.last(), Some(&REQUESTS_PER_INSTANCE));
}

#[tokio::test]
async fn an_instance_takes_16_requests_at_once() {
    let host = Host::start("concurrency");
    // One after the other: a burst gets several instances anyway, as none is ready to take more.
    let sleepers = (0..CONCURRENT_REQUESTS + 8).map(|place| {
        let host = &host;
        async move {
            tokio::time::sleep(Duration::from_millis(50 * place)).await;
            host.get("/open/sleep?4000").await.json().as_u64().unwrap()
        }
    });
    let most = futures_util::future::join_all(sleepers).await.into_iter().max().unwrap();
    assert!((2..=CONCURRENT_REQUESTS).contains(&most), "{most} requests at once");
}

#[tokio::test]
async fn a_panic_fails_its_instance_and_no_other() {
    let host = Host::start("panic");
    // From here on an instance waits, for both of the requests that are to share it.
    host.get("/open/count").await;
    let unharmed = host.get("/bare/sleep?1500");
    let sleeper = host.get("/open/sleep?10000");
    let panics = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        host.get("/open/panic").await
    };
    let (unharmed, sleeper, panicked) = tokio::join!(unharmed, sleeper, panics);
    for failed in [sleeper, panicked] {
        assert_eq!((failed.status, failed.body.len()), (StatusCode::INTERNAL_SERVER_ERROR, 0));
    }
    assert_eq!(unharmed.status, StatusCode::OK);
    assert_eq!(host.get("/open/count").await.json(), 1);
}

#[tokio::test]
async fn work_after_the_answer_runs_to_its_end() {
    let host = Host::start("after-the-answer");
    assert_eq!(host.get("/open/after?later").await.json(), "answered");
    // Only looking at the store would keep the instance alive: leave it idle for longer than the work takes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(host.get("/open/key-value?later").await.json()["before"], "after");
}

#[tokio::test]
async fn the_host_ends_at_once_and_leaves_stdout_to_its_address() {
    let host = Host::start("outputs");
    host.get("/open/print?hello").await;
    let request = host.request("/open/sleep?60000");
    let address = host.address();
    tokio::spawn(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(wasmtime_wasi_http::io::TokioIo::new(stream))
                .await
                .unwrap();
        tokio::join!(sender.send_request(request), connection)
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ended = tokio::task::spawn_blocking(move || host.terminate());
    let (output, stdout) = tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap().unwrap();
    assert!(output.status.success());
    assert_eq!(stdout, "");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("[open] out hello\n") && stderr.contains("[open] err hello\n"), "{stderr}");
}

#[tokio::test]
async fn compiled_components_are_kept() {
    let folder = empty_folder("compiled-once");
    let cache = folder.join("cache");
    let host = Host::start_with(&folder, &["--compile-cache", cache.to_str().unwrap()]);
    assert_eq!(host.get("/open/count").await.json(), 1);
    assert!(std::fs::read_dir(&cache).unwrap().next().is_some());
}
