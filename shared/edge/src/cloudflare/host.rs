use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use iam_core::time::Timestamp;
use js_sys::futures::future_to_promise;
use wasm_bindgen::{JsCast, JsValue};
use worker::send::{SendFuture, SendWrapper};
use worker::web_sys::console;

use super::javascript::{ExecutionContext, Fetcher, describe, property};
use super::{Db, Kv, Socket, fetch, secret};
use crate::{ConnectError, FetchError, FetchLimits, HostKind, Secret, Tls, VariableError};

/// The host of one request. Clones belong to the same request.
#[derive(Clone)]
pub struct Host(Arc<Invocation>);

/// One event of workerd.
struct Invocation {
    environment: SendWrapper<JsValue>,
    context: SendWrapper<ExecutionContext>,
    round_trips: Arc<AtomicU32>,
    client_address: Option<IpAddr>,
}

impl Host {
    pub(super) fn new(environment: JsValue, context: JsValue, client_address: Option<IpAddr>) -> Self {
        Self(Arc::new(Invocation {
            environment: SendWrapper(environment),
            context: SendWrapper(context.unchecked_into()),
            round_trips: Arc::default(),
            client_address,
        }))
    }

    /// The database of an organization.
    #[must_use]
    pub fn db(&self, organization: &str) -> Db {
        // Every organization lives in one database today; callers already say which one they mean.
        let _ = organization;
        self.db_of_deployment()
    }

    /// The database of the deployment as a whole: its switches, and which organizations have something due.
    /// It is the one of the deployment's own organization.
    #[must_use]
    pub fn db_of_deployment(&self) -> Db {
        Db { binding: self.binding("DB"), round_trips: Arc::clone(&self.0.round_trips) }
    }

    /// The key-value cache.
    #[must_use]
    pub fn kv(&self) -> Kv {
        Kv { binding: self.binding("CACHE") }
    }

    /// Sends a request to a peer outside. Redirects are handed back, never followed.
    ///
    /// # Errors
    /// When the request cannot be sent, or no whole answer came within the limits.
    pub async fn fetch(
        &self,
        request: Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<Response<Bytes>, FetchError> {
        SendFuture::new(fetch::send(request, limits)).await
    }

    /// Calls another function of this installation. Only the path and query of the URI count.
    ///
    /// # Errors
    /// When no such function is bound, or no whole answer came within [`FetchLimits::default`].
    pub async fn call(&self, function: &str, request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
        self.call_within(function, request, FetchLimits::default()).await
    }

    /// The same within other limits.
    ///
    /// # Errors
    /// When no such function is bound, or no whole answer came within the limits.
    pub async fn call_within(
        &self,
        function: &str,
        request: Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<Response<Bytes>, FetchError> {
        SendFuture::new(async move { fetch::call(&self.service(function)?, request, limits).await }).await
    }

    /// Passes a request on to another function and its answer back, the client's address included.
    /// Whoever wants to answer with another body makes a new response and takes over the headers:
    /// the old one's extensions still name its stream.
    ///
    /// # Errors
    /// When no such function is bound or it does not answer.
    pub async fn forward(
        &self,
        function: &str,
        request: Request<Body>,
    ) -> Result<Response<Body>, FetchError> {
        SendFuture::new(async move { fetch::forward(&self.service(function)?, request).await }).await
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// When the peer does not accept within ten seconds, or TLS is asked of a host without it.
    pub async fn connect(&self, host: &str, port: u16, tls: Tls) -> Result<Socket, ConnectError> {
        Socket::open(host, port, tls).await
    }

    /// A secret by its name (`IAM_MASTER_KEY`), the Worker's own or bound from a Secrets Store; `None` where
    /// the host has none.
    ///
    /// # Errors
    /// When it exists but cannot be read.
    pub async fn secret(&self, name: &str) -> Result<Option<Secret>, VariableError> {
        let Some(value) = property(&self.0.environment.0, name) else { return Ok(None) };
        match value.as_string() {
            Some(text) => Ok(Some(Secret::new(text))),
            None => SendFuture::new(secret::stored(name, value)).await.map(Some),
        }
    }

    /// A variable by its name (`IAM_CONFIG`), `None` where the host has none.
    ///
    /// # Errors
    /// When it exists but cannot be read.
    pub async fn variable(&self, name: &str) -> Result<Option<String>, VariableError> {
        let Some(value) = property(&self.0.environment.0, name) else { return Ok(None) };
        value.as_string().map(Some).ok_or_else(|| VariableError {
            name: name.to_owned(),
            problem: "it is a binding, not text".to_owned(),
        })
    }

    /// Does this work after the answer has gone out.
    pub fn defer(&self, work: impl Future<Output = ()> + Send + 'static) {
        let promise = future_to_promise(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        });
        if let Err(thrown) = self.0.context.wait_until(&promise) {
            // The work is running; the host merely does not wait for it.
            console::error_1(&JsValue::from_str(&format!("waitUntil refused: {}", describe(&thrown))));
        }
    }

    /// Waits.
    pub async fn sleep(&self, milliseconds: u32) {
        SendFuture::new(sleep(milliseconds)).await;
    }

    /// Writes one line to the host's log.
    pub fn log(&self, line: &str) {
        console::log_1(&JsValue::from_str(line));
    }

    /// Which host this is.
    #[must_use]
    pub fn kind(&self) -> HostKind {
        HostKind::Cloudflare
    }

    /// Round trips to the database in this request so far; a batch counts as one.
    #[must_use]
    pub fn round_trips(&self) -> u32 {
        self.0.round_trips.load(Ordering::Relaxed)
    }

    /// The client's address as the host itself saw it, never as the client claims it.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.0.client_address
    }

    fn binding(&self, name: &str) -> Option<SendWrapper<JsValue>> {
        property(&self.0.environment.0, name).map(SendWrapper)
    }

    /// Function `x-y` is bound as `X_Y`.
    fn service(&self, function: &str) -> Result<Fetcher, FetchError> {
        let name = function.replace('-', "_").to_ascii_uppercase();
        property(&self.0.environment.0, &name)
            .map(JsCast::unchecked_into)
            .ok_or_else(|| FetchError::UnknownFunction(function.to_owned()))
    }
}

/// The host's clock. On Workers it stands still between two operations of the outside world.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_millis(js_sys::Date::now() as i64)
}

pub(crate) async fn sleep(milliseconds: u32) {
    worker::Delay::from(std::time::Duration::from_millis(milliseconds.into())).await;
}
