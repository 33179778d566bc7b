//! What decides whether a filter holds of a row. Every expression here is 0 or 1, never NULL: `not` must
//! negate it. Each is in parentheses or begins with `NOT` or the name of a function, so that it can stand
//! after `NOT` and beside `AND`.

use serde_json::Value as Json;

use super::place::{self, ACTIVE, Column, Members, Place};
use super::{Arguments, join, moments, stored};
use crate::filter::evaluate::Folding;
use crate::filter::{Comparison, Filter, Operator, ValueFilter};
use crate::schema::{Attribute, AttributeRef, Kind, ResourceKind};

/// The expression of a filter over the row `users` or `groups`.
pub(super) fn condition(kind: ResourceKind, filter: &Filter, arguments: &mut Arguments) -> String {
    match filter {
        Filter::And(filters) => {
            join(filters.iter().map(|filter| condition(kind, filter, arguments)).collect(), "AND")
        }
        Filter::Or(filters) => {
            join(filters.iter().map(|filter| condition(kind, filter, arguments)).collect(), "OR")
        }
        Filter::Not(filter) => format!("NOT {}", condition(kind, filter, arguments)),
        Filter::Compare(at, comparison) => negated_or_not(comparison, |comparison| {
            compares(Row { kind, parent: None }, *at, comparison, arguments)
        }),
        Filter::Present(at) => present(Row { kind, parent: None }, *at, arguments),
        Filter::Value(at, filter) => brackets(kind, *at, filter, arguments),
    }
}

/// That some value of an attribute is all that is in brackets.
fn brackets(kind: ResourceKind, at: AttributeRef, filter: &ValueFilter, arguments: &mut Arguments) -> String {
    let row = Row { kind, parent: Some(at) };
    if let Place::Members(members) = Place::of(kind, at) {
        return format!("EXISTS ({} AND {})", members.rows, within(row, filter, arguments));
    }
    // One row of each value is looked at: that of the first part which must be there, else of any.
    let keys = match leading(filter) {
        Some(part) => vec![place::of_part(at, part).key()],
        None => place::keys(at),
    };
    let rows = values_of(kind, "element", keys, arguments);
    format!("EXISTS ({rows} AND {})", within(row, filter, arguments))
}

/// A part that a value must have where the filter holds of it.
fn leading(filter: &ValueFilter) -> Option<&'static Attribute> {
    match filter {
        ValueFilter::And(filters) => filters.iter().find_map(leading),
        ValueFilter::Compare(part, comparison) => (comparison.operator != Operator::Ne).then_some(*part),
        ValueFilter::Present(part) => Some(part),
        ValueFilter::Or(_) | ValueFilter::Not(_) => None,
    }
}

fn within(row: Row, filter: &ValueFilter, arguments: &mut Arguments) -> String {
    let whole = |part: &'static Attribute| row.parent.map(|parent| place::of_part(parent, part));
    match filter {
        ValueFilter::And(filters) => {
            join(filters.iter().map(|filter| within(row, filter, arguments)).collect(), "AND")
        }
        ValueFilter::Or(filters) => {
            join(filters.iter().map(|filter| within(row, filter, arguments)).collect(), "OR")
        }
        ValueFilter::Not(filter) => format!("NOT {}", within(row, filter, arguments)),
        ValueFilter::Compare(part, comparison) => match whole(part) {
            Some(at) => negated_or_not(comparison, |comparison| compares(row, at, comparison, arguments)),
            None => "0".to_owned(),
        },
        ValueFilter::Present(part) => match whole(part) {
            Some(at) => present(row, at, arguments),
            None => "0".to_owned(),
        },
    }
}

/// What is asked about: a row of resources, or one value of an attribute of it.
#[derive(Clone, Copy)]
struct Row {
    kind: ResourceKind,
    /// The attribute, where it is one value of it.
    parent: Option<AttributeRef>,
}

/// `ne` is `not (… eq …)`.
fn negated_or_not(comparison: &Comparison, mut expression: impl FnMut(&Comparison) -> String) -> String {
    if comparison.operator != Operator::Ne {
        return expression(comparison);
    }
    let equal = Comparison { operator: Operator::Eq, value: comparison.value.clone() };
    format!("NOT {}", expression(&equal))
}

fn compares(row: Row, at: AttributeRef, comparison: &Comparison, arguments: &mut Arguments) -> String {
    match Place::of(row.kind, at) {
        Place::Id(column) | Place::Text(column) => of_column(column, at, comparison, arguments),
        Place::Moment(column) => {
            let (from, before) = moments(comparison);
            let from = from.map(|from| format!("{} >= {}", column.sql, arguments.add(from)));
            let before = before.map(|before| format!("{} < {}", column.sql, arguments.add(before)));
            join(from.into_iter().chain(before).map(|bound| format!("({bound})")).collect(), "AND")
        }
        Place::Active if comparison.value == Json::Bool(true) => ACTIVE.to_owned(),
        Place::Active => format!("(NOT {ACTIVE})"),
        Place::Members(members) => {
            of_members(row, members, at, |column| of_column(column, at, comparison, arguments))
        }
        Place::Values => {
            let rows = rows_of(row, at, arguments);
            format!("EXISTS ({rows} AND {})", of_value(at, comparison, arguments))
        }
    }
}

