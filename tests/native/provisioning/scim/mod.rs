//! Whole requests through the function's router, on an in-memory database.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a helper fails its test")]

mod bulk;
mod discovery;
mod group;
mod page;
mod patch;
mod refusal;
mod rules;
mod state;
mod support;
mod user;
