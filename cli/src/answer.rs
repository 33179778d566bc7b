//! What came back from a deployment.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, StatusCode};

use crate::exit::{Exit, Failure};

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// An error of the API (RFC 9457), as far as people want to hear of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
    request_id: String,
    errors: Vec<FieldProblem>,
}

#[derive(Deserialize)]
struct FieldProblem {
    pointer: String,
    detail: String,
}

impl Answer {
    /// The body, decoded.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).context("not the answer of this API: is this the right address?")
    }

    /// The answer, if it is a success.
    pub(crate) fn success(self) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let problem: Problem = self.json().unwrap_or_default();
        let mut message = format!("{} {}: {}", self.status.as_u16(), problem.code, problem.detail);
        for error in problem.errors {
            message.push_str(&format!("; {}: {}", error.pointer, error.detail));
        }
        if let Some(seconds) = self.retry_after() {
            message.push_str(&format!("; try again in {seconds} s"));
        }
        if !problem.request_id.is_empty() {
            message.push_str(&format!(" (request {})", problem.request_id));
        }
        // What could steer a terminal is left out.
        message.retain(|character| !character.is_control());
        Err(Failure::error(Exit::of_status(self.status), message))
    }

    /// In how many seconds the deployment wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.headers.get("retry-after")?.to_str().ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), "90".parse().unwrap())]);
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
    }

    #[test]
    fn a_problem_is_told_in_one_line() {
        let body = r#"{"code": "invalid_field", "detail": "a field\u001b is refused", "request_id": "req_1",
                       "errors": [{"pointer": "/name", "detail": "1 to 128"}]}"#;
        let error = answer(422, body).success().err().unwrap();
        assert_eq!(Exit::of(&error), Exit::Refused);
        let told =
            "422 invalid_field: a field is refused; /name: 1 to 128; try again in 90 s (request req_1)";
        assert_eq!(error.to_string(), told);
        assert_eq!(Exit::of(&answer(502, "<html>").success().err().unwrap()), Exit::Server);
        assert!(answer(204, "").success().is_ok());
    }
}
