//! What runs the product: switches at run time, the first organization.

pub mod bootstrap;
pub mod flags;
