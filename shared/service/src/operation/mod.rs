//! What a request asks of the deployment: secrets, messages to people.

pub(crate) mod notification;
mod secrets;

pub use secrets::WEBHOOK_SECRETS;
