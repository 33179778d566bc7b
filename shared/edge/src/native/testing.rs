//! A host for tests: makes [`Host`]s over one SQLite database and shows what functions left behind.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Request, Response};
use rusqlite::Connection;

use super::host::{Host, Shared};
pub use super::schema::SCHEMA;
use super::{database, lock};

/// How many lines of the process's log are kept.
const MAX_LINES: usize = 10_000;

/// The last lines that were written without a request, by all hosts of this process.
static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

pub(crate) fn keep(line: &str) {
    let mut lines = lock(&LINES);
    if lines.len() >= MAX_LINES {
        lines.pop_front();
    }
    lines.push_back(line.to_owned());
}

/// The lines of the log that have this part, of all hosts of this process: tests look for what is theirs
/// alone.
#[must_use]
pub fn logged(part: &str) -> Vec<String> {
    lock(&LINES).iter().filter(|line| line.contains(part)).cloned().collect()
}

/// Everything that the requests of one test share.
#[derive(Clone)]
pub struct TestHost(Arc<Shared>);

/// A test host that could not be set up: the database file or a migration.
#[derive(Debug)]
pub struct TestHostError(String);

impl fmt::Display for TestHostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "test host cannot be set up: {}", self.0)
    }
}

impl std::error::Error for TestHostError {}

impl TestHost {
    /// A host with an empty database in memory.
    ///
    /// # Errors
    /// When SQLite gives no database.
    pub fn new_in_memory() -> Result<Self, TestHostError> {
        Self::over(Connection::open_in_memory())
    }

    /// A host over a database file, created where there is none.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, TestHostError> {
        Self::over(Connection::open(path))
    }

    fn over(connection: rusqlite::Result<Connection>) -> Result<Self, TestHostError> {
        let connection = connection.map_err(|error| TestHostError(error.to_string()))?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| TestHostError(error.to_string()))?;
        Ok(Self(Arc::new(Shared {
            connection: Mutex::new(connection),
            entries: Mutex::default(),
            variables: Mutex::default(),
            functions: Mutex::default(),
            lines: Mutex::default(),
            deferred: Mutex::default(),
            plans: Mutex::default(),
            client,
        })))
    }

    /// Runs SQL of any number of statements: a migration.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn apply(&self, sql: &str) -> Result<(), TestHostError> {
        lock(&self.0.connection)
            .execute_batch(sql)
            .map_err(|error| TestHostError(database::error(error).to_string()))
    }

    /// Sets a variable or a secret.
    pub fn set_variable(&self, name: &str, value: &str) {
        lock(&self.0.variables).insert(name.to_owned(), value.to_owned());
    }

    /// Binds a function, so that [`Host::call`] and [`Host::forward`] reach it by its name.
    pub fn bind_function<H, F>(&self, name: &str, handler: H)
    where
        H: Fn(Host, Request<Body>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        lock(&self.0.functions)
            .insert(name.to_owned(), Arc::new(move |host, request| Box::pin(handler(host, request))));
    }

    /// The host of a new request, its round trips at zero.
    #[must_use]
    pub fn request(&self) -> Host {
        Host::new(Arc::clone(&self.0), None)
    }

    /// The host of a new request from this client.
    #[must_use]
    pub fn request_from(&self, client_address: IpAddr) -> Host {
        Host::new(Arc::clone(&self.0), Some(client_address))
    }

    /// Waits until all deferred work is done, work deferred meanwhile included. A panic in it is the
    /// test's panic.
    pub async fn settle(&self) {
        loop {
            let handles = std::mem::take(&mut *lock(&self.0.deferred));
            if handles.is_empty() {
                return;
            }
            for handle in handles {
                if let Err(Ok(panic)) = handle.await.map_err(tokio::task::JoinError::try_into_panic) {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }

    /// Every statement run so far, and how SQLite went about it (the details of `EXPLAIN QUERY PLAN`).
    #[must_use]
    pub fn plans(&self) -> BTreeMap<String, Vec<String>> {
        lock(&self.0.plans).clone()
    }

    /// The lines logged so far, oldest first; they are gone from the host afterwards.
    #[must_use]
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.0.lines))
    }
}
