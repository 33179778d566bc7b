//! Filters (RFC 7644 section 3.4.2.2): [read](parse), [evaluated in memory](evaluate) and [as SQL](sql).
//!
//! What a filter means is settled where it is read, so that the two that carry it out cannot differ in it:
//! `eq null` becomes an absence, brackets after an attribute with one value become what they say of its
//! parts, and what is the same for every resource of a kind (`schemas`, `meta.resourceType`) becomes `id pr`
//! or its negation.

pub mod evaluate;
pub mod parse;
pub mod sql;
mod syntax;

use serde_json::Value as Json;

use crate::schema::{Attribute, AttributeRef};

/// The longest filter, in bytes.
pub const MAX_FILTER_BYTES: usize = 4096;

/// How deep parentheses, brackets and `not` may go.
pub const MAX_FILTER_DEPTH: usize = 16;

/// How many comparisons a filter may have.
pub const MAX_FILTER_COMPARISONS: usize = 64;

/// A filter over resources of a kind, its names resolved and its values checked against the schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these; at least two.
    And(Vec<Filter>),
    /// Any of these; at least two.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// Some value of the attribute compares so.
    Compare(AttributeRef, Comparison),
    /// The attribute has a value that is not empty (`pr`).
    Present(AttributeRef),
    /// Some value of this multi-valued attribute is all that is in the brackets: `emails[type eq "work"]`.
    Value(AttributeRef, ValueFilter),
}

/// What stands in the brackets of a value path: a filter over the sub-attributes of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueFilter {
    /// All of these; at least two.
    And(Vec<ValueFilter>),
    /// Any of these; at least two.
    Or(Vec<ValueFilter>),
    /// Not this.
    Not(Box<ValueFilter>),
    /// The sub-attribute compares so; of an attribute with simple values, the value itself, which is called
    /// `value`.
    Compare(&'static Attribute, Comparison),
    /// The sub-attribute has a value.
    Present(&'static Attribute),
}

/// An operator and what it compares with.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Which operator.
    pub operator: Operator,
    /// Of the attribute's kind and canonical: text in the case that it was given in, a truth, a number; a
    /// moment is its milliseconds since 1970-01-01T00:00:00Z. Never null: `eq null` is read as `not (… pr)`,
    /// `ne null` as `pr`.
    pub value: Json,
}

/// The operators that compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal: exactly what `not (… eq …)` is, so it holds where there is no value.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater than.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less than.
    Lt,
    /// Less or equal.
    Le,
}

impl Operator {
    /// Every operator with its word.
    const WORDS: [(&str, Self); 9] = [
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("co", Self::Co),
        ("sw", Self::Sw),
        ("ew", Self::Ew),
        ("gt", Self::Gt),
        ("ge", Self::Ge),
        ("lt", Self::Lt),
        ("le", Self::Le),
    ];

    /// The operator of a word, which may be in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let named = Self::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        named.map(|(_, operator)| *operator)
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, operator)| *operator == self).map_or("", |(word, _)| word)
    }

    /// Whether it looks into a text.
    #[must_use]
    pub fn is_textual(self) -> bool {
        matches!(self, Self::Co | Self::Sw | Self::Ew)
    }

    /// Whether it asks which of two comes first.
    #[must_use]
    pub fn is_ordering(self) -> bool {
        matches!(self, Self::Gt | Self::Ge | Self::Lt | Self::Le)
    }
}

/// What follows a prefix that is there in any case.
pub(crate) fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
