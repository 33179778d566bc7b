//! SCIM clients, their tokens and limits, and the roles that groups give, on the native host.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

mod clients;
mod limits;
mod loops;
mod managed;
mod mapping;
mod support;
