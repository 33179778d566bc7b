//! Filters carried out in memory, without an index and without a thought: what the SQL is held against in the
//! tests, and how a path's brackets find the values that they mean.

use std::cmp::Ordering;

use iam_core::directory::account::username_key;
use iam_core::directory::group::display_name_key;
use iam_core::time::Timestamp;
use serde_json::Value as Json;

use super::{Comparison, Filter, Operator, ValueFilter};
use crate::schema::{Attribute, AttributeRef, Kind};

/// Whether a filter holds of a resource: its JSON as it is answered, whole.
#[must_use]
pub fn matches(filter: &Filter, resource: &Json) -> bool {
    match filter {
        Filter::And(filters) => filters.iter().all(|filter| matches(filter, resource)),
        Filter::Or(filters) => filters.iter().any(|filter| matches(filter, resource)),
        Filter::Not(filter) => !matches(filter, resource),
        Filter::Compare(at, comparison) => {
            holds_of_any(at.leaf(), Folding::of(*at), comparison, values(resource, *at))
        }
        Filter::Present(at) => values(resource, *at).any(is_present),
        Filter::Value(at, filter) => values(resource, *at).any(|element| value_matches(filter, element)),
    }
}

/// Whether what stands in brackets holds of one value of the attribute in front of them.
#[must_use]
pub fn value_matches(filter: &ValueFilter, element: &Json) -> bool {
    match filter {
        ValueFilter::And(filters) => filters.iter().all(|filter| value_matches(filter, element)),
        ValueFilter::Or(filters) => filters.iter().any(|filter| value_matches(filter, element)),
        ValueFilter::Not(filter) => !value_matches(filter, element),
        ValueFilter::Compare(attribute, comparison) => {
            holds_of_any(attribute, Folding::of_part(attribute), comparison, part(element, attribute))
        }
        ValueFilter::Present(attribute) => part(element, attribute).any(is_present),
    }
}

/// What a resource has at an attribute: the values of a list one by one.
fn values(resource: &Json, at: AttributeRef) -> impl Iterator<Item = &Json> {
    let top = match at.extension {
        Some(extension) => resource.get(extension.name),
        None => Some(resource),
    };
    let values = top.and_then(|top| top.get(at.attribute.name)).into_iter().flat_map(each);
    values.flat_map(move |value| match at.sub_attribute {
        Some(sub_attribute) => each_of(value.get(sub_attribute.name)),
        None => each_of(Some(value)),
    })
}

/// A part of one value of a list; of a simple value, itself.
fn part<'a>(element: &'a Json, attribute: &Attribute) -> impl Iterator<Item = &'a Json> + use<'a> {
    match element {
        Json::Object(members) => each_of(members.get(attribute.name)),
        simple => each_of(Some(simple)),
    }
}

fn each_of(value: Option<&Json>) -> std::slice::Iter<'_, Json> {
    value.map_or_else(Default::default, each)
}

fn each(value: &Json) -> std::slice::Iter<'_, Json> {
    match value {
        Json::Array(values) => values.iter(),
        value => std::slice::from_ref(value).iter(),
    }
}

/// Whether it says anything: no empty text, and no list or object without such a value.
fn is_present(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(_) | Json::Number(_) => true,
        Json::String(text) => !text.is_empty(),
        Json::Array(values) => values.iter().any(is_present),
        Json::Object(members) => members.values().any(is_present),
    }
}

fn holds_of_any<'a>(
    attribute: &Attribute,
    folding: Folding,
    comparison: &Comparison,
    mut values: impl Iterator<Item = &'a Json>,
) -> bool {
    let Comparison { operator, value: wanted } = comparison;
    match operator {
        Operator::Ne => !values.any(|value| holds(attribute, folding, Operator::Eq, value, wanted)),
        operator => values.any(|value| holds(attribute, folding, *operator, value, wanted)),
    }
}

/// Whether one value compares so. That `ne` is true where there is no value is for the caller to see to.
pub(super) fn holds(
    attribute: &Attribute,
    folding: Folding,
    operator: Operator,
    value: &Json,
    wanted: &Json,
) -> bool {
    match (attribute.kind, value, wanted) {
        (Kind::DateTime, Json::String(text), wanted) => {
            let moment = text.parse::<Timestamp>().ok().map(Timestamp::as_millis);
            moment.zip(wanted.as_i64()).is_some_and(|(value, wanted)| orders(operator, value.cmp(&wanted)))
        }
        (_, Json::String(value), Json::String(wanted)) => {
            let (value, wanted) = (folding.value(value), folding.wanted(operator, wanted));
            match operator {
                Operator::Co => value.contains(&wanted),
                Operator::Sw => value.starts_with(&wanted),
                Operator::Ew => value.ends_with(&wanted),
                operator => orders(operator, value.cmp(&wanted)),
            }
        }
        (_, Json::Number(value), Json::Number(wanted)) => {
            let order =
                value.as_f64().zip(wanted.as_f64()).and_then(|(value, wanted)| value.partial_cmp(&wanted));
            order.is_some_and(|order| orders(operator, order))
        }
        (_, value, wanted) => operator == Operator::Eq && value == wanted,
    }
}

fn orders(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}

/// What of a text does not matter where it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folding {
    /// Everything matters.
    Exact,
    /// All but the case of ASCII letters.
    Ascii,
    /// What makes a user name or a group's name unique.
    Key,
}

impl Folding {
    pub(super) fn of(at: AttributeRef) -> Self {
        // Both keys are made alike, and one column holds either.
        let is_key = at.extension.is_none() && at.sub_attribute.is_none() && at.attribute.is_unique;
        if is_key { Self::Key } else { Self::of_part(at.leaf()) }
    }

    fn of_part(attribute: &Attribute) -> Self {
        if attribute.is_case_exact { Self::Exact } else { Self::Ascii }
    }

    /// What a resource's value is compared as.
    fn value(self, text: &str) -> String {
        match self {
            Self::Exact => text.to_owned(),
            Self::Ascii => text.to_ascii_lowercase(),
            Self::Key => username_key(text),
        }
    }

    /// What a filter's value is compared as. In a part of a name a space at either end is one.
    pub(super) fn wanted(self, operator: Operator, text: &str) -> String {
        match self {
            Self::Exact => text.to_owned(),
            Self::Ascii => text.to_ascii_lowercase(),
            Self::Key if operator.is_textual() => text.to_lowercase(),
            Self::Key => display_name_key(text),
        }
    }
}
