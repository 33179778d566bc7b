//! Cloudflare Workers: D1, KV, service bindings, `fetch` and TCP sockets of workerd.
//!
//! JavaScript values are bound to the one thread of an isolate, while axum asks for `Send`. workerd
//! never moves an isolate's work between threads, so `SendWrapper` and `SendFuture` say so, here alone.

mod database;
pub(crate) mod entry;
mod fetch;
mod host;
mod javascript;
mod kv;
mod message;
mod secret;
mod socket;

pub use database::Db;
pub use host::{Host, now};
pub use kv::Kv;
pub use socket::Socket;

pub(crate) use host::sleep;
