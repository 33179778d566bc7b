//! HTTP messages as every host needs them.

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::FetchError;

/// The largest body that is taken in or given out whole where the host has no bound of its own.
#[cfg(any(target_family = "wasm", feature = "conformance"))]
pub(crate) const LARGEST_MESSAGE: usize = 8 << 20;

/// Reads a body to its end, or stops at the bound.
pub(crate) async fn read_bounded<B>(body: B, bound: usize) -> Result<Bytes, FetchError>
where
    B: axum::body::HttpBody,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, bound).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
        Err(error) => Err(FetchError::Unreachable(error.to_string())),
    }
}

/// The length that the headers promise.
pub(crate) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the headers already promise a body beyond the bound.
pub(crate) fn announces_more_than(headers: &HeaderMap, bound: usize) -> bool {
    announced_length(headers)
        .is_some_and(|length| usize::try_from(length).map_or(true, |length| length > bound))
}

/// The answer to a request that never reaches the function: a problem document (RFC 9457).
#[cfg_attr(
    not(target_family = "wasm"),
    expect(dead_code, reason = "natively a request is whole from the start")
)]
pub(crate) fn refusal(status: StatusCode) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let document =
        format!(r#"{{"type":"about:blank","title":"{title}","status":{status}}}"#, status = status.as_u16());
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
