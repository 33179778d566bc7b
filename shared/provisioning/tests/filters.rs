//! Filters: the grammar, and the SQL held against the evaluation in memory.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "what fails here is a failed test"
)]

#[path = "filters/differential.rs"]
mod differential;
#[path = "filters/grammar.rs"]
mod grammar;
#[path = "filters/plans.rs"]
mod plans;
#[path = "filters/texts.rs"]
mod texts;
#[path = "filters/world.rs"]
mod world;
