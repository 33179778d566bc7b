//! Changes of an attribute with several values: of the whole list, or of those values that a path's filter
//! means.

use iam_core::time::rfc3339;
use serde_json::Value as Json;

use crate::filter::evaluate::value_matches;
use crate::filter::{Operator, ValueFilter};
use crate::patch::{Change, not_removable};
use crate::path::AttributePath;
use crate::schema::{self, Attribute, Kind, Mutability};
use crate::value::{
    MAX_VALUES, Object, Place, canonical_at, check_primary, element, immutable, is_primary, listed,
};
use crate::{ScimError, ScimErrorKind};

/// What says how a value is meant, and is nothing without one.
const LABELS: [&str; 2] = ["type", "primary"];

/// Changes the values of the attribute that `path` names, which is at `place`.
pub(crate) fn apply(
    place: &Place<'_>,
    values: &mut Vec<Json>,
    path: &AttributePath,
    change: Change,
) -> Result<(), ScimError> {
    let attribute = path.target.attribute;
    let is_removal = matches!(change, Change::Remove(_));
    let mut list = List { place, attribute, values };
    match (&path.filter, path.target.sub_attribute) {
        (None, None) => list.change_whole(change)?,
        (Some(filter), None) => list.change_values(filter, change)?,
        (Some(filter), Some(sub)) => list.change_parts(filter, sub, change)?,
        (None, Some(_)) => {
            return Err(ScimError::path(format!("`{place}` has several values: a filter must tell which")));
        }
    }
    drop_repeated(values);
    if values.len() > MAX_VALUES {
        return Err(ScimError::value(format!("`{place}` may have {MAX_VALUES} values")));
    }
    if is_removal && values.is_empty() && attribute.is_required {
        return Err(not_removable(place));
    }
    Ok(())
}

struct List<'a> {
    place: &'a Place<'a>,
    attribute: &'static Attribute,
    values: &'a mut Vec<Json>,
}

