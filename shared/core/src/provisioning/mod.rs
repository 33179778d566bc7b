//! Who provisions over SCIM: the clients, and the guard against changes that go round in circles.

pub mod acts;
pub mod client;
pub mod repeated_change;
