use std::future::Future;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use iam_core::time::Timestamp;
use spin_sdk::variables;

use super::database::SharedConnection;
use super::entry::{FORWARDED_ADDRESS, FORWARDED_HOST};
use super::{Db, Kv, Socket, fetch};
use crate::deadline::within;
use crate::{ConnectError, FetchError, FetchLimits, HostKind, Secret, Tls, VariableError};

/// How long a variable may take: its provider may be a server of its own.
const VARIABLE_TIMEOUT_MS: u32 = 2_000;

/// The host of one request. Clones belong to the same request.
#[derive(Clone)]
pub struct Host {
    connection: SharedConnection,
    round_trips: Arc<AtomicU32>,
    client_address: Option<IpAddr>,
}

impl Host {
    pub(super) fn new(client_address: Option<IpAddr>) -> Self {
        Self { connection: SharedConnection::default(), round_trips: Arc::default(), client_address }
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
        Db { connection: self.connection.clone(), round_trips: Arc::clone(&self.round_trips) }
    }

    /// The key-value cache.
    #[must_use]
    pub fn kv(&self) -> Kv {
        Kv(())
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
        fetch::send(request, limits).await
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
        fetch::call(function, request, limits).await
    }

    /// Passes a request on to another function and its answer back, the client's address included.
    ///
    /// # Errors
    /// When no such function is bound or it does not answer.
    pub async fn forward(
        &self,
        function: &str,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, FetchError> {
        request.headers_mut().remove(FORWARDED_ADDRESS);
        let address = self.client_address.map(|address| HeaderValue::try_from(address.to_string()));
        if let Some(Ok(address)) = address {
            request.headers_mut().insert(FORWARDED_ADDRESS, address);
        }
        request.headers_mut().remove(FORWARDED_HOST);
        let stated = request.headers().get(HOST).cloned();
        let written = || HeaderValue::try_from(request.uri().authority()?.as_str()).ok();
        if let Some(host) = stated.or_else(written) {
            request.headers_mut().insert(FORWARDED_HOST, host);
        }
        fetch::forward(function, request).await
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

    /// A variable by its name (`IAM_CONFIG`), `None` where the host has none. Spin knows it in lower case.
    ///
    /// # Errors
    /// When it exists but cannot be read.
    pub async fn variable(&self, name: &str) -> Result<Option<String>, VariableError> {
        let failed = |problem: String| VariableError { name: name.to_owned(), problem };
        match within(VARIABLE_TIMEOUT_MS, variables::get(name.to_ascii_lowercase())).await {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(variables::Error::Undefined(_))) => Ok(None),
            Some(Err(error)) => Err(failed(error.to_string())),
            None => Err(failed("its provider did not answer in time".to_owned())),
        }
    }

    /// Does this work after the answer has gone out.
    pub fn defer(&self, work: impl Future<Output = ()> + Send + 'static) {
        spin_sdk::wasip3::spawn(work);
    }

    /// Waits.
    pub async fn sleep(&self, milliseconds: u32) {
        sleep(milliseconds).await;
    }

    /// Writes one line to the host's log.
    pub fn log(&self, line: &str) {
        // Without a log there is nowhere to say that there is none.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// Which host this is.
    #[must_use]
    pub fn kind(&self) -> HostKind {
        HostKind::Spin
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
#[expect(clippy::disallowed_methods, reason = "this is the one place where Spin's clock is read")]
pub fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

pub(crate) async fn sleep(milliseconds: u32) {
    spin_sdk::time::sleep(std::time::Duration::from_millis(milliseconds.into())).await;
}
