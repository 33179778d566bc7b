//! What a component may do, and what it is told.

use std::io::{Read, Write};
use std::net::TcpListener;

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::support::{Host, command, empty_folder};

#[tokio::test]
async fn stores_work_where_granted_and_outlive_the_host() {
    let folder = empty_folder("stores");
    {
        let host = Host::start_with(&folder, &[]);
        assert_eq!(
            host.get("/open/key-value?k").await.json(),
            json!({ "before": null, "exists": true, "keys": ["k"] })
        );
        let row = host.get("/open/sqlite?first").await.json();
        assert_eq!(row, json!({ "id": 1, "changes": 1, "columns": 4, "rows": 1, "text": "first" }));
    }
    let host = Host::start_with(&folder, &[]);
    assert_eq!(host.get("/open/key-value?k").await.json()["before"], "stored");
    assert_eq!(host.get("/open/sqlite?second").await.json()["id"], 2);
}

#[tokio::test]
async fn stores_are_closed_to_components_without_a_grant() {
    let host = Host::start("store-grants");
    assert_eq!(host.get("/bare/key-value?k").await.error(), "Error::AccessDenied");
    assert_eq!(host.get("/bare/sqlite?x").await.error(), "Error::AccessDenied");
}

#[tokio::test]
async fn a_broken_constraint_shows_only_in_the_outcome() {
    let host = Host::start("late-error");
    let error = host.get("/open/late-error").await.error();
    assert!(error.starts_with("late: ") && error.contains("UNIQUE constraint failed"), "{error}");
}

#[tokio::test]
async fn a_component_sees_its_own_variables_alone() {
    let host = Host::start_with(&empty_folder("variables"), &["--variable", "greeting=welcome"]);
    assert_eq!(host.get("/open/variable?greeting").await.json(), "welcome, t0ken");
    for name in ["token", "inner", "nobody"] {
        let error = host.get(&format!("/open/variable?{name}")).await.error();
        assert!(error.starts_with("Error::Undefined"), "{error}");
    }
    let error = host.get("/open/variable?Bad").await.error();
    assert!(error.starts_with("Error::InvalidName"), "{error}");
}

#[tokio::test]
async fn variables_come_from_the_file_and_the_environment_too() {
    let folder = empty_folder("variable-sources");
    let file = folder.join("variables.json");
    std::fs::write(&file, r#"{ "token": "from-file" }"#).unwrap();
    let host =
        Host::run(command(&folder).env("SPIN_VARIABLE_GREETING", "hi").arg("--variables-file").arg(&file));
    assert_eq!(host.get("/open/variable?greeting").await.json(), "hi, from-file");
}

#[tokio::test]
async fn a_required_variable_without_a_value_stops_the_start() {
    let output = command(&empty_folder("required-variable")).output().unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message, "iam-spin-host: invalid variable: required variable token has no value\n");
    assert!(output.stdout.is_empty());
}

/// A listener that answers every connection with four bytes of its own.
fn pong_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut received = [0; 4];
            stream.read_exact(&mut received).unwrap();
            stream.write_all(if &received == b"ping" { b"pong" } else { b"HTTP" }).unwrap();
        }
    });
    port
}

#[tokio::test]
async fn connections_go_only_where_allowed() {
    let port = pong_server();
    let variable = format!("allowed_port={port}");
    let host = Host::start_with(&empty_folder("tcp"), &["--variable", &variable]);
    assert_eq!(host.get(&format!("/open/tcp?127.0.0.1:{port}")).await.json(), "pong");
    let other = host.address().port();
    assert_eq!(host.get(&format!("/open/tcp?127.0.0.1:{other}")).await.error(), "PermissionDenied");
    assert_eq!(host.get(&format!("/bare/tcp?127.0.0.1:{port}")).await.error(), "PermissionDenied");
}

#[tokio::test]
async fn requests_go_only_where_allowed() {
    let elsewhere = Host::start("outbound-elsewhere");
    let port = elsewhere.address().port();
    let variable = format!("allowed_port={port}");
    let host = Host::start_with(&empty_folder("outbound"), &["--variable", &variable]);
    let allowed = host.get(&format!("/open/fetch?http://127.0.0.1:{port}/bare/echo")).await.json();
    assert_eq!(allowed["status"], 200);
    assert_eq!(allowed["body"]["length"], 4);
    for denied in [
        format!("/open/fetch?http://127.0.0.1:{}/bare/echo", host.address().port()),
        format!("/open/fetch?http://localhost:{port}/bare/echo"),
        format!("/bare/fetch?http://127.0.0.1:{port}/bare/echo"),
        "/bare/fetch?http://inner.spin.internal/echo".to_owned(),
    ] {
        assert_eq!(host.get(&denied).await.error(), "ErrorCode::HttpRequestDenied", "{denied}");
    }
}

