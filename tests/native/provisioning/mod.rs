//! SCIM.

mod ledger;
mod scim;
mod scim_clients;
mod tester;
