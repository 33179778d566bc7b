//! SCIM.

pub mod scim;
pub mod scim_clients;
pub mod scim_providers;
