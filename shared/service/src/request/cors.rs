//! Cross-origin requests from browsers: the origins the configuration names, and no others.

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use iam_core::config::Configuration;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, x-api-key, x-request-id, idempotency-key, if-match, if-none-match, \
     traceparent",
);
const ANSWER_HEADERS: HeaderValue =
    HeaderValue::from_static("x-request-id, etag, location, retry-after, www-authenticate");

/// How long a browser may remember a preflight's answer, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The request's origin, where the configuration allows it.
pub(crate) fn allowed_origin(headers: &HeaderMap, configuration: &Configuration) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let allowed = &configuration.cors.allowed_origins;
    allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Whether a browser asks what it may ask.
pub(crate) fn is_preflight(parts: &Parts) -> bool {
    parts.method == http::Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets an allowed origin read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    // What every origin may read, caches may keep for all.
    if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        return;
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    // With its cookie: SameSite keeps that from other sites, whatever they are allowed.
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
}
