//! Logging in, and how long that lasts.

use bytes::Bytes;
use http::Response;
use iam_core::time::{Duration, Timestamp};
use serde_json::json;

use crate::error::VaultError;
use crate::question::{Question, check_path, success};
use crate::text::SecretText;

/// The longest token that is taken, in bytes.
const MAX_TOKEN_BYTES: usize = 4096;

/// The longest lease that is believed: ten years.
const MAX_LEASE_SECONDS: i64 = 3660 * 86_400;

/// A lease that is renewed to less than this is at its end: a new one is needed.
const SHORTEST_LEASE_SECONDS: i64 = 10;

/// How a Vault is logged in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A token that somebody else made.
    Token(SecretText),
    /// `AppRole`.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role_id: String,
        /// Its secret.
        secret_id: SecretText,
    },
    /// A Kubernetes service account, or any other method that takes a role and a JWT.
    Kubernetes {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role: String,
        /// The service account's token.
        jwt: SecretText,
    },
}

/// A token and what is known of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub token: SecretText,
    /// How long it lives; zero: for ever.
    pub lease: Duration,
    /// Whether its life can be made longer.
    pub renewable: bool,
}

/// What to do with a session before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Use,
    /// Renew it; where that fails for the moment it can still be used.
    Renew,
    /// Log in.
    LogIn,
}

/// A token in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The token and its lease.
    pub token: Token,
    /// When the lease began.
    pub since: Timestamp,
}

impl Session {
    /// What has to be done now. Leases are renewed when two thirds are over; what is about to end is not
    /// used.
    #[must_use]
    pub fn step(&self, now: Timestamp) -> Step {
        let lease = self.token.lease.as_seconds();
        if lease == 0 {
            return Step::Use;
        }
        let age = now.as_millis().saturating_sub(self.since.as_millis());
        let lease = lease.saturating_mul(1000);
        // A clock that went back tells nothing about the age.
        if age < 0 || age >= lease.saturating_sub(1000) {
            return Step::LogIn;
        }
        if age < lease.saturating_mul(2) / 3 {
            Step::Use
        } else if self.token.renewable {
            Step::Renew
        } else if age >= lease.saturating_mul(9) / 10 {
            Step::LogIn
        } else {
            Step::Use
        }
    }

    /// Whether a renewal gave it enough to live on.
    #[must_use]
    pub fn is_worth_keeping(&self) -> bool {
        let lease = self.token.lease.as_seconds();
        lease == 0 || lease >= SHORTEST_LEASE_SECONDS
    }
}

fn token(token: SecretText, lease_seconds: i64, renewable: bool) -> Result<Token, VaultError> {
    let text = token.expose();
    let is_token =
        !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token || !(0..=MAX_LEASE_SECONDS).contains(&lease_seconds) {
        return Err(VaultError::Lying("a token of another form"));
    }
    Ok(Token { token, lease: Duration::from_seconds(lease_seconds), renewable })
}

fn read_auth(answer: &Response<Bytes>) -> Result<Token, VaultError> {
    let mut body = success(answer)?;
    let text = body.secret("/auth/client_token")?;
    token(text, body.integer("/auth/lease_duration")?, body.flag("/auth/renewable")?)
}

/// Logs in. `None` for a token, which is looked up instead ([`look_up`]).
///
/// # Errors
/// When the mount is none.
pub fn log_in(login: &Login) -> Result<Option<Question<Token>>, VaultError> {
    match login {
        Login::Token(_) => Ok(None),
        Login::AppRole { mount, role_id, secret_id } => {
            check_path(mount)?;
            let body = json!({"role_id": role_id, "secret_id": secret_id});
            Question::post(format!("auth/{mount}/login"), &body, read_auth).map(Some)
        }
        Login::Kubernetes { mount, role, jwt } => {
            check_path(mount)?;
            let body = json!({"role": role, "jwt": jwt});
            Question::post(format!("auth/{mount}/login"), &body, read_auth).map(Some)
        }
    }
}

/// Makes the life of the token that asks longer.
///
/// # Errors
/// Never, but the signature of all questions with a body.
pub fn renew() -> Result<Question<Token>, VaultError> {
    Question::post("auth/token/renew-self".to_owned(), &json!({}), read_auth)
}

/// Asks how long the token that asks still lives: its lease and whether it can be renewed.
#[must_use]
pub fn look_up() -> Question<(Duration, bool)> {
    Question::get("auth/token/lookup-self".to_owned(), |answer| {
        let body = success(answer)?;
        let seconds = body.integer("/data/ttl")?;
        if !(0..=MAX_LEASE_SECONDS).contains(&seconds) {
            return Err(VaultError::Lying("a life of another form"));
        }
        Ok((Duration::from_seconds(seconds), body.flag("/data/renewable")?))
    })
}
