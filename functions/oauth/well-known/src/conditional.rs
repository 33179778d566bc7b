//! A document that caches may keep, and conditional requests for it (RFC 9110 section 13).

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use iam_core::encoding::base64url;
use iam_core::time::Duration;
use sha2::{Digest as _, Sha256};

/// A document, and the entity tag that follows from its bytes.
pub(crate) struct Document {
    media_type: &'static str,
    body: axum::body::Bytes,
    entity_tag: String,
    max_age: Duration,
}

impl Document {
    pub(crate) fn new(
        media_type: &'static str,
        body: impl Into<axum::body::Bytes>,
        max_age: Duration,
    ) -> Self {
        let body = body.into();
        let digest = Sha256::digest(&body);
        let entity_tag = format!("\"{}\"", base64url(digest.get(..12).unwrap_or_default()));
        Self { media_type, body, entity_tag, max_age }
    }

    /// The whole document, or that the client's copy is current. Any origin may read it.
    pub(crate) fn answer(&self, request: &HeaderMap) -> Response {
        let mut response = if self.is_held(request) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let content_type = HeaderValue::from_static(self.media_type);
            ([(CONTENT_TYPE, content_type)], Body::from(self.body.clone())).into_response()
        };
        let headers = response.headers_mut();
        let cache_control = format!("public, max-age={}", self.max_age.as_seconds());
        for (name, value) in [(CACHE_CONTROL, cache_control.as_str()), (ETAG, self.entity_tag.as_str())] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag"));
        response
    }

    /// Whether `If-None-Match` names this very document, by weak comparison.
    fn is_held(&self, request: &HeaderMap) -> bool {
        let values = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.entity_tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(if_none_match: &[&str]) -> StatusCode {
        let document = Document::new("application/json", "{}", Duration::from_seconds(300));
        let mut headers = HeaderMap::new();
        for value in if_none_match {
            let value = value.replace("TAG", &document.entity_tag);
            headers.append(IF_NONE_MATCH, value.parse().unwrap());
        }
        let response = document.answer(&headers);
        assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=300");
        assert_eq!(response.headers()[ETAG], document.entity_tag.as_str());
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        response.status()
    }

    #[test]
    fn a_copy_that_is_current_is_not_sent_again() {
        for held in [&["TAG"][..], &["W/TAG"], &["\"other\", TAG"], &["\"other\"", "TAG"], &["*"]] {
            assert_eq!(status(held), StatusCode::NOT_MODIFIED, "{held:?}");
        }
        for stale in [&[][..], &["\"other\""], &["W/\"other\""], &[""], &["TAGx"]] {
            assert_eq!(status(stale), StatusCode::OK, "{stale:?}");
        }
    }
}
