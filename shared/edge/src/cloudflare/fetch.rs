use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use js_sys::Promise;
use js_sys::futures::JsFuture;
use wasm_bindgen::{JsCast, JsValue};
use worker::web_sys::{self, AbortSignal, WorkerGlobalScope};

use super::javascript::{Fetcher, describe};
use super::message::{
    bytes_to_javascript, request_to_javascript, response_from_javascript, untouched_stream,
};
use crate::deadline::within;
use crate::{FetchError, FetchLimits, message};

/// A request that is passed on may take as long as the longest operation of ours, until its answer begins.
const FORWARD_TIMEOUT_MS: u32 = 30_000;

/// A request to a peer outside.
pub(super) async fn send(
    request: Request<Bytes>,
    limits: FetchLimits,
) -> Result<Response<Bytes>, FetchError> {
    let url = request.uri().to_string();
    bounded(&url, request, limits, |request| {
        // Through the global object: the module's own export is called `fetch` too.
        Ok(js_sys::global().unchecked_into::<WorkerGlobalScope>().fetch_with_request(request))
    })
    .await
}

/// A request to another function, its answer within the limits.
pub(super) async fn call(
    service: &Fetcher,
    request: Request<Bytes>,
    limits: FetchLimits,
) -> Result<Response<Bytes>, FetchError> {
    let url = internal_url(request.uri());
    bounded(&url, request, limits, |request| service.fetch(request)).await
}

/// A request passed on to another function, both bodies left where they are.
pub(super) async fn forward(service: &Fetcher, request: Request<Body>) -> Result<Response<Body>, FetchError> {
    let (parts, body) = request.into_parts();
    let url = match parts.uri.authority() {
        Some(_) => parts.uri.to_string(),
        None => internal_url(&parts.uri),
    };
    let body = match untouched_stream(&parts.extensions) {
        Some(stream) => Some(stream.into()),
        None => bytes_to_javascript(&message::read_bounded(body, message::LARGEST_MESSAGE).await?),
    };
    let request = request_to_javascript(&url, &parts, body.as_ref(), None).map_err(invalid)?;
    // Not the body: a long list may stream for as long as it takes.
    let answered = within(FORWARD_TIMEOUT_MS, settled(service.fetch(&request), None)).await;
    let response = answered.unwrap_or(Err(FetchError::Timeout))?;
    response_from_javascript(response).ok_or_else(malformed)
}

async fn bounded(
    url: &str,
    request: Request<Bytes>,
    limits: FetchLimits,
    fetch: impl FnOnce(&web_sys::Request) -> Result<Promise, JsValue>,
) -> Result<Response<Bytes>, FetchError> {
    // The signal ends the exchange on workerd's side too, while the body is still coming as well.
    let signal = AbortSignal::timeout_with_u32(limits.timeout_ms);
    let (parts, body) = request.into_parts();
    let body = bytes_to_javascript(&body);
    let request = request_to_javascript(url, &parts, body.as_ref(), Some(&signal)).map_err(invalid)?;
    let response = settled(fetch(&request), Some(&signal)).await?;
    let (parts, body) = response_from_javascript(response).ok_or_else(malformed)?.into_parts();
    if message::announces_more_than(&parts.headers, limits.max_response_bytes) {
        return Err(FetchError::TooLarge);
    }
    match message::read_bounded(body, limits.max_response_bytes).await {
        Ok(body) => Ok(Response::from_parts(parts, body)),
        Err(FetchError::Unreachable(_)) if signal.aborted() => Err(FetchError::Timeout),
        Err(error) => Err(error),
    }
}

async fn settled(
    promise: Result<Promise, JsValue>,
    signal: Option<&AbortSignal>,
) -> Result<web_sys::Response, FetchError> {
    match JsFuture::from(promise.map_err(invalid)?).await {
        Ok(response) => Ok(response.unchecked_into()),
        Err(_) if signal.is_some_and(AbortSignal::aborted) => Err(FetchError::Timeout),
        Err(thrown) => Err(FetchError::Unreachable(describe(&thrown))),
    }
}

/// A service binding looks at path and query alone, but a URL must be absolute.
fn internal_url(uri: &http::Uri) -> String {
    format!("http://internal{}", uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str))
}

fn invalid(thrown: JsValue) -> FetchError {
    FetchError::Invalid(describe(&thrown))
}

fn malformed() -> FetchError {
    FetchError::Unreachable("the answer is not HTTP".to_owned())
}
