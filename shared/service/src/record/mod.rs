//! What functions that create share.

mod idempotency;

pub use idempotency::{Creation, CreationResult};
