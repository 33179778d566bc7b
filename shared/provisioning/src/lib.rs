//! SCIM 2.0 (RFC 7643, RFC 7644): users as an identity provider's client sees and changes them.
//!
//! A resource is JSON in its canonical form (attribute names as the schema writes them, booleans that are
//! booleans), checked against the table in [`schema`]. Foreign JSON gets that form in [`value`], paths are read in
//! [`path`], filters in [`filter`], changes applied in [`patch`]; [`user`] knows the columns, [`store`] the statements.

pub mod filter;
mod list;
pub mod patch;
pub mod path;
pub mod schema;
pub mod store;
pub mod user;
pub mod value;

use std::fmt;

/// Why a SCIM request is refused. The detail names attributes, never the values of secret ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimError {
    /// The word for machines.
    pub kind: ScimErrorKind,
    /// What is wrong, and what is allowed.
    pub detail: String,
}

/// The `scimType` words of RFC 7644 table 9 that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimErrorKind {
    /// The filter is malformed, or asks for what is not offered.
    InvalidFilter,
    /// The path is malformed, or names no attribute.
    InvalidPath,
    /// The message does not have the shape of its schema.
    InvalidSyntax,
    /// A value does not fit its attribute.
    InvalidValue,
    /// A read-only attribute would change.
    Mutability,
    /// The path leads to nothing that could change.
    NoTarget,
    /// A unique value is taken.
    Uniqueness,
}

impl ScimErrorKind {
    /// Its word in the answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::InvalidPath => "invalidPath",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidValue => "invalidValue",
            Self::Mutability => "mutability",
            Self::NoTarget => "noTarget",
            Self::Uniqueness => "uniqueness",
        }
    }
}

impl ScimError {
    pub(crate) fn new(kind: ScimErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(crate) fn filter(detail: impl Into<String>) -> Self {
        Self::new(ScimErrorKind::InvalidFilter, detail)
    }

    pub(crate) fn path(detail: impl Into<String>) -> Self {
        Self::new(ScimErrorKind::InvalidPath, detail)
    }

    pub(crate) fn syntax(detail: impl Into<String>) -> Self {
        Self::new(ScimErrorKind::InvalidSyntax, detail)
    }

    pub(crate) fn value(detail: impl Into<String>) -> Self {
        Self::new(ScimErrorKind::InvalidValue, detail)
    }
}

impl fmt::Display for ScimError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl std::error::Error for ScimError {}

/// What an error message shows of a caller's text: enough to find it, never all of it.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(64).collect()
}
