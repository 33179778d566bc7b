//! Every act, written down in one way: the audit record, and the kept answer to a repeated request.

mod act;
pub mod audit;
pub mod idempotency;

pub use act::{Act, PersonalData, Severity};
