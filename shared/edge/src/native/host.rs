use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use iam_core::time::Timestamp;
use tokio::task::JoinHandle;

use super::{Db, Kv, Socket, fetch, lock};
use crate::{ConnectError, FetchError, FetchLimits, HostKind, Secret, Tls, VariableError, message};

pub(super) type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
pub(super) type Function = Arc<dyn Fn(Host, Request<Body>) -> Answer + Send + Sync>;

/// What all requests of one test host share.
pub(super) struct Shared {
    pub(super) connection: Mutex<rusqlite::Connection>,
    pub(super) entries: Mutex<HashMap<String, String>>,
    pub(super) variables: Mutex<HashMap<String, String>>,
    pub(super) functions: Mutex<HashMap<String, Function>>,
    pub(super) lines: Mutex<Vec<String>>,
    pub(super) deferred: Mutex<Vec<JoinHandle<()>>>,
    pub(super) plans: Mutex<BTreeMap<String, Vec<String>>>,
    pub(super) client: reqwest::Client,
}

/// The host of one request. Clones belong to the same request.
#[derive(Clone)]
pub struct Host {
    pub(super) shared: Arc<Shared>,
    round_trips: Arc<AtomicU32>,
    client_address: Option<IpAddr>,
}

impl Host {
    pub(super) fn new(shared: Arc<Shared>, client_address: Option<IpAddr>) -> Self {
        Self { shared, round_trips: Arc::default(), client_address }
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
        Db { shared: Arc::clone(&self.shared), round_trips: Arc::clone(&self.round_trips) }
    }

    /// The key-value cache.
    #[must_use]
    pub fn kv(&self) -> Kv {
        Kv { shared: Arc::clone(&self.shared) }
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
        fetch::send(&self.shared.client, request, limits).await
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
        let exchange = async {
            let (parts, body) = self.forward(function, request.map(Body::from)).await?.into_parts();
            Ok(Response::from_parts(parts, message::read_bounded(body, limits.max_response_bytes).await?))
        };
        crate::deadline::within(limits.timeout_ms, exchange).await.unwrap_or(Err(FetchError::Timeout))
    }

    /// Passes a request on to another function and its answer back, the client's address included.
    ///
    /// # Errors
    /// When no such function is bound.
    pub async fn forward(
        &self,
        function: &str,
        request: Request<Body>,
    ) -> Result<Response<Body>, FetchError> {
        let function = lock(&self.shared.functions)
            .get(function)
            .cloned()
            .ok_or_else(|| FetchError::UnknownFunction(function.to_owned()))?;
        let host = Self::new(Arc::clone(&self.shared), self.client_address);
        Ok(function(host, request).await)
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// When the peer does not accept within ten seconds, or TLS is asked of a host without it.
    pub async fn connect(&self, host: &str, port: u16, tls: Tls) -> Result<Socket, ConnectError> {
        Socket::open(host, port, tls).await
    }

    /// A secret by its name (`IAM_MASTER_KEY`), `None` where the host has none.
    ///
    /// # Errors
    /// When it exists but cannot be read.
    pub async fn secret(&self, name: &str) -> Result<Option<Secret>, VariableError> {
        Ok(self.variable(name).await?.map(Secret::new))
    }

    /// A variable by its name (`IAM_CONFIG`), `None` where the host has none.
    ///
    /// # Errors
    /// When it exists but cannot be read.
    pub async fn variable(&self, name: &str) -> Result<Option<String>, VariableError> {
        Ok(lock(&self.shared.variables).get(name).cloned())
    }

    /// Does this work after the answer has gone out.
    pub fn defer(&self, work: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(work);
        lock(&self.shared.deferred).push(handle);
    }

    /// Waits.
    pub async fn sleep(&self, milliseconds: u32) {
        sleep(milliseconds).await;
    }

    /// Writes one line to the host's log.
    pub fn log(&self, line: &str) {
        lock(&self.shared.lines).push(line.to_owned());
    }

    /// Which host this is.
    #[must_use]
    pub fn kind(&self) -> HostKind {
        HostKind::Native
    }

    /// Round trips to the database in this request so far; a batch counts as one.
    #[must_use]
    pub fn round_trips(&self) -> u32 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// The client's address as the host itself saw it, never as the client claims it.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }
}

/// The host's clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place where the native clock is read")]
pub fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

pub(crate) async fn sleep(milliseconds: u32) {
    tokio::time::sleep(std::time::Duration::from_millis(milliseconds.into())).await;
}
