//! Which attributes an answer shows (RFC 7644 section 3.9).
//!
//! A name that is no attribute's is passed over: the RFC says nothing of it, and a search over several kinds
//! of resources names attributes that not every kind has.

use serde_json::Value as Json;

use crate::ScimError;
use crate::schema::{Attribute, AttributeRef, Kind, ResourceSchema, Returned};
use crate::value::Object;

/// How many attributes a request may name.
pub const MAX_NAMES: usize = 256;

/// Which attributes of a kind of resource an answer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    shown: Vec<(&'static str, Part)>,
}

/// How much of an attribute is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Nothing,
    Whole,
    Some(Vec<(&'static str, Part)>),
}

impl Projection {
    /// Reads the parameters `attributes` and `excludedAttributes`: names with commas between them, each
    /// perhaps with its schema's URN, perhaps of a sub-attribute. One without a name counts as absent.
    ///
    /// # Errors
    /// `invalidValue` where both are there, since either makes no sense beside the other, or one has more
    /// than [`MAX_NAMES`].
    pub fn parse(
        schema: ResourceSchema<'_>,
        attributes: Option<&str>,
        excluded: Option<&str>,
    ) -> Result<Self, ScimError> {
        let names = |text: Option<&str>| read(schema, text.into_iter().flat_map(|text| text.split(',')));
        Self::of(schema, names(attributes)?, names(excluded)?)
    }

    /// Reads the same from lists, as `POST …/.search` has them.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_lists<T: AsRef<str>>(
        schema: ResourceSchema<'_>,
        attributes: &[T],
        excluded: &[T],
    ) -> Result<Self, ScimError> {
        let names = |names: &[T]| read(schema, names.iter().map(T::as_ref));
        Self::of(schema, names(attributes)?, names(excluded)?)
    }

    fn of(
        schema: ResourceSchema<'_>,
        attributes: Option<Vec<AttributeRef>>,
        excluded: Option<Vec<AttributeRef>>,
    ) -> Result<Self, ScimError> {
        let choice = match (attributes, excluded) {
            (None, None) => Choice::Default,
            (Some(names), None) => Choice::Only(names),
            (None, Some(names)) => Choice::Without(names),
            (Some(_), Some(_)) => {
                return Err(ScimError::value("`attributes` and `excludedAttributes` exclude each other"));
            }
        };
        Ok(Self { shown: schema.top_level().map(|it| (it.name, choice.part(&mut vec![it]))).collect() })
    }

    /// Whether an answer shows anything of the attribute of this name: what need not be loaded otherwise.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let is_named = |(it, part): &(&str, Part)| it.eq_ignore_ascii_case(name) && *part != Part::Nothing;
        self.shown.iter().any(is_named)
    }

    /// Leaves of a whole resource what is to be shown.
    pub fn apply(&self, resource: &mut Object) {
        cut(resource, &self.shown);
    }
}

fn read<'a>(
    schema: ResourceSchema<'_>,
    names: impl Iterator<Item = &'a str>,
) -> Result<Option<Vec<AttributeRef>>, ScimError> {
    let names: Vec<&str> = names.map(str::trim).filter(|name| !name.is_empty()).take(MAX_NAMES + 1).collect();
    if names.len() > MAX_NAMES {
        return Err(ScimError::value(format!("`attributes` and `excludedAttributes` may name {MAX_NAMES}")));
    }
    Ok((!names.is_empty()).then(|| names.iter().filter_map(|name| schema.attribute(name).ok()).collect()))
}

/// Leaves what is shown, and whether that is anything.
fn cut(object: &mut Object, shown: &[(&'static str, Part)]) -> bool {
    object.retain(|name, value| match shown.iter().find(|(shown, _)| shown == name) {
        None | Some((_, Part::Nothing)) => false,
        Some((_, Part::Whole)) => true,
        Some((_, Part::Some(parts))) => match value {
            Json::Object(object) => cut(object, parts),
            Json::Array(elements) => {
                elements
                    .retain_mut(|element| element.as_object_mut().is_some_and(|object| cut(object, parts)));
                !elements.is_empty()
            }
            _ => false,
        },
    });
    !object.is_empty()
}

/// What a client chose.
enum Choice {
    Default,
    Only(Vec<AttributeRef>),
    Without(Vec<AttributeRef>),
}

impl Choice {
    /// How much is shown of what is at the end of a path: an attribute, perhaps with its extension before it.
    fn part(&self, path: &mut Vec<&'static Attribute>) -> Part {
        let Some(Kind::Complex(of)) = path.last().map(|last| last.kind) else {
            return if self.shows(path) { Part::Whole } else { Part::Nothing };
        };
        let part = |sub: &'static Attribute| {
            path.push(sub);
            let part = self.part(path);
            path.pop();
            (sub.name, part)
        };
        let parts: Vec<_> = of.iter().map(part).collect();
        let are_all = |wanted: &Part| parts.iter().all(|(_, part)| part == wanted);
        match () {
            () if are_all(&Part::Whole) => Part::Whole,
            () if are_all(&Part::Nothing) => Part::Nothing,
            () => Part::Some(parts),
        }
    }

    /// Whether a simple attribute is shown (RFC 7643 section 7, `returned`).
    fn shows(&self, path: &[&'static Attribute]) -> bool {
        let are = |path: &[&Attribute], returned: Returned| path.iter().any(|it| it.returned == returned);
        if are(path, Returned::Never) {
            return false;
        }
        // What is shown always is so as a whole, except what is for those who ask.
        let always = path.iter().rposition(|it| it.returned == Returned::Always);
        let is_always = always.is_some_and(|at| !are(path.get(at..).unwrap_or_default(), Returned::Request));
        match self {
            Self::Default => !are(path, Returned::Request),
            Self::Only(names) => {
                let is_asked = |name: &AttributeRef| {
                    after(path, name).is_some_and(|(_, rest)| !are(rest, Returned::Request))
                };
                is_always || names.iter().any(is_asked)
            }
            Self::Without(names) => {
                let is_left_out = |name: &AttributeRef| {
                    after(path, name).is_some_and(|(last, rest)| {
                        last.returned != Returned::Always && !are(rest, Returned::Always)
                    })
                };
                !are(path, Returned::Request) && !names.iter().any(is_left_out)
            }
        }
    }
}

/// Where a name is the beginning of a path: its own last attribute, and what follows it.
fn after<'a>(
    path: &'a [&'static Attribute],
    name: &AttributeRef,
) -> Option<(&'static Attribute, &'a [&'static Attribute])> {
    let names = [name.extension, Some(name.attribute), name.sub_attribute];
    let mut rest = path;
    for wanted in names.into_iter().flatten() {
        let (first, others) = rest.split_first()?;
        // Two extensions may have attributes that are alike, but never two of one.
        if first.name != wanted.name {
            return None;
        }
        rest = others;
    }
    Some((name.leaf(), rest))
}
