//! Filters: the grammar, and the SQL held against the evaluation in memory.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "what fails here is a failed test"
)]

mod differential;
mod grammar;
mod plans;
mod texts;
mod world;
