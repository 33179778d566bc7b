//! Errors of the API: made by named constructors, mapped to answers in one place.
//!
//! Outside they are RFC 9457 problems with a stable `code`, deliberately vague about our own insides; what an
//! operator needs (`cause`) goes to the log line of the request alone. An [`ApiError`] travels to the
//! boundary in the response's extensions, because only the boundary knows the request's id and which form of
//! error the route's clients understand.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use iam_core::permission::Permission;
use iam_core::secret::credential::Credential;
use iam_core::secret::password::PasswordError;
use iam_core::secret::seal::SealError;
use iam_core::sql::RowError;
use iam_core::time::Timestamp;
use iam_edge::{DbError, RandomError};
use serde::Serialize;
use serde_json::{Map, Value as Json};

/// How a route's clients want to hear of errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorStyle {
    /// RFC 9457 `application/problem+json`.
    #[default]
    Problem,
    /// RFC 7644 section 3.12 `application/scim+json`.
    Scim,
    /// RFC 6749 section 5.2 `application/json`.
    OAuth,
    /// Problems, but maintenance is `{"error": …, "status": "maintenance"}`.
    Webhook,
}

impl ErrorStyle {
    /// How whoever asks for this path wants to hear that nothing is there.
    pub(crate) fn of_path(path: &str) -> Self {
        if path.starts_with("/api/scim/") { Self::Scim } else { Self::default() }
    }
}

/// The errors of RFC 6749 section 5.2, RFC 6750 section 3.1 and RFC 7009 section 2.2.1 that are codes of ours
/// too.
const OAUTH_ERRORS: [&str; 7] = [
    "invalid_request",
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_token",
];

/// A field that was refused.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct FieldError {
    /// Where it is in the body: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong, and what is allowed.
    pub detail: String,
}

/// An answer that tells the caller why not.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    fields: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
    scim_type: Option<&'static str>,
    extensions: Extensions,
}

/// What a kind of problem has beside what all have. It may be a secret: no log shows more than its name.
#[derive(Clone, Default)]
struct Extensions(Map<String, Json>);

impl Extensions {
    /// Appends them to the text of an object. Not by `flatten`, which would be in every module for the sake
    /// of few.
    fn append_to(&self, object: serde_json::Result<Vec<u8>>) -> serde_json::Result<Vec<u8>> {
        let mut object = object?;
        if !self.0.is_empty() && object.pop() == Some(b'}') {
            let members = serde_json::to_vec(&self.0)?;
            object.push(b',');
            object.extend(members.iter().skip(1));
        }
        Ok(object)
    }
}

impl std::fmt::Debug for Extensions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// An RFC 9457 problem as it is sent. Some have members of their own: `password_expired` has `reset_token`,
/// which a new password is set with, at `/api/v1/auth/password/reset/confirm`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Problem<'a> {
    /// A URI that names the kind of problem: `urn:edge-iam:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// This problem in words.
    pub detail: &'a str,
    /// A stable word for machines.
    pub code: &'a str,
    /// The request, as in the `X-Request-Id` header.
    pub request_id: &'a str,
    /// The fields that were refused.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    pub errors: &'a [FieldError],
}

/// A SCIM error (RFC 7644 section 3.12) as it is sent.
#[derive(Debug, Serialize)]
pub struct ScimProblem {
    schemas: [&'static str; 1],
    status: String,
    #[serde(rename = "scimType", skip_serializing_if = "Option::is_none")]
    scim_type: Option<&'static str>,
    detail: String,
}

/// An OAuth error (RFC 6749 section 5.2) as it is sent.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct OAuthProblem<'a> {
    /// A stable word for machines.
    pub error: &'a str,
    /// The problem in words.
    pub error_description: &'a str,
}

