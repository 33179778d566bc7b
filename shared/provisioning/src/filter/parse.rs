//! Filters read: names resolved, values checked against the schema.

use iam_core::time::Timestamp;
use serde_json::Value as Json;

use super::evaluate::{Folding, holds};
use super::syntax::{self, Node, Predicate};
use super::{Comparison, Filter, Operator, ValueFilter};
use crate::schema::{self, Attribute, AttributeRef, Kind, Mutability, ResourceSchema, Returned};
use crate::{ScimError, shown};

/// Whole numbers beyond ±2^53 are not kept exactly.
const MAX_INTEGER: f64 = 9_007_199_254_740_992.0;

/// What no filter can name: addresses, which depend on who asks, and versions, which `If-Match` is for. The
/// name of an attribute and of its part.
const UNFILTERED: [(&str, &str); 4] =
    [("meta", "location"), ("meta", "version"), ("groups", "$ref"), ("members", "$ref")];

/// Reads a filter over resources of a kind.
///
/// # Errors
/// `invalidFilter` where it is malformed, beyond a bound ([`super::MAX_FILTER_BYTES`],
/// [`super::MAX_FILTER_DEPTH`], [`super::MAX_FILTER_COMPARISONS`]), names what does not exist or may not be
/// asked for, or compares an attribute with what it cannot be.
pub fn parse(schema: ResourceSchema<'_>, text: &str) -> Result<Filter, ScimError> {
    Resolver { schema, within: None }.filter(syntax::read(text)?)
}

/// Reads what stands in brackets after an attribute in a path: `type eq "work"` of `emails[type eq "work"]`.
/// Where the attribute's values are simple, `value` names them.
///
/// # Errors
/// As [`parse`] does.
pub fn parse_value_filter(attribute: &'static Attribute, text: &str) -> Result<ValueFilter, ScimError> {
    value_filter(attribute, syntax::read(text)?)
}

struct Resolver<'a> {
    schema: ResourceSchema<'a>,
    /// The attribute with one value whose parts are named.
    within: Option<AttributeRef>,
}

