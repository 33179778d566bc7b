//! What goes to a collector, and how.

mod conversion;
mod delivery;
mod rotel;
mod support;
