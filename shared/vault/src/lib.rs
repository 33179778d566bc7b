//! A client of the Vault HTTP API, as HashiCorp Vault and OpenBao serve it.
//!
//! What is asked and how its answer is read is free of I/O: a [`Question`]. A [`Client`] asks, over the
//! host's own fetch: it logs in, renews, logs in again where its token is denied, and bounds every question
//! in time and every answer in size. An answer that is not what the API promises is an error with a name
//! ([`VaultError::Lying`]), never a panic and never half a secret. Nothing that was sent or received is in an
//! error or in `Debug`.

pub mod auth;
mod client;
mod engines;
mod error;
pub mod kv;
mod pem;
mod question;
#[cfg(test)]
mod tests;
mod text;

pub use auth::Login;
pub use client::{Client, MAX_ANSWER_BYTES, Transport};
pub use engines::{
    CIPHERTEXT_PREFIX, Certificate, Ciphertext, Health, decrypt, encrypt, health, issue, rewrap,
};
pub use error::VaultError;
pub use question::{Question, Server, is_mount, is_path};
pub use text::SecretText;
