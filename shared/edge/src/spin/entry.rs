//! What [`serve!`](crate::serve) expands to on Spin.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use http::header::{CONTENT_LENGTH, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use spin_sdk::http::{FromRequest, FullBody, IntoResponse};
use spin_sdk::wasip3::http::types::{ErrorCode, Request as WasiRequest, Response as WasiResponse};

use crate::message::{LARGEST_MESSAGE, announces_more_than, read_bounded, refusal};
use crate::{FetchError, Host};

pub use spin_sdk::wasip3;

/// The client's address as the component that passes a request on knows it.
pub(super) const FORWARDED_ADDRESS: HeaderName = HeaderName::from_static("iam-client-address");

/// The host that the client named, likewise: a browser's own origin is told by it.
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("iam-client-host");

/// The HTTP trigger.
///
/// # Errors
/// When the answer cannot be expressed; Spin then answers 500.
pub async fn handle<H, F>(handler: H, request: WasiRequest) -> Result<WasiResponse, ErrorCode>
where
    H: FnOnce(Host, Request<Body>) -> F,
    F: Future<Output = Response<Body>>,
{
    let response = match whole_request(request).await {
        Ok(mut request) => {
            restore_host(request.headers_mut());
            let host = Host::new(client_address(request.headers()));
            handler(host, request).await
        }
        Err(status) => refusal(status),
    };
    answer(response).await
}

/// Spin bounds no body: ours is enforced while the bytes come in.
async fn whole_request(request: WasiRequest) -> Result<Request<Body>, StatusCode> {
    let request = spin_sdk::http::Request::from_request(request).map_err(|_| StatusCode::BAD_REQUEST)?;
    if announces_more_than(request.headers(), LARGEST_MESSAGE) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let (parts, body) = request.into_parts();
    match read_bounded(body, LARGEST_MESSAGE).await {
        Ok(body) => Ok(Request::from_parts(parts, Body::from(body))),
        Err(FetchError::TooLarge) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::BAD_REQUEST),
    }
}

/// A client may send `spin-client-addr` itself: Spin's own comes last. A request from another component
/// of the application has the unspecified address there, which no client has; only then does the
/// address count that the component passed on.
fn client_address(headers: &HeaderMap) -> Option<IpAddr> {
    let direct = direct_address(headers)?;
    if direct.is_unspecified() {
        parse_address(headers.get_all(FORWARDED_ADDRESS).iter().next_back()?)
    } else {
        Some(direct)
    }
}

fn direct_address(headers: &HeaderMap) -> Option<IpAddr> {
    parse_address(headers.get_all("spin-client-addr").iter().next_back()?)
}

/// A request from another component names that component's callee as its host: the client's own is put back.
fn restore_host(headers: &mut HeaderMap) {
    let named = headers.remove(FORWARDED_HOST);
    let is_passed_on = direct_address(headers).is_some_and(|address| address.is_unspecified());
    if let (Some(host), true) = (named, is_passed_on) {
        headers.insert(HOST, host);
    }
}

fn parse_address(value: &HeaderValue) -> Option<IpAddr> {
    let text = value.to_str().ok()?;
    text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse()).ok()
}

async fn answer(response: Response<Body>) -> Result<WasiResponse, ErrorCode> {
    let (mut parts, body) = response.into_parts();
    let body = read_bounded(body, LARGEST_MESSAGE)
        .await
        .map_err(|error| ErrorCode::InternalError(Some(format!("answer cannot be sent: {error}"))))?;
    // Spin does not set TCP_NODELAY: without a length a client that keeps its connection waits 40 ms.
    // What answers HEAD has no body and says the length that GET would have.
    if !body.is_empty() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    } else if may_have_body(parts.status) {
        parts.headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from(0));
    }
    Response::from_parts(parts, FullBody::new(body)).into_response()
}

fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Makes a function of this crate: `serve!(handler)` or `serve!(handler, scheduled = job)`.
///
/// The handler is `async fn(Host, http::Request<Body>) -> http::Response<Body>`, the job
/// `async fn(Host, &str)` with the cron expression that fired. On Workers this exports the `fetch` and
/// `scheduled` events, on Spin the HTTP handler (which knows no schedule); natively it exports nothing,
/// a test calls the handler itself.
#[macro_export]
macro_rules! serve {
    ($handler:path $(, scheduled = $job:path)? $(,)?) => {
        struct __Component;

        impl $crate::entry::wasip3::exports::http::handler::Guest for __Component {
            async fn handle(
                request: $crate::entry::wasip3::http::types::Request,
            ) -> ::std::result::Result<
                $crate::entry::wasip3::http::types::Response,
                $crate::entry::wasip3::http::types::ErrorCode,
            > {
                $crate::entry::handle($handler, request).await
            }
        }

        $crate::entry::wasip3::http::service::export!(__Component);
    };
}
