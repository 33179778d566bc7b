//! Calls of the API: one credential, errors in words, and another try where that may help.

use std::cell::RefCell;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::{Request, StatusCode};
use ureq::{Agent, Body};

use crate::Global;
use crate::answer::Answer;
use crate::exit::{Exit, Failure};
use crate::profile::{self, Profile};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a request is tried that may be repeated.
const TRIES: u32 = 5;

/// Who wants to be asked again later than this, in seconds, is not waited for.
const LONGEST_WAIT: u64 = 10;

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

/// One request.
pub(crate) struct Call<'a> {
    method: &'static str,
    path: &'a str,
    body: Option<(&'static str, Vec<u8>)>,
    idempotency_key: Option<String>,
    repeat: Repeat,
}

/// When a request may be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Never: it might be done twice.
    Never,
    /// Where no answer came, or one that may be another next time.
    OnTrouble,
    /// Where it conflicted with something, too.
    OnConflict,
}

/// What a sign-in and a refresh answer.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

impl<'a> Call<'a> {
    fn new(method: &'static str, path: &'a str, repeat: Repeat) -> Self {
        Self { method, path, body: None, idempotency_key: None, repeat }
    }

    /// GET: tried again where that may help.
    pub(crate) fn get(path: &'a str) -> Self {
        Self::new("GET", path, Repeat::OnTrouble)
    }

    /// DELETE: the same.
    pub(crate) fn delete(path: &'a str) -> Self {
        Self::new("DELETE", path, Repeat::OnTrouble)
    }

    /// A merge patch: applied twice it is what it is applied once.
    pub(crate) fn patch(path: &'a str, body: &Value) -> Self {
        Self::new("PATCH", path, Repeat::OnTrouble).with_json(body)
    }

    /// POST of JSON, sent once.
    pub(crate) fn post(path: &'a str, body: &Value) -> Self {
        Self::new("POST", path, Repeat::Never).with_json(body)
    }

    /// POST of anything that may be repeated without harm, conflicts included.
    pub(crate) fn post_repeatable(path: &'a str, media_type: &'static str, body: Vec<u8>) -> Self {
        Self { body: Some((media_type, body)), ..Self::new("POST", path, Repeat::OnConflict) }
    }

    /// The same, done once however often it is sent.
    pub(crate) fn once(self, idempotency_key: String) -> Self {
        Self { idempotency_key: Some(idempotency_key), repeat: Repeat::OnTrouble, ..self }
    }

    /// The same, sent once.
    pub(crate) fn without_repeating(self) -> Self {
        Self { repeat: Repeat::Never, ..self }
    }

    fn with_json(self, body: &Value) -> Self {
        Self { body: Some(("application/json", body.to_string().into_bytes())), ..self }
    }
}

impl Client {
    /// A client without a credential.
    pub(crate) fn anonymous(global: &Global) -> Result<Self> {
        let url = match &global.url {
            Some(url) => Some(url.clone()),
            None => Profile::load(&profile::path(&global.profile)?)?.map(|profile| profile.url),
        };
        Self::new(url.ok_or_else(no_address)?, Credential::None, global)
    }

    /// A client with the token of the environment or the sign-in of the profile.
    pub(crate) fn signed_in(global: &Global) -> Result<Self> {
        let path = profile::path(&global.profile)?;
        let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let profile = Profile::load(&path)?;
        match (token, profile) {
            (Some(token), profile) => {
                let url = global.url.clone().or_else(|| profile.map(|profile| profile.url));
                Self::new(url.ok_or_else(no_address)?, Credential::Fixed(token), global)
            }
            (None, Some(profile)) => {
                if global.url.as_deref().is_some_and(|url| trimmed(url) != profile.url) {
                    let (name, url) = (&global.profile, &profile.url);
                    let message =
                        format!("the profile `{name}` is signed in at {url}, not at the given address");
                    return Err(Failure::error(Exit::Usage, message));
                }
                Self::of_profile(profile, path, global)
            }
            (None, None) => {
                let message = format!("nobody is signed in: run `iam login`, or set {TOKEN_VARIABLE}");
                Err(Failure::error(Exit::Denied, message))
            }
        }
    }

