//! What must not be known to others: credentials, the seal, password hashes.

pub mod credential;
pub mod password;
pub mod seal;