impl Resolver<'_> {
    fn filter(&self, node: Node<'_>) -> Result<Filter, ScimError> {
        let each = |nodes: Vec<Node<'_>>| -> Result<Vec<Filter>, ScimError> {
            nodes.into_iter().map(|node| self.filter(node)).collect()
        };
        Ok(match node {
            Node::And(nodes) => Filter::And(each(nodes)?),
            Node::Or(nodes) => Filter::Or(each(nodes)?),
            Node::Not(node) => Filter::Not(Box::new(self.filter(*node)?)),
            Node::Test(path, predicate) => self.test(self.named(path)?, predicate)?,
            Node::Brackets(path, inner, then) => self.brackets(path, *inner, then)?,
        })
    }

    fn named(&self, path: &str) -> Result<AttributeRef, ScimError> {
        if let Some(parent) = self.within {
            let sub_attribute = Some(part_of(parent.attribute, path)?);
            return Ok(AttributeRef { sub_attribute, ..parent });
        }
        let named = self.schema.attribute(path).map_err(|error| ScimError::filter(error.detail))?;
        Ok(match named {
            // An extension's attribute after a dot.
            AttributeRef { extension: None, attribute, sub_attribute: Some(sub_attribute) }
                if attribute.is_extension() =>
            {
                AttributeRef { extension: Some(attribute), attribute: sub_attribute, sub_attribute: None }
            }
            named => named,
        })
    }

    fn test(&self, at: AttributeRef, predicate: Predicate) -> Result<Filter, ScimError> {
        check_asked_for(at.attribute, at.sub_attribute)?;
        match predicate {
            Predicate::Present => Ok(self.present(at)),
            Predicate::Compare(operator, literal) => {
                let compared = at.compared().filter(|at| !matches!(at.leaf().kind, Kind::Complex(_)));
                let compared =
                    compared.filter(|_| !at.attribute.is_extension()).ok_or_else(|| has_parts(at.leaf()))?;
                match comparison(compared.leaf(), operator, literal)? {
                    Some(comparison) => Ok(self.compare(compared, comparison)),
                    None if operator == Operator::Eq => Ok(not(self.present(at))),
                    None => Ok(self.present(at)),
                }
            }
        }
    }

    fn present(&self, at: AttributeRef) -> Filter {
        let is_meta = at.extension.is_none() && at.attribute.name == "meta";
        if is_meta || is_constant(at) { self.always() } else { Filter::Present(at) }
    }

    /// A comparison; where it comes to the same for every resource, that.
    fn compare(&self, at: AttributeRef, comparison: Comparison) -> Filter {
        if !is_constant(at) {
            return Filter::Compare(at, comparison);
        }
        let (operator, is_negated) = match comparison.operator {
            Operator::Ne => (Operator::Eq, true),
            operator => (operator, false),
        };
        let says = |text: &str| holds(at.leaf(), Folding::Exact, operator, &text.into(), &comparison.value);
        let found = if at.attribute.name == "schemas" {
            self.any_schema(says)
        } else if says(self.schema.kind.name()) {
            self.always()
        } else {
            not(self.always())
        };
        if is_negated { not(found) } else { found }
    }

    /// That one of the schemas of a resource is such a one: its own, or that of an extension that it has.
    fn any_schema(&self, says: impl Fn(&str) -> bool) -> Filter {
        if says(self.schema.kind.schema().id) {
            return self.always();
        }
        let said = self.schema.extensions().filter(|extension| says(extension.schema.id));
        let mut present: Vec<Filter> = said
            .map(|extension| {
                let attribute = extension.attribute;
                Filter::Present(AttributeRef { extension: None, attribute, sub_attribute: None })
            })
            .collect();
        match present.pop() {
            None => not(self.always()),
            Some(filter) if present.is_empty() => filter,
            Some(filter) => {
                present.push(filter);
                Filter::Or(present)
            }
        }
    }

    /// What every resource meets: it has an id.
    fn always(&self) -> Filter {
        let id = schema::find(self.schema.top_level(), "id");
        id.map_or(Filter::And(Vec::new()), |attribute| {
            Filter::Present(AttributeRef { extension: None, attribute, sub_attribute: None })
        })
    }

    fn brackets(
        &self,
        path: &str,
        inner: Node<'_>,
        then: Option<(&str, Predicate)>,
    ) -> Result<Filter, ScimError> {
        let parent = self.named(path)?;
        let attribute = parent.attribute;
        let has_values = attribute.is_multi_valued || matches!(attribute.kind, Kind::Complex(_));
        if self.within.is_some()
            || parent.sub_attribute.is_some()
            || attribute.is_extension()
            || !has_values
            || is_constant(parent)
        {
            return Err(ScimError::filter(format!("`{}` takes no brackets", shown(path))));
        }
        check_asked_for(attribute, None)?;
        let inner = match then {
            Some((name, predicate)) => Node::And(vec![inner, Node::Test(name, predicate)]),
            None => inner,
        };
        if attribute.is_multi_valued {
            return Ok(Filter::Value(parent, value_filter(attribute, inner)?));
        }
        let inner = Resolver { schema: self.schema, within: Some(parent) }.filter(inner)?;
        Ok(Filter::And(vec![self.present(parent), inner]))
    }
}

/// Whether every resource of a kind has the same there, or almost.
fn is_constant(at: AttributeRef) -> bool {
    let is_resource_type = at.sub_attribute.is_some_and(|sub_attribute| sub_attribute.name == "resourceType");
    at.extension.is_none()
        && (at.attribute.name == "schemas" || at.attribute.name == "meta" && is_resource_type)
}

fn not(filter: Filter) -> Filter {
    match filter {
        Filter::Not(filter) => *filter,
        filter => Filter::Not(Box::new(filter)),
    }
}

fn value_filter(attribute: &'static Attribute, node: Node<'_>) -> Result<ValueFilter, ScimError> {
    let each = |nodes: Vec<Node<'_>>| -> Result<Vec<ValueFilter>, ScimError> {
        nodes.into_iter().map(|node| value_filter(attribute, node)).collect()
    };
    let (part, predicate) = match node {
        Node::And(nodes) => return Ok(ValueFilter::And(each(nodes)?)),
        Node::Or(nodes) => return Ok(ValueFilter::Or(each(nodes)?)),
        Node::Not(node) => return Ok(ValueFilter::Not(Box::new(value_filter(attribute, *node)?))),
        Node::Brackets(..) => return Err(ScimError::filter("brackets may not be within brackets")),
        Node::Test(path, predicate) => (part_of(attribute, path)?, predicate),
    };
    check_asked_for(attribute, Some(part))?;
    if matches!(part.kind, Kind::Complex(_)) {
        return Err(has_parts(part));
    }
    let Predicate::Compare(operator, literal) = predicate else { return Ok(ValueFilter::Present(part)) };
    Ok(match comparison(part, operator, literal)? {
        Some(comparison) => ValueFilter::Compare(part, comparison),
        None if operator == Operator::Eq => ValueFilter::Not(Box::new(ValueFilter::Present(part))),
        None => ValueFilter::Present(part),
    })
}

