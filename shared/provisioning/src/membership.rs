//! Who is in a group. A group may have more members than anybody wants to load to change one, so changes of
//! them are told apart from those of its other attributes and become statements of their own.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::filter::{Operator, ValueFilter};
use crate::patch::{Change, Operation};
use crate::schema::{self, Attribute, ResourceSchema};
use crate::value::{Object, Place, element, listed};
use crate::{ScimError, ScimErrorKind};

/// The attribute.
pub const MEMBERS: &str = "members";

/// How many members one request may name.
pub const MAX_MEMBERS_PER_REQUEST: usize = 5000;

/// How long a member's id may be, in bytes: longer than any of ours.
const MAX_ID_BYTES: usize = 128;

/// One change of who is in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// These come.
    Add(Vec<String>),
    /// These go.
    Remove(Vec<String>),
    /// These are in it, nobody else.
    Replace(Vec<String>),
    /// Everybody goes.
    Clear,
}

/// Several changes of who is in a group, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Net {
    /// Whether nobody stays but who is added.
    pub replaces: bool,
    /// Who is in it afterwards.
    pub add: BTreeSet<String>,
    /// Who is not in it afterwards.
    pub remove: BTreeSet<String>,
}

impl Net {
    /// These alone.
    #[must_use]
    pub fn replacing(ids: impl IntoIterator<Item = String>) -> Self {
        Self { replaces: true, add: ids.into_iter().collect(), remove: BTreeSet::new() }
    }

    /// Whether everything stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.replaces && self.add.is_empty() && self.remove.is_empty()
    }

    /// This, and then the change.
    fn then(mut self, change: MemberChange) -> Self {
        match change {
            MemberChange::Add(ids) => {
                for id in ids {
                    self.remove.remove(&id);
                    self.add.insert(id);
                }
                self
            }
            MemberChange::Remove(ids) => {
                for id in ids {
                    self.add.remove(&id);
                    if !self.replaces {
                        self.remove.insert(id);
                    }
                }
                self
            }
            MemberChange::Replace(ids) => Self::replacing(ids),
            MemberChange::Clear => Self::replacing([]),
        }
    }
}

/// What changes come to when they are made one after the other.
#[must_use]
pub fn net(changes: impl IntoIterator<Item = MemberChange>) -> Net {
    changes.into_iter().fold(Net::default(), Net::then)
}

/// Takes the members out of a group's canonical object, which is a whole one: nobody stays who is not in it.
///
/// # Errors
/// When there is one without an id, one that is no user, or more than [`MAX_MEMBERS_PER_REQUEST`].
pub fn take(group: &mut Object) -> Result<Net, ScimError> {
    let members = group.remove(MEMBERS).unwrap_or_default();
    let ids = canonical_ids(listed(members))?;
    check_count(ids.len())?;
    Ok(Net::replacing(ids))
}

/// Tells what changes a group's members from the rest, which stays in its order, and says what the former
/// come to.
///
/// # Errors
/// When a path's filter says anything but which ids, a member would be changed instead of added or removed,
/// one has no id or is no user, or there are more than [`MAX_MEMBERS_PER_REQUEST`].
pub fn split(operations: Vec<Operation>) -> Result<(Vec<Operation>, Net), ScimError> {
    let (ours, others): (Vec<_>, Vec<_>) = operations.into_iter().partition(is_about_members);
    Ok((others, net(changes(ours)?)))
}

fn is_about_members(operation: &Operation) -> bool {
    let target = operation.path.target;
    target.extension.is_none() && target.attribute.name == MEMBERS
}

/// Reads operations on `members`.
fn changes(operations: Vec<Operation>) -> Result<Vec<MemberChange>, ScimError> {
    let mut count = 0;
    let mut changes = Vec::with_capacity(operations.len());
    for operation in operations {
        let change = change(operation)?;
        if let MemberChange::Add(ids) | MemberChange::Remove(ids) | MemberChange::Replace(ids) = &change {
            count += ids.len();
            check_count(count)?;
        }
        changes.push(change);
    }
    Ok(changes)
}

