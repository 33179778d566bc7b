//! Changes of an attribute with several values: of the whole list, or of those values that a path's filter means.

use serde_json::Value as Json;

use super::filter::ValueFilter;
use super::patch::{Change, merge};
use super::path::AttributePath;
use super::schema::Attribute;
use super::value::{MAX_VALUES, Object, canonical, check_primary, element, is_primary};
use super::{ScimError, ScimErrorKind};

/// Changes the values of the attribute that `path` names.
pub(crate) fn apply(values: &mut Vec<Json>, path: &AttributePath, change: Change) -> Result<(), ScimError> {
    let attribute = path.attribute;
    match (&path.filter, path.sub_attribute) {
        (None, None) => change_list(attribute, values, change)?,
        (Some(filter), None) => change_values(attribute, filter, values, change)?,
        (Some(filter), Some(sub)) => change_parts(attribute, filter, sub, values, change)?,
        (None, Some(_)) => {
            let detail = format!("`{}` has several values: a filter must tell which", attribute.name);
            return Err(ScimError::path(detail));
        }
    }
    drop_repeated(values);
    if values.len() > MAX_VALUES {
        return Err(ScimError::value(format!("`{}` may have {MAX_VALUES} values", attribute.name)));
    }
    Ok(())
}

/// `emails`
fn change_list(
    attribute: &'static Attribute,
    values: &mut Vec<Json>,
    change: Change,
) -> Result<(), ScimError> {
    let sent = |value| {
        Ok(match canonical(attribute, value)? {
            Some(Json::Array(sent)) => sent,
            _ => Vec::new(),
        })
    };
    match change {
        Change::Remove => values.clear(),
        Change::Replace(value) => *values = sent(value)?,
        Change::Add(value) => {
            let known = values.len();
            values.extend(sent(value)?);
            one_primary(attribute, values, |index| index >= known)?;
        }
    }
    Ok(())
}

/// `emails[type eq "work"]`
fn change_values(
    attribute: &'static Attribute,
    filter: &ValueFilter,
    values: &mut Vec<Json>,
    change: Change,
) -> Result<(), ScimError> {
    let (sent, is_addition) = match change {
        Change::Add(value) => (element(attribute, value)?, true),
        Change::Replace(value) => (element(attribute, value)?, false),
        Change::Remove => (None, false),
    };
    let Some(sent) = sent else {
        values.retain(|value| !filter.matches(value));
        return Ok(());
    };
    let meant: Vec<bool> = values.iter().map(|value| filter.matches(value)).collect();
    if !meant.contains(&true) {
        let detail = "the filter of the path matches no value";
        return Err(ScimError::new(ScimErrorKind::NoTarget, detail));
    }
    for value in values.iter_mut().filter(|value| filter.matches(value)) {
        match (value, &sent) {
            (Json::Object(there), Json::Object(sent)) if is_addition => merge(there, sent.clone()),
            (value, sent) => value.clone_from(sent),
        }
    }
    one_primary(attribute, values, |index| meant.get(index) == Some(&true))
}

/// `emails[type eq "work"].value`. Where the filter means no value yet, one is made that it means: so do Entra's
/// clients expect it.
fn change_parts(
    attribute: &'static Attribute,
    filter: &ValueFilter,
    sub: &'static Attribute,
    values: &mut Vec<Json>,
    change: Change,
) -> Result<(), ScimError> {
    let sent = match change {
        Change::Add(value) | Change::Replace(value) => canonical(sub, value)?,
        Change::Remove => None,
    };
    if sent.is_some() && !values.iter().any(|value| filter.matches(value)) {
        let named = (filter.sub_attribute.name.to_owned(), filter.value().clone());
        values.push(Json::Object(Object::from_iter([named])));
    }
    let meant: Vec<bool> = values.iter().map(|value| filter.matches(value)).collect();
    for object in values.iter_mut().filter(|value| filter.matches(value)).filter_map(Json::as_object_mut) {
        match &sent {
            Some(sent) => object.insert(sub.name.to_owned(), sent.clone()),
            None => object.remove(sub.name),
        };
    }
    one_primary(attribute, values, |index| meant.get(index) == Some(&true))?;
    values.retain(|value| value.as_object().is_none_or(|object| !object.is_empty()));
    Ok(())
}

