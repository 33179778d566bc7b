//! The command line, driven against the product.

mod command_line;
mod key_attributes;
mod keys;
mod operations;
mod stage;
mod test_webhook;