impl ApiError {
    /// Any error: prefer a named constructor.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            status,
            code,
            detail: detail.into(),
            fields: Vec::new(),
            headers: Vec::new(),
            cause: None,
            scim_type: None,
            extensions: Extensions::default(),
        }))
    }

    /// 400: the request can't be read.
    #[must_use]
    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: no credential, or none that holds. Why is for the log alone.
    #[must_use]
    pub fn unauthorized(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .header(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401 for a token, key or session that does not hold (RFC 6750 section 3.1).
    #[must_use]
    pub fn invalid_token(cause: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "the credential is unknown, expired or revoked")
            .header(http::header::WWW_AUTHENTICATE, challenge)
            .cause(cause)
    }

    /// 403: known, but not allowed; names what would be needed.
    #[must_use]
    pub fn forbidden(permission: &Permission) -> Self {
        let detail = format!("this needs the permission `{permission}`");
        Self::new(StatusCode::FORBIDDEN, "permission_denied", detail)
    }

    /// 404: not there, or not for this caller's eyes.
    #[must_use]
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 409: it collides with what is there.
    #[must_use]
    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: it can be read, but a field is refused.
    #[must_use]
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", "a field is refused")
            .and_field(pointer, detail)
    }

    /// 429: no password of this account, or from this address, is looked at before `until`.
    #[must_use]
    pub fn too_many_attempts(until: Timestamp, now: Timestamp) -> Self {
        let seconds =
            until.as_millis().saturating_sub(now.as_millis()).saturating_add(999).div_euclid(1000).max(1);
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "too many failed attempts, try again later",
        )
        .header(http::header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// 500: our fault. The cause is for the log alone.
    #[must_use]
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something failed on our side").cause(cause)
    }

    /// Names one more field that is refused.
    #[must_use]
    pub fn and_field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.fields.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says what happened, for the log alone. It must hold no secret.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The `scimType` of RFC 7644 table 9, for SCIM clients.
    #[must_use]
    pub fn scim_type(mut self, scim_type: &'static str) -> Self {
        self.0.scim_type = Some(scim_type);
        self
    }

    /// Adds a member of its own to the problem (RFC 9457 section 3.2): what whoever gets this code goes on
    /// with. Clients of other protocols don't see it.
    #[must_use]
    pub fn extension(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.0.extensions.0.insert(name.to_owned(), value.into());
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable word for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// What happened, for the log.
    #[must_use]
    pub fn log_cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The answer as its clients understand it: its body, media type and headers.
    pub(crate) fn render(&self, style: ErrorStyle, request_id: &str) -> Response {
        let (media_type, body) = self.encode(style, request_id);
        // Serializing strings into memory does not fail; an empty body with the right status if it did.
        let mut response = (self.0.status, body.unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        for (name, value) in &self.0.headers {
            headers.insert(name, value.clone());
        }
        response
    }

    fn encode(&self, style: ErrorStyle, request_id: &str) -> (&'static str, serde_json::Result<Vec<u8>>) {
        let inner = &self.0;
        match style {
            ErrorStyle::Webhook if inner.code == "maintenance" => {
                let body = serde_json::json!({"error": self.detail(), "status": inner.code});
                ("application/json", serde_json::to_vec(&body))
            }
            ErrorStyle::Problem | ErrorStyle::Webhook => {
                let problem = Problem {
                    kind: format!("urn:edge-iam:problem:{}", inner.code),
                    title: inner.status.canonical_reason().unwrap_or("Error"),
                    status: inner.status.as_u16(),
                    detail: self.detail(),
                    code: inner.code,
                    request_id,
                    errors: &inner.fields,
                };
                ("application/problem+json", inner.extensions.append_to(serde_json::to_vec(&problem)))
            }
            ErrorStyle::Scim => ("application/scim+json", serde_json::to_vec(&self.to_scim())),
            ErrorStyle::OAuth => {
                let problem = OAuthProblem { error: self.oauth_error(), error_description: self.detail() };
                ("application/json", serde_json::to_vec(&problem))
            }
        }
    }

    fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Our code where OAuth knows it, otherwise what OAuth calls its like.
    fn oauth_error(&self) -> &'static str {
        let code = self.0.code;
        match self.0.status.as_u16() {
            _ if OAUTH_ERRORS.contains(&code) => code,
            401 => "invalid_token",
            403 => "insufficient_scope",
            503 => "temporarily_unavailable",
            500..=599 => "server_error",
            _ => "invalid_request",
        }
    }

    /// It as SCIM's clients hear of it (RFC 7644 section 3.12): what stands for one operation of a bulk
    /// request too.
    #[must_use]
    pub fn to_scim(&self) -> ScimProblem {
        ScimProblem {
            schemas: ["urn:ietf:params:scim:api:messages:2.0:Error"],
            status: self.0.status.as_u16().to_string(),
            scim_type: self.0.scim_type,
            detail: self.scim_detail(),
        }
    }

    /// SCIM errors have no list of fields: the detail names them.
    fn scim_detail(&self) -> String {
        let mut detail = self.detail().to_owned();
        for field in &self.0.fields {
            detail.push_str("; ");
            detail.push_str(&field.pointer);
            detail.push_str(": ");
            detail.push_str(&field.detail);
        }
        detail
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_busy", "the database is busy, try again")
                    .header(http::header::RETRY_AFTER, HeaderValue::from_static("1"))
                    .cause(error.to_string())
            }
            DbError::Constraint(_) | DbError::Other(_) => Self::internal(error.to_string()),
        }
    }
}

macro_rules! internal_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for ApiError {
            fn from(error: $error) -> Self {
                Self::internal(error.to_string())
            }
        }
    )*};
}

internal_errors!(RowError, SealError, PasswordError, RandomError, serde_json::Error);

/// Where a credential of an organization is needed and what came is none.
pub(crate) fn parse_credential(prefix: &str, text: &str) -> Result<Credential, ApiError> {
    Credential::parse(prefix, text).ok_or_else(|| ApiError::invalid_token("malformed credential"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: &ApiError, style: ErrorStyle) -> Json {
        serde_json::from_slice(&error.encode(style, "request").1.unwrap()).unwrap()
    }

    #[test]
    fn an_extension_is_a_member_of_the_problem_alone() {
        let plain = ApiError::bad_request("a_code", "a detail");
        let extended = plain.clone().extension("reset_token", "a secret").extension("left", 3);
        let problem = body(&extended, ErrorStyle::Problem);
        assert_eq!((&problem["reset_token"], &problem["left"]), (&Json::from("a secret"), &Json::from(3)));
        assert_eq!(problem["code"], "a_code");
        let members = |error| body(error, ErrorStyle::Problem).as_object().unwrap().len();
        assert_eq!(members(&extended), members(&plain) + 2);
        for style in [ErrorStyle::Scim, ErrorStyle::OAuth] {
            assert_eq!(body(&extended, style), body(&plain, style));
        }
        assert!(!format!("{extended:?}").contains("a secret"), "{extended:?}");
    }
}