/// A new primary value takes the place of the old one (RFC 7644 section 3.5.2).
fn one_primary(
    attribute: &Attribute,
    values: &mut [Json],
    is_new: impl Fn(usize) -> bool,
) -> Result<(), ScimError> {
    if values.iter().enumerate().any(|(index, value)| is_new(index) && is_primary(value)) {
        let old = values.iter_mut().enumerate().filter(|(index, _)| !is_new(*index)).map(|(_, value)| value);
        for object in old.filter(|value| is_primary(value)).filter_map(Json::as_object_mut) {
            object.insert("primary".to_owned(), Json::Bool(false));
        }
    }
    check_primary(attribute, values)
}

fn drop_repeated(values: &mut Vec<Json>) {
    let mut kept: Vec<Json> = Vec::with_capacity(values.len());
    for value in values.drain(..) {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    *values = kept;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(emails: Json, path: &str, change: Change) -> Result<Json, ScimError> {
        let mut values = emails.as_array().cloned().unwrap();
        apply(&mut values, &AttributePath::parse(path)?, change)?;
        Ok(Json::Array(values))
    }

    fn emails() -> Json {
        json!([{"type": "work", "value": "w", "primary": true}, {"type": "home", "value": "h"}])
    }

    #[test]
    fn a_part_of_the_values_that_are_meant() {
        let path = "emails[type eq \"WORK\"].value";
        let replaced = changed(emails(), path, Change::Replace(json!("new"))).unwrap();
        assert_eq!(
            replaced,
            json!([{"type": "work", "value": "new", "primary": true}, {"type": "home", "value": "h"}])
        );
        assert_eq!(
            changed(json!([]), path, Change::Add(json!("new"))),
            Ok(json!([{"type": "WORK", "value": "new"}]))
        );
        let removed = changed(emails(), "emails[type eq \"home\"].type", Change::Remove).unwrap();
        assert_eq!(removed, json!([{"type": "work", "value": "w", "primary": true}, {"value": "h"}]));
        let gone = changed(json!([{"type": "home"}]), "emails[type eq \"home\"].type", Change::Remove);
        assert_eq!(gone, Ok(json!([])));
    }

    #[test]
    fn the_values_that_are_meant() {
        let path = "emails[type eq \"home\"]";
        let replaced = changed(emails(), path, Change::Replace(json!({"value": "n"}))).unwrap();
        assert_eq!(replaced, json!([{"type": "work", "value": "w", "primary": true}, {"value": "n"}]));
        let added = changed(emails(), path, Change::Add(json!({"display": "n"}))).unwrap();
        assert_eq!(added[1], json!({"type": "home", "value": "h", "display": "n"}));
        assert_eq!(changed(emails(), path, Change::Remove).unwrap(), json!([emails()[0]]));
        let nothing = changed(emails(), "emails[type eq \"other\"]", Change::Replace(json!({"value": "n"})));
        assert_eq!(nothing.unwrap_err().kind, ScimErrorKind::NoTarget);
    }

    #[test]
    fn a_new_primary_value_takes_the_place_of_the_old_one() {
        let is_primary = |emails: &Json, index: usize| emails[index]["primary"] == json!(true);
        let moved =
            changed(emails(), "emails[type eq \"home\"].primary", Change::Replace(json!("True"))).unwrap();
        assert!(!is_primary(&moved, 0) && is_primary(&moved, 1));
        let added = changed(emails(), "emails", Change::Add(json!({"value": "n", "primary": true}))).unwrap();
        assert!(!is_primary(&added, 0) && is_primary(&added, 2));
    }

    #[test]
    fn the_whole_list() {
        let again = changed(emails(), "emails", Change::Add(json!({"type": "home", "value": "h"})));
        assert_eq!(again, Ok(emails()));
        let one = changed(emails(), "emails", Change::Replace(json!({"value": "n"})));
        assert_eq!(one, Ok(json!([{"value": "n"}])));
        assert_eq!(changed(emails(), "emails", Change::Remove), Ok(json!([])));
        let vague = changed(emails(), "emails.value", Change::Replace(json!("n")));
        assert_eq!(vague.unwrap_err().kind, ScimErrorKind::InvalidPath);
        let many: Vec<Json> = (0..MAX_VALUES).map(|number| json!({"value": number.to_string()})).collect();
        let more = changed(emails(), "emails", Change::Add(Json::Array(many)));
        assert_eq!(more.unwrap_err().kind, ScimErrorKind::InvalidValue);
    }
}
