//! Whole requests through the function's router, on an in-memory database.

mod discovery;
mod page;
mod patch;
mod refusal;
mod state;
mod support;
mod user;
