//! Foreign JSON made canonical: names as the schema writes them, values of the attribute's kind, everything
//! bounded. What real clients get wrong without doubt about what they mean is put right: booleans as text, one
//! value where a list belongs.

use serde_json::{Map, Value as Json};

use super::schema::{self, Attribute, Kind};
use super::{ScimError, shown};

/// The longest text, in bytes.
pub const MAX_TEXT_BYTES: usize = 2048;

/// The longest bytes in base64.
pub const MAX_BINARY_BYTES: usize = 16 * 1024;

/// How many values a list may have.
pub const MAX_VALUES: usize = 100;

/// A JSON object.
pub type Object = Map<String, Json>;

/// The canonical form of what was sent for an attribute; `None` where that means "no value" (RFC 7643 section 2.5).
///
/// # Errors
/// When it does not fit the attribute.
pub fn canonical(attribute: &'static Attribute, value: Json) -> Result<Option<Json>, ScimError> {
    match value {
        Json::Null => Ok(None),
        value if attribute.is_multi_valued => list(attribute, value),
        value => single(attribute, value),
    }
}

fn list(attribute: &'static Attribute, value: Json) -> Result<Option<Json>, ScimError> {
    let values = match value {
        Json::Array(values) => values,
        value => vec![value],
    };
    if values.len() > MAX_VALUES {
        return Err(ScimError::value(format!("`{}` may have {MAX_VALUES} values", attribute.name)));
    }
    let mut elements: Vec<Json> = Vec::with_capacity(values.len());
    for value in values {
        match element(attribute, value)? {
            Some(element) if !elements.contains(&element) => elements.push(element),
            _ => {}
        }
    }
    check_primary(attribute, &elements)?;
    Ok((!elements.is_empty()).then_some(Json::Array(elements)))
}

/// The canonical form of one value of a list.
pub(crate) fn element(attribute: &'static Attribute, value: Json) -> Result<Option<Json>, ScimError> {
    match value {
        Json::Null => Ok(None),
        value => single(attribute, value),
    }
}

fn single(attribute: &'static Attribute, value: Json) -> Result<Option<Json>, ScimError> {
    let name = attribute.name;
    match (attribute.kind, value) {
        (Kind::Text | Kind::Reference, Json::String(text)) => bounded(name, text, MAX_TEXT_BYTES).map(Some),
        (Kind::Binary, Json::String(text)) => bounded(name, text, MAX_BINARY_BYTES).map(Some),
        (Kind::Boolean, Json::Bool(truth)) => Ok(Some(Json::Bool(truth))),
        (Kind::Boolean, Json::String(text)) if text.eq_ignore_ascii_case("true") => {
            Ok(Some(Json::Bool(true)))
        }
        (Kind::Boolean, Json::String(text)) if text.eq_ignore_ascii_case("false") => {
            Ok(Some(Json::Bool(false)))
        }
        (Kind::Complex(of), Json::Object(members)) => {
            let object = members_of(of, members)?;
            Ok((!object.is_empty()).then_some(Json::Object(object)))
        }
        // Entra sends a manager as its bare id.
        (Kind::Complex(of), value @ Json::String(_)) if !attribute.is_multi_valued => {
            match schema::find(of, "value") {
                Some(sub) => {
                    Ok(single(sub, value)?
                        .map(|value| Object::from_iter([(sub.name.to_owned(), value)]).into()))
                }
                None => Err(ScimError::value(format!("`{name}` must be an object"))),
            }
        }
        (Kind::Text | Kind::Reference | Kind::Binary, _) => {
            Err(ScimError::value(format!("`{name}` must be text")))
        }
        (Kind::Boolean, _) => Err(ScimError::value(format!("`{name}` must be true or false"))),
        (Kind::Complex(_), _) => Err(ScimError::value(format!("`{name}` must be an object"))),
    }
}

fn bounded(name: &str, text: String, max: usize) -> Result<Json, ScimError> {
    if text.len() > max {
        return Err(ScimError::value(format!("`{name}` may be {max} bytes long")));
    }
    // Not every host carries it through a column.
    if text.contains('\0') {
        return Err(ScimError::value(format!("`{name}` may not contain a NUL")));
    }
    Ok(Json::String(text))
}

