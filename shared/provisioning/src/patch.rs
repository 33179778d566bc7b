//! PATCH (RFC 7644 section 3.5.2), in the forms that Okta and Entra send too: operations in any case, values
//! without a path, paths as keys of such a value.

use serde_json::Value as Json;

use super::path::AttributePath;
use super::schema::Attribute;
use super::value::{Object, canonical};
use super::{ScimError, ScimErrorKind, list, shown};

/// The schema of a PATCH.
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// How many operations one PATCH may have.
pub const MAX_OPERATIONS: usize = 100;

/// One operation of a PATCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it changes; without a path, what the keys of its value lead to.
    path: Option<AttributePath>,
    change: Change,
}

/// What an operation does to what its path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Adds to a list, sets what has one value.
    Add(Json),
    /// Sets.
    Replace(Json),
    /// Removes.
    Remove,
}

/// Reads a PATCH.
///
/// # Errors
/// When it is not of [`PATCH_URN`], has more than [`MAX_OPERATIONS`], or an operation is malformed.
pub fn parse(body: Json) -> Result<Vec<Operation>, ScimError> {
    let Json::Object(mut body) = body else { return Err(ScimError::syntax("a PATCH must be an object")) };
    check_schemas(take(&mut body, "schemas").as_ref(), PATCH_URN)?;
    let Some(Json::Array(operations)) = take(&mut body, "Operations") else {
        return Err(ScimError::syntax("a PATCH needs a list `Operations`"));
    };
    if operations.is_empty() || operations.len() > MAX_OPERATIONS {
        return Err(ScimError::syntax(format!("a PATCH must have 1 to {MAX_OPERATIONS} operations")));
    }
    operations.into_iter().map(operation).collect()
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

fn operation(json: Json) -> Result<Operation, ScimError> {
    let Json::Object(mut json) = json else {
        return Err(ScimError::syntax("an operation must be an object"));
    };
    let Some(Json::String(name)) = take(&mut json, "op") else {
        return Err(ScimError::syntax("an operation needs an `op`"));
    };
    let path = match take(&mut json, "path") {
        None | Some(Json::Null) => None,
        Some(Json::String(path)) => Some(AttributePath::parse(&path)?),
        Some(_) => return Err(ScimError::path("a path must be text")),
    };
    if let Some(path) = path.as_ref().filter(|path| path.is_read_only()) {
        let detail = format!("`{}` is read-only", path.sub_attribute.unwrap_or(path.attribute).name);
        return Err(ScimError::new(ScimErrorKind::Mutability, detail));
    }
    let change = change(&name, take(&mut json, "value"))?;
    Ok(Operation { path, change })
}

fn change(name: &str, value: Option<Json>) -> Result<Change, ScimError> {
    let needed = || ScimError::value(format!("the operation `{}` needs a value", shown(name)));
    match name {
        _ if name.eq_ignore_ascii_case("add") => value.map(Change::Add).ok_or_else(needed),
        _ if name.eq_ignore_ascii_case("replace") => value.map(Change::Replace).ok_or_else(needed),
        _ if name.eq_ignore_ascii_case("remove") => match value {
            None | Some(Json::Null) => Ok(Change::Remove),
            // Some clients list here what to remove: to take that for "everything" would lose the rest.
            Some(_) => Err(ScimError::value("a `remove` takes no value: its path may have a filter")),
        },
        _ => Err(ScimError::syntax(format!("there is no operation `{}`", shown(name)))),
    }
}

/// Changes a user's canonical attributes. After an error they are of no use.
///
/// # Errors
/// When a value does not fit, or a path leads to nothing.
pub fn apply(operations: Vec<Operation>, user: &mut Object) -> Result<(), ScimError> {
    for Operation { path, change } in operations {
        match (path, change) {
            (Some(path), change) => apply_at(user, &path, change)?,
            (None, Change::Add(value)) => spread(user, value, Change::Add)?,
            (None, Change::Replace(value)) => spread(user, value, Change::Replace)?,
            (None, Change::Remove) => {
                return Err(ScimError::new(ScimErrorKind::NoTarget, "a `remove` needs a path"));
            }
        }
    }
    Ok(())
}

/// One change for each key of a value that came without a path.
fn spread(user: &mut Object, value: Json, change: fn(Json) -> Change) -> Result<(), ScimError> {
    let Json::Object(members) = value else {
        return Err(ScimError::value("without a path the value must be an object"));
    };
    for (name, value) in members {
        let path = AttributePath::parse(&name)?;
        // A client that sends the whole resource back sends its `id` and `meta` too.
        if !path.is_read_only() {
            apply_at(user, &path, change(value))?;
        }
    }
    Ok(())
}

fn apply_at(user: &mut Object, path: &AttributePath, change: Change) -> Result<(), ScimError> {
    match path.extension {
        None => apply_to(user, path, change),
        Some(extension) => within_object(user, extension, |members| apply_to(members, path, change)),
    }
}

fn apply_to(members: &mut Object, path: &AttributePath, change: Change) -> Result<(), ScimError> {
    let attribute = path.attribute;
    match path.sub_attribute {
        _ if attribute.is_multi_valued => {
            let mut values = match members.remove(attribute.name) {
                Some(Json::Array(values)) => values,
                _ => Vec::new(),
            };
            list::apply(&mut values, path, change)?;
            if !values.is_empty() {
                members.insert(attribute.name.to_owned(), Json::Array(values));
            }
            Ok(())
        }
        Some(sub) => within_object(members, attribute, |object| put(object, sub, change)),
        None => put(members, attribute, change),
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

/// Sets an attribute with one value; of an object, the members that were sent (RFC 7644 section 3.5.2.3).
fn put(members: &mut Object, attribute: &'static Attribute, change: Change) -> Result<(), ScimError> {
    let value = match change {
        Change::Add(value) | Change::Replace(value) => canonical(attribute, value)?,
        Change::Remove => None,
    };
    match (members.get_mut(attribute.name), value) {
        (_, None) => {
            members.remove(attribute.name);
        }
        (Some(Json::Object(there)), Some(Json::Object(sent))) => merge(there, sent),
        (_, Some(value)) => {
            members.insert(attribute.name.to_owned(), value);
        }
    }
    Ok(())
}

/// Takes over what was sent and leaves the rest.
pub(crate) fn merge(there: &mut Object, sent: Object) {
    for (name, value) in sent {
        match (there.get_mut(&name), value) {
            (Some(Json::Object(there)), Json::Object(sent)) => merge(there, sent),
            (_, value) => {
                there.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::ENTERPRISE_URN;

    fn patched(user: Json, operations: Json) -> Result<Json, ScimError> {
        let mut user = user.as_object().cloned().unwrap();
        let body = json!({"schemas": [PATCH_URN], "Operations": operations});
        apply(parse(body)?, &mut user)?;
        Ok(Json::Object(user))
    }

    fn refused(operations: Json) -> ScimErrorKind {
        patched(json!({"userName": "ada"}), operations).unwrap_err().kind
    }

    #[test]
    fn a_user_is_deactivated_in_every_form() {
        for operation in [
            json!({"op": "replace", "path": "active", "value": false}),
            json!({"op": "Replace", "path": "ACTIVE", "value": "False"}),
            json!({"OP": "Replace", "Value": {"active": "False"}}),
            json!({"op": "add", "value": {"Active": false, "id": "not looked at", "schemas": []}}),
            json!({"op": "replace", "path": null, "value": {"urn:ietf:params:scim:schemas:core:2.0:User:active": false}}),
        ] {
            let user = patched(json!({"active": true}), json!([operation]));
            assert_eq!(user, Ok(json!({"active": false})), "{operation}");
        }
    }

    #[test]
    fn members_that_were_not_sent_stay() {
        let user = json!({"name": {"givenName": "Ada", "familyName": "King"}});
        let married = json!({"name": {"givenName": "Ada", "familyName": "Lovelace"}});
        for operation in [
            json!({"op": "replace", "path": "name.familyName", "value": "Lovelace"}),
            json!({"op": "replace", "path": "name", "value": {"familyName": "Lovelace"}}),
            json!({"op": "add", "value": {"name.familyName": "Lovelace"}}),
        ] {
            assert_eq!(patched(user.clone(), json!([operation])), Ok(married.clone()), "{operation}");
        }
        let removals = json!([
            {"op": "remove", "path": "name.familyName"}, {"op": "replace", "path": "name.givenName", "value": null},
        ]);
        assert_eq!(patched(user, removals), Ok(json!({})));
    }

    #[test]
    fn the_extension_is_changed_by_its_urn() {
        let operations = json!([
            {"op": "Add", "path": format!("{ENTERPRISE_URN}:department"), "value": "Engines"},
            {"op": "Add", "path": format!("{ENTERPRISE_URN}:manager"), "value": "7"},
            {"op": "Replace", "value": {(ENTERPRISE_URN): {"costCenter": "1"}}},
        ]);
        let extension = json!({"department": "Engines", "manager": {"value": "7"}, "costCenter": "1"});
        let user = patched(json!({}), operations).unwrap();
        assert_eq!(user, json!({(ENTERPRISE_URN): extension}));
        assert_eq!(patched(user, json!([{"op": "remove", "path": ENTERPRISE_URN}])), Ok(json!({})));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use ScimErrorKind::{InvalidPath, InvalidSyntax, InvalidValue, Mutability, NoTarget};
        for (kind, operation) in [
            (InvalidSyntax, json!("replace")),
            (InvalidSyntax, json!({"path": "active", "value": false})),
            (InvalidSyntax, json!({"op": "move", "path": "active", "value": false})),
            (InvalidPath, json!({"op": "replace", "path": 1, "value": false})),
            (InvalidPath, json!({"op": "replace", "path": "shoeSize", "value": 43})),
            (InvalidPath, json!({"op": "replace", "value": {"shoeSize": 43}})),
            (InvalidValue, json!({"op": "replace", "path": "active"})),
            (InvalidValue, json!({"op": "replace", "path": "active", "value": "maybe"})),
            (InvalidValue, json!({"op": "replace", "value": false})),
            (InvalidValue, json!({"op": "remove", "path": "emails", "value": [{"value": "a"}]})),
            (Mutability, json!({"op": "replace", "path": "id", "value": "x"})),
            (Mutability, json!({"op": "add", "path": "groups", "value": [{"value": "x"}]})),
            (NoTarget, json!({"op": "remove"})),
        ] {
            assert_eq!(refused(json!([operation])), kind, "{operation}");
        }
        assert_eq!(refused(json!([])), InvalidSyntax);
        let one = json!({"op": "replace", "path": "active", "value": false});
        assert_eq!(refused(json!(vec![one; MAX_OPERATIONS + 1])), InvalidSyntax);
        assert_eq!(parse(json!([])).unwrap_err().kind, InvalidSyntax);
        assert_eq!(parse(json!({"Operations": []})).unwrap_err().kind, InvalidSyntax);
    }
}
