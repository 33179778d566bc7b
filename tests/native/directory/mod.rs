//! The directory.

mod roles;
mod users;
