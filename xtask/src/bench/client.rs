//! Requests over one kept connection, one after the other.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::http::Request;
use ureq::{Agent, SendBody};

/// Longer than anything here takes, so that a stuck server ends the run.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends requests.
#[derive(Clone)]
pub(super) struct Client(Agent);

/// One request, ready to be sent any number of times.
#[derive(Clone)]
pub(super) struct Call {
    method: &'static str,
    url: String,
    bearer: Option<String>,
    body: Option<(&'static str, String)>,
    expected: u16,
}

impl Call {
    /// A GET request that is answered 200.
    pub(super) fn get(url: String) -> Self {
        Self { method: "GET", url, bearer: None, body: None, expected: 200 }
    }

    /// A DELETE request that is answered 200.
    pub(super) fn delete(url: String) -> Self {
        Self { method: "DELETE", ..Self::get(url) }
    }

    /// A POST request with a JSON body that is answered 200.
    pub(super) fn post(url: String, body: &Value) -> Self {
        Self { method: "POST", body: Some(("application/json", body.to_string())), ..Self::get(url) }
    }

    /// A PATCH request with a JSON body that is answered 200.
    pub(super) fn patch(url: String, body: &Value) -> Self {
        Self { method: "PATCH", ..Self::post(url, body) }
    }

    /// With a bearer token.
    pub(super) fn with(mut self, bearer: &str) -> Self {
        self.bearer = Some(format!("Bearer {bearer}"));
        self
    }

    /// Answered with another status.
    pub(super) fn expect(mut self, status: u16) -> Self {
        self.expected = status;
        self
    }
}

impl Client {
    pub(super) fn new() -> Self {
        let configuration = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .build();
        Self(configuration.into())
    }

    /// Sends a request and gives its answer's body.
    pub(super) fn send(&self, call: &Call) -> Result<String> {
        let mut request = Request::builder().method(call.method).uri(&call.url);
        if let Some(bearer) = &call.bearer {
            request = request.header("authorization", bearer);
        }
        let what = || format!("{} {}", call.method, call.url);
        let response = match &call.body {
            Some((media_type, body)) => {
                self.0.run(request.header("content-type", *media_type).body(body).with_context(what)?)
            }
            None => self.0.run(request.body(SendBody::none()).with_context(what)?),
        };
        let mut response = response.with_context(what)?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_to_string().with_context(what)?;
        if status != call.expected {
            bail!("{} answered {status}: {body}", what());
        }
        Ok(body)
    }

    /// Sends a request and gives its answer's JSON.
    pub(super) fn json(&self, call: &Call) -> Result<Value> {
        let text = self.send(call)?;
        serde_json::from_str(&text).with_context(|| format!("{} {}: no JSON", call.method, call.url))
    }
}

/// A text in an answer, by its JSON pointer.
pub(super) fn text_at(answer: &Value, pointer: &str) -> Result<String> {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("no text at {pointer} in {answer}"))
}
