//! Tokens, signed.

pub(crate) mod signing;
