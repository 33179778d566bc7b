//! Signing in, and what lasts of it.

pub mod break_glass;
pub mod lockout;
pub mod login;
pub mod passwords;
pub mod refresh;
pub mod sessions;
