//! What runs the product: switches at run time, the first organization.

pub mod acts;
pub mod bootstrap;
pub mod flags;
