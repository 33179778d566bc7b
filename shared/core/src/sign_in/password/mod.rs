//! What a password must be, how it is changed and how it is reset.

pub mod breached;
pub mod change;
pub mod policy;
pub mod reset;
