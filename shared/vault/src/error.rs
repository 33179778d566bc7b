//! Why a Vault gave no usable answer. No variant carries what was sent or received: both hold secrets.

use std::fmt;

use iam_edge::FetchError;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultError {
    /// Not asked at all: a mount, path, name or address of ours is not one.
    Invalid(&'static str),
    /// There is no credential to log in with: the host secret of this name is absent.
    NoCredential(&'static str),
    /// 400 and its like: the Vault takes the request for a bad one.
    Refused(u16),
    /// The secret has another version than the one that was to be replaced.
    OutOfDate,
    /// 401 or 403: the token is not good, or its policies do not allow it.
    Denied,
    /// 404: nothing is there.
    Absent,
    /// 404 with a reason: no engine, method or namespace is where the configuration says, so whether the
    /// secret exists is not known.
    NoEngine,
    /// It is sealed or not initialized.
    Sealed,
    /// It can't serve now: another status of 429, 5xx, or a redirect of a node that stands by.
    Busy(u16),
    /// No connection, or one that broke.
    Unreachable(String),
    /// No whole answer in time.
    Timeout,
    /// What came is not what the API promises.
    Lying(&'static str),
}

impl VaultError {
    /// Whether another store should be asked, or this one later: nothing is wrong with the request.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::NoCredential(_)
                | Self::NoEngine
                | Self::Sealed
                | Self::Busy(_)
                | Self::Unreachable(_)
                | Self::Timeout
                | Self::Lying(_)
        )
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(allowed) => write!(formatter, "not asked; allowed is: {allowed}"),
            Self::NoCredential(name) => {
                write!(formatter, "nothing to log in with, for the host secret {name} is not set")
            }
            Self::Refused(status) => write!(formatter, "the Vault refused the request: {status}"),
            Self::OutOfDate => formatter.write_str("the secret has another version"),
            Self::Denied => formatter.write_str("the Vault denied it"),
            Self::Absent => formatter.write_str("nothing is there"),
            Self::NoEngine => formatter.write_str("the Vault has no such engine, method or namespace"),
            Self::Sealed => formatter.write_str("the Vault is sealed or not initialized"),
            Self::Busy(status) => write!(formatter, "the Vault can't serve: {status}"),
            Self::Unreachable(cause) => write!(formatter, "the Vault is not reached: {cause}"),
            Self::Timeout => formatter.write_str("the Vault did not answer in time"),
            Self::Lying(what) => write!(formatter, "not what the Vault API promises: {what}"),
        }
    }
}

impl std::error::Error for VaultError {}

impl From<FetchError> for VaultError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Timeout => Self::Timeout,
            FetchError::TooLarge => Self::Lying("an answer larger than any of its kind"),
            FetchError::Invalid(_) => Self::Invalid("an address that the host can call"),
            FetchError::Unreachable(cause) => Self::Unreachable(cause),
            FetchError::UnknownFunction(_) => Self::Unreachable("no such function".to_owned()),
        }
    }
}
