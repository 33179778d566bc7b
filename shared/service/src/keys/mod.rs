//! What functions of API keys share.

pub mod fields;
mod new;