    /// A client with the sign-in of a profile, whatever the environment has.
    pub(crate) fn of_profile(profile: Profile, path: PathBuf, global: &Global) -> Result<Self> {
        Self::new(profile.url.clone(), Credential::Profile(Box::new(profile), path), global)
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

    /// Sends it; the answer, if it is a success.
    pub(crate) fn call(&self, call: &Call<'_>) -> Result<Answer> {
        self.answer(call)?.success()
    }

    /// Sends it, again where that may help, and with a new access token where the old one is over; the answer
    /// whatever it is.
    pub(crate) fn answer(&self, call: &Call<'_>) -> Result<Answer> {
        let mut tries = 1;
        let mut is_refreshed = false;
        loop {
            let result = self.send(call, self.token().as_deref());
            let wait = match result {
                // Who is not let in has done nothing: this may be repeated always.
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !is_refreshed => {
                    is_refreshed = true;
                    if !self.refresh()? {
                        return Ok(answer);
                    }
                    continue;
                }
                Ok(answer) if tries < TRIES && is_worth_another_try(call.repeat, &answer) => {
                    answer.retry_after().map(Duration::from_secs)
                }
                Err(_) if tries < TRIES && call.repeat != Repeat::Never => None,
                result => return result,
            };
            std::thread::sleep(wait.unwrap_or(Duration::from_millis(200 << tries)));
            tries += 1;
        }
    }

    fn send(&self, call: &Call<'_>, token: Option<&str>) -> Result<Answer> {
        let mut request = Request::builder().method(call.method).uri(format!("{}{}", self.url, call.path));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let response = match &call.body {
            Some((media_type, body)) => {
                self.agent.run(request.header("content-type", *media_type).body(body.as_slice())?)
            }
            None => self.agent.run(request.body(())?),
        };
        let answer = response.map_err(|error| error.to_string()).and_then(read);
        answer.map_err(|error| {
            Failure::error(Exit::Unreachable, format!("{} does not answer: {error}", self.url))
        })
    }

    fn token(&self) -> Option<String> {
        match &*self.credential.borrow() {
            Credential::None => None,
            Credential::Fixed(token) => Some(token.clone()),
            Credential::Profile(profile, _) => Some(profile.access_token.clone()),
        }
    }

    /// Exchanges the profile's refresh token, or takes over what another run of this program exchanged
    /// meanwhile. Whether there is another access token now.
    fn refresh(&self) -> Result<bool> {
        let (before, path) = match &*self.credential.borrow() {
            Credential::Profile(profile, path) => (profile.clone(), path.clone()),
            Credential::None | Credential::Fixed(_) => return Ok(false),
        };
        let mut profile = match Profile::load(&path)? {
            Some(stored) if stored.access_token != before.access_token => stored,
            _ => {
                let body = json!({"refresh_token": before.refresh_token});
                let answer = self.send(&Call::post("/api/v1/auth/refresh", &body), None)?.success();
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

fn no_address() -> anyhow::Error {
    Failure::error(Exit::Usage, "say where the deployment is: --url or IAM_URL")
}

fn read(response: ureq::http::Response<Body>) -> Result<Answer, String> {
    let (parts, body) = response.into_parts();
    let mut bytes = Vec::new();
    let mut reader = body.into_with_config().limit(MAX_ANSWER_BYTES).reader();
    reader.read_to_end(&mut bytes).map_err(|error| format!("the answer broke off: {error}"))?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: bytes })
}

fn is_worth_another_try(repeat: Repeat, answer: &Answer) -> bool {
    let is_soon = answer.retry_after().is_none_or(|seconds| seconds <= LONGEST_WAIT);
    let is_trouble = answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS;
    let is_conflict = answer.status == StatusCode::CONFLICT;
    is_soon
        && match repeat {
            Repeat::Never => false,
            Repeat::OnTrouble => is_trouble,
            Repeat::OnConflict => is_trouble || is_conflict,
        }
}

fn trimmed(url: &str) -> &str {
    url.trim().trim_end_matches('/')
}

/// Credentials go over TLS, or to this machine.
pub(crate) fn check_url(url: &str, insecure_http: bool) -> Result<()> {
    let refused = |message: String| Err(Failure::error(Exit::Usage, message));
    // It would be kept in the profile, and shown.
    if url.contains('@') {
        return refused("no credential belongs into the address".to_owned());
    }
    let Ok(uri) = url.parse::<ureq::http::Uri>() else {
        return refused(format!("`{url}` is not an address"));
    };
    let host = uri.host().unwrap_or_default();
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1");
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_here || insecure_http => Ok(()),
        Some("http") => {
            refused(format!("{url} is plain HTTP: credentials go over https (or give --insecure-http)"))
        }
        _ => refused(format!("`{url}` is not an http or https address")),
    }
}

#[cfg(test)]
mod tests {
    use ureq::http::HeaderMap;

    use super::*;

    #[test]
    fn credentials_stay_off_plain_http() {
        for url in
            ["https://iam.example.com", "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:1"]
        {
            check_url(url, false).unwrap();
        }
        for url in [
            "http://iam.example.com",
            "http://localhost.example.com",
            "ftp://localhost",
            "iam.example.com",
            "https://ada:secret@iam.example.com",
        ] {
            let error = check_url(url, false).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Usage, "{url}");
            assert!(!error.to_string().contains("secret"));
        }
        check_url("http://iam.internal", true).unwrap();
    }

    #[test]
    fn what_might_be_done_twice_is_sent_once() {
        let answer = |status: u16, retry_after: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(text) = retry_after {
                headers.insert("retry-after", text.parse().unwrap());
            }
            Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Vec::new() }
        };
        assert!(!is_worth_another_try(Repeat::Never, &answer(503, None)));
        assert!(is_worth_another_try(Repeat::OnTrouble, &answer(503, Some("1"))));
        assert!(!is_worth_another_try(Repeat::OnTrouble, &answer(503, Some("300"))));
        assert!(!is_worth_another_try(Repeat::OnTrouble, &answer(409, None)));
        assert!(is_worth_another_try(Repeat::OnConflict, &answer(409, None)));
        assert!(!is_worth_another_try(Repeat::OnConflict, &answer(422, None)));
    }
}
