//! Every act, written down in one way: the audit record, and the kept answer to a repeated request.

pub mod audit;
pub mod idempotency;
