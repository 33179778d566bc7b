//! JSON in and out, with errors that name the field.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// How deep JSON may be nested: far deeper than any of ours, far shallower than the stack.
pub const MAX_DEPTH: usize = 64;

/// A JSON body. As an argument of a handler it is the request's, decoded; as its result it is the answer's.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_media_type(request.headers(), &["application/json"])?;
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            ApiError::bad_request("body_unreadable", "the body can't be read").cause(error.to_string())
        })?;
        parse(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        body(&self.0, "application/json")
    }
}

/// An answer that says something new was made: 201.
#[derive(Debug)]
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

/// An answer of some JSON media type.
pub fn body<T: Serialize>(value: &T, media_type: &'static str) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => ([(CONTENT_TYPE, HeaderValue::from_static(media_type))], json).into_response(),
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// Refuses a body that says it is something else.
///
/// # Errors
/// 415 unless the media type is one of `allowed`.
pub fn check_media_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if allowed.contains(&essence.as_str()) {
        return Ok(());
    }
    let detail = format!("the body must be `{}`", allowed.join("` or `"));
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
}

/// Decodes a JSON body.
///
/// # Errors
/// 400 where it is no JSON or nested too deep, 422 with a pointer where a field does not fit.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, ApiError> {
    if json.is_empty() {
        return Err(ApiError::bad_request("body_empty", "a JSON body is needed"));
    }
    check_depth(json)?;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        use serde_json::error::Category;
        let pointer = pointer(error.path());
        let error = error.into_inner();
        match error.classify() {
            Category::Data => ApiError::field(pointer, error.to_string()),
            Category::Syntax | Category::Eof | Category::Io => malformed(&error),
        }
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request("malformed_json", format!("the body is not JSON: {error}"))
}

/// Refuses JSON that is nested too deep, before anything recursive looks at it. Brackets inside strings don't
/// count.
fn check_depth(json: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let detail = format!("the body is nested deeper than {MAX_DEPTH} levels");
            return Err(ApiError::bad_request("json_too_deep", detail));
        }
    }
    Ok(())
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        #[expect(dead_code, reason = "only its decoding matters")]
        names: Vec<String>,
    }

    fn code(json: &[u8]) -> &'static str {
        parse::<Input>(json).unwrap_err().code()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(code(b""), "body_empty");
        assert_eq!(code(b"{"), "malformed_json");
        assert_eq!(code(b"{\"names\": []} x"), "malformed_json");
        assert_eq!(code(b"{\"names\": [\"\xff\"]}"), "malformed_json");
        assert_eq!(code(b"{\"names\": [1]}"), "invalid_field");
        assert_eq!(code(b"{\"other\": 1}"), "invalid_field");
        assert_eq!(code(b"{}"), "invalid_field");
        assert_eq!(code("[".repeat(10_000).as_bytes()), "json_too_deep");
        let error = parse::<Input>(b"{\"names\": [\"a\", 2]}").unwrap_err();
        assert!(format!("{error:?}").contains("\"/names/1\""));
    }

    #[test]
    fn brackets_in_strings_are_no_depth() {
        let names = format!("{{\"names\": [\"{}\\\"[[\"]}}", "[".repeat(200));
        assert!(parse::<Input>(names.as_bytes()).is_ok());
    }
}
