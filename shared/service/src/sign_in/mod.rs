//! What functions that sign people in share.

mod lockout;
pub mod password;
mod refresh;

pub use refresh::{RefreshRefusal, Refreshed, exchange_refresh_token};
