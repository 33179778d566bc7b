//! One file per command.

pub(crate) mod completions;
pub(crate) mod flags;
pub(crate) mod generate_key;
pub(crate) mod health;
pub(crate) mod key_usage;
pub(crate) mod list_keys;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod revoke_key;
pub(crate) mod rotate_key;
pub(crate) mod show_key;
pub(crate) mod test_webhook;
pub(crate) mod update_key;
pub(crate) mod users;
pub(crate) mod validate_config;
pub(crate) mod verify_key;
