//! PATCH (RFC 7644 section 3.5.2), in the forms that Okta and Entra send too: operations in any case, values
//! without a path, paths as keys of such a value, single values wrapped in a list.
//!
//! When it is read, it falls apart into changes of one attribute or sub-attribute each: what comes without a
//! path, a whole extension or a complex attribute is a change for each of its members, so that members that
//! were not sent stay.

use serde_json::Value as Json;

use crate::path::AttributePath;
use crate::schema::{self, Attribute, AttributeRef, Kind, ResourceSchema};
use crate::value::{Object, Place, canonical_at, check_schemas, required, take};
use crate::{ScimError, ScimErrorKind, list, shown};

/// The schema of a PATCH.
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// How many operations one PATCH may have.
pub const MAX_OPERATIONS: usize = 100;

/// How many attributes one PATCH may change, each as often as it does.
pub const MAX_CHANGES: usize = 1000;

/// One change of a PATCH.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub(crate) path: AttributePath,
    pub(crate) change: Change,
}

/// What an operation does to what its path leads to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// Adds to a list, sets what has one value.
    Add(Json),
    /// Sets.
    Replace(Json),
    /// Removes it; of a list, where there is a value, only that.
    Remove(Option<Json>),
}

/// Reads a PATCH of a resource.
///
/// # Errors
/// When it is not of [`PATCH_URN`], has more than [`MAX_OPERATIONS`] or [`MAX_CHANGES`], or an operation is
/// malformed.
pub fn parse(schema: ResourceSchema<'_>, body: Json) -> Result<Vec<Operation>, ScimError> {
    let Json::Object(mut body) = body else { return Err(ScimError::syntax("a PATCH must be an object")) };
    check_schemas(take(&mut body, "schemas").as_ref(), PATCH_URN)?;
    let Some(Json::Array(operations)) = take(&mut body, "Operations") else {
        return Err(ScimError::syntax("a PATCH needs a list `Operations`"));
    };
    if operations.is_empty() || operations.len() > MAX_OPERATIONS {
        return Err(ScimError::syntax(format!("a PATCH must have 1 to {MAX_OPERATIONS} operations")));
    }
    let mut reader = Reader { schema, changes: Vec::with_capacity(operations.len()) };
    for operation in operations {
        reader.operation(operation)?;
    }
    Ok(reader.changes)
}

/// A kind of change that takes a value.
type Setting = fn(Json) -> Change;

struct Reader<'a> {
    schema: ResourceSchema<'a>,
    changes: Vec<Operation>,
}

