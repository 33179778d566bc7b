//! A Spin-compatible host for tests and local development.
//!
//! It runs an application's `spin.toml` the way Spin 4.1 does, and refuses what Spin refuses, so that what
//! passes here passes there. It is not Spin: one address, one process, HTTP triggers, SQLite files for every
//! store.

mod bindings;
mod command_line;
mod database;
mod error;
mod host;
mod instance;
mod key_value;
pub mod manifest;
pub mod outbound;
mod outbound_http;
pub mod routes;
mod services;
mod sqlite;
mod stdio;
pub mod variables;
mod variables_interface;

pub use command_line::{Command, USAGE, parse_command_line};
pub use error::SpinHostError;
pub use host::{Host, Settings};
