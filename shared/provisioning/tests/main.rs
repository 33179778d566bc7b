//! SCIM from outside the crate, in one program.

mod extensions;
mod filters;
mod membership;
mod patch;
mod patch_properties;
mod projection;
