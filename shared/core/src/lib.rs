//! The domain of Edge IAM.
//!
//! Nothing here knows a host: a rule is a pure function that is given the time and the randomness it
//! needs, and a question to the database is a [`sql::Statement`] that somebody else runs. So every rule
//! is tested natively, without a runtime, and means the same on every host.
//!
//! The ground is [`sql`], [`id`], [`due`], [`time`], [`encoding`] and [`permission`]; on it stand [`record`],
//! [`secret`],
//! [`jose`] and [`config`]; on these the rooms, a capability each, named as in `functions/`.

pub mod due;
pub mod encoding;
pub mod id;
pub mod permission;
pub mod sql;
pub mod time;

pub mod config;
pub mod jose;
pub mod limit;
pub mod record;
pub mod secret;

#[cfg(not(target_family = "wasm"))]
pub mod acts;
pub mod directory;
pub mod keys;
pub mod oauth;
pub mod operation;
pub mod provisioning;
pub mod sign_in;
pub mod webhooks;
