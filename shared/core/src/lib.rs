//! The domain of Edge IAM.
//!
//! Nothing here knows a host: a rule is a pure function that is given the time and the randomness it
//! needs, and a question to the database is a [`sql::Statement`] that somebody else runs. So every rule
//! is tested natively, without a runtime, and means the same on every host.

pub mod api_key;
pub mod audit;
pub mod bootstrap;
pub mod break_glass;
pub mod client;
pub mod client_assertion;
pub mod config;
pub mod credential;
pub mod device;
pub mod directory;
pub mod encoding;
pub mod flags;
pub mod group;
pub mod id;
pub mod idempotency;
pub mod jwe;
pub mod jwk;
pub mod jwt;
pub mod keyring;
pub mod lockout;
pub mod managed;
pub mod oauth;
pub mod organization;
pub mod password;
pub mod permission;
pub mod rate_limit;
pub mod role;
pub mod role_mapping;
pub mod scim_client;
pub mod scim_loop;
pub mod seal;
pub mod service_account;
pub mod session;
pub mod session_view;
pub mod sql;
pub mod time;
pub mod user;
pub mod webhook;
