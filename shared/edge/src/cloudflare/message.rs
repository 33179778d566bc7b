//! HTTP messages between JavaScript and the `http` crate.
//!
//! A body that nobody reads never enters wasm: it stays a JavaScript stream, so that `forward` passes
//! on what it was given.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue};
use js_sys::futures::JsFuture;
use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::send::SendWrapper;
use worker::web_sys::{self, Headers, ReadableStream, Request, RequestInit, RequestRedirect, ResponseInit};

use crate::message;

/// A body that announces no more than this is read by one promise instead of chunk by chunk.
const READ_AT_ONCE: u64 = 64 * 1024;

/// A message that came from JavaScript, kept in the extensions for `forward` and the answer.
#[derive(Clone)]
struct Source(SendWrapper<Origin>);

#[derive(Clone)]
enum Origin {
    Request(Request),
    Response(web_sys::Response),
}

impl Origin {
    fn stream(&self) -> Option<ReadableStream> {
        match self {
            Self::Request(request) => request.body(),
            Self::Response(response) => response.body(),
        }
    }

    fn is_used(&self) -> bool {
        match self {
            Self::Request(request) => request.body_used(),
            Self::Response(response) => response.body_used(),
        }
    }

    fn array_buffer(&self) -> Result<Promise, JsValue> {
        match self {
            Self::Request(request) => request.array_buffer(),
            Self::Response(response) => response.array_buffer(),
        }
    }
}

/// An incoming request. `None` when it is not one that the `http` crate can express.
pub(super) fn request_from_javascript(request: Request) -> Option<http::Request<Body>> {
    let mut converted = http::Request::builder()
        .method(request.method().as_str())
        .uri(request.url())
        .body(Body::empty())
        .ok()?;
    *converted.headers_mut() = headers_from_javascript(&request.headers())?;
    if let Some((source, body)) = body_from_javascript(Origin::Request(request), converted.headers()) {
        converted.extensions_mut().insert(source);
        *converted.body_mut() = body;
    }
    Some(converted)
}

/// An answer from somewhere else.
pub(super) fn response_from_javascript(response: web_sys::Response) -> Option<http::Response<Body>> {
    let mut converted = http::Response::builder().status(response.status()).body(Body::empty()).ok()?;
    *converted.headers_mut() = headers_from_javascript(&response.headers())?;
    if let Some((source, body)) = body_from_javascript(Origin::Response(response), converted.headers()) {
        converted.extensions_mut().insert(source);
        *converted.body_mut() = body;
    }
    Some(converted)
}

/// The body, to be read when somebody wants it; `None` where there is none.
fn body_from_javascript(origin: Origin, headers: &HeaderMap) -> Option<(Source, Body)> {
    let announced = message::announced_length(headers);
    let exists = announced.map_or_else(|| origin.stream().is_some(), |length| length > 0);
    // workerd decompresses: then the length says nothing about what comes out.
    let plain = !headers.contains_key(CONTENT_ENCODING);
    let at_once = plain && announced.is_some_and(|length| length <= READ_AT_ONCE);
    let source = Source(SendWrapper(origin));
    let body = Body::from_stream(LazyBody::Unread { source: source.clone(), at_once });
    exists.then_some((source, body))
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
    init.set_headers(&headers_to_javascript(&parts.headers)?);
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
    init.set_headers(&headers_to_javascript(&parts.headers)?);
    // web-sys has a constructor per kind of body; JavaScript has one, which takes the stream or the bytes.
    let body: Option<&js_sys::Object> = body.map(JsCast::unchecked_ref);
    web_sys::Response::new_with_opt_buffer_source_and_init(body, &init).map(JsValue::from)
}

/// Bytes as a body that JavaScript owns: a view of wasm memory would move under it.
pub(super) fn bytes_to_javascript(bytes: &Bytes) -> Option<JsValue> {
    (!bytes.is_empty()).then(|| Uint8Array::from(bytes.as_ref()).into())
}

/// The stream of a message whose body came from JavaScript and was not read.
pub(super) fn untouched_stream(extensions: &http::Extensions) -> Option<ReadableStream> {
    let origin = &extensions.get::<Source>()?.0.0;
    if origin.is_used() { None } else { origin.stream().filter(|stream| !stream.locked()) }
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

/// All headers cross in one string here too: a list of pairs, in JSON.
fn headers_to_javascript(map: &HeaderMap) -> Result<JsValue, JsValue> {
    let mut pairs = Vec::with_capacity(map.len());
    for (name, value) in map {
        let value = str::from_utf8(value.as_bytes()).map_err(|_| JsValue::from_str("header is not UTF-8"))?;
        pairs.push((name.as_str(), value));
    }
    let pairs = serde_json::to_string(&pairs).map_err(|error| JsValue::from_str(&error.to_string()))?;
    js_sys::JSON::parse(&pairs)
}

/// A body that takes hold of its message when somebody reads it, not before.
enum LazyBody {
    Unread { source: Source, at_once: bool },
    AtOnce(SendWrapper<JsFuture>),
    Streaming(worker::Body),
    Ended,
}

impl LazyBody {
    fn start(source: &Source, at_once: bool) -> std::io::Result<Self> {
        let origin = &source.0.0;
        let passed_on = || std::io::Error::other("the body was passed on");
        if origin.is_used() {
            return Err(passed_on());
        }
        if at_once {
            let promise = origin.array_buffer().map_err(|_| passed_on())?;
            return Ok(Self::AtOnce(SendWrapper(JsFuture::from(promise))));
        }
        match origin.stream() {
            Some(stream) if stream.locked() => Err(passed_on()),
            Some(stream) => Ok(Self::Streaming(worker::Body::new(stream))),
            None => Ok(Self::Ended),
        }
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Bytes>>> {
        let broken = || std::io::Error::other("the body broke off");
        match self {
            Self::Unread { .. } | Self::Ended => Poll::Ready(None),
            Self::AtOnce(whole) => {
                let whole = ready!(Pin::new(&mut whole.0).poll(context)).map_err(|_| broken());
                *self = Self::Ended;
                Poll::Ready(Some(whole.map(|buffer| Bytes::from(Uint8Array::new(&buffer).to_vec()))))
            }
            Self::Streaming(body) => {
                Pin::new(body).poll_next(context).map(|chunk| chunk.map(|chunk| chunk.map_err(|_| broken())))
            }
        }
    }
}

impl Stream for LazyBody {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Self::Unread { source, at_once } = &*self {
            match Self::start(source, *at_once) {
                Ok(started) => *self = started,
                Err(error) => {
                    *self = Self::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        self.poll_chunk(context)
    }
}