#[tokio::test]
async fn a_private_component_answers_other_components_only() {
    let host = Host::start("chaining");
    let chained = host.get("/open/fetch?http://inner.spin.internal/any/echo?x=1").await.json();
    assert_eq!(chained["status"], 200);
    let seen = &chained["body"];
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["length"], 4);
    assert_eq!(seen["uri"], "http://inner.spin.internal/any/echo?x=1");
    let headers = seen["headers"].as_array().unwrap();
    for (name, value) in
        [("spin-client-addr", "0.0.0.0:0"), ("spin-path-info", "/any/echo"), ("spin-matched-route", "/...")]
    {
        assert!(headers.contains(&json!([name, value])), "{name} in {headers:?}");
    }
    let own = host.get("/open/fetch?http://inner.spin.internal/variable?inner").await.json();
    assert_eq!(own["body"], "for inner alone");
    for outside in ["/inner/echo", "/any/echo"] {
        assert_eq!(host.get(outside).await.status, StatusCode::NOT_FOUND);
    }
    let mut disguised = host.request("/any/echo");
    disguised.headers_mut().insert("host", "inner.spin.internal".parse().unwrap());
    assert!(host.try_send(disguised).await.is_ok_and(|answer| answer.status == StatusCode::NOT_FOUND));
}

#[tokio::test]
async fn a_panic_behind_a_chained_request_is_an_answer_to_its_caller() {
    let host = Host::start("chained-panic");
    let chained = host.get("/open/fetch?http://inner.spin.internal/panic").await.json();
    assert_eq!(chained, json!({ "status": 500, "body": null }));
}

#[tokio::test]
async fn the_clients_own_headers_come_before_spins() {
    let host = Host::start("headers");
    let mut request = host.request("/users/7/echo?a=b");
    request.headers_mut().insert("spin-client-addr", "6.6.6.6:6".parse().unwrap());
    request.headers_mut().insert("spin-path-match-id", "8".parse().unwrap());
    let answer = host.send(request).await;
    let addresses = answer.received("spin-client-addr");
    assert_eq!(addresses.len(), 2);
    assert_eq!(addresses[0], "6.6.6.6:6");
    assert!(addresses[1].starts_with("127.0.0.1:"), "{addresses:?}");
    assert_eq!(answer.received("spin-path-match-id"), ["8", "7"]);
    assert_eq!(answer.received("spin-full-url"), [format!("http://{}/users/7/echo?a=b", host.address())]);
    assert_eq!(answer.received("spin-matched-route"), ["/users/:id/echo"]);
    assert_eq!(answer.received("spin-path-info"), [""]);
    assert_eq!(answer.received("host"), Vec::<String>::new());
}

#[tokio::test]
async fn what_no_route_takes_is_not_found() {
    let host = Host::start("not-found");
    for path in ["/", "/openx", "/users/7", "/.well-known/spin/other"] {
        let answer = host.get(path).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_FOUND, 0), "{path}");
    }
    assert_eq!(host.get("/.well-known/spin/health").await.body, "OK");
}

#[tokio::test]
async fn a_request_without_a_host_gets_no_answer_and_a_header_must_be_text() {
    let host = Host::start("bad-requests");
    let mut without_host = host.request("/open/echo");
    without_host.headers_mut().remove("host");
    assert!(host.try_send(without_host).await.is_err());
    let mut latin = host.request("/open/echo");
    latin.headers_mut().insert("x", hyper::header::HeaderValue::from_bytes(b"\xe9").unwrap());
    let answer = host.send(latin).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::INTERNAL_SERVER_ERROR, 0));
}

#[tokio::test]
async fn a_body_has_no_limit() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let host = Host::start("large-body");
    let mut request = host.request("/open/echo");
    *request.method_mut() = hyper::Method::POST;
    *request.body_mut() = Full::new(Bytes::from(vec![b'x'; LENGTH]));
    let answer: Value = host.send(request).await.json();
    assert_eq!(answer["length"], LENGTH);
}