impl Reader<'_> {
    fn operation(&mut self, json: Json) -> Result<(), ScimError> {
        let Json::Object(mut json) = json else {
            return Err(ScimError::syntax("an operation must be an object"));
        };
        let Some(Json::String(name)) = take(&mut json, "op") else {
            return Err(ScimError::syntax("an operation needs an `op`"));
        };
        let path = match take(&mut json, "path") {
            None | Some(Json::Null) => None,
            Some(Json::String(path)) => Some(self.path(&path)?),
            Some(_) => return Err(ScimError::path("a path must be text")),
        };
        let value = take(&mut json, "value");
        let setting: Setting = match name.as_str() {
            name if name.eq_ignore_ascii_case("add") => Change::Add,
            name if name.eq_ignore_ascii_case("replace") => Change::Replace,
            name if name.eq_ignore_ascii_case("remove") => {
                let detail = "a `remove` needs a path";
                let path = path.ok_or_else(|| ScimError::new(ScimErrorKind::NoTarget, detail))?;
                return self.push(path, Change::Remove(value.filter(|value| !value.is_null())));
            }
            name => return Err(ScimError::syntax(format!("there is no operation `{}`", shown(name)))),
        };
        let needed = || ScimError::value(format!("the operation `{}` needs a value", shown(&name)));
        let value = value.ok_or_else(needed)?;
        match path {
            Some(path) => self.set(path, setting, value),
            None => self.spread(None, setting, value),
        }
    }

    fn path(&self, text: &str) -> Result<AttributePath, ScimError> {
        let path = AttributePath::parse(self.schema, text)?;
        if path.is_read_only() {
            let detail = format!("`{}` is read-only", path.target.key());
            return Err(ScimError::new(ScimErrorKind::Mutability, detail));
        }
        Ok(path)
    }

    fn push(&mut self, path: AttributePath, change: Change) -> Result<(), ScimError> {
        if self.changes.len() >= MAX_CHANGES {
            return Err(ScimError::syntax(format!("a PATCH may change {MAX_CHANGES} attributes")));
        }
        self.changes.push(Operation { path, change });
        Ok(())
    }

    /// One change for each key of a value that came without a path, or for a whole extension.
    fn spread(
        &mut self,
        extension: Option<&'static Attribute>,
        setting: Setting,
        value: Json,
    ) -> Result<(), ScimError> {
        let Json::Object(members) = value else {
            let of = extension.map_or("without a path", |extension| extension.name);
            return Err(ScimError::value(format!("{of}: the value must be an object")));
        };
        for (name, value) in members {
            // Some clients put the resource's own attributes below its URN as well.
            if extension.is_none()
                && value.is_object()
                && name.eq_ignore_ascii_case(self.schema.kind.schema().id)
            {
                self.spread(None, setting, value)?;
                continue;
            }
            let path = match extension {
                Some(extension) => AttributePath::parse(self.schema, &format!("{}:{name}", extension.name)),
                None => AttributePath::parse(self.schema, &name),
            };
            match path {
                // A client that sends the whole resource back sends its `id` and `meta` too.
                Ok(path) if path.is_read_only() => {}
                Ok(path) => self.set(path, setting, value)?,
                Err(_) if value.is_null() => {}
                // Some clients say the schema of an extension in the extension, too.
                Err(_) if extension.is_some() && name.eq_ignore_ascii_case("schemas") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set(&mut self, path: AttributePath, setting: Setting, value: Json) -> Result<(), ScimError> {
        let (AttributeRef { attribute, .. }, leaf) = (path.target, path.target.leaf());
        let is_list = attribute.is_multi_valued && path.target.sub_attribute.is_none();
        let value = if is_list { value } else { unwrapped(leaf, value) };
        let Kind::Complex(of) = leaf.kind else { return self.push(path, setting(value)) };
        if is_list {
            return self.push(path, setting(value));
        }
        match value {
            value @ Json::Object(_) if attribute.is_extension() => {
                self.spread(Some(attribute), setting, value)
            }
            Json::Object(members) => self.parts(path.target, of, setting, members),
            // Entra sends a manager as its bare id.
            value @ Json::String(_) if !value.as_str().is_some_and(str::is_empty) => {
                match schema::find(of, "value") {
                    Some(sub) => self.part(path.target, sub, setting, value),
                    None => Err(ScimError::value(format!("`{}` must be an object", path.target.key()))),
                }
            }
            value => self.push(path, setting(value)),
        }
    }

    /// A change for each member of a complex value; the others stay (RFC 7644 section 3.5.2.3).
    fn parts(
        &mut self,
        whole: AttributeRef,
        of: &'static [Attribute],
        setting: Setting,
        members: Object,
    ) -> Result<(), ScimError> {
        for (name, value) in members {
            match schema::find(of, &name) {
                Some(sub) if sub.is_read_only() => {}
                Some(sub) => self.part(whole, sub, setting, value)?,
                None if value.is_null() => {}
                None => {
                    let detail = format!("there is no attribute `{}.{}`", whole.key(), shown(&name));
                    return Err(ScimError::path(detail));
                }
            }
        }
        Ok(())
    }

    fn part(
        &mut self,
        whole: AttributeRef,
        sub: &'static Attribute,
        setting: Setting,
        value: Json,
    ) -> Result<(), ScimError> {
        let target = AttributeRef { sub_attribute: Some(sub), ..whole };
        self.push(AttributePath { target, filter: None }, setting(value))
    }
}

/// The one value of an attribute that has no list, where a client sends a list of one as Entra does; an empty
/// list is no value. Of a simple attribute it may be an object with a `value` there.
fn unwrapped(attribute: &Attribute, value: Json) -> Json {
    let Json::Array(mut values) = value else { return value };
    match (values.pop(), values.is_empty()) {
        (None, _) => Json::Null,
        (Some(Json::Object(object)), true) => match (attribute.kind, object.get("value")) {
            (Kind::Complex(_), _) | (_, None) => Json::Object(object),
            (_, Some(value)) => value.clone(),
        },
        (Some(value), _) => {
            values.push(value);
            Json::Array(values)
        }
    }
}

/// Changes a resource's canonical attributes. After an error they are of no use. That required attributes are
/// still there and immutable ones as they were is to be checked afterwards:
/// [`check_required`](crate::value::check_required), [`check_immutable`](crate::value::check_immutable).
///
/// # Errors
/// When a value does not fit, or a path leads to nothing.
pub fn apply(operations: Vec<Operation>, resource: &mut Object) -> Result<(), ScimError> {
    for Operation { path, change } in operations {
        match path.target.extension {
            None => apply_to(resource, None, &path, change)?,
            Some(extension) => {
                let place = Place::new(None, extension.name);
                within_object(resource, extension, |members| apply_to(members, Some(&place), &path, change))?;
            }
        }
    }
    Ok(())
}

fn apply_to(
    members: &mut Object,
    above: Option<&Place<'_>>,
    path: &AttributePath,
    change: Change,
) -> Result<(), ScimError> {
    let attribute = path.target.attribute;
    let place = Place::new(above, attribute.name);
    match path.target.sub_attribute {
        _ if attribute.is_multi_valued => {
            let mut values = match members.remove(attribute.name) {
                Some(Json::Array(values)) => values,
                _ => Vec::new(),
            };
            list::apply(&place, &mut values, path, change)?;
            if !values.is_empty() {
                members.insert(attribute.name.to_owned(), Json::Array(values));
            }
            Ok(())
        }
        Some(sub) => within_object(members, attribute, |object| {
            put(object, &Place::new(Some(&place), sub.name), sub, change)
        }),
        None => put(members, &place, attribute, change),
    }
}

/// Works on an object that is made where it is not there and goes where it is empty.
fn within_object(
    members: &mut Object,
    attribute: &Attribute,
    change: impl FnOnce(&mut Object) -> Result<(), ScimError>,
) -> Result<(), ScimError> {
    let mut object = match members.remove(attribute.name) {
        Some(Json::Object(object)) => object,
        _ => Object::new(),
    };
    change(&mut object)?;
    if !object.is_empty() {
        members.insert(attribute.name.to_owned(), Json::Object(object));
    }
    Ok(())
}

/// Sets or removes an attribute with one value.
fn put(
    members: &mut Object,
    place: &Place<'_>,
    attribute: &'static Attribute,
    change: Change,
) -> Result<(), ScimError> {
    let value = match change {
        Change::Add(value) | Change::Replace(value) => canonical_at(place, attribute, value)?,
        Change::Remove(_) if attribute.is_required => return Err(not_removable(place)),
        Change::Remove(_) => None,
    };
    match value {
        Some(value) => members.insert(attribute.name.to_owned(), value),
        None if attribute.is_required => return Err(required(place)),
        None => members.remove(attribute.name),
    };
    Ok(())
}

/// RFC 7644 section 3.5.2.2.
pub(crate) fn not_removable(place: &Place<'_>) -> ScimError {
    ScimError::new(ScimErrorKind::Mutability, format!("`{place}` is required and can't be removed"))
}
