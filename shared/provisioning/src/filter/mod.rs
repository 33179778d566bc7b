//! Filters (RFC 7644 section 3.4.2.2): [read](parse), [evaluated in memory](evaluate) and [as SQL](sql).

pub mod evaluate;
pub mod parse;
pub mod sql;

use serde_json::Value as Json;

use crate::schema::{Attribute, AttributeRef};

/// The longest filter, in bytes.
pub const MAX_FILTER_BYTES: usize = 4096;

/// How deep parentheses, brackets and `not` may go.
pub const MAX_FILTER_DEPTH: usize = 24;

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
    /// The sub-attribute compares so; of an attribute with simple values, the value itself, which is called `value`.
    Compare(&'static Attribute, Comparison),
    /// The sub-attribute has a value.
    Present(&'static Attribute),
}

/// An operator and what it compares with.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Which operator.
    pub operator: Operator,
    /// Of the attribute's kind, canonical; `Null` for `eq null` and `ne null` alone: that it has no value, or has one.
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

/// What follows a prefix that is there in any case.
pub(crate) fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}
