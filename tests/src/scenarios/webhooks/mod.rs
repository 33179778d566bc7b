//! Webhooks that are taken in.

pub mod forwarding;
pub mod intake;
