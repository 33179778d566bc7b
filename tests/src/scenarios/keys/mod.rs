//! API keys.

pub mod api_keys;
pub mod key_rights;
pub mod key_rotation;
pub mod limits;
