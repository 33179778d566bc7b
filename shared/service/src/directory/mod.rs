//! What functions of the directory share.

pub mod managed;
pub mod members;
