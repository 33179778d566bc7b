//! OAuth for machines, and the keys that sign.

pub mod algorithms;
pub mod keyring;
pub mod service_accounts;
pub mod tokens;
pub mod well_known;
