//! How the program ends: one exit code for each kind of end, so that scripts need not read words.

use std::fmt;
use std::process::ExitCode;

use ureq::http::StatusCode;

/// The kinds of ends, and their exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is well.
    Done = 0,
    /// Something on this side failed: a file can't be read or written.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// Nobody is signed in, the credential does not hold, or it may not do this.
    Denied = 3,
    /// There is no such thing.
    NotFound = 4,
    /// The deployment refuses it: a bad field, or a conflict with how things are.
    Refused = 5,
    /// The deployment can't be reached.
    Unreachable = 6,
    /// The deployment failed, or is under maintenance.
    Server = 7,
    /// Too many requests.
    Limited = 8,
    /// What was checked is not as it should be: a key that does not work, a bad configuration.
    CheckFailed = 9,
    /// Some of it was refused; the report says which.
    PartlyRefused = 10,
}

/// For `iam --help`.
pub(crate) const EXIT_CODES: &str = "Exit codes:\n  \
    0  all is well\n  \
    1  something on this side failed: a file can't be read or written\n  \
    2  the arguments make no sense\n  \
    3  nobody is signed in, the credential does not hold, or it may not do this\n  \
    4  there is no such thing\n  \
    5  the deployment refuses it: a bad field, or a conflict\n  \
    6  the deployment can't be reached\n  \
    7  the deployment failed, or is under maintenance\n  \
    8  too many requests\n  \
    9  a check failed: the key does not work, the configuration is wrong, the deployment is not healthy\n  \
   10  some of it was refused; the report says which";

/// A failure with a kind of its own.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure of this kind, as an error.
    pub(crate) fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Self { exit, message: message.into() }.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Exit {
    /// What kind of end an error is.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
        failure.map_or(Self::Failed, |failure| failure.exit)
    }

    /// What an answer that is no success means.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 | 403 => Self::Denied,
            404 | 405 => Self::NotFound,
            429 => Self::Limited,
            400..=499 => Self::Refused,
            500..=599 => Self::Server,
            // Redirections are not followed: a credential goes where it was meant to.
            _ => Self::Unreachable,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_keeps_its_kind_under_every_context() {
        let error = Failure::error(Exit::NotFound, "gone");
        assert_eq!(Exit::of(&error), Exit::NotFound);
        let wrapped = Err::<(), _>(error).context("outer").context("outermost").unwrap_err();
        assert_eq!(Exit::of(&wrapped), Exit::NotFound);
        assert_eq!(format!("{wrapped:#}"), "outermost: outer: gone");
        assert_eq!(Exit::of(&anyhow::anyhow!("whatever")), Exit::Failed);
    }

    #[test]
    fn the_help_lists_every_code() {
        for code in 0..=10 {
            assert!(EXIT_CODES.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))));
        }
        for (status, exit) in [
            (301, Exit::Unreachable),
            (401, Exit::Denied),
            (403, Exit::Denied),
            (404, Exit::NotFound),
            (409, Exit::Refused),
            (422, Exit::Refused),
            (429, Exit::Limited),
            (503, Exit::Server),
        ] {
            assert_eq!(Exit::of_status(StatusCode::from_u16(status).unwrap()), exit);
        }
    }
}
