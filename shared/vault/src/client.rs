//! Who asks: keeps a session, renews it, logs in again, and is never longer about it than it may be.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use iam_core::time::{Duration, Timestamp};
use iam_edge::{FetchError, FetchLimits, Host};

use crate::auth::{Login, Session, Step, Token, log_in, look_up, renew};
use crate::error::VaultError;
use crate::question::{Asked, Question, Server};

/// The largest answer, in bytes.
pub const MAX_ANSWER_BYTES: usize = 512 * 1024;

/// A session that was denied something is given up for a new one, unless it is younger than this: then it is
/// the policy that denies.
const YOUNG_MS: i64 = 5_000;

/// What sends requests, and the clock beside it.
pub trait Transport: Sync {
    /// Sends one.
    fn send(
        &self,
        request: Request<Bytes>,
        limits: FetchLimits,
    ) -> impl Future<Output = Result<Response<Bytes>, FetchError>> + Send;

    /// Now.
    fn now(&self) -> Timestamp;
}

impl Transport for Host {
    async fn send(
        &self,
        request: Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<Response<Bytes>, FetchError> {
        self.fetch(request, limits).await
    }

    fn now(&self) -> Timestamp {
        iam_edge::now()
    }
}

/// A client of one Vault. An instance keeps one.
pub struct Client {
    server: Server,
    timeout: Duration,
    session: Mutex<Option<Session>>,
}

impl Client {
    /// A client whose every question is answered within `timeout`, or not at all: logging in and trying again
    /// included.
    #[must_use]
    pub fn new(server: Server, timeout: Duration) -> Self {
        Self { server, timeout, session: Mutex::default() }
    }

    /// Asks with a token.
    ///
    /// # Errors
    /// As [`VaultError`] has them.
    pub async fn ask<T>(
        &self,
        transport: &impl Transport,
        login: &Login,
        question: &Question<T>,
    ) -> Result<T, VaultError> {
        let answer = self.exchange(transport, login, &question.asked).await?;
        question.read(&answer)
    }

    /// Asks without a token.
    ///
    /// # Errors
    /// As [`VaultError`] has them.
    pub async fn ask_openly<T>(
        &self,
        transport: &impl Transport,
        question: &Question<T>,
    ) -> Result<T, VaultError> {
        let until = transport.now().after(self.timeout);
        question.read(&self.send(transport, &question.asked, None, until).await?)
    }

    async fn exchange(
        &self,
        transport: &impl Transport,
        login: &Login,
        asked: &Asked,
    ) -> Result<Response<Bytes>, VaultError> {
        let until = transport.now().after(self.timeout);
        let session = self.session(transport, login, until).await?;
        let answer = self.send(transport, asked, Some(&session.token), until).await?;
        let is_denied = matches!(answer.status().as_u16(), 401 | 403);
        if !is_denied || self.is_young(&session, transport.now()) {
            return Ok(answer);
        }
        self.forget(&session);
        let session = self.log_in(transport, login, until).await?;
        self.send(transport, asked, Some(&session.token), until).await
    }

    fn is_young(&self, session: &Session, now: Timestamp) -> bool {
        (0..YOUNG_MS).contains(&now.as_millis().saturating_sub(session.since.as_millis()))
    }

    async fn session(
        &self,
        transport: &impl Transport,
        login: &Login,
        until: Timestamp,
    ) -> Result<Session, VaultError> {
        let Some(session) = self.kept(login) else { return self.log_in(transport, login, until).await };
        match session.step(transport.now()) {
            Step::Use => Ok(session),
            Step::LogIn => self.log_in(transport, login, until).await,
            Step::Renew => match self.renewed(transport, &session, until).await {
                Ok(token) => {
                    let renewed = Session { token, since: transport.now() };
                    if renewed.is_worth_keeping() {
                        self.keep(&renewed);
                        Ok(renewed)
                    } else {
                        self.log_in(transport, login, until).await
                    }
                }
                // Not now; it holds for a while yet.
                Err(error) if error.is_unavailable() && error != VaultError::Timeout => Ok(session),
                Err(VaultError::Timeout) => Err(VaultError::Timeout),
                Err(_) => self.log_in(transport, login, until).await,
            },
        }
    }

    async fn renewed(
        &self,
        transport: &impl Transport,
        session: &Session,
        until: Timestamp,
    ) -> Result<Token, VaultError> {
        let question = renew()?;
        question.read(&self.send(transport, &question.asked, Some(&session.token), until).await?)
    }

    async fn log_in(
        &self,
        transport: &impl Transport,
        login: &Login,
        until: Timestamp,
    ) -> Result<Session, VaultError> {
        // Leases count from before they were asked for: never longer than the Vault thinks.
        let since = transport.now();
        let token = match (log_in(login)?, login) {
            (Some(question), _) => {
                let answer = self.send(transport, &question.asked, None, until).await?;
                question.read(&answer).map_err(refused_login)?
            }
            (None, Login::Token(given)) => {
                let given =
                    Token { token: given.clone(), lease: Duration::from_seconds(0), renewable: false };
                let question = look_up();
                let answer = self.send(transport, &question.asked, Some(&given), until).await?;
                let (lease, renewable) = question.read(&answer).map_err(refused_login)?;
                Token { lease, renewable, ..given }
            }
            (None, _) => return Err(VaultError::Invalid("a way to log in")),
        };
        let session = Session { token, since };
        self.keep(&session);
        Ok(session)
    }

    async fn send(
        &self,
        transport: &impl Transport,
        asked: &Asked,
        token: Option<&Token>,
        until: Timestamp,
    ) -> Result<Response<Bytes>, VaultError> {
        let left = until.as_millis().saturating_sub(transport.now().as_millis());
        let timeout_ms = u32::try_from(left).ok().filter(|left| *left > 0).ok_or(VaultError::Timeout)?;
        let request = asked.request(&self.server, token.map(|token| token.token.expose()))?;
        let limits = FetchLimits { timeout_ms, max_response_bytes: MAX_ANSWER_BYTES };
        Ok(transport.send(request, limits).await?)
    }

    /// The session that is kept, where it is this login's: a token that was replaced has none.
    fn kept(&self, login: &Login) -> Option<Session> {
        let session = self.lock().clone()?;
        match login {
            Login::Token(given) => (session.token.token == *given).then_some(session),
            Login::AppRole { .. } | Login::Kubernetes { .. } => Some(session),
        }
    }

    fn keep(&self, session: &Session) {
        *self.lock() = Some(session.clone());
    }

    /// Gives up a session, unless another request has replaced it already.
    fn forget(&self, session: &Session) {
        let mut kept = self.lock();
        if kept.as_ref() == Some(session) {
            *kept = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A login that the Vault takes for a bad request is a credential that is not good (Vault says 400 to an
/// unknown `AppRole`).
fn refused_login(error: VaultError) -> VaultError {
    match error {
        VaultError::Refused(_) => VaultError::Denied,
        VaultError::Absent => VaultError::NoEngine,
        other => other,
    }
}
