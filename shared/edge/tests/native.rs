//! The conformance suite on the native host, and what only this host can show.

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use iam_edge::conformance::peers::Peers;
use iam_edge::conformance::{self, CheckResult};
use iam_edge::native::{TestHost, TestHostError};

fn prepared_host(peers: &Peers) -> Result<TestHost, TestHostError> {
    let test_host = TestHost::new_in_memory()?;
    test_host.set_variable("CONFORMANCE_TEXT", "grüße");
    test_host.set_variable("CONFORMANCE_SECRET", "do not print");
    test_host.set_variable("CONFORMANCE_PEER", &format!("http://{}", peers.http));
    test_host.set_variable("CONFORMANCE_ECHO", &peers.echo.to_string());
    test_host.bind_function("conformance-function", conformance::echo);
    Ok(test_host)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_natively() {
    let peers = Peers::start().await.unwrap();
    let test_host = prepared_host(&peers).unwrap();
    let results = conformance::run(&test_host.request_from("192.0.2.7".parse().unwrap())).await;
    let failed: Vec<&CheckResult> = results.iter().filter(|result| !result.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(results.len() >= 30, "only {} checks ran", results.len());
    test_host.settle().await;
    assert_eq!(test_host.take_log(), [r#"{"message":"conformance: a line in the log"}"#]);
}

#[tokio::test]
async fn a_called_function_counts_its_own_round_trips() {
    let test_host = TestHost::new_in_memory().unwrap();
    test_host.bind_function("counting", |host: iam_edge::Host, _: Request<Body>| async move {
        host.db("org").run(iam_core::sql::Statement::new("SELECT 1 AS one")).await.unwrap();
        Response::new(Body::from(host.round_trips().to_string()))
    });
    let host = test_host.request();
    let response = host.call("counting", Request::new(Bytes::new())).await.unwrap();
    assert_eq!((response.status(), response.body().as_ref()), (StatusCode::OK, b"1".as_ref()));
    assert_eq!(host.round_trips(), 0);
}

#[tokio::test]
#[should_panic(expected = "deferred work failed")]
async fn a_panic_in_deferred_work_fails_the_test_that_settles() {
    let test_host = TestHost::new_in_memory().unwrap();
    test_host.request().defer(async { panic!("deferred work failed") });
    test_host.settle().await;
}