impl List<'_> {
    /// `emails`
    fn change_whole(&mut self, change: Change) -> Result<(), ScimError> {
        match change {
            Change::Remove(None) => self.values.clear(),
            Change::Remove(Some(value)) => self.remove_listed(value)?,
            Change::Replace(value) => *self.values = self.sent(value)?,
            Change::Add(value) => {
                let mut is_new = vec![false; self.values.len()];
                for sent in self.sent(value)? {
                    match self.values.iter().position(|there| is_same(self.attribute, there, &sent)) {
                        Some(index) => {
                            self.merge_at(index, &sent)?;
                            is_new.get_mut(index).into_iter().for_each(|it| *it = true);
                        }
                        None => {
                            self.values.push(sent);
                            is_new.push(true);
                        }
                    }
                }
                self.one_primary(&is_new)?;
            }
        }
        Ok(())
    }

    fn sent(&self, value: Json) -> Result<Vec<Json>, ScimError> {
        Ok(match canonical_at(self.place, self.attribute, value)? {
            Some(Json::Array(sent)) => sent,
            _ => Vec::new(),
        })
    }

    /// A `remove` whose value says what goes, as Entra sends it: to take it for "everything" would lose the
    /// rest.
    fn remove_listed(&mut self, value: Json) -> Result<(), ScimError> {
        for value in listed(value) {
            let value = match (value, schema::find(self.attribute.sub_attributes(), "value")) {
                (value @ Json::String(_), Some(sub)) => {
                    Object::from_iter([(sub.name.to_owned(), value)]).into()
                }
                (value, _) => value,
            };
            if let Some(unwanted) = element(self.place, self.attribute, value)? {
                self.values.retain(|there| !is_named(self.attribute, there, &unwanted));
            }
        }
        Ok(())
    }

    /// `emails[type eq "work"]`
    fn change_values(&mut self, filter: &ValueFilter, change: Change) -> Result<(), ScimError> {
        let (value, is_addition) = match change {
            Change::Add(value) => (value, true),
            Change::Replace(value) => (value, false),
            Change::Remove(_) => (Json::Null, false),
        };
        let Some(sent) = self.sent_one(value)? else {
            self.values.retain(|value| !value_matches(filter, value));
            return Ok(());
        };
        let meant = self.meant(filter);
        if !meant.contains(&true) {
            return if is_addition { self.create(filter, sent) } else { Err(no_target(self.place)) };
        }
        for index in indices(&meant) {
            if is_addition {
                self.merge_at(index, &sent)?;
            } else if let Some(value) = self.values.get_mut(index) {
                value.clone_from(&sent);
            }
        }
        self.one_primary(&meant)
    }

    /// The one value that takes the place of others.
    fn sent_one(&self, value: Json) -> Result<Option<Json>, ScimError> {
        let mut values = self.sent(value)?;
        let last = values.pop();
        if values.is_empty() {
            return Ok(last);
        }
        Err(ScimError::value(format!("`{}` with a filter takes one value", self.place)))
    }

    /// `emails[type eq "work"].value`. Where the filter means no value yet, one is made that it means: so do
    /// Entra's clients expect it.
    fn change_parts(
        &mut self,
        filter: &ValueFilter,
        sub: &'static Attribute,
        change: Change,
    ) -> Result<(), ScimError> {
        let place = Place::new(Some(self.place), sub.name);
        let sent = match change {
            Change::Add(value) | Change::Replace(value) => canonical_at(&place, sub, value)?,
            Change::Remove(_) => None,
        };
        let meant = self.meant(filter);
        let sent = match sent {
            Some(sent) if !meant.contains(&true) => {
                return self.create(filter, Object::from_iter([(sub.name.to_owned(), sent)]).into());
            }
            sent => sent,
        };
        for index in indices(&meant) {
            let Some(object) = self.values.get_mut(index).and_then(Json::as_object_mut) else { continue };
            let is_fixed = sub.mutability == Mutability::Immutable && object.contains_key(sub.name);
            if is_fixed && object.get(sub.name) != sent.as_ref() {
                return Err(immutable(&place));
            }
            match &sent {
                Some(sent) => {
                    object.insert(sub.name.to_owned(), sent.clone());
                }
                None => {
                    object.remove(sub.name);
                }
            }
        }
        if sent.is_none() {
            let mut meant = meant.iter();
            self.values.retain(|value| meant.next() != Some(&true) || !is_label_alone(value));
            return Ok(());
        }
        self.one_primary(&meant)
    }

    fn meant(&self, filter: &ValueFilter) -> Vec<bool> {
        self.values.iter().map(|value| value_matches(filter, value)).collect()
    }

    /// Adds a value that the filter means, with what the filter says of it.
    fn create(&mut self, filter: &ValueFilter, sent: Json) -> Result<(), ScimError> {
        let created = match sent {
            Json::Object(sent) => {
                let mut object = implied(filter).ok_or_else(|| no_target(self.place))?;
                object.extend(sent);
                Json::Object(object)
            }
            sent => sent,
        };
        if !value_matches(filter, &created) {
            return Err(no_target(self.place));
        }
        let mut is_new = vec![false; self.values.len()];
        self.values.push(created);
        is_new.push(true);
        self.one_primary(&is_new)
    }

    /// Takes over what was sent and leaves the rest.
    fn merge_at(&mut self, index: usize, sent: &Json) -> Result<(), ScimError> {
        let Some(there) = self.values.get_mut(index) else { return Ok(()) };
        let (Json::Object(there), Json::Object(sent)) = (&mut *there, sent) else {
            there.clone_from(sent);
            return Ok(());
        };
        for sub in self.attribute.sub_attributes() {
            let Some(value) = sent.get(sub.name) else { continue };
            let is_other = there.get(sub.name).is_some_and(|there| there != value);
            if is_other && sub.mutability == Mutability::Immutable {
                return Err(immutable(&Place::new(Some(self.place), sub.name)));
            }
            there.insert(sub.name.to_owned(), value.clone());
        }
        Ok(())
    }

    /// A new primary value takes the place of the old one (RFC 7644 section 3.5.2).
    fn one_primary(&mut self, is_new: &[bool]) -> Result<(), ScimError> {
        let is_new = |index: usize| is_new.get(index) == Some(&true);
        if self.values.iter().enumerate().any(|(index, value)| is_new(index) && is_primary(value)) {
            let old = self.values.iter_mut().enumerate().filter(|(index, _)| !is_new(*index));
            for object in old.filter(|(_, value)| is_primary(value)).filter_map(|(_, it)| it.as_object_mut())
            {
                object.insert("primary".to_owned(), Json::Bool(false));
            }
        }
        check_primary(self.place, self.values)
    }
}