/// The canonical form of an object's members. Read-only ones are left out, as RFC 7644 section 3.3 wants.
pub(crate) fn members_of(
    attributes: impl IntoIterator<Item = &'static Attribute> + Clone,
    members: Object,
) -> Result<Object, ScimError> {
    let mut object = Object::new();
    for (name, value) in members {
        let attribute = schema::find(attributes.clone(), &name)
            .ok_or_else(|| ScimError::syntax(format!("there is no attribute `{}`", shown(&name))))?;
        if attribute.is_read_only() {
            continue;
        }
        if let Some(value) = canonical(attribute, value)?
            && object.insert(attribute.name.to_owned(), value).is_some()
        {
            return Err(ScimError::syntax(format!("`{}` is there twice", attribute.name)));
        }
    }
    Ok(object)
}

/// At most one value of a list is the primary one.
pub(crate) fn check_primary(attribute: &Attribute, elements: &[Json]) -> Result<(), ScimError> {
    if elements.iter().filter(|element| is_primary(element)).count() > 1 {
        return Err(ScimError::value(format!("`{}` may have one primary value", attribute.name)));
    }
    Ok(())
}

/// Whether a value of a list is the primary one.
pub(crate) fn is_primary(element: &Json) -> bool {
    element.get("primary") == Some(&Json::Bool(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ScimErrorKind;

    fn user(members: Json) -> Result<Json, ScimError> {
        members_of(schema::top_level().collect::<Vec<_>>(), members.as_object().cloned().unwrap())
            .map(Json::Object)
    }

    #[test]
    fn names_are_put_right_and_values_checked() {
        let sent = json!({
            "USERNAME": "ada", "Active": "False", "id": "mine", "groups": ["not looked at"], "name": {"FamilyName": "L"},
            "emails": {"value": "a@example.com", "Primary": "TRUE"}, "nickName": null, "phoneNumbers": [],
        });
        let canonical = json!({
            "userName": "ada", "active": false, "name": {"familyName": "L"},
            "emails": [{"value": "a@example.com", "primary": true}],
        });
        assert_eq!(user(sent), Ok(canonical));
    }

    #[test]
    fn a_bare_manager_id_is_a_manager() {
        let sent = json!({schema::ENTERPRISE_URN: {"manager": "26118915"}});
        assert_eq!(user(sent), Ok(json!({schema::ENTERPRISE_URN: {"manager": {"value": "26118915"}}})));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let kind = |members: Json| user(members).unwrap_err().kind;
        assert_eq!(kind(json!({"userName": 1})), ScimErrorKind::InvalidValue);
        assert_eq!(kind(json!({"title": "a\0b"})), ScimErrorKind::InvalidValue);
        assert_eq!(kind(json!({"active": "yes"})), ScimErrorKind::InvalidValue);
        assert_eq!(kind(json!({"name": "Ada"})), ScimErrorKind::InvalidValue);
        assert_eq!(kind(json!({"emails": ["a@example.com"]})), ScimErrorKind::InvalidValue);
        assert_eq!(kind(json!({"shoeSize": 43})), ScimErrorKind::InvalidSyntax);
        assert_eq!(kind(json!({"name": {"shoeSize": 43}})), ScimErrorKind::InvalidSyntax);
        assert_eq!(kind(json!({"title": "a", "Title": "b"})), ScimErrorKind::InvalidSyntax);
        assert_eq!(kind(json!({"title": "a".repeat(MAX_TEXT_BYTES + 1)})), ScimErrorKind::InvalidValue);
        assert_eq!(
            kind(json!({"emails": vec![json!({"value": "a"}); MAX_VALUES + 1]})),
            ScimErrorKind::InvalidValue
        );
        let two = json!([{"value": "a", "primary": true}, {"value": "b", "primary": true}]);
        assert_eq!(kind(json!({"emails": two})), ScimErrorKind::InvalidValue);
    }
}
