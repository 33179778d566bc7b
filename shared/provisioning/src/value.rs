//! Foreign JSON made canonical: names as the schema writes them, values of the attribute's kind, everything
//! bounded.
//!
//! What real clients get wrong without doubt about what they mean is put right: booleans and numbers as text,
//! one value where a list belongs, a manager as its bare id, an empty text for no value. An attribute that no
//! schema has is refused with its path named, since to leave it out would lose what somebody wanted kept;
//! left out is only what says nothing: read-only attributes (RFC 7644 section 3.3), `null`, and of RFC 7643
//! section 2.4's usual sub-attributes those that a list does not have.

use std::fmt;

use iam_core::time::Timestamp;
use serde_json::{Map, Number, Value as Json};

use crate::membership;
use crate::schema::{
    self, Attribute, AttributeRef, Kind, Mutability, ResourceKind, ResourceSchema, Returned,
};
use crate::{ScimError, ScimErrorKind, shown};

/// The longest text, in bytes.
pub const MAX_TEXT_BYTES: usize = 2048;

/// The longest bytes in base64.
pub const MAX_BINARY_BYTES: usize = 16 * 1024;

/// How many values a list may have.
pub const MAX_VALUES: usize = 100;

/// The largest whole number, and negated the smallest: what every JSON reader keeps exactly.
pub const MAX_INTEGER: i64 = 1 << 53;

/// What every list has where its schema says nothing else (RFC 7643 section 2.4).
const USUAL_SUB_ATTRIBUTES: [&str; 5] = ["type", "primary", "display", "value", "$ref"];

/// The beginning of schemas that Microsoft's provisioning names beside those that it uses.
const MICROSOFT_SCHEMAS: &str = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/";

/// A JSON object.
pub type Object = Map<String, Json>;

/// Where a value is, for messages: `emails.value`, `urn:…:User:manager.value`.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    above: Option<&'a Self>,
    name: &'a str,
}

impl<'a> Place<'a> {
    pub(crate) fn new(above: Option<&'a Self>, name: &'a str) -> Self {
        Self { above, name }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            let separator = if above.name.starts_with("urn:") { ':' } else { '.' };
            write!(formatter, "{above}{separator}")?;
        }
        formatter.write_str(self.name)
    }
}

/// The canonical form of the body of a POST or PUT, without what is read-only.
///
/// # Errors
/// When it is not of its schema, names one that is not offered, or an attribute does not fit, is unknown or
/// is missing.
pub fn resource(schema: ResourceSchema<'_>, body: Json) -> Result<Object, ScimError> {
    let Json::Object(mut body) = body else {
        return Err(ScimError::syntax("a resource must be an object"));
    };
    check_listed(schema, take(&mut body, "schemas").as_ref())?;
    // A group may have more members than other lists have values.
    let members = match schema.kind {
        ResourceKind::Group => take(&mut body, membership::MEMBERS),
        ResourceKind::User => None,
    };
    let mut object = members_of(None, schema.top_level(), body)?;
    if let Some(members) =
        members.map(|members| membership::canonical(schema, members)).transpose()?.flatten()
        && object.insert(membership::MEMBERS.to_owned(), members).is_some()
    {
        return Err(ScimError::syntax("`members` is there twice"));
    }
    check_required(schema, &object)?;
    Ok(object)
}

/// Refuses a resource whose `schemas` does not name its own, or one that is not offered. An extension need
/// not be named for its attributes to be taken: clients forget it.
fn check_listed(schema: ResourceSchema<'_>, schemas: Option<&Json>) -> Result<(), ScimError> {
    check_schemas(schemas, schema.kind.schema().id)?;
    for listed in schemas.and_then(Json::as_array).into_iter().flatten() {
        let Some(urn) = listed.as_str() else {
            return Err(ScimError::syntax("`schemas` must be a list of texts"));
        };
        let is_own = urn.eq_ignore_ascii_case(schema.kind.schema().id);
        let mut extensions = schema.extensions();
        let is_known = is_own || extensions.any(|extension| extension.schema.id.eq_ignore_ascii_case(urn));
        if !is_known && !urn.starts_with(MICROSOFT_SCHEMAS) {
            let detail =
                format!("`schemas` names `{}`, which is no schema of a {} here", shown(urn), schema.kind);
            return Err(ScimError::syntax(detail));
        }
    }
    Ok(())
}