fn change(Operation { path, change }: Operation) -> Result<MemberChange, ScimError> {
    if path.target.sub_attribute.is_some() {
        let detail = "members are added and removed, not changed: a path ends in `members` or `members[value \
                      eq \"…\"]`";
        return Err(ScimError::new(ScimErrorKind::Mutability, detail));
    }
    let of = path.target.attribute;
    match (change, path.filter) {
        (Change::Remove(_), Some(filter)) => Ok(MemberChange::Remove(meant(&filter)?)),
        (Change::Remove(None), None) => Ok(MemberChange::Clear),
        (Change::Remove(Some(value)), None) => Ok(MemberChange::Remove(ids(of, value)?)),
        (Change::Add(value), None) => Ok(MemberChange::Add(ids(of, value)?)),
        (Change::Replace(value), None) => Ok(MemberChange::Replace(ids(of, value)?)),
        (Change::Add(_) | Change::Replace(_), Some(_)) => {
            let detail = "members are added and removed, not changed: a filter is for `remove`";
            Err(ScimError::new(ScimErrorKind::Mutability, detail))
        }
    }
}

/// The ids that a path's filter means: `value eq "…"`, or several of these with `or`.
fn meant(filter: &ValueFilter) -> Result<Vec<String>, ScimError> {
    match filter {
        ValueFilter::Compare(sub, comparison)
            if sub.name == "value" && comparison.operator == Operator::Eq =>
        {
            comparison.value.as_str().map(|id| vec![id.to_owned()])
        }
        ValueFilter::Or(filters) => {
            let ids = filters.iter().map(meant).collect::<Result<Vec<_>, _>>()?;
            Some(ids.into_iter().flatten().collect())
        }
        _ => None,
    }
    .ok_or_else(|| {
        ScimError::filter("members are removed by `value eq \"…\"`, or by several of these with `or`")
    })
}

/// The canonical form of a group's members.
pub(crate) fn canonical(schema: ResourceSchema<'_>, value: Json) -> Result<Option<Json>, ScimError> {
    let Some(of) = schema::find(schema.top_level(), MEMBERS) else { return Ok(None) };
    let members = elements(of, value)?;
    Ok((!members.is_empty()).then_some(Json::Array(members)))
}

fn elements(of: &'static Attribute, value: Json) -> Result<Vec<Json>, ScimError> {
    let values = listed(value);
    check_count(values.len())?;
    let place = Place::new(None, MEMBERS);
    let elements = values.into_iter().filter(|value| !value.is_null()).map(|value| {
        let value = match value {
            Json::String(id) => Object::from_iter([("value".to_owned(), Json::String(id))]).into(),
            value => value,
        };
        // One of which nothing is left is a member without an id, and that is no member.
        Ok(element(&place, of, value)?.unwrap_or_else(|| Object::new().into()))
    });
    elements.collect()
}

fn ids(of: &'static Attribute, value: Json) -> Result<Vec<String>, ScimError> {
    canonical_ids(elements(of, value)?)
}

fn canonical_ids(elements: Vec<Json>) -> Result<Vec<String>, ScimError> {
    elements.into_iter().filter(|element| !element.is_null()).map(id).collect()
}

fn id(mut element: Json) -> Result<String, ScimError> {
    let text = |name: &str| element.get(name).and_then(Json::as_str).unwrap_or_default();
    if text("type").eq_ignore_ascii_case("Group") || text("$ref").contains("/Groups/") {
        return Err(ScimError::value("`members` may have users: groups in groups are not offered"));
    }
    match element.get_mut("value").map(Json::take) {
        Some(Json::String(id)) if id.len() <= MAX_ID_BYTES => Ok(id),
        Some(_) => Err(ScimError::value(format!("`members.value` may be {MAX_ID_BYTES} bytes long"))),
        None => Err(ScimError::value("`members.value` is required: the member's id")),
    }
}

fn check_count(count: usize) -> Result<(), ScimError> {
    if count <= MAX_MEMBERS_PER_REQUEST {
        return Ok(());
    }
    Err(ScimError::value(format!("one request may name {MAX_MEMBERS_PER_REQUEST} members")))
}
