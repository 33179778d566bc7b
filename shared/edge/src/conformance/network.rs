//! Requests to peers, to other functions, and sockets.

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};

use super::{Check, Results, ensure, equal, text};
use crate::{ConnectError, FetchError, FetchLimits, Host, Tls, message, now};

/// Nothing listens here.
const CLOSED_PORT: u16 = 2;

pub(super) async fn run(host: &Host, results: &mut Results) {
    results.add("fetch: method, headers and body go and come", round_trip(host).await);
    results.add("fetch: a closed port is unreachable", closed_port(host).await);
    results.add("fetch: a peer that does not answer times out", silent(host, "/silent").await);
    results.add("fetch: a body that does not end times out", silent(host, "/endless").await);
    results.add("fetch: an announced body beyond the limit is refused", large(host, "/large").await);
    results
        .add("fetch: an unannounced body beyond the limit is refused", large(host, "/large-chunked").await);
    results.add("fetch: a redirect is handed back", redirect(host).await);
    results.add("call: another function answers", call(host).await);
    results.add("call: an unknown function is refused", unknown_function(host).await);
    results.add("forward: a request passes through with the client's address", forward(host).await);
    results.add("connect: bytes go and come", echo(host).await);
    results.add("connect: a closed port is unreachable", closed_socket(host).await);
}

async fn variable(host: &Host, name: &str) -> Result<String, String> {
    host.variable(name).await.map_err(text)?.ok_or_else(|| format!("the variable {name} is not set"))
}

async fn fetch(
    host: &Host,
    path: &str,
    limits: FetchLimits,
) -> Result<Result<Response<Bytes>, FetchError>, String> {
    let peer = variable(host, "CONFORMANCE_PEER").await?;
    let request = Request::get(format!("{peer}{path}")).body(Bytes::new()).map_err(text)?;
    Ok(host.fetch(request, limits).await)
}

async fn round_trip(host: &Host) -> Check {
    let peer = variable(host, "CONFORMANCE_PEER").await?;
    let body = Bytes::from("grüße".repeat(20_000));
    let request = Request::put(format!("{peer}/mirror?a=b%20c"))
        .header("x-conformance", "there and back")
        .header("content-type", "text/plain; charset=utf-8")
        .body(body.clone())
        .map_err(text)?;
    let response = host.fetch(request, FetchLimits::default()).await.map_err(text)?;
    equal(response.status().as_u16(), 201)?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    equal(header("x-conformance"), Some("there and back"))?;
    equal(header("x-method"), Some(Method::PUT.as_str()))?;
    equal(header("x-path"), Some("/mirror?a=b%20c"))?;
    ensure(response.body() == &body, || format!("{} bytes came back", response.body().len()))
}

async fn closed_port(host: &Host) -> Check {
    let url = format!("http://127.0.0.1:{CLOSED_PORT}/");
    let request = Request::get(url).body(Bytes::new()).map_err(text)?;
    let result = host.fetch(request, FetchLimits::default()).await;
    ensure(matches!(result, Err(FetchError::Unreachable(_))), || format!("it ended with {result:?}"))
}

async fn silent(host: &Host, path: &str) -> Check {
    let start = now();
    let limits = FetchLimits { timeout_ms: 300, ..FetchLimits::default() };
    let result = fetch(host, path, limits).await?;
    let took = now().as_millis() - start.as_millis();
    ensure(matches!(result, Err(FetchError::Timeout)), || format!("it ended with {result:?}"))?;
    ensure((200..3_000).contains(&took), || format!("300 ms took {took} ms"))
}

async fn large(host: &Host, path: &str) -> Check {
    let whole =
        fetch(host, path, FetchLimits { max_response_bytes: 200_000, ..FetchLimits::default() }).await?;
    equal(whole.map_err(text)?.body().len(), 200_000)?;
    let result =
        fetch(host, path, FetchLimits { max_response_bytes: 199_999, ..FetchLimits::default() }).await?;
    ensure(matches!(result, Err(FetchError::TooLarge)), || format!("it ended with {result:?}"))
}

async fn redirect(host: &Host) -> Check {
    let response = fetch(host, "/redirect", FetchLimits::default()).await?.map_err(text)?;
    equal(response.status().as_u16(), 302)?;
    equal(response.headers().get("location").and_then(|value| value.to_str().ok()), Some("/mirror"))
}

fn echo_request<B>(body: B) -> Result<Request<B>, String> {
    Request::post("/echo?x=1").header("x-conformance", "inside").body(body).map_err(text)
}

fn expected_echo(host: &Host, body: &str) -> String {
    let address = host.client_address().map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    format!("POST /echo?x=1\n{address}\n{body}")
}

async fn call(host: &Host) -> Check {
    let request = echo_request(Bytes::from_static(b"called"))?;
    let response = host.call("conformance-function", request).await.map_err(text)?;
    equal(response.status().as_u16(), 200)?;
    ensure(response.headers().contains_key("x-conformance"), || "the header is lost".to_owned())?;
    let body = String::from_utf8_lossy(response.body());
    ensure(body.starts_with("POST /echo?x=1\n") && body.ends_with("\ncalled"), || format!("saw {body:?}"))
}

async fn unknown_function(host: &Host) -> Check {
    let result = host.call("no-such-function", Request::new(Bytes::new())).await;
    ensure(matches!(result, Err(FetchError::UnknownFunction(_) | FetchError::Unreachable(_))), || {
        format!("it ended with {result:?}")
    })
}

async fn forward(host: &Host) -> Check {
    let mut request = echo_request(Body::from("passed on"))?;
    // What a client may claim about itself does not count.
    for claim in ["spin-client-addr", "iam-client-address", "x-forwarded-for"] {
        request.headers_mut().insert(claim, http::HeaderValue::from_static("192.0.2.66"));
    }
    // As the gateway passes a request on: with the headers that it came with.
    if let (crate::HostKind::Cloudflare, Some(address)) = (host.kind(), host.client_address()) {
        let address = http::HeaderValue::try_from(address.to_string()).map_err(text)?;
        request.headers_mut().insert("cf-connecting-ip", address);
    }
    let response = host.forward("conformance-function", request).await.map_err(text)?;
    equal(response.status().as_u16(), 200)?;
    let body = message::read_bounded(response.into_body(), message::LARGEST_MESSAGE).await.map_err(text)?;
    equal(String::from_utf8_lossy(&body).into_owned(), expected_echo(host, "passed on"))
}

async fn echo(host: &Host) -> Check {
    let address = variable(host, "CONFORMANCE_ECHO").await?;
    let (name, port) = address.split_once(':').ok_or("CONFORMANCE_ECHO is not host:port")?;
    let port = port.parse().map_err(text)?;
    let mut socket = host.connect(name, port, Tls::Off).await.map_err(text)?;
    let sent: Vec<u8> = (0..50_000_u32).map(|number| (number % 251) as u8).collect();
    socket.write_all(&sent).await.map_err(text)?;
    let mut received: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while received.len() < sent.len() {
        let count = socket.read(&mut buffer).await.map_err(text)?;
        ensure(count > 0, || format!("the stream ended after {} bytes", received.len()))?;
        received.extend(buffer.iter().take(count));
    }
    ensure(received == sent, || "other bytes came back".to_owned())?;
    socket.close().await.map_err(text)
}

async fn closed_socket(host: &Host) -> Check {
    match host.connect("127.0.0.1", CLOSED_PORT, Tls::Off).await {
        Err(ConnectError::Unreachable(_)) => Ok(()),
        Err(error) => Err(format!("it ended with {error:?}")),
        Ok(_) => Err("a closed port accepted".to_owned()),
    }
}
