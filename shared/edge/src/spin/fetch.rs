use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Request, Response};
use spin_sdk::http::{EmptyBody, FullBody, OptionalBody};

use crate::deadline::within;
use crate::{FetchError, FetchLimits, message};

/// A request that is passed on may take as long as the longest operation of ours.
const FORWARD_LIMITS: FetchLimits =
    FetchLimits { timeout_ms: 30_000, max_response_bytes: message::LARGEST_MESSAGE };

pub(super) async fn send(
    request: Request<Bytes>,
    limits: FetchLimits,
) -> Result<Response<Bytes>, FetchError> {
    let exchange = exchange(request, limits.max_response_bytes);
    within(limits.timeout_ms, exchange).await.unwrap_or(Err(FetchError::Timeout))
}

/// A request to another component of the application.
pub(super) async fn call(
    function: &str,
    mut request: Request<Bytes>,
    limits: FetchLimits,
) -> Result<Response<Bytes>, FetchError> {
    *request.uri_mut() = internal_uri(function, request.uri())?;
    send(request, limits).await
}

pub(super) async fn forward(function: &str, request: Request<Body>) -> Result<Response<Body>, FetchError> {
    let (mut parts, body) = request.into_parts();
    let body = message::read_bounded(body, message::LARGEST_MESSAGE).await?;
    // The authority is now the component's, and the body is framed anew.
    parts.headers.remove(HOST);
    parts.headers.remove(TRANSFER_ENCODING);
    let response = call(function, Request::from_parts(parts, body), FORWARD_LIMITS).await?;
    Ok(response.map(Body::from))
}

async fn exchange(request: Request<Bytes>, max_response_bytes: usize) -> Result<Response<Bytes>, FetchError> {
    let (mut parts, body) = request.into_parts();
    // Without its length a body goes out in chunks, which not every peer takes.
    let body = if body.is_empty() {
        parts.headers.remove(CONTENT_LENGTH);
        OptionalBody::Right(EmptyBody::new())
    } else {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        OptionalBody::Left(FullBody::new(body))
    };
    let response = spin_sdk::http::send(Request::from_parts(parts, body))
        .await
        .map_err(|error| FetchError::Unreachable(error.to_string()))?;
    if message::announces_more_than(response.headers(), max_response_bytes) {
        return Err(FetchError::TooLarge);
    }
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, message::read_bounded(body, max_response_bytes).await?))
}

fn internal_uri(function: &str, uri: &Uri) -> Result<Uri, FetchError> {
    let authority = Authority::try_from(format!("{function}.spin.internal"))
        .map_err(|_| FetchError::UnknownFunction(function.to_owned()))?;
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|error| FetchError::Invalid(error.to_string()))
}
