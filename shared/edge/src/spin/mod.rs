//! Spin: its sqlite, key-value store and variables, outbound HTTP and TCP sockets of WASI 0.3.

mod database;
pub(crate) mod entry;
mod fetch;
mod host;
mod kv;
mod socket;

pub use database::Db;
pub use host::{Host, now};
pub use kv::Kv;
pub use socket::Socket;

pub(crate) use host::sleep;
