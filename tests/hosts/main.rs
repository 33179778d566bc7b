//! The built functions on real workerd and on a Spin-compatible host, and other people's software against
//! them.

mod interop;
mod scim_tester;
mod spin;
mod workerd;
