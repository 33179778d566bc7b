//! State machines of the domain against small reference models: random interleavings, the domain's own
//! statements on SQLite.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a model that can't go on has failed"
)]

mod audit;
mod key_rotation;
mod keyring;
mod refresh;
