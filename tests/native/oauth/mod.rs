//! OAuth for machines, and the keys that sign.

mod client_secrets;
mod keyring;
