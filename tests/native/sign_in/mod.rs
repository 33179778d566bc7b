//! Signing in, and what lasts of it.

mod lockout;
mod passwords;
mod sessions;