/// Refuses a message that is not of this schema.
pub(crate) fn check_schemas(schemas: Option<&Json>, wanted: &str) -> Result<(), ScimError> {
    let schemas = schemas.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    if schemas.iter().filter_map(Json::as_str).any(|schema| schema.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    Err(ScimError::syntax(format!("`schemas` must name `{wanted}`")))
}

/// Takes a member out of an object, whatever the case of its name.
pub(crate) fn take(object: &mut Object, name: &str) -> Option<Json> {
    let key = object.keys().find(|key| key.eq_ignore_ascii_case(name))?.clone();
    object.remove(&key)
}

/// The canonical form of what was sent for an attribute; `None` where that means "no value" (RFC 7643 section
/// 2.5), as an empty text does.
///
/// # Errors
/// When it does not fit the attribute.
pub fn canonical(attribute: &'static Attribute, value: Json) -> Result<Option<Json>, ScimError> {
    canonical_at(&Place::new(None, attribute.name), attribute, value)
}

pub(crate) fn canonical_at(
    place: &Place<'_>,
    attribute: &'static Attribute,
    value: Json,
) -> Result<Option<Json>, ScimError> {
    match value {
        Json::Null => Ok(None),
        value if attribute.is_multi_valued => list(place, attribute, value),
        value => element(place, attribute, value),
    }
}

fn list(place: &Place<'_>, attribute: &'static Attribute, value: Json) -> Result<Option<Json>, ScimError> {
    let values = listed(value);
    if values.len() > MAX_VALUES {
        return Err(ScimError::value(format!("`{place}` may have {MAX_VALUES} values")));
    }
    let mut elements: Vec<Json> = Vec::with_capacity(values.len());
    for value in values {
        match element(place, attribute, value)? {
            Some(element) if !elements.contains(&element) => elements.push(element),
            _ => {}
        }
    }
    check_primary(place, &elements)?;
    Ok((!elements.is_empty()).then_some(Json::Array(elements)))
}

/// The values of a list; one alone is a list too.
pub(crate) fn listed(value: Json) -> Vec<Json> {
    match value {
        Json::Array(values) => values,
        value => vec![value],
    }
}

/// The canonical form of one value.
pub(crate) fn element(
    place: &Place<'_>,
    attribute: &'static Attribute,
    value: Json,
) -> Result<Option<Json>, ScimError> {
    match (attribute.kind, value) {
        (_, Json::Null) => Ok(None),
        // No secret is empty, and nobody should believe that it was set.
        (_, Json::String(text)) if text.is_empty() && attribute.mutability != Mutability::WriteOnly => {
            Ok(None)
        }
        (Kind::Complex(of), value) => complex(place, attribute, of, value),
        // Some clients know no other lists than those of objects.
        (_, Json::Object(mut object)) if attribute.is_multi_valued && object.len() == 1 => {
            match take(&mut object, "value") {
                Some(Json::Null) => Ok(None),
                Some(value) => scalar_at(place, attribute, value).map(Some),
                None => Err(misfit(place, attribute.kind)),
            }
        }
        (_, value) => scalar_at(place, attribute, value).map(Some),
    }
}

fn complex(
    place: &Place<'_>,
    attribute: &'static Attribute,
    of: &'static [Attribute],
    value: Json,
) -> Result<Option<Json>, ScimError> {
    let members = match value {
        Json::Object(members) => members,
        // Entra sends a manager as its bare id.
        Json::String(text) if !attribute.is_multi_valued && schema::find(of, "value").is_some() => {
            Object::from_iter([("value".to_owned(), Json::String(text))])
        }
        _ => return Err(misfit(place, attribute.kind)),
    };
    let mut object = Object::new();
    let ignored: &[&str] = if attribute.is_multi_valued { &USUAL_SUB_ATTRIBUTES } else { &[] };
    for (name, value) in members {
        if schema::find(of, &name).is_some() || !ignored.iter().any(|it| it.eq_ignore_ascii_case(&name)) {
            put_member(Some(place), of, &mut object, &name, value)?;
        }
    }
    Ok((!object.is_empty()).then_some(Json::Object(object)))
}

/// The canonical form of an object's members.
fn members_of(
    above: Option<&Place<'_>>,
    attributes: impl IntoIterator<Item = &'static Attribute> + Clone,
    members: Object,
) -> Result<Object, ScimError> {
    let mut object = Object::new();
    for (name, value) in members {
        put_member(above, attributes.clone(), &mut object, &name, value)?;
    }
    Ok(object)
}

/// Some clients say the schema of an extension in the extension, too.
fn is_repeated_schemas(above: Option<&Place<'_>>, name: &str) -> bool {
    above.is_some_and(|above| above.name.starts_with("urn:")) && name.eq_ignore_ascii_case("schemas")
}

fn put_member(
    above: Option<&Place<'_>>,
    attributes: impl IntoIterator<Item = &'static Attribute>,
    object: &mut Object,
    name: &str,
    value: Json,
) -> Result<(), ScimError> {
    let attribute = match schema::find(attributes, name) {
        Some(attribute) if attribute.is_read_only() => return Ok(()),
        Some(attribute) => attribute,
        None if value.is_null() || is_repeated_schemas(above, name) => return Ok(()),
        None => {
            let name = shown(name);
            return Err(ScimError::syntax(format!("there is no attribute `{}`", Place::new(above, &name))));
        }
    };
    let place = Place::new(above, attribute.name);
    if let Some(value) = canonical_at(&place, attribute, value)?
        && object.insert(attribute.name.to_owned(), value).is_some()
    {
        return Err(ScimError::syntax(format!("`{place}` is there twice")));
    }
    Ok(())
}

/// The canonical form of a value that is no object and no list. An empty text is one here.
///
/// # Errors
/// When it does not fit the attribute.
pub fn scalar(attribute: &'static Attribute, value: Json) -> Result<Json, ScimError> {
    scalar_at(&Place::new(None, attribute.name), attribute, value)
}

fn scalar_at(place: &Place<'_>, attribute: &Attribute, value: Json) -> Result<Json, ScimError> {
    let kind = attribute.kind;
    let canonical = match (kind, value) {
        (Kind::Text | Kind::Reference, Json::String(text)) => {
            bounded(place, &text, MAX_TEXT_BYTES)?;
            Some(Json::String(text))
        }
        (Kind::Binary, Json::String(text)) => {
            bounded(place, &text, MAX_BINARY_BYTES)?;
            binary(text).map(Json::String)
        }
        (Kind::Boolean, Json::Bool(truth)) => Some(Json::Bool(truth)),
        (Kind::Boolean, Json::String(text)) if text.eq_ignore_ascii_case("true") => Some(Json::Bool(true)),
        (Kind::Boolean, Json::String(text)) if text.eq_ignore_ascii_case("false") => Some(Json::Bool(false)),
        (Kind::Integer, Json::Number(number)) => integer(&number).map(Json::from),
        (Kind::Integer, Json::String(text)) => text.parse().ok().filter(is_exact).map(Json::from),
        (Kind::Decimal, Json::Number(number)) => number.as_f64().and_then(decimal),
        (Kind::Decimal, Json::String(text)) => text.parse().ok().and_then(decimal),
        (Kind::DateTime, Json::String(text)) => text.parse().ok().map(moment),
        _ => None,
    };
    canonical.ok_or_else(|| misfit(place, kind))
}

fn misfit(place: &Place<'_>, kind: Kind) -> ScimError {
    let allowed = match kind {
        Kind::Text | Kind::Reference => "text",
        Kind::Binary => "base64",
        Kind::Boolean => "true or false",
        Kind::Integer => "a whole number within ±2^53",
        Kind::Decimal => "a number",
        Kind::DateTime => "a moment such as `2011-05-13T04:42:34Z`",
        Kind::Complex(_) => "an object",
    };
    ScimError::value(format!("`{place}` must be {allowed}"))
}

fn bounded(place: &Place<'_>, text: &str, max: usize) -> Result<(), ScimError> {
    if text.len() > max {
        return Err(ScimError::value(format!("`{place}` may be {max} bytes long")));
    }
    // Not every host carries it through a column.
    if text.contains('\0') {
        return Err(ScimError::value(format!("`{place}` may not contain a NUL")));
    }
    Ok(())
}

/// Base64 of either alphabet, its padding optional (RFC 7643 section 2.3.6), without line breaks.
fn binary(mut text: String) -> Option<String> {
    text.retain(|character| !character.is_ascii_whitespace());
    let digits = text.trim_end_matches('=');
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let is_base64 = digits.bytes().all(known) && digits.len() % 4 != 1 && text.len() - digits.len() <= 2;
    is_base64.then_some(text)
}

fn integer(number: &Number) -> Option<i64> {
    let exact = number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
        // A bound that a float has exactly: within it, no digit is lost.
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and within ±2^53")]
        (float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
    });
    exact.filter(is_exact)
}

