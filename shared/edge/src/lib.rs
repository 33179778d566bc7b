//! The host under a function: database, key-value cache, fetch, sockets, clock, randomness, secrets and
//! deferred work.
//!
//! One implementation per host, chosen by target as `std::sys` does: Cloudflare Workers
//! (`wasm32-unknown-unknown`), Spin (`wasm32-wasip2`) and a native test host. All three have the same
//! names, so nothing above this crate is generic over a host. Every future is `Send` as seen from above.
//!
//! A function crate invokes [`serve!`] once. Its handler is
//! `async fn handle(host: Host, request: http::Request<axum::body::Body>) ->
//! http::Response<axum::body::Body>`.

mod console;
mod database;
mod deadline;
mod error;
#[cfg(any(test, all(target_arch = "wasm32", target_os = "unknown")))]
mod json_rows;
mod kv;
mod message;
mod types;
pub mod web_crypto;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#[path = "cloudflare/mod.rs"]
mod platform;
#[cfg(not(target_family = "wasm"))]
#[path = "native/mod.rs"]
mod platform;
#[cfg(target_os = "wasi")]
#[path = "spin/mod.rs"]
mod platform;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use console::log;
pub use error::{ConnectError, DbError, FetchError, KvError, RandomError, VariableError};
pub use platform::{Db, Host, Kv, Socket, now};
pub use types::{FetchLimits, HostKind, Secret, Tls};

#[cfg(not(target_family = "wasm"))]
pub use platform::testing as native;

/// What the expansion of [`serve!`] names. Not for use by hand.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod entry {
    pub use crate::platform::entry::*;
}

/// Fills the buffer from the host's cryptographically secure generator.
///
/// # Errors
/// When the host has no randomness to give.
pub fn random(buffer: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(buffer).map_err(|error| RandomError(error.to_string()))
}
