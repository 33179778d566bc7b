//! OAuth 2 for machines: clients and their proofs, tokens and their scope, and the keys that sign them.

pub mod acts;
pub mod client;
pub mod client_assertion;
pub mod keyring;
pub mod token;