fn is_exact(number: &i64) -> bool {
    (-MAX_INTEGER..=MAX_INTEGER).contains(number)
}

/// One form for each number: `1` and `1.0` are the same one, and so are `0.0` and `-0.0`.
fn decimal(number: f64) -> Option<Json> {
    Number::from_f64(if number == 0.0 { 0.0 } else { number }).map(Json::Number)
}

/// In UTC with three digits of milliseconds, so that texts compare as the moments do.
fn moment(moment: Timestamp) -> Json {
    let second = moment.to_string();
    let second = second.trim_end_matches('Z');
    format!("{second}.{:03}Z", moment.as_millis().rem_euclid(1000)).into()
}

/// At most one value of a list is the primary one.
pub(crate) fn check_primary(place: &Place<'_>, elements: &[Json]) -> Result<(), ScimError> {
    if elements.iter().filter(|element| is_primary(element)).count() > 1 {
        return Err(ScimError::value(format!("`{place}` may have one primary value")));
    }
    Ok(())
}

/// Whether a value of a list is the primary one.
pub(crate) fn is_primary(element: &Json) -> bool {
    element.get("primary") == Some(&Json::Bool(true))
}

/// Refuses a resource that lacks what its schemas require: attributes, sub-attributes of what is there,
/// extensions.
///
/// # Errors
/// `invalidValue`, with the first that is missing.
pub fn check_required(schema: ResourceSchema<'_>, resource: &Object) -> Result<(), ScimError> {
    schema.top_level().try_for_each(|attribute| require(None, attribute, resource.get(attribute.name)))
}

