//! Which resources a filter can hold of, by the index that tells most.

use std::cmp::Ordering;

use iam_core::directory::group::display_name_key;
use serde_json::Value as Json;

use super::place::{self, Members, Place, SUSPENDED};
use super::{Arguments, moments, stored};
use crate::filter::evaluate::Folding;
use crate::filter::{Comparison, Filter, Operator, ValueFilter};
use crate::schema::{AttributeRef, Kind, ResourceKind};

/// How many terms a union has: D1 takes five, and one may be added around it.
const TERMS: usize = 4;

/// How few resources a seek probably gives; the least is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// One at most, by its id.
    Id,
    /// One at most, by what is unique.
    Unique,
    /// A few: what one value stands for one resource in general, or one person or group.
    Equal,
    /// A few: what several resources may share.
    Shared,
    /// The suspended.
    Suspended,
    /// Those that begin alike.
    Prefix,
    /// A period, or one end of an order.
    Range,
    /// Those with one of a few values: `type eq "work"`.
    Class,
    /// Those with any value.
    Any,
}

/// A condition that an index answers.
#[derive(Clone, Copy)]
pub(super) struct Seek<'a> {
    rank: Rank,
    at: AttributeRef,
    /// What its value is compared with; `None` where there must be one.
    comparison: Option<&'a Comparison>,
}

/// The seeks that together give every resource that the filter holds of; `None` where no index narrows.
pub(super) fn best(kind: ResourceKind, filter: &Filter) -> Option<Vec<Seek<'_>>> {
    match filter {
        Filter::And(filters) => filters.iter().filter_map(|filter| best(kind, filter)).min_by(narrower),
        Filter::Or(filters) => {
            let each: Option<Vec<_>> = filters.iter().map(|filter| best(kind, filter)).collect();
            each.map(|seeks| seeks.into_iter().flatten().collect())
        }
        Filter::Not(_) => None,
        Filter::Compare(at, comparison) => seek(kind, *at, Some(comparison)),
        Filter::Present(at) => seek(kind, *at, None),
        Filter::Value(at, filter) => best_within(kind, *at, filter),
    }
}

fn best_within(kind: ResourceKind, parent: AttributeRef, filter: &ValueFilter) -> Option<Vec<Seek<'_>>> {
    match filter {
        ValueFilter::And(filters) => {
            filters.iter().filter_map(|filter| best_within(kind, parent, filter)).min_by(narrower)
        }
        ValueFilter::Or(filters) => {
            let each: Option<Vec<_>> =
                filters.iter().map(|filter| best_within(kind, parent, filter)).collect();
            each.map(|seeks| seeks.into_iter().flatten().collect())
        }
        ValueFilter::Not(_) => None,
        ValueFilter::Compare(part, comparison) => seek(kind, place::of_part(parent, part), Some(comparison)),
        ValueFilter::Present(part) => seek(kind, place::of_part(parent, part), None),
    }
}

/// The order of lists of seeks by how few resources they give.
fn narrower(one: &Vec<Seek<'_>>, other: &Vec<Seek<'_>>) -> Ordering {
    let worst = |seeks: &[Seek<'_>]| seeks.iter().map(|seek| seek.rank).max();
    worst(one).cmp(&worst(other)).then(one.len().cmp(&other.len()))
}

fn seek(kind: ResourceKind, at: AttributeRef, comparison: Option<&Comparison>) -> Option<Vec<Seek<'_>>> {
    // Every text begins with the empty one.
    let narrows = |comparison: &Comparison| !comparison.operator.is_textual() || comparison.value != "";
    let operator = comparison.filter(|comparison| narrows(comparison)).map(|comparison| comparison.operator);
    let rank = match Place::of(kind, at) {
        Place::Id(_) => only_some(of_order(operator, Rank::Id)?)?,
        Place::Text(column) => {
            column.seek?;
            let is_unique = at.attribute.is_unique;
            let rank = of_order(operator, if is_unique { Rank::Unique } else { Rank::Equal })?;
            // Everybody has what is unique.
            if is_unique { only_some(rank)? } else { rank }
        }
        Place::Moment(column) => {
            column.seek?;
            only_some(of_order(operator, Rank::Shared)?)?
        }
        Place::Active => {
            let comparison = comparison?;
            let is_equal = comparison.operator == Operator::Eq;
            (comparison.value == Json::Bool(!is_equal)).then_some(Rank::Suspended)?
        }
        Place::Members(members) => of_members(members, at, operator)?,
        Place::Values => of_values(at, operator)?,
    };
    Some(vec![Seek { rank, at, comparison }])
}

/// How much an operator narrows in an index over the value; `None` where it is a negation.
fn of_order(operator: Option<Operator>, equal: Rank) -> Option<Rank> {
    match operator {
        Some(Operator::Ne) => None,
        Some(Operator::Eq) => Some(equal),
        Some(Operator::Sw) => Some(Rank::Prefix),
        Some(Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le) => Some(Rank::Range),
        Some(Operator::Co | Operator::Ew) | None => Some(Rank::Any),
    }
}

fn only_some(rank: Rank) -> Option<Rank> {
    (rank != Rank::Any).then_some(rank)
}

fn of_members(members: &Members, at: AttributeRef, operator: Option<Operator>) -> Option<Rank> {
    let is_sought = match at.sub_attribute?.name {
        "value" => true,
        "display" => members.seek_by_name.is_some(),
        _ => false,
    };
    (is_sought && operator == Some(Operator::Eq)).then_some(Rank::Shared)
}

