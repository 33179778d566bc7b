//! What must not be known to others: credentials, the seal and what is under it, password hashes.

pub mod credential;
pub mod password;
pub mod register;
pub mod seal;