fn present(row: Row, at: AttributeRef, arguments: &mut Arguments) -> String {
    match Place::of(row.kind, at) {
        // No user is without a state, nor anything without an id or a date.
        Place::Id(_) | Place::Moment(_) | Place::Active => "1".to_owned(),
        Place::Text(column) => is_said(column),
        Place::Members(members) => of_members(row, members, at, is_said),
        Place::Values => format!("EXISTS ({} AND part.exact <> '')", rows_of(row, at, arguments)),
    }
}

fn is_said(column: &Column) -> String {
    definite(column, format!("{} <> ''", column.sql))
}

/// An expression over a column, false where that is NULL.
fn definite(column: &Column, expression: String) -> String {
    if column.is_nullable { format!("coalesce({expression}, 0)") } else { format!("({expression})") }
}

/// That the other side of a membership is such a one: of some membership, or within brackets of the one in
/// question.
fn of_members(
    row: Row,
    members: &Members,
    at: AttributeRef,
    mut expression: impl FnMut(&Column) -> String,
) -> String {
    let simple = |sql| Column { sql, is_nullable: false, seek: None };
    let expression = match at.sub_attribute.map(|part| part.name) {
        Some("display") => expression(&members.display),
        Some("type") => expression(&simple(members.kind)),
        // Whoever is a member has an id, so that this also says whether there is one.
        _ => expression(&simple(members.value)),
    };
    match row.parent {
        Some(_) => expression,
        None => format!("EXISTS ({} AND {expression})", members.rows),
    }
}

fn of_column(
    column: &Column,
    at: AttributeRef,
    comparison: &Comparison,
    arguments: &mut Arguments,
) -> String {
    let Json::String(text) = &comparison.value else { return "0".to_owned() };
    let wanted = Folding::of(at).wanted(comparison.operator, text);
    definite(column, of_text(column.sql, comparison.operator, wanted, arguments))
}

/// That a value in `part` compares so. A unary plus keeps SQLite from looking the value up instead of the
/// resource.
fn of_value(at: AttributeRef, comparison: &Comparison, arguments: &mut Arguments) -> String {
    let operator = comparison.operator;
    match (at.leaf().kind, stored(at, comparison)) {
        (Kind::Integer | Kind::Decimal, number) => {
            format!("CAST(part.exact AS REAL) {} {}", symbol(operator), arguments.add(number))
        }
        (kind, Json::String(wanted)) => {
            let is_exact = at.leaf().is_case_exact || kind == Kind::DateTime;
            of_text(if is_exact { "+part.exact" } else { "+part.value" }, operator, wanted, arguments)
        }
        _ => "0".to_owned(),
    }
}

fn of_text(sql: &str, operator: Operator, wanted: String, arguments: &mut Arguments) -> String {
    match operator {
        Operator::Co => format!("instr({sql}, {}) > 0", arguments.add(wanted)),
        Operator::Sw => format!("instr({sql}, {}) = 1", arguments.add(wanted)),
        // A text of no characters has no last ones.
        Operator::Ew if wanted.is_empty() => format!("({sql}) IS NOT NULL"),
        Operator::Ew => {
            let wanted = arguments.add(wanted);
            format!("substr({sql}, -length({wanted})) = {wanted}")
        }
        operator => format!("{sql} {} {}", symbol(operator), arguments.add(wanted)),
    }
}

fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::Gt => ">",
        Operator::Ge => ">=",
        Operator::Lt => "<",
        Operator::Le => "<=",
        _ => "=",
    }
}

/// A query for the values of an attribute, called `part`: of the resource, or within brackets of the value in
/// question.
fn rows_of(row: Row, at: AttributeRef, arguments: &mut Arguments) -> String {
    let rows = values_of(row.kind, "part", place::keys(at), arguments);
    match row.parent {
        Some(_) => format!("{rows} AND part.element = element.element"),
        None => rows,
    }
}

fn values_of(kind: ResourceKind, name: &str, keys: Vec<String>, arguments: &mut Arguments) -> String {
    let id = place::id_of(kind);
    let keys = match <[String; 1]>::try_from(keys) {
        Ok([key]) => format!("= {}", arguments.add(key)),
        Err(keys) => format!("IN {}", arguments.add_list(keys)),
    };
    format!(
        "SELECT 1 FROM scim_values AS {name} WHERE {name}.org_id = ?1 AND {name}.kind = '{kind}' AND \
         {name}.id = {id} AND {name}.attribute {keys}"
    )
}
