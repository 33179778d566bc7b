//! The domain of Edge IAM.
//!
//! Nothing here knows a host: a rule is a pure function that is given the time and the randomness it
//! needs, and a question to the database is a [`sql::Statement`] that somebody else runs. So every rule
//! is tested natively, without a runtime, and means the same on every host.

pub mod config;
pub mod credential;
pub mod encoding;
pub mod id;
pub mod jwt;
pub mod password;
pub mod permission;
pub mod seal;
pub mod sql;
pub mod time;
