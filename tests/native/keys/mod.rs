//! API keys.

mod api_keys;
mod key_leaks;
mod key_rotation;
