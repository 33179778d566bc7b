//! Changes of a group's members, as identity providers send them.
#![expect(clippy::unwrap_used, reason = "tests")]

use iam_provisioning::membership::{self, MAX_MEMBERS_PER_REQUEST, Net};
use iam_provisioning::patch::{self, PATCH_URN};
use iam_provisioning::schema::{Registry, ResourceKind};
use iam_provisioning::{ScimError, ScimErrorKind};
use serde_json::{Value as Json, json};

/// What a group's PATCH does: to its attributes, and to its members.
fn group(operations: Json) -> Result<(Json, Net), ScimError> {
    let registry = Registry::default();
    let body = json!({"schemas": [PATCH_URN], "Operations": operations});
    let (others, net) = membership::split(patch::parse(registry.of(ResourceKind::Group), body)?)?;
    let mut group = json!({"displayName": "Engines"}).as_object().cloned().unwrap();
    patch::apply(others, &mut group)?;
    Ok((Json::Object(group), net))
}

fn ids(ids: &[&str]) -> std::collections::BTreeSet<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn net(replaces: bool, add: &[&str], remove: &[&str]) -> Net {
    Net { replaces, add: ids(add), remove: ids(remove) }
}

#[test]
fn members_come_and_go_in_every_form() {
    for (operation, expected) in [
        (
            json!({"op": "Add", "path": "members", "value": [{"$ref": null, "value": "a"}]}),
            net(false, &["a"], &[]),
        ),
        (
            json!({"op": "add", "path": "members", "value": {"value": "a", "display": "Ada"}}),
            net(false, &["a"], &[]),
        ),
        (json!({"op": "add", "path": "members", "value": ["a", "b"]}), net(false, &["a", "b"], &[])),
        (
            json!({"op": "add", "value": {"members": [{"value": "a", "type": "User"}]}}),
            net(false, &["a"], &[]),
        ),
        (json!({"op": "add", "path": "members", "value": []}), net(false, &[], &[])),
        (json!({"op": "Remove", "path": "members", "value": [{"value": "a"}]}), net(false, &[], &["a"])),
        (json!({"op": "remove", "path": "members", "value": ["a"]}), net(false, &[], &["a"])),
        (json!({"op": "remove", "path": "members", "value": []}), net(false, &[], &[])),
        (json!({"op": "remove", "path": "members[value eq \"a\"]"}), net(false, &[], &["a"])),
        (
            json!({"op": "remove", "path": "members[value eq \"a\" or value eq \"b\"]"}),
            net(false, &[], &["a", "b"]),
        ),
        (json!({"op": "remove", "path": "members"}), net(true, &[], &[])),
        (json!({"op": "replace", "path": "members", "value": [{"value": "a"}]}), net(true, &["a"], &[])),
        (json!({"op": "replace", "value": {"members": [{"value": "a"}]}}), net(true, &["a"], &[])),
        (json!({"op": "replace", "path": "members", "value": []}), net(true, &[], &[])),
    ] {
        let (group, members) =
            group(json!([operation])).unwrap_or_else(|error| panic!("{operation}: {error}"));
        assert_eq!((group, members), (json!({"displayName": "Engines"}), expected), "{operation}");
    }
}

#[test]
fn several_changes_of_members_come_to_one() {
    let add = |id: &str| json!({"op": "add", "path": "members", "value": [{"value": id}]});
    let remove = |id: &str| json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")});
    let clear = json!({"op": "remove", "path": "members"});
    let rename = json!({"op": "replace", "path": "displayName", "value": "Looms"});
    for (operations, expected) in [
        (json!([add("a"), remove("b"), add("c")]), net(false, &["a", "c"], &["b"])),
        (json!([add("a"), remove("a")]), net(false, &[], &["a"])),
        (json!([remove("a"), add("a")]), net(false, &["a"], &[])),
        (json!([add("a"), clear, add("b"), add("c"), remove("c")]), net(true, &["b"], &[])),
    ] {
        assert_eq!(group(operations.clone()).unwrap().1, expected, "{operations}");
    }
    let (group, members) = group(json!([rename, add("a")])).unwrap();
    assert_eq!((group, members), (json!({"displayName": "Looms"}), net(false, &["a"], &[])));
    assert!(Net::default().is_empty() && !net(true, &[], &[]).is_empty());
}

#[test]
fn a_group_is_renamed_as_okta_does_it() {
    let operation = json!({"op": "replace", "value": {"id": "not looked at", "displayName": "Looms"}});
    assert_eq!(group(json!([operation])).unwrap(), (json!({"displayName": "Looms"}), Net::default()));
}

#[test]
fn members_that_make_no_sense_are_refused() {
    use ScimErrorKind::{InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability};
    let many: Vec<Json> = (0..=MAX_MEMBERS_PER_REQUEST).map(|id| json!({"value": id.to_string()})).collect();
    for (kind, operation) in [
        (InvalidValue, json!({"op": "add", "path": "members", "value": [{"value": "a", "type": "Group"}]})),
        (
            InvalidValue,
            json!({"op": "add", "path": "members", "value": [{"value": "a", "$ref": "https://a/Groups/a"}]}),
        ),
        (
            InvalidValue,
            json!({"op": "add", "path": "members", "value": [{"display": "Ada", "type": "User"}]}),
        ),
        (InvalidValue, json!({"op": "add", "path": "members", "value": [{"value": 7}]})),
        (InvalidValue, json!({"op": "add", "path": "members", "value": [7]})),
        (InvalidValue, json!({"op": "add", "path": "members", "value": many})),
        (InvalidValue, json!({"op": "add", "path": "members"})),
        (InvalidSyntax, json!({"op": "add", "path": "members", "value": [{"value": "a", "shoeSize": 43}]})),
        (InvalidFilter, json!({"op": "remove", "path": "members[display eq \"Ada\"]"})),
        (InvalidFilter, json!({"op": "remove", "path": "members[type eq \"User\"]"})),
        (InvalidFilter, json!({"op": "remove", "path": "members[value co \"a\"]"})),
        (InvalidFilter, json!({"op": "remove", "path": "members[not (value eq \"a\")]"})),
        (Mutability, json!({"op": "replace", "path": "members[value eq \"a\"]", "value": {"value": "b"}})),
        (Mutability, json!({"op": "replace", "path": "members[value eq \"a\"].value", "value": "b"})),
        (Mutability, json!({"op": "replace", "path": "members[value eq \"a\"].display", "value": "b"})),
        (Mutability, json!({"op": "remove", "path": "displayName"})),
        (InvalidPath, json!({"op": "remove", "path": "active"})),
    ] {
        assert_eq!(group(json!([operation])).unwrap_err().kind, kind, "{operation}");
    }
}
