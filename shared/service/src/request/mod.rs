//! The way of every request, and what it is read from and answered with.

pub(crate) mod address;
#[cfg(not(target_family = "wasm"))]
pub mod codes;
pub(crate) mod cors;
pub(crate) mod error;
pub mod field;
pub(crate) mod form;
pub(crate) mod json;
pub mod outbound;
pub mod page;
pub(crate) mod query;
pub(crate) mod serve;
