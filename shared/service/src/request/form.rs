//! Form bodies, as OAuth sends them.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;

use crate::request::error::ApiError;

/// How many parameters a form has at most.
const MAX_PARAMETERS: usize = 32;

/// The longest form, in bytes: an assertion and a token of the largest size fit.
const MAX_FORM_BYTES: usize = 16 * 1024;

const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// A form body (RFC 6749 appendix B). No parameter may come twice; one without a value is as one that is not
/// there (RFC 6749 section 3.1); those that nobody asks for are ignored.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// 400 where it is too large or a parameter comes twice.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let refuse = |detail: &'static str| ApiError::bad_request("invalid_request", detail);
        if body.len() > MAX_FORM_BYTES {
            return Err(refuse("the form may be 16 KiB long"));
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(refuse("a parameter comes twice"));
            }
            if parameters.len() >= MAX_PARAMETERS {
                return Err(refuse("the form may have 32 parameters"));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter; `None` where it is absent or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// The value of a parameter that has to be there.
    ///
    /// # Errors
    /// 400 where it is absent or empty.
    pub fn require(&self, name: &'static str) -> Result<&str, ApiError> {
        let missing = || ApiError::bad_request("invalid_request", format!("`{name}` is missing"));
        self.get(name).ok_or_else(missing)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(MEDIA_TYPE) {
            let detail = format!("the body must be `{MEDIA_TYPE}`");
            return Err(ApiError::bad_request("invalid_request", detail));
        }
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            ApiError::bad_request("invalid_request", "the body can't be read").cause(error.to_string())
        })?;
        Self::parse(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read() {
        let form =
            Form::parse(b"grant_type=client_credentials&scope=a.read.own+b.read.own&x=%26%3D&empty=&bare")
                .unwrap();
        assert_eq!(form.get("grant_type"), Some("client_credentials"));
        assert_eq!(form.get("scope"), Some("a.read.own b.read.own"));
        assert_eq!(form.get("x"), Some("&="));
        assert_eq!((form.get("empty"), form.get("bare"), form.get("absent")), (None, None, None));
        assert_eq!(form.require("empty").unwrap_err().code(), "invalid_request");
    }

    #[test]
    fn what_is_ambiguous_or_too_large_is_refused() {
        for body in [
            "a=1&a=1".to_owned(),
            "a=&a=1".to_owned(),
            "%61=1&a=2".to_owned(),
            "a=".repeat(20_000),
            (0..33).map(|index| format!("p{index}=1&")).collect(),
        ] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{}", body.len());
        }
        assert!(Form::parse(&[0xff; 64]).is_ok());
    }
}
