//! Calls of the API: one credential, errors in words, and another try where that may help.

use std::cell::RefCell;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::{HeaderMap, Request, StatusCode};
use ureq::{Agent, Body};

use crate::Global;
use crate::profile::{self, Profile};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a request is tried that may be repeated.
const TRIES: u32 = 5;

/// The largest answer, in bytes: a page of an export.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// The environment variable that holds a token or an API key.
const TOKEN_VARIABLE: &str = "IAM_TOKEN";

/// Something that calls one deployment.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    credential: RefCell<Credential>,
}

enum Credential {
    None,
    /// From the environment: used as it is.
    Fixed(String),
    /// Of a sign-in: refreshed when it is over.
    Profile(Box<Profile>, PathBuf),
}

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

/// What a sign-in and a refresh answer.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

impl Answer {
    /// The body, decoded.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).context("not the answer of this API: is this the right address?")
    }

    /// The answer, if it is a success.
    fn success(self) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let problem: Problem = self.json().unwrap_or_default();
        let mut message = format!("{} {}: {}", self.status.as_u16(), problem.code, problem.detail);
        for error in problem.errors {
            message.push_str(&format!("; {}: {}", error.pointer, error.detail));
        }
        if !problem.request_id.is_empty() {
            message.push_str(&format!(" (request {})", problem.request_id));
        }
        Err(anyhow!(message))
    }
}

impl Client {
    /// A client without a credential.
    pub(crate) fn anonymous(global: &Global) -> Result<Self> {
        let url = global.url.clone().context("say where the deployment is: --url or IAM_URL")?;
        Self::new(url, Credential::None, global)
    }

    /// A client with the token of the environment or the sign-in of the profile.
    pub(crate) fn signed_in(global: &Global) -> Result<Self> {
        let path = profile::path(&global.profile)?;
        let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let profile = Profile::load(&path)?;
        match (token, profile) {
            (Some(token), profile) => {
                let url = global.url.clone().or_else(|| profile.map(|profile| profile.url));
                let url = url.context("say where the deployment is: --url or IAM_URL")?;
                Self::new(url, Credential::Fixed(token), global)
            }
            (None, Some(profile)) => {
                if global.url.as_deref().is_some_and(|url| trimmed(url) != profile.url) {
                    bail!(
                        "the profile `{}` is signed in at {}, not at the given address",
                        global.profile,
                        profile.url
                    );
                }
                Self::new(profile.url.clone(), Credential::Profile(Box::new(profile), path), global)
            }
            (None, None) => bail!("nobody is signed in: run `iam login`, or set {TOKEN_VARIABLE}"),
        }
    }

    fn new(url: String, credential: Credential, global: &Global) -> Result<Self> {
        let url = trimmed(&url).to_owned();
        check_url(&url, global.insecure_http)?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("iam/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, url, credential: RefCell::new(credential) })
    }

    /// Where the deployment is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// GET, tried again where that may help.
    pub(crate) fn get(&self, path_and_query: &str) -> Result<Answer> {
        self.repeatable("GET", path_and_query, None)
    }

    /// A POST that may be repeated without harm.
    pub(crate) fn post_repeatable(&self, path: &str, media_type: &str, body: &[u8]) -> Result<Answer> {
        self.repeatable("POST", path, Some((media_type, body)))
    }

    /// A POST of JSON, sent once.
    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Result<Answer> {
        let body = body.to_string();
        self.send("POST", path, Some(("application/json", body.as_bytes())), self.token().as_deref())?
            .success()
    }

    fn repeatable(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<Answer> {
        let mut tries = 1;
        let mut is_refreshed = false;
        loop {
            let result = self.send(method, path, body, self.token().as_deref());
            let wait = Duration::from_millis(200 << tries);
            match result {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !is_refreshed => {
                    is_refreshed = true;
                    if !self.refresh()? {
                        return answer.success();
                    }
                }
                Ok(answer) if tries < TRIES && is_worth_another_try(&answer) => std::thread::sleep(wait),
                Err(_) if tries < TRIES => std::thread::sleep(wait),
                result => return result?.success(),
            }
            tries += 1;
        }
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
        token: Option<&str>,
    ) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = match body {
            Some((media_type, body)) => {
                self.agent.run(request.header("content-type", media_type).body(body)?)
            }
            None => self.agent.run(request.body(())?),
        };
        read(response.with_context(|| format!("{} does not answer", self.url))?)
    }

    fn token(&self) -> Option<String> {
        match &*self.credential.borrow() {
            Credential::None => None,
            Credential::Fixed(token) => Some(token.clone()),
            Credential::Profile(profile, _) => Some(profile.access_token.clone()),
        }
    }

    /// Exchanges the profile's refresh token, or takes over what another run of this program exchanged meanwhile. Whether
    /// there is another access token now.
    fn refresh(&self) -> Result<bool> {
        let (before, path) = match &*self.credential.borrow() {
            Credential::Profile(profile, path) => (profile.clone(), path.clone()),
            Credential::None | Credential::Fixed(_) => return Ok(false),
        };
        let mut profile = match Profile::load(&path)? {
            Some(stored) if stored.access_token != before.access_token => stored,
            _ => {
                let body = json!({"refresh_token": before.refresh_token}).to_string();
                let body = Some(("application/json", body.as_bytes()));
                let answer = self.send("POST", "/api/v1/auth/refresh", body, None)?.success();
                let tokens: Tokens = answer.context("the sign-in is over: run `iam login` again")?.json()?;
                let Tokens { access_token, refresh_token } = tokens;
                let profile = Profile { access_token, refresh_token, ..*before };
                profile.store(&path)?;
                profile
            }
        };
        profile.url.clone_from(&self.url);
        *self.credential.borrow_mut() = Credential::Profile(Box::new(profile), path);
        Ok(true)
    }
}

fn read(response: ureq::http::Response<Body>) -> Result<Answer> {
    let (parts, body) = response.into_parts();
    let mut bytes = Vec::new();
    body.into_with_config()
        .limit(MAX_ANSWER_BYTES)
        .reader()
        .read_to_end(&mut bytes)
        .context("the answer broke off")?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: bytes })
}

fn is_worth_another_try(answer: &Answer) -> bool {
    let status = answer.status;
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::CONFLICT
}

fn trimmed(url: &str) -> &str {
    url.trim().trim_end_matches('/')
}

/// Credentials go over TLS, or to this machine.
pub(crate) fn check_url(url: &str, insecure_http: bool) -> Result<()> {
    let uri: ureq::http::Uri = url.parse().with_context(|| format!("`{url}` is not an address"))?;
    let host = uri.host().unwrap_or_default();
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1");
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_here || insecure_http => Ok(()),
        Some("http") => bail!("{url} is plain HTTP: credentials go over https (or give --insecure-http)"),
        _ => bail!("`{url}` is not an http or https address"),
    }
}

#[cfg(test)]
mod tests {
    use super::check_url;

    #[test]
    fn credentials_stay_off_plain_http() {
        for url in
            ["https://iam.example.com", "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:1"]
        {
            check_url(url, false).unwrap();
        }
        for url in
            ["http://iam.example.com", "http://localhost.example.com", "ftp://localhost", "iam.example.com"]
        {
            assert!(check_url(url, false).is_err(), "{url}");
        }
        check_url("http://iam.internal", true).unwrap();
    }
}
