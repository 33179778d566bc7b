//! What can go wrong between a function and its host.

use std::fmt;

/// A statement that was not carried out. The text is the host's own message, for logs alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DbError {
    /// UNIQUE, PRIMARY KEY, NOT NULL, CHECK, FOREIGN KEY or a trigger's RAISE(ABORT).
    Constraint(String),
    /// Somebody else holds the database, or it is overloaded: worth another try later.
    Busy(String),
    /// Anything else: a wrong statement, a lost connection, a value that the hosts cannot all carry.
    Other(String),
}

impl fmt::Display for DbError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constraint(message) => write!(formatter, "constraint violated: {message}"),
            Self::Busy(message) => write!(formatter, "database busy: {message}"),
            Self::Other(message) => write!(formatter, "database failed: {message}"),
        }
    }
}

impl std::error::Error for DbError {}

/// The key-value cache failed. It is a cache: go to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvError(pub(crate) String);

impl fmt::Display for KvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "key-value store failed: {}", self.0)
    }
}

impl std::error::Error for KvError {}

/// A request to somebody else that brought no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The request cannot be sent as it is: a relative URL, a header the host refuses.
    Invalid(String),
    /// No connection, a refused one, or one that broke off.
    Unreachable(String),
    /// Not answered completely in time.
    Timeout,
    /// The answer's body is larger than allowed.
    TooLarge,
    /// No function of that name is bound to this one.
    UnknownFunction(String),
}

impl FetchError {
    /// What went wrong, for whoever named the address: what the host says of its network is not theirs to
    /// read.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "the request can't be sent",
            Self::Unreachable(_) => "not reached",
            Self::Timeout => "no answer in time",
            Self::TooLarge => "the answer is too large",
            Self::UnknownFunction(_) => "no such function",
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(message) => write!(formatter, "request cannot be sent: {message}"),
            Self::Unreachable(message) => write!(formatter, "peer unreachable: {message}"),
            Self::Timeout => formatter.write_str("peer did not answer in time"),
            Self::TooLarge => formatter.write_str("answer larger than allowed"),
            Self::UnknownFunction(name) => write!(formatter, "no function `{name}` is bound"),
        }
    }
}

impl std::error::Error for FetchError {}

/// A socket that could not be opened, or broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// No route, a refused connection, or one that broke off.
    Unreachable(String),
    /// The peer was silent for too long.
    Timeout,
    /// This host cannot encrypt a socket.
    TlsUnsupported,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(message) => write!(formatter, "peer unreachable: {message}"),
            Self::Timeout => formatter.write_str("peer did not answer in time"),
            Self::TlsUnsupported => formatter.write_str("this host offers no TLS on sockets"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// A variable that exists but cannot be read. An absent one is `None`, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableError {
    pub(crate) name: String,
    pub(crate) problem: String,
}

impl fmt::Display for VariableError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "variable `{}` cannot be read: {}", self.name, self.problem)
    }
}

impl std::error::Error for VariableError {}

/// The host gave no randomness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomError(pub(crate) String);

impl fmt::Display for RandomError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no randomness: {}", self.0)
    }
}

impl std::error::Error for RandomError {}
