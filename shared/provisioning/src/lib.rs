//! SCIM 2.0 (RFC 7643, RFC 7644, RFC 9865): users and groups as an identity provider's client sees and
//! changes them.
//!
//! A resource is JSON in its canonical form (attribute names as the schema writes them, booleans that are
//! booleans), checked against the tables in [`schema`]. Foreign JSON gets that form in [`value`], paths are
//! read in [`path`], filters in [`filter`], changes applied in [`patch`], and answers cut to what was asked
//! for in [`projection`]; [`user`] and [`group`] know the columns and the statements, [`page`] lists either.

mod common;
pub mod filter;
pub mod group;
mod list;
pub mod membership;
pub mod page;
pub mod patch;
pub mod path;
pub mod projection;
pub mod schema;
pub mod user;
pub mod value;

use std::fmt;

use iam_core::sql::{FromRow, Row, RowError};

/// What became of what a client deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It is in another version.
    OtherVersion,
    /// There is no such resource.
    Unknown,
}

impl FromRow for Deleted {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(match (row.integer("done")?, row.integer("there")?) {
            (0, 0) => Self::Unknown,
            (0, _) => Self::OtherVersion,
            _ => Self::Done,
        })
    }
}

/// Why a SCIM request is refused. The detail names attributes, never the values of secret ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimError {
    /// The word for machines.
    pub kind: ScimErrorKind,
    /// What is wrong, and what is allowed.
    pub detail: String,
}

/// The `scimType` words of RFC 7644 table 9 and RFC 9865 section 2.1 that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimErrorKind {
    /// The filter is malformed, or asks for what is not offered.
    InvalidFilter,
    /// The filter would have us look at more resources than we do.
    TooMany,
    /// A unique value is taken.
    Uniqueness,
    /// A read-only or immutable attribute would change.
    Mutability,
    /// The message does not have the shape of its schema.
    InvalidSyntax,
    /// The path is malformed, or names no attribute.
    InvalidPath,
    /// The path leads to nothing that could change.
    NoTarget,
    /// A value does not fit its attribute.
    InvalidValue,
    /// The cursor is not one of ours, or of another question.
    InvalidCursor,
}

impl ScimErrorKind {
    /// Its word in the answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidCursor => "invalidCursor",
        }
    }
}

impl ScimError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: ScimErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(crate) fn filter(detail: impl Into<String>) -> Self {
        Self::new(ScimErrorKind::InvalidFilter, detail)
    }

    pub(crate) fn path(detail: impl Into<String>) -> Self {
        Self::new(ScimErrorKind::InvalidPath, detail)
    }

    /// The message does not have the shape of its schema.
    #[must_use]
    pub fn syntax(detail: impl Into<String>) -> Self {
        Self::new(ScimErrorKind::InvalidSyntax, detail)
    }

    /// A value does not fit its attribute.
    #[must_use]
    pub fn value(detail: impl Into<String>) -> Self {
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