/// A part of an attribute; of one with simple values, itself.
fn part_of(attribute: &'static Attribute, name: &str) -> Result<&'static Attribute, ScimError> {
    match attribute.kind {
        Kind::Complex(of) => schema::find(of, name),
        _ => name.eq_ignore_ascii_case("value").then_some(attribute),
    }
    .ok_or_else(|| ScimError::filter(format!("`{}` has no sub-attribute `{}`", attribute.name, shown(name))))
}

/// Refuses what nobody may learn by asking, and what is not kept.
fn check_asked_for(attribute: &Attribute, part: Option<&Attribute>) -> Result<(), ScimError> {
    let is_secret = |it: &Attribute| it.mutability == Mutability::WriteOnly || it.returned == Returned::Never;
    if let Some(secret) = std::iter::once(attribute).chain(part).find(|it| is_secret(it)) {
        return Err(ScimError::filter(format!("`{}` is sensitive: no filter can ask for it", secret.name)));
    }
    match part {
        Some(part) if UNFILTERED.contains(&(attribute.name, part.name)) => {
            Err(ScimError::filter(format!("no filter can ask for `{}.{}`", attribute.name, part.name)))
        }
        _ => Ok(()),
    }
}

fn has_parts(attribute: &Attribute) -> ScimError {
    ScimError::filter(format!("`{}` has parts: compare one of them", attribute.name))
}

/// A comparison with a value that fits the attribute; `None` where that is null.
fn comparison(
    attribute: &Attribute,
    operator: Operator,
    literal: Json,
) -> Result<Option<Comparison>, ScimError> {
    let name = attribute.name;
    let is_offered = match attribute.kind {
        Kind::Text | Kind::Reference => true,
        Kind::Integer | Kind::Decimal | Kind::DateTime => !operator.is_textual(),
        Kind::Boolean | Kind::Binary | Kind::Complex(_) => !operator.is_textual() && !operator.is_ordering(),
    };
    if !is_offered {
        return Err(ScimError::filter(format!("`{name}` cannot be compared by `{}`", operator.as_str())));
    }
    if literal.is_null() {
        return match operator {
            Operator::Eq | Operator::Ne => Ok(None),
            _ => Err(ScimError::filter(format!("`{}` compares with no null", operator.as_str()))),
        };
    }
    let value = typed(attribute.kind, literal)
        .map_err(|wanted| ScimError::filter(format!("`{name}` must be compared with {wanted}")))?;
    Ok(Some(Comparison { operator, value }))
}

/// The value in its canonical form; else what is wanted.
fn typed(kind: Kind, literal: Json) -> Result<Json, &'static str> {
    match (kind, literal) {
        (Kind::Text | Kind::Reference | Kind::Binary, Json::String(text)) => Ok(Json::String(text)),
        (Kind::Boolean, Json::Bool(truth)) => Ok(Json::Bool(truth)),
        // As Entra sends it.
        (Kind::Boolean, Json::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Json::Bool(true)),
        (Kind::Boolean, Json::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Json::Bool(false)),
        (Kind::Integer, Json::Number(number))
            if number.as_f64().is_some_and(|it| it.fract() == 0.0 && it.abs() <= MAX_INTEGER) =>
        {
            Ok(Json::Number(number))
        }
        (Kind::Decimal, Json::Number(number)) => Ok(Json::Number(number)),
        (Kind::DateTime, Json::String(text)) => {
            let moment = text.parse::<Timestamp>();
            moment
                .map(|moment| moment.as_millis().into())
                .map_err(|_| "a date and time as RFC 3339 writes them")
        }
        (kind, _) => Err(match kind {
            Kind::Text | Kind::Reference => "text in quotes",
            Kind::Binary => "base64 in quotes",
            Kind::Boolean => "true or false",
            Kind::Integer => "a whole number",
            Kind::Decimal => "a number",
            Kind::DateTime => "a date and time in quotes",
            Kind::Complex(_) => "nothing",
        }),
    }
}