fn of_values(at: AttributeRef, operator: Option<Operator>) -> Option<Rank> {
    let leaf = at.leaf();
    let equal = match leaf.kind {
        Kind::Boolean => Rank::Class,
        // The same number may be written in several ways.
        Kind::Integer | Kind::Decimal => Rank::Any,
        _ if !leaf.canonical_values.is_empty() || leaf.name == "type" => Rank::Class,
        _ if leaf.name == "value" => Rank::Equal,
        _ => Rank::Shared,
    };
    match of_order(operator, equal)? {
        Rank::Range if !has_order(at) => Some(Rank::Any),
        rank => Some(rank),
    }
}

/// Whether the index over values, in which letters are small, has them in their own order.
fn has_order(at: AttributeRef) -> bool {
    match at.leaf().kind {
        Kind::DateTime => true,
        Kind::Text | Kind::Reference => !at.leaf().is_case_exact,
        _ => false,
    }
}

/// Everybody, in the order that they came in.
pub(super) fn everybody(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::User => {
            "SELECT users.user_id AS id FROM users INDEXED BY users_by_number WHERE users.org_id = ?1 AND \
             users.number IS NOT NULL AND users.deleted_at IS NULL AND ?2 IS NOT NULL"
        }
        ResourceKind::Group => {
            "SELECT groups.group_id AS id FROM groups WHERE groups.org_id = ?1 AND ?2 IS NOT NULL"
        }
    }
}

/// A query for all that the seeks give.
pub(super) fn union(kind: ResourceKind, seeks: &[Seek<'_>], arguments: &mut Arguments) -> String {
    let mut queries: Vec<String> = seeks.iter().map(|seek| query(kind, seek, arguments)).collect();
    while queries.len() > 1 {
        let few = queries.chunks(TERMS).map(|few| match few {
            [one] => one.clone(),
            few => format!("SELECT id FROM ({})", few.join(" UNION ALL ")),
        });
        queries = few.collect();
    }
    queries.pop().unwrap_or_else(|| everybody(kind).to_owned())
}

fn query(kind: ResourceKind, seek: &Seek<'_>, arguments: &mut Arguments) -> String {
    let Seek { at, comparison, .. } = *seek;
    let wanted = |comparison: &Comparison| match &comparison.value {
        Json::String(text) => Folding::of(at).wanted(comparison.operator, text),
        _ => String::new(),
    };
    match Place::of(kind, at) {
        Place::Id(column) | Place::Text(column) => {
            let bound = match comparison {
                Some(comparison) => bound(column.sql, comparison.operator, wanted(comparison), arguments),
                None => format!("{} > '' AND ?2 IS NOT NULL", column.sql),
            };
            format!("{}{bound}", column.seek.unwrap_or_default())
        }
        Place::Moment(column) => {
            let (from, before) = comparison.map(moments).unwrap_or_default();
            let from = from.map(|from| format!("{} >= {}", column.sql, arguments.add(from)));
            let before = before.map(|before| format!("{} < {}", column.sql, arguments.add(before)));
            let bounds: Vec<String> = from.into_iter().chain(before).collect();
            format!("{}{}", column.seek.unwrap_or_default(), bounds.join(" AND "))
        }
        Place::Active => SUSPENDED.to_owned(),
        Place::Members(members) => {
            let wanted = comparison.map(wanted).unwrap_or_default();
            match (at.sub_attribute.map(|part| part.name), members.seek_by_name) {
                // Names that differ in the case of ASCII letters alone have one key.
                (Some("display"), Some(seek)) => {
                    format!("{seek}{}", arguments.add(display_name_key(&wanted)))
                }
                _ => format!("{}{}", members.seek, arguments.add(wanted)),
            }
        }
        Place::Values => of_index(kind, seek, arguments),
    }
}

/// A query of the index over values.
fn of_index(kind: ResourceKind, seek: &Seek<'_>, arguments: &mut Arguments) -> String {
    let keys = match <[String; 1]>::try_from(place::keys(seek.at)) {
        Ok([key]) => format!("= {}", arguments.add(key)),
        Err(keys) => format!("IN {}", arguments.add_list(keys)),
    };
    let bound = match seek.comparison {
        None => " AND scim_values.value > ''".to_owned(),
        Some(_) if seek.rank == Rank::Any => String::new(),
        Some(comparison) => match stored(seek.at, comparison) {
            // The index has small letters.
            Json::String(wanted) => {
                let wanted = wanted.to_ascii_lowercase();
                format!(" AND {}", bound("scim_values.value", comparison.operator, wanted, arguments))
            }
            _ => String::new(),
        },
    };
    format!(
        "SELECT scim_values.id AS id FROM scim_values INDEXED BY scim_values_by_value WHERE \
         scim_values.org_id = ?1 AND scim_values.kind = '{kind}' AND scim_values.attribute {keys}{bound}"
    )
}

/// The bounds of what compares so, in the order of an index.
fn bound(sql: &str, operator: Operator, wanted: String, arguments: &mut Arguments) -> String {
    let symbol = match operator {
        Operator::Gt => ">",
        Operator::Ge => ">=",
        Operator::Lt => "<",
        Operator::Le => "<=",
        Operator::Sw => {
            let after = after_prefix(&wanted);
            let from = format!("{sql} >= {}", arguments.add(wanted));
            return match after {
                Some(after) => format!("{from} AND {sql} < {}", arguments.add(after)),
                None => from,
            };
        }
        Operator::Co | Operator::Ew => return format!("{sql} >= ''"),
        Operator::Eq | Operator::Ne => "=",
    };
    format!("{sql} {symbol} {}", arguments.add(wanted))
}

/// The least text after all that begin with this one, where there is one.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters = prefix.chars();
    while let Some(last) = characters.next_back() {
        let next = match last {
            // Between the two are the halves of pairs, which are no characters.
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            return Some(characters.chain([next]).collect());
        }
    }
    None
}
