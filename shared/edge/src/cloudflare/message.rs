//! HTTP messages between JavaScript and the `http` crate.
//!
//! A body that nobody reads never enters wasm: it stays a JavaScript stream, so that `forward` passes
//! on what it was given.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::send::SendWrapper;
use worker::web_sys::{self, Headers, ReadableStream, Request, RequestInit, RequestRedirect, ResponseInit};

/// The stream behind a body that came from JavaScript, kept in the message's extensions.
#[derive(Clone)]
struct Source(SendWrapper<ReadableStream>);

/// An incoming request. `None` when it is not one that the `http` crate can express.
pub(super) fn request_from_javascript(request: &Request) -> Option<http::Request<Body>> {
    let mut converted = http::Request::builder()
        .method(request.method().as_str())
        .uri(request.url())
        .body(Body::empty())
        .ok()?;
    *converted.headers_mut() = headers_from_javascript(&request.headers())?;
    if let Some(stream) = request.body() {
        let source = Source(SendWrapper(stream));
        converted.extensions_mut().insert(source.clone());
        *converted.body_mut() = Body::from_stream(LazyBody::Unread(source.0));
    }
    Some(converted)
}

/// An answer from somewhere else.
pub(super) fn response_from_javascript(response: &web_sys::Response) -> Option<http::Response<Body>> {
    let mut converted = http::Response::builder().status(response.status()).body(Body::empty()).ok()?;
    *converted.headers_mut() = headers_from_javascript(&response.headers())?;
    if let Some(stream) = response.body() {
        let source = Source(SendWrapper(stream));
        converted.extensions_mut().insert(source.clone());
        *converted.body_mut() = Body::from_stream(LazyBody::Unread(source.0));
    }
    Some(converted)
}

/// An outgoing request. Redirects are handed back, never followed.
pub(super) fn request_to_javascript(
    url: &str,
    parts: &http::request::Parts,
    body: Option<&JsValue>,
    signal: Option<&web_sys::AbortSignal>,
) -> Result<Request, JsValue> {
    let init = RequestInit::new();
    init.set_method(parts.method.as_str());
    init.set_headers_headers(&headers_to_javascript(&parts.headers)?);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(signal);
    if let Some(body) = body {
        init.set_body(body);
    }
    Request::new_with_str_and_init(url, &init)
}

/// The answer of a function, its body whole.
pub(super) fn response_to_javascript(
    parts: &http::response::Parts,
    body: Option<&JsValue>,
) -> Result<JsValue, JsValue> {
    let init = ResponseInit::new();
    init.set_status(parts.status.as_u16());
    init.set_headers_headers(&headers_to_javascript(&parts.headers)?);
    // web-sys has a constructor per kind of body; JavaScript has one, which takes the stream or the bytes.
    let body: Option<&js_sys::Object> = body.map(JsCast::unchecked_ref);
    web_sys::Response::new_with_opt_buffer_source_and_init(body, &init).map(JsValue::from)
}

/// Bytes as a body that JavaScript owns: a view of wasm memory would move under it.
pub(super) fn bytes_to_javascript(bytes: &Bytes) -> Option<JsValue> {
    (!bytes.is_empty()).then(|| Uint8Array::from(bytes.as_ref()).into())
}

/// The stream of a message whose body came from JavaScript and was not read.
pub(super) fn untouched_stream(extensions: &http::Extensions) -> Option<&ReadableStream> {
    extensions.get::<Source>().map(|source| &source.0.0).filter(|stream| !stream.locked())
}

/// All headers cross in one string: a name or value cannot contain a line feed.
fn headers_from_javascript(headers: &Headers) -> Option<HeaderMap> {
    let lines = String::from(Array::from(headers).flat(1).join("\n"));
    let mut map = HeaderMap::with_capacity(16);
    let mut lines = lines.split('\n');
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_bytes(value.as_bytes()).ok()?,
        );
    }
    Some(map)
}

fn headers_to_javascript(map: &HeaderMap) -> Result<Headers, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in map {
        let value = str::from_utf8(value.as_bytes()).map_err(|_| JsValue::from_str("header is not UTF-8"))?;
        headers.append(name.as_str(), value)?;
    }
    Ok(headers)
}

/// A body that takes hold of its stream when somebody reads it, not before.
enum LazyBody {
    Unread(SendWrapper<ReadableStream>),
    Reading(worker::Body),
}

impl Stream for LazyBody {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Self::Unread(stream) = &*self {
            if stream.locked() {
                return Poll::Ready(Some(Err(std::io::Error::other("the body was passed on"))));
            }
            let body = worker::Body::new(stream.0.clone());
            *self = Self::Reading(body);
        }
        match &mut *self {
            Self::Reading(body) => Pin::new(body).poll_next(context).map(|chunk| {
                chunk.map(|chunk| chunk.map_err(|_| std::io::Error::other("the body broke off")))
            }),
            Self::Unread(_) => Poll::Ready(None),
        }
    }
}
