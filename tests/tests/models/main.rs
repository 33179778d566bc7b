//! State machines of the domain against small reference models: random interleavings, the domain's own statements on
//! SQLite.

mod keyring;
mod refresh;
