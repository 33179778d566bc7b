//! A client of the API, for tests.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// Something that calls the API, with a credential or without.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    bearer: Option<String>,
    address: String,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null where it is none.
    pub json: Value,
}

impl Answer {
    /// A text in the answer, by its JSON pointer.
    pub fn text_at(&self, pointer: &str) -> &str {
        let value = self.json.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no text at {pointer} in {} {}", self.status, self.text))
    }

    /// The answer, if its status is this one.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The answer, if it is a problem with this status and code, as RFC 9457 wants it.
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", answer.text);
        assert_eq!(answer.text_at("/code"), code, "{}", answer.text);
        assert_eq!(answer.json["status"], status);
        assert_eq!(answer.text_at("/request_id"), answer.headers["x-request-id"].to_str().unwrap());
        assert!(!answer.text_at("/detail").is_empty() && !answer.text_at("/title").is_empty());
        answer
    }
}

/// Every client comes from somewhere else, so that one test's failed sign-ins lock no other test out.
fn random_address() -> String {
    let mut bytes = [0; 3];
    getrandom::fill(&mut bytes).unwrap();
    let [a, b, c] = bytes;
    format!("10.{a}.{b}.{c}")
}

impl Client {
    /// A client without a credential.
    #[must_use]
    pub fn new(base_url: &str) -> Self {
        // Every test of a binary has its own runtime, and a kept connection belongs to one.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self { http, base_url: base_url.to_owned(), bearer: None, address: random_address() }
    }

    /// The same client with a bearer credential.
    #[must_use]
    pub fn with(&self, bearer: &str) -> Self {
        Self { bearer: Some(bearer.to_owned()), ..self.clone() }
    }

    /// Its bearer credential.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.bearer.as_deref()
    }

    /// The same client as a proxy that the deployment trusts would report it from this address.
    #[must_use]
    pub fn from_address(&self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self.clone() }
    }

    /// A request under construction.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        let request = request.header("x-forwarded-for", &self.address);
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    }

    /// Sends it.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("the deployment answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the answer has a body");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status, headers, text, json }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Signs in; the answer whatever it is.
    pub async fn login(&self, username: &str, password: &str) -> Answer {
        self.post("/api/v1/auth/login", &json!({"username": username, "password": password})).await
    }
}
