//! Filters as SQL over the tables of `kv-schema/migrations`.
//!
//! A filter gives two things. Its [condition](Compiled::condition) decides of one resource, exactly. Its
//! [candidates](Compiled::candidates) are the ids that an index gives for the part of the filter that narrows
//! most, so that no filter over few resources reads many. The text of either follows from the filter's shape
//! alone: whatever a client wrote, and every name of an attribute, is in the
//! [arguments](Compiled::arguments).
//!
//! D1 parses expressions 100 levels deep and compound queries of five terms, and binds 100 parameters:
//! conjunctions are written as balanced trees, unions are nested, and the arguments are one parameter.

mod candidates;
mod condition;
mod place;

use iam_core::time::rfc3339;
use serde_json::Value as Json;

use super::evaluate::Folding;
use super::{Comparison, Filter, Operator};
use crate::schema::{AttributeRef, Kind, ResourceKind};

/// A filter as SQL. In all of it `?1` is the organization's id and `?2` the [arguments](Self::arguments) as
/// text; either part mentions the two, since no host binds what a statement does not mention.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// A query with one column `id`: every resource that the filter holds of, and others. It may give one
    /// more than once, and deleted ones, and programs among the users.
    pub candidates: String,
    /// An expression that is 1 where the filter holds of the row called `users` or `groups`, and else 0;
    /// never NULL. It asks neither for the organization nor whether the row is deleted or a person's.
    pub condition: String,
    /// A JSON array: whatever the two compare with.
    pub arguments: Json,
    /// Whether the candidates are from an index that narrows, not everybody.
    pub is_indexed: bool,
}

/// A filter over resources of a kind as SQL.
#[must_use]
pub fn compile(kind: ResourceKind, filter: &Filter) -> Compiled {
    let mut arguments = Arguments::default();
    let mut condition = condition::condition(kind, filter, &mut arguments);
    if arguments.0.is_empty() {
        condition.push_str(" AND ?2 IS NOT NULL");
    }
    condition = format!("({condition})");
    let seeks = candidates::best(kind, filter);
    let candidates = match &seeks {
        Some(seeks) => candidates::union(kind, seeks, &mut arguments),
        None => candidates::everybody(kind).to_owned(),
    };
    Compiled { candidates, condition, arguments: Json::Array(arguments.0), is_indexed: seeks.is_some() }
}

/// The values that the SQL compares with.
#[derive(Default)]
struct Arguments(Vec<Json>);

impl Arguments {
    /// The SQL of a value.
    fn add(&mut self, value: impl Into<Json>) -> String {
        let place = self.0.len();
        self.0.push(value.into());
        format!("(?2 ->> {place})")
    }

    /// The SQL of a list of values, for `IN`.
    fn add_list(&mut self, values: Vec<String>) -> String {
        let place = self.0.len();
        self.0.push(values.into());
        format!("(SELECT value FROM json_each(?2, '$[{place}]'))")
    }
}

/// Joins expressions by `AND` or `OR` into a tree as low as can be. The deepest come first: until it is read
/// whole, what stands before an expression waits on the parser's stack, which older SQLites bound by 100
/// words.
fn join(mut parts: Vec<String>, word: &str) -> String {
    parts.sort_by_cached_key(|part| std::cmp::Reverse(depth(part)));
    balanced(parts, word)
}

fn balanced(mut parts: Vec<String>, word: &str) -> String {
    if parts.len() > 1 {
        let rest = parts.split_off(parts.len() / 2);
        return format!("({} {word} {})", balanced(parts, word), balanced(rest, word));
    }
    // Of no expressions all are true.
    parts.pop().unwrap_or_else(|| "1".to_owned())
}

/// How many parentheses are open at once.
fn depth(sql: &str) -> usize {
    let mut open = 0_usize;
    let each = sql.bytes().map(|byte| {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        open
    });
    each.max().unwrap_or_default()
}

/// What a value in the table `scim_values` is compared with.
fn stored(at: AttributeRef, comparison: &Comparison) -> Json {
    match (at.leaf().kind, &comparison.value) {
        (Kind::DateTime, Json::Number(moment)) => moment_text(moment.as_i64().unwrap_or_default()).into(),
        (Kind::Boolean, Json::Bool(truth)) => truth.to_string().into(),
        (_, Json::String(text)) => Folding::of(at).wanted(comparison.operator, text).into(),
        (_, value) => value.clone(),
    }
}

/// A moment as attributes of extensions are kept, so that texts come in the order of their moments: RFC 3339
/// in UTC, always with three digits of milliseconds.
fn moment_text(milliseconds: i64) -> String {
    let text = rfc3339::format(milliseconds.div_euclid(1000).saturating_mul(1000));
    format!("{}.{:03}Z", text.trim_end_matches('Z'), milliseconds.rem_euclid(1000))
}

/// How finely `meta` shows moments, in milliseconds: what is shown is what is compared.
const SHOWN_MOMENT: i64 = 1000;

/// The stored milliseconds whose shown moment compares so: from the first to before the second, where there
/// is one.
fn moments(comparison: &Comparison) -> (Option<i64>, Option<i64>) {
    let wanted = comparison.value.as_i64().unwrap_or_default();
    let shown = wanted.div_euclid(SHOWN_MOMENT).saturating_mul(SHOWN_MOMENT);
    let next = shown.saturating_add(SHOWN_MOMENT);
    let from = if shown == wanted { shown } else { next };
    match comparison.operator {
        Operator::Gt => (Some(next), None),
        Operator::Ge => (Some(from), None),
        Operator::Lt => (None, Some(from)),
        Operator::Le => (None, Some(next)),
        // Of a moment between two shown ones nothing.
        _ => (Some(from), Some(next)),
    }
}
