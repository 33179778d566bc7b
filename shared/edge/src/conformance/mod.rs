//! What holds on every host, written once and run on all three.
//!
//! The suite needs, from whoever deploys it: a database and a key-value store; the variables
//! `CONFORMANCE_TEXT` (`grüße`), `CONFORMANCE_PEER` (the base URL of [`peers`]' HTTP server) and
//! `CONFORMANCE_ECHO` (`host:port` of its TCP echo); the secret `CONFORMANCE_SECRET` (`do not print`); and
//! the function itself bound under the name `conformance-function`, answering `/echo` with [`echo`].

mod database;
mod network;
mod observed;
#[cfg(not(target_family = "wasm"))]
pub mod peers;
mod store;

use axum::body::Body;
use http::{Request, Response, header};

use crate::Host;

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// What was checked.
    pub name: &'static str,
    /// Whether it holds on this host.
    pub passed: bool,
    /// What was seen instead; empty when it holds.
    pub detail: String,
}

type Check = Result<(), String>;

#[derive(Default)]
struct Results(Vec<CheckResult>);

impl Results {
    fn add(&mut self, name: &'static str, check: Check) {
        self.0.push(CheckResult { name, passed: check.is_ok(), detail: check.err().unwrap_or_default() });
    }
}

/// Runs every check. They are independent of each other and clean up after themselves.
pub async fn run(host: &Host) -> Vec<CheckResult> {
    let mut results = Results::default();
    Box::pin(database::run(host, &mut results)).await;
    Box::pin(store::run(host, &mut results)).await;
    Box::pin(observed::run(host, &mut results)).await;
    Box::pin(network::run(host, &mut results)).await;
    results.0
}

/// What the function under test answers to `/echo`: the method, the client's address as this host saw
/// it, and the body, line by line. The request's `x-conformance` header comes back as it is.
pub async fn echo(host: Host, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = match crate::message::read_bounded(body, crate::message::LARGEST_MESSAGE).await {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(error) => error.to_string(),
    };
    let address = host.client_address().map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    let path = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let mut response = Response::new(Body::from(format!("{} {path}\n{address}\n{body}", parts.method)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    if let Some(value) = parts.headers.get("x-conformance") {
        headers.insert("x-conformance", value.clone());
    }
    response
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn equal<T: PartialEq + std::fmt::Debug>(seen: T, expected: T) -> Check {
    ensure(seen == expected, || format!("expected {expected:?}, saw {seen:?}"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A name nobody else uses, so that two runs do not meet.
fn unique_name(prefix: &str) -> Result<String, String> {
    let mut bytes = [0; 8];
    crate::random(&mut bytes).map_err(text)?;
    Ok(bytes.iter().fold(prefix.to_owned(), |name, byte| name + &format!("{byte:02x}")))
}