fn no_target(place: &Place<'_>) -> ScimError {
    ScimError::new(ScimErrorKind::NoTarget, format!("the filter of the path means no value of `{place}`"))
}

fn indices(meant: &[bool]) -> impl Iterator<Item = usize> + '_ {
    meant.iter().enumerate().filter(|(_, is_meant)| **is_meant).map(|(index, _)| index)
}

fn is_label_alone(value: &Json) -> bool {
    value.as_object().is_some_and(|object| object.keys().all(|name| LABELS.contains(&name.as_str())))
}

/// What a value has that a filter means, as far as the filter says; `None` where it says what it has not.
fn implied(filter: &ValueFilter) -> Option<Object> {
    match filter {
        ValueFilter::Compare(sub, comparison)
            if comparison.operator == Operator::Eq && !comparison.value.is_null() && !sub.is_read_only() =>
        {
            Some(Object::from_iter([(sub.name.to_owned(), stored(sub, &comparison.value)?)]))
        }
        ValueFilter::And(filters) => filters.iter().try_fold(Object::new(), |mut object, filter| {
            object.extend(implied(filter)?);
            Some(object)
        }),
        ValueFilter::Present(_) => Some(Object::new()),
        ValueFilter::Compare(..) | ValueFilter::Or(_) | ValueFilter::Not(_) => None,
    }
}

/// The canonical value that is equal to what a filter compares with; none is that has no such form.
fn stored(sub: &'static Attribute, compared: &Json) -> Option<Json> {
    let value = match (sub.kind, compared.as_i64()) {
        (Kind::DateTime, Some(milliseconds)) => Json::from(rfc3339::format(milliseconds)),
        _ => compared.clone(),
    };
    element(&Place::new(None, sub.name), sub, value).ok()?
}

/// Whether an added value is one that is there already: the same, or the same for the same purpose (RFC 7643
/// section 2.4 wants each pair of `value` and `type` once).
fn is_same(attribute: &Attribute, there: &Json, sent: &Json) -> bool {
    there == sent
        || (same_member(attribute, "value", there, sent)
            && (there.get("type").is_none() && sent.get("type").is_none()
                || same_member(attribute, "type", there, sent)))
}

/// Whether a value is one that a client names for removal: by its `value`, or where that is not said, by all
/// that is.
fn is_named(attribute: &Attribute, there: &Json, unwanted: &Json) -> bool {
    match unwanted {
        Json::Object(members) if members.contains_key("value") => {
            same_member(attribute, "value", there, unwanted)
        }
        Json::Object(members) => members.keys().all(|name| same_member(attribute, name, there, unwanted)),
        unwanted => same(attribute, there, unwanted),
    }
}

fn same_member(attribute: &Attribute, name: &str, one: &Json, other: &Json) -> bool {
    match (schema::find(attribute.sub_attributes(), name), one.get(name), other.get(name)) {
        (Some(sub), Some(one), Some(other)) => same(sub, one, other),
        _ => false,
    }
}

fn same(attribute: &Attribute, one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::String(one), Json::String(other)) if !attribute.is_case_exact => {
            one.eq_ignore_ascii_case(other)
        }
        (one, other) => one == other,
    }
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
