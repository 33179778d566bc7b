//! What holds of every PATCH, whatever anybody sends.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use iam_provisioning::ScimError;
use iam_provisioning::membership;
use iam_provisioning::patch::{self, Operation, PATCH_URN};
use iam_provisioning::schema::{ENTERPRISE_URN, Extension, Registry, ResourceKind, USER_URN};
use iam_provisioning::value::{self, Object};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const TOOLS_URN: &str = "urn:example:scim:schemas:tools:2.0:User";

fn registry() -> Registry {
    let extensions = json!([{"id": TOOLS_URN, "attributes": [
        {"name": "badge", "mutability": "immutable"},
        {"name": "desk", "type": "integer"},
        {"name": "tags", "multiValued": true},
        {"name": "devices", "type": "complex", "multiValued": true, "subAttributes": [
            {"name": "value", "required": true}, {"name": "serial", "mutability": "immutable"},
            {"name": "since", "type": "dateTime"}, {"name": "primary", "type": "boolean"}]},
    ]}]);
    Registry::new(Extension::read(&extensions).unwrap())
}

fn body(operations: &Json) -> Json {
    json!({"schemas": [PATCH_URN], "Operations": operations})
}

fn parsed(kind: ResourceKind, operations: &Json) -> Result<Vec<Operation>, ScimError> {
    patch::parse(registry().of(kind), body(operations))
}

fn ada() -> Object {
    let emails = json!([{"type": "work", "value": "w", "primary": true}, {"type": "home", "value": "h"}]);
    json!({"userName": "ada", "emails": emails}).as_object().cloned().unwrap()
}

/// Values that clients might send for anything.
fn any_value() -> impl Strategy<Value = Json> {
    let text = prop_oneof![Just(""), Just("a"), Just("b"), Just("true"), Just("work"), Just("7")];
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3..9_i64).prop_map(Json::from),
        text.prop_map(Json::from),
    ];
    let key = prop_oneof![
        Just("value"),
        Just("type"),
        Just("primary"),
        Just("Value"),
        Just("givenName"),
        Just("emails"),
        Just("name"),
        Just("department"),
        Just("tags"),
        Just("badge"),
        Just(ENTERPRISE_URN),
        Just(TOOLS_URN),
        Just("members"),
        Just("userName"),
        Just("emails[type eq \"work\"].value"),
        Just("name.familyName"),
        Just("shoeSize"),
    ];
    scalar.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::vec((key.clone(), inner), 0..4).prop_map(|members| {
                Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

fn any_path() -> impl Strategy<Value = Option<String>> {
    let tools = |name: &str| Just(Some(format!("{TOOLS_URN}:{name}")));
    prop_oneof![
        Just(None),
        proptest::sample::select(vec![
            "userName",
            "title",
            "active",
            "name",
            "name.givenName",
            "emails",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\"].value",
            "emails[primary eq true]",
            "emails[primary eq true].value",
            "emails[type eq \"work\"].primary",
            "emails[not (type pr)]",
            "roles",
            "addresses[type eq \"work\"].country",
            ENTERPRISE_URN,
            "members",
            "members[value eq \"a\"]",
            "id",
        ])
        .prop_map(|path| Some(path.to_owned())),
        Just(Some(format!("{ENTERPRISE_URN}:manager"))),
        tools("desk"),
        tools("tags"),
        tools("tags[value eq \"a\"]"),
        tools("devices"),
        tools("devices[value eq \"a\"].since"),
    ]
}

fn any_operation(ops: &'static [&'static str]) -> impl Strategy<Value = Json> {
    (proptest::sample::select(ops), any_path(), proptest::option::of(any_value())).prop_map(
        |(op, path, value)| {
            let mut operation = json!({"op": op});
            if let Some(path) = path {
                operation["path"] = path.into();
            }
            if let Some(value) = value {
                operation["value"] = value;
            }
            operation
        },
    )
}

/// A resource is canonical where nothing changes in it when it is read again.
fn assert_canonical(after: &Object) {
    let registry = registry();
    let mut whole = after.clone();
    whole.entry("userName").or_insert_with(|| "ada".into());
    let expected = whole.clone();
    whole.insert("schemas".to_owned(), json!([USER_URN]));
    match value::resource(registry.of(ResourceKind::User), Json::Object(whole)) {
        Ok(read) => assert_eq!(Json::Object(read), Json::Object(expected)),
        // An operation may leave a device without its value: what looks at the whole says so.
        Err(error) => assert!(error.detail.contains("required"), "{error}: {after:?}"),
    }
}

proptest! {
    #[test]
    fn a_patch_leaves_a_canonical_resource(
        operations in proptest::collection::vec(any_operation(&["add", "Replace", "remove"]), 1..6),
    ) {
        let mut after = ada();
        if let Ok(operations) = parsed(ResourceKind::User, &json!(operations))
            && patch::apply(operations, &mut after).is_ok()
        {
            assert_canonical(&after);
        }
    }

    #[test]
    fn a_replacement_made_twice_is_made_once(operation in any_operation(&["replace"])) {
        let Ok(operations) = parsed(ResourceKind::User, &json!([operation])) else { return Ok(()) };
        let mut once = ada();
        if patch::apply(operations.clone(), &mut once).is_err() {
            return Ok(());
        }
        let mut twice = once.clone();
        if patch::apply(operations, &mut twice).is_ok() {
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn no_group_is_harmed(
        operations in proptest::collection::vec(any_operation(&["add", "replace", "remove"]), 1..4),
    ) {
        let mut group = json!({"displayName": "Engines"}).as_object().cloned().unwrap();
        if let Ok(operations) = parsed(ResourceKind::Group, &json!(operations))
            && let Ok((others, net)) = membership::split(operations)
            && patch::apply(others, &mut group).is_ok()
        {
            prop_assert!(!group.contains_key("members") && group.contains_key("displayName"));
            prop_assert!(net.add.is_disjoint(&net.remove));
        }
    }

    #[test]
    fn foreign_bodies_never_panic(value in any_value(), other in any_value()) {
        let registry = registry();
        let _ = patch::parse(registry.of(ResourceKind::User), json!({"schemas": value, "Operations": other}));
        let _ = parsed(ResourceKind::Group, &value);
        let _ = value::resource(registry.of(ResourceKind::Group), value);
        let _ = value::resource(registry.of(ResourceKind::User), other);
    }
}