fn require(above: Option<&Place<'_>>, attribute: &Attribute, value: Option<&Json>) -> Result<(), ScimError> {
    let place = Place::new(above, attribute.name);
    let Some(value) = value else {
        return if attribute.is_required && !attribute.is_read_only() {
            Err(required(&place))
        } else {
            Ok(())
        };
    };
    let require_parts = |element: &Json| {
        let parts = attribute.sub_attributes().iter();
        parts
            .map(|part| (part, element.get(part.name)))
            .try_for_each(|(part, it)| require(Some(&place), part, it))
    };
    match value {
        Json::Array(elements) => elements.iter().try_for_each(require_parts),
        element => require_parts(element),
    }
}

pub(crate) fn required(place: &Place<'_>) -> ScimError {
    ScimError::value(format!("`{place}` is required"))
}

/// Refuses a change of what was set once and for all (RFC 7644 section 3.5.1). The values of a list have
/// nothing that tells them apart, so of a list it is immutable as a whole or not at all here; of one that a
/// path names, a PATCH looks itself.
///
/// # Errors
/// `mutability`, with the first that differs.
pub fn check_immutable(schema: ResourceSchema<'_>, before: &Object, after: &Object) -> Result<(), ScimError> {
    schema.top_level().try_for_each(|attribute| {
        keep(None, attribute, before.get(attribute.name), after.get(attribute.name))
    })
}

fn keep(
    above: Option<&Place<'_>>,
    attribute: &Attribute,
    before: Option<&Json>,
    after: Option<&Json>,
) -> Result<(), ScimError> {
    let Some(before) = before.filter(|before| Some(*before) != after) else { return Ok(()) };
    let place = Place::new(above, attribute.name);
    if attribute.mutability == Mutability::Immutable {
        return Err(immutable(&place));
    }
    if attribute.is_multi_valued {
        return Ok(());
    }
    attribute.sub_attributes().iter().try_for_each(|sub| {
        keep(Some(&place), sub, before.get(sub.name), after.and_then(|after| after.get(sub.name)))
    })
}

pub(crate) fn immutable(place: &Place<'_>) -> ScimError {
    ScimError::new(ScimErrorKind::Mutability, format!("`{place}` is immutable: it is set once"))
}

/// What differs, for the audit: `{"title": [before, after]}`, of an extension each attribute for itself. Of
/// what is never shown, only that it differs.
#[must_use]
pub fn changes(schema: ResourceSchema<'_>, before: &Object, after: &Object) -> Object {
    let mut changes = Object::new();
    let mut compare = |attribute: AttributeRef, before: Option<&Json>, after: Option<&Json>| {
        if before != after {
            let leaf = attribute.leaf();
            let is_secret = leaf.mutability == Mutability::WriteOnly || leaf.returned == Returned::Never;
            let show = |value: Option<&Json>| match value {
                Some(_) if is_secret => Json::from("hidden"),
                value => value.cloned().unwrap_or_default(),
            };
            changes.insert(attribute.key(), Json::Array(vec![show(before), show(after)]));
        }
    };
    for attribute in schema.top_level() {
        let (before, after) = (before.get(attribute.name), after.get(attribute.name));
        if !attribute.is_extension() {
            compare(AttributeRef { extension: None, attribute, sub_attribute: None }, before, after);
            continue;
        }
        for inner in attribute.sub_attributes() {
            let (before, after) =
                (before.and_then(|it| it.get(inner.name)), after.and_then(|it| it.get(inner.name)));
            compare(
                AttributeRef { extension: Some(attribute), attribute: inner, sub_attribute: None },
                before,
                after,
            );
        }
    }
    changes
}
