//! What can stop the host.

use std::fmt;

/// A failure that keeps the host from starting or serving.
#[derive(Debug)]
pub enum SpinHostError {
    /// The command line asks for something that does not exist.
    Usage(String),
    /// The manifest is not one that Spin, or this host, would run.
    Manifest(String),
    /// A variable, a template or its value is missing or malformed.
    Variable(String),
    /// A file or a socket can't be used.
    Io {
        /// What the host was doing.
        doing: String,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// A component can't be compiled or linked.
    Engine {
        /// What the host was doing.
        doing: String,
        /// The engine's word.
        source: wasmtime::Error,
    },
    /// A store's database can't be opened.
    Database(rusqlite::Error),
}

impl SpinHostError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    pub(crate) fn engine(doing: impl Into<String>) -> impl FnOnce(wasmtime::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Engine { doing, source }
    }
}

impl fmt::Display for SpinHostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => formatter.write_str(message),
            Self::Manifest(message) => write!(formatter, "invalid manifest: {message}"),
            Self::Variable(message) => write!(formatter, "invalid variable: {message}"),
            Self::Io { doing, source } => write!(formatter, "{doing}: {source}"),
            Self::Engine { doing, source } => write!(formatter, "{doing}: {source:#}"),
            Self::Database(source) => write!(formatter, "store database: {source}"),
        }
    }
}

impl std::error::Error for SpinHostError {}

impl From<rusqlite::Error> for SpinHostError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Database(source)
    }
}
