//! The native host: for tests, in one process, over SQLite.

mod database;
mod fetch;
mod host;
mod kv;
mod schema;
mod socket;
pub mod testing;

pub use database::Db;
pub use host::{Host, now};
pub use kv::Kv;
pub use socket::Socket;

pub(crate) use host::sleep;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that panicked while holding the lock has failed already; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a function of this crate: `serve!(handler)` or `serve!(handler, scheduled = job)`.
///
/// The handler is `async fn(Host, http::Request<Body>) -> http::Response<Body>`, the job
/// `async fn(Host, &str)` with the cron expression that fired. On Workers this exports the `fetch` and
/// `scheduled` events, on Spin the HTTP handler (which knows no schedule); natively it exports nothing,
/// a test calls the handler itself.
#[macro_export]
macro_rules! serve {
    ($handler:path $(, scheduled = $job:path)? $(,)?) => {};
}
