//! One file per command.

pub(crate) mod login;
pub(crate) mod test_webhook;
pub(crate) mod users;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was done.
    Done,
    /// Some of it was refused; the report says which.
    PartlyRefused,
}
