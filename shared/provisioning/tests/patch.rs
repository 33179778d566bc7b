//! PATCH as RFC 7644 section 3.5.2 has it and as identity providers send it.
#![expect(clippy::unwrap_used, reason = "tests")]

use iam_provisioning::patch::{self, MAX_OPERATIONS, PATCH_URN};
use iam_provisioning::schema::{ENTERPRISE_URN, Extension, Registry, ResourceKind, USER_URN};
use iam_provisioning::value::{self, MAX_VALUES};
use iam_provisioning::{ScimError, ScimErrorKind};
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

fn patched(kind: ResourceKind, before: &Json, operations: &Json) -> Result<Json, ScimError> {
    let (registry, before) = (registry(), before.as_object().cloned().unwrap());
    let mut after = before.clone();
    patch::apply(patch::parse(registry.of(kind), body(operations))?, &mut after)?;
    value::check_immutable(registry.of(kind), &before, &after)?;
    Ok(Json::Object(after))
}

fn user(before: &Json, operations: &Json) -> Result<Json, ScimError> {
    patched(ResourceKind::User, before, operations)
}

/// Each operation alone makes `after` of `before`.
fn all_make(before: &Json, after: &Json, operations: &[Json]) {
    for operation in operations {
        assert_eq!(user(before, &json!([operation])).as_ref(), Ok(after), "{operation}");
    }
}

fn emails() -> Json {
    json!({"emails": [{"type": "work", "value": "w", "primary": true}, {"type": "home", "value": "h"}]})
}

#[test]
fn a_user_is_deactivated_in_every_form() {
    all_make(
        &json!({"active": true}),
        &json!({"active": false}),
        &[
            json!({"op": "replace", "path": "active", "value": false}),
            json!({"op": "Replace", "path": "ACTIVE", "value": "False"}),
            json!({"OP": "Replace", "Value": {"active": "False"}}),
            json!({"op": "add", "value": {"Active": false, "id": "not looked at", "schemas": []}}),
            json!({"op": "replace", "path": "active", "value": [{"value": "False"}]}),
            json!({"op": "replace", "path": null, "value": {format!("{USER_URN}:active"): false}}),
            json!({"op": "replace", "value": {USER_URN: {"active": false}}}),
        ],
    );
}

#[test]
fn members_that_were_not_sent_stay() {
    let before = json!({"name": {"givenName": "Ada", "familyName": "King"}});
    all_make(
        &before,
        &json!({"name": {"givenName": "Ada", "familyName": "Lovelace"}}),
        &[
            json!({"op": "replace", "path": "name.familyName", "value": "Lovelace"}),
            json!({"op": "add", "path": format!("{USER_URN}:name.familyName"), "value": "Lovelace"}),
            json!({"op": "replace", "path": "name", "value": {"familyName": "Lovelace"}}),
            json!({"op": "replace", "path": "name", "value": [{"familyName": "Lovelace"}]}),
            json!({"op": "add", "value": {"name": {"FamilyName": "Lovelace"}}}),
            json!({"op": "replace", "value": {"name.familyName": "Lovelace"}}),
        ],
    );
}

#[test]
fn empty_texts_and_nulls_clear() {
    let before = json!({"title": "Countess", "name": {"givenName": "Ada", "familyName": "King"}});
    all_make(
        &before,
        &json!({"name": {"givenName": "Ada", "familyName": "King"}}),
        &[
            json!({"op": "remove", "path": "title"}),
            json!({"op": "Remove", "path": "title", "value": "Countess"}),
            json!({"op": "replace", "path": "title", "value": ""}),
            json!({"op": "replace", "path": "title", "value": null}),
            json!({"op": "replace", "value": {"title": ""}}),
        ],
    );
    all_make(
        &before,
        &json!({"title": "Countess", "name": {"givenName": "Ada"}}),
        &[
            json!({"op": "replace", "path": "name.familyName", "value": ""}),
            json!({"op": "replace", "path": "name", "value": {"familyName": null}}),
            json!({"op": "replace", "value": {"name": {"familyName": ""}}}),
        ],
    );
    let without_name = json!({"title": "Countess"});
    all_make(
        &before,
        &without_name,
        &[
            json!({"op": "remove", "path": "name"}),
            json!({"op": "replace", "path": "name", "value": null}),
            json!({"op": "replace", "path": "name", "value": {"familyName": "", "givenName": ""}}),
        ],
    );
    all_make(&before, &before, &[json!({"op": "replace", "path": "name", "value": {}})]);
}

#[test]
fn the_enterprise_extension_is_reached_in_every_form() {
    let (colon, dot) = (format!("{ENTERPRISE_URN}:department"), format!("{ENTERPRISE_URN}.department"));
    let before = json!({ENTERPRISE_URN: {"costCenter": "1"}});
    all_make(
        &before,
        &json!({ENTERPRISE_URN: {"costCenter": "1", "department": "Engines"}}),
        &[
            json!({"op": "Add", "path": colon, "value": "Engines"}),
            json!({"op": "Add", "path": dot, "value": "Engines"}),
            json!({"op": "Replace", "value": {colon.clone(): "Engines"}}),
            json!({"op": "Replace", "value": {dot.clone(): "Engines"}}),
            json!({"op": "Replace", "value": {ENTERPRISE_URN.to_uppercase(): {"Department": "Engines"}}}),
            json!({"op": "replace", "path": ENTERPRISE_URN, "value": {"department": "Engines"}}),
        ],
    );
    all_make(
        &before,
        &json!({}),
        &[
            json!({"op": "remove", "path": ENTERPRISE_URN}),
            json!({"op": "remove", "path": format!("{ENTERPRISE_URN}:costCenter")}),
            json!({"op": "replace", "value": {ENTERPRISE_URN: null}}),
            json!({"op": "replace", "value": {ENTERPRISE_URN: {"costCenter": ""}}}),
        ],
    );
}

#[test]
fn a_manager_is_set_in_every_form() {
    let manager = format!("{ENTERPRISE_URN}:manager");
    let after = json!({ENTERPRISE_URN: {"manager": {"value": "7"}}});
    all_make(
        &json!({}),
        &after,
        &[
            json!({"op": "Add", "path": manager, "value": "7"}),
            json!({"op": "Add", "path": manager, "value": {"value": "7", "displayName": "not looked at"}}),
            json!({"op": "Replace", "path": manager, "value": [{"$ref": null, "value": "7"}]}),
            json!({"op": "Replace", "path": format!("{manager}.value"), "value": "7"}),
            json!({"op": "add", "value": {manager.clone(): "7"}}),
            json!({"op": "add", "value": {format!("{manager}.value"): "7"}}),
            json!({"op": "add", "value": {ENTERPRISE_URN: {"manager": {"value": "7"}}}}),
            json!({"op": "add", "value": {ENTERPRISE_URN: {"manager.value": "7"}}}),
        ],
    );
    all_make(
        &after,
        &json!({}),
        &[
            json!({"op": "Remove", "path": manager}),
            json!({"op": "Remove", "path": manager, "value": [{"value": "7"}]}),
            json!({"op": "Replace", "path": manager, "value": ""}),
            json!({"op": "Replace", "path": manager, "value": null}),
            json!({"op": "Replace", "path": manager, "value": []}),
            json!({"op": "Replace", "path": manager, "value": {"value": ""}}),
        ],
    );
}

#[test]
fn a_part_of_the_values_that_are_meant() {
    let after = json!({"emails": [{"type": "work", "value": "new", "primary": true}, {"type": "home",
        "value": "h"}]});
    all_make(
        &emails(),
        &after,
        &[
            json!({"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new"}),
            json!({"op": "add", "path": "emails[TYPE EQ \"Work\"].value", "value": "new"}),
            json!({"op": "replace", "path": "emails[primary eq true].value", "value": "new"}),
            json!({"op": "replace", "path": "emails[primary eq \"True\"].value", "value": "new"}),
            json!({"op": "replace", "path": "emails[type eq \"work\" and value co \"w\"].value",
            "value": "new"}),
            json!({"op": "replace", "path": "emails[not (type eq \"home\")].value", "value": "new"}),
            json!({"op": "replace", "path": format!("{USER_URN}:emails[type eq \"work\"].value"),
            "value": "new"}),
            json!({"op": "replace", "value": {"emails[type eq \"work\"].value": "new"}}),
        ],
    );
    let every = json!({"op": "replace", "path": "emails[type pr].value", "value": "x"});
    let every = user(&emails(), &json!([every])).unwrap();
    assert!(every["emails"].as_array().unwrap().iter().all(|email| email["value"] == "x"));
}

#[test]
fn a_value_that_is_not_there_yet_is_made() {
    for op in ["add", "replace"] {
        let made =
            |path: &str, value: &str| user(&json!({}), &json!([{"op": op, "path": path, "value": value}]));
        let work = made("emails[type eq \"work\"].value", "a@example.com");
        assert_eq!(work, Ok(json!({"emails": [{"type": "work", "value": "a@example.com"}]})));
        let primary = made("emails[primary eq true].value", "a@example.com");
        assert_eq!(primary, Ok(json!({"emails": [{"primary": true, "value": "a@example.com"}]})));
        let both = made("phoneNumbers[type eq \"mobile\" and primary eq \"True\"].value", "1");
        assert_eq!(both, Ok(json!({"phoneNumbers": [{"type": "mobile", "primary": true, "value": "1"}]})));
        let address = made("addresses[type eq \"work\"].streetAddress", "St James's Square");
        assert_eq!(address.unwrap()["addresses"][0]["type"], "work");
        // What the filter says of it must hold, and be said.
        for path in ["emails[type ne \"work\"].value", "emails[type eq \"a\" or type eq \"b\"].value"] {
            assert_eq!(made(path, "a").unwrap_err().kind, ScimErrorKind::NoTarget, "{path}");
        }
        let moved = made("emails[type eq \"work\"].type", "home");
        assert_eq!(moved.unwrap_err().kind, ScimErrorKind::NoTarget);
    }
    let second =
        json!([{"op": "add", "path": "emails[type eq \"other\" and primary eq true].value", "value": "o"}]);
    let second = user(&emails(), &second).unwrap();
    assert_eq!(second["emails"][0]["primary"], false);
    assert_eq!(second["emails"][2], json!({"type": "other", "primary": true, "value": "o"}));
    let nothing = json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": ""}]);
    assert_eq!(user(&json!({}), &nothing), Ok(json!({})));
}

#[test]
fn whole_values_that_are_meant() {
    let one = |operation: Json| user(&emails(), &json!([operation]));
    let path = "emails[type eq \"home\"]";
    let replaced = one(json!({"op": "replace", "path": path, "value": {"value": "n"}})).unwrap();
    assert_eq!(replaced["emails"][1], json!({"value": "n"}));
    let replaced = one(json!({"op": "replace", "path": path, "value": [{"value": "n"}]})).unwrap();
    assert_eq!(replaced["emails"][1], json!({"value": "n"}));
    let added = one(json!({"op": "add", "path": path, "value": {"display": "n"}})).unwrap();
    assert_eq!(added["emails"][1], json!({"type": "home", "value": "h", "display": "n"}));
    let removed = one(json!({"op": "remove", "path": path})).unwrap();
    assert_eq!(removed, json!({"emails": [{"type": "work", "value": "w", "primary": true}]}));
    assert_eq!(one(json!({"op": "remove", "path": "emails[type eq \"other\"]"})), Ok(emails()));
    assert_eq!(one(json!({"op": "remove", "path": "emails[value pr]"})), Ok(json!({})));

    let other = |op: &str| json!({"op": op, "path": "emails[type eq \"other\"]", "value": {"value": "n"}});
    assert_eq!(one(other("replace")).unwrap_err().kind, ScimErrorKind::NoTarget);
    assert_eq!(one(other("add")).unwrap()["emails"][2], json!({"type": "other", "value": "n"}));
    let two = json!({"op": "replace", "path": path, "value": [{"value": "n"}, {"value": "m"}]});
    assert_eq!(one(two).unwrap_err().kind, ScimErrorKind::InvalidValue);
}

#[test]
fn whole_lists() {
    let one = |operation: Json| user(&emails(), &json!([operation]));
    for again in [
        json!({"type": "home", "value": "h"}),
        json!([{"type": "HOME", "value": "H"}]),
        json!([{"type": "work", "value": "w", "primary": true}, {"type": "home", "value": "h"}]),
    ] {
        let after = one(json!({"op": "add", "path": "emails", "value": again})).unwrap();
        assert_eq!(after["emails"].as_array().unwrap().len(), 2, "{again}");
    }
    let added = one(json!({"op": "add", "value": {"emails": [{"type": "home", "value": "n"}]}})).unwrap();
    assert_eq!(added["emails"].as_array().unwrap().len(), 3);
    let replaced = json!({"emails": [{"value": "n"}]});
    all_make(
        &emails(),
        &replaced,
        &[
            json!({"op": "replace", "path": "emails", "value": {"value": "n"}}),
            json!({"op": "replace", "value": {"emails": [{"value": "n"}]}}),
        ],
    );
    all_make(
        &emails(),
        &json!({}),
        &[
            json!({"op": "remove", "path": "emails"}),
            json!({"op": "replace", "path": "emails", "value": []}),
            json!({"op": "replace", "path": "emails", "value": null}),
        ],
    );
    let vague = one(json!({"op": "replace", "path": "emails.value", "value": "n"}));
    assert_eq!(vague.unwrap_err().kind, ScimErrorKind::InvalidPath);
    let many: Vec<Json> = (0..MAX_VALUES).map(|number| json!({"value": number.to_string()})).collect();
    let more = one(json!({"op": "add", "path": "emails", "value": many}));
    assert_eq!(more.unwrap_err().kind, ScimErrorKind::InvalidValue);
}

#[test]
fn values_are_removed_that_the_operation_lists() {
    let home = json!({"emails": [{"type": "home", "value": "h"}]});
    all_make(
        &emails(),
        &home,
        &[
            json!({"op": "remove", "path": "emails", "value": [{"value": "w"}]}),
            json!({"op": "Remove", "path": "emails", "value": {"value": "W", "type": "whatever"}}),
            json!({"op": "remove", "path": "emails", "value": ["w", "unknown"]}),
            json!({"op": "remove", "path": "emails", "value": [{"type": "work"}]}),
        ],
    );
    all_make(
        &emails(),
        &emails(),
        &[
            json!({"op": "remove", "path": "emails", "value": []}),
            json!({"op": "remove", "path": "emails", "value": [{}]}),
            json!({"op": "remove", "path": "emails", "value": [{"value": "x"}]}),
        ],
    );
}

#[test]
fn a_removed_part_leaves_no_label_without_a_value() {
    let gone = json!({"op": "remove", "path": "emails[type eq \"work\"].value"});
    assert_eq!(user(&emails(), &json!([gone])), Ok(json!({"emails": [{"type": "home", "value": "h"}]})));
    let cleared = json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": ""});
    assert_eq!(user(&emails(), &json!([cleared])), Ok(json!({"emails": [{"type": "home", "value": "h"}]})));
    let part = json!({"op": "remove", "path": "emails[type eq \"home\"].type"});
    assert_eq!(user(&emails(), &json!([part])).unwrap()["emails"][1], json!({"value": "h"}));
}

#[test]
fn a_new_primary_value_takes_the_place_of_the_old_one() {
    let primaries = |operation: Json| {
        let user = user(&emails(), &json!([operation])).unwrap();
        user["emails"].as_array().unwrap().iter().map(|email| email["primary"] == true).collect::<Vec<_>>()
    };
    let path = "emails[type eq \"home\"]";
    assert_eq!(
        primaries(json!({"op": "replace", "path": format!("{path}.primary"), "value": "True"})),
        [false, true]
    );
    assert_eq!(primaries(json!({"op": "add", "path": path, "value": {"primary": true}})), [false, true]);
    let new = json!({"value": "n", "primary": true});
    assert_eq!(primaries(json!({"op": "add", "path": "emails", "value": new})), [false, false, true]);
    assert_eq!(primaries(json!({"op": "add", "value": {"emails": [new]}})), [false, false, true]);
    let known = json!({"type": "home", "value": "h", "primary": true});
    assert_eq!(primaries(json!({"op": "add", "path": "emails", "value": [known]})), [false, true]);
    let both = json!([{"op": "replace", "path": "emails[type pr].primary", "value": true}]);
    assert_eq!(user(&emails(), &both).unwrap_err().kind, ScimErrorKind::InvalidValue);
}

#[test]
fn what_makes_no_sense_is_refused() {
    use ScimErrorKind::{InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability, NoTarget};
    for (kind, operation) in [
        (InvalidSyntax, json!("replace")),
        (InvalidSyntax, json!({"path": "active", "value": false})),
        (InvalidSyntax, json!({"op": "move", "path": "active", "value": false})),
        (InvalidPath, json!({"op": "replace", "path": 1, "value": false})),
        (InvalidPath, json!({"op": "replace", "path": "shoeSize", "value": 43})),
        (InvalidPath, json!({"op": "replace", "path": "urn:other:User:shoeSize", "value": 43})),
        (InvalidPath, json!({"op": "replace", "value": {"shoeSize": 43}})),
        (InvalidPath, json!({"op": "replace", "value": {"name": {"shoeSize": 43}}})),
        (InvalidPath, json!({"op": "replace", "value": {ENTERPRISE_URN: {"shoeSize": 43}}})),
        (InvalidFilter, json!({"op": "replace", "path": "emails[shoeSize eq 43].value", "value": "a"})),
        (InvalidFilter, json!({"op": "replace", "path": "emails[type eq].value", "value": "a"})),
        (InvalidValue, json!({"op": "replace", "path": "active"})),
        (InvalidValue, json!({"op": "replace", "path": "active", "value": "maybe"})),
        (InvalidValue, json!({"op": "replace", "path": "title", "value": ["a", "b"]})),
        (InvalidValue, json!({"op": "replace", "path": "title", "value": ["a"]})),
        (InvalidValue, json!({"op": "replace", "path": "name", "value": "Ada"})),
        (InvalidValue, json!({"op": "replace", "value": false})),
        (InvalidValue, json!({"op": "replace", "path": ENTERPRISE_URN, "value": 1})),
        (InvalidValue, json!({"op": "replace", "path": "userName", "value": ""})),
        (InvalidValue, json!({"op": "replace", "path": "userName", "value": null})),
        (
            InvalidValue,
            json!({"op": "replace", "path": "emails", "value": [
            {"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
        ),
        (Mutability, json!({"op": "remove", "path": "userName"})),
        (Mutability, json!({"op": "replace", "path": "id", "value": "x"})),
        (Mutability, json!({"op": "replace", "path": "meta.version", "value": "x"})),
        (Mutability, json!({"op": "add", "path": "groups", "value": [{"value": "x"}]})),
        (NoTarget, json!({"op": "remove"})),
        (NoTarget, json!({"op": "remove", "value": {"title": "x"}})),
    ] {
        let refused = user(&json!({"userName": "ada"}), &json!([operation]));
        assert_eq!(refused.unwrap_err().kind, kind, "{operation}");
    }
    let one = json!({"op": "replace", "path": "active", "value": false});
    let schema = Registry::default();
    let schema = schema.of(ResourceKind::User);
    for wrong in [
        json!([]),
        json!({"Operations": [one]}),
        json!({"schemas": [USER_URN], "Operations": [one]}),
        json!({"schemas": [PATCH_URN]}),
        body(&json!([])),
        body(&json!(one)),
        body(&json!(vec![one.clone(); MAX_OPERATIONS + 1])),
    ] {
        assert_eq!(patch::parse(schema, wrong.clone()).unwrap_err().kind, InvalidSyntax, "{wrong}");
    }
}

#[test]
fn errors_name_where_the_value_belongs() {
    for (operation, named) in [
        (json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": 1}), "`emails.value`"),
        (json!({"op": "add", "path": "emails", "value": [{"primary": 1}]}), "`emails.primary`"),
        (json!({"op": "replace", "value": {"name": {"givenName": 1}}}), "`name.givenName`"),
        (json!({"op": "replace", "value": {"name": {"x": 1}}}), "`name.x`"),
        (
            json!({"op": "replace", "value": {ENTERPRISE_URN: {"manager": {"value": 1}}}}),
            &format!("`{ENTERPRISE_URN}:manager.value`"),
        ),
    ] {
        let error = user(&json!({}), &json!([operation])).unwrap_err();
        assert!(error.detail.contains(named), "{operation}: {}", error.detail);
    }
}

#[test]
fn attributes_of_the_configuration() {
    let path = |name: &str| format!("{TOOLS_URN}:{name}");
    let before =
        json!({TOOLS_URN: {"badge": "7", "tags": ["a"], "devices": [{"value": "d", "serial": "s"}]}});
    let one = |operation: Json| user(&before, &json!([operation])).map(|user| user[TOOLS_URN].clone());
    assert_eq!(one(json!({"op": "add", "path": path("desk"), "value": "12"})).unwrap()["desk"], 12);
    assert_eq!(
        one(json!({"op": "add", "path": path("tags"), "value": ["b", "A"]})).unwrap()["tags"],
        json!(["a", "b", "A"])
    );
    assert_eq!(
        one(json!({"op": "add", "path": path("tags"), "value": {"value": "b"}})).unwrap()["tags"],
        json!(["a", "b"])
    );
    assert_eq!(
        one(json!({"op": "add", "value": {TOOLS_URN: {"tags": "b"}}})).unwrap()["tags"],
        json!(["a", "b"])
    );
    assert_eq!(
        one(json!({"op": "replace", "path": path("tags[value eq \"a\"]"), "value": "b"})).unwrap()["tags"],
        json!(["b"])
    );
    assert!(
        one(json!({"op": "remove", "path": path("tags"), "value": ["A"]})).unwrap().get("tags").is_none()
    );
    let since = json!({"op": "add", "path": path("devices[value eq \"d\"].since"),
        "value": "2011-05-13T06:42:34+02:00"});
    assert_eq!(one(since).unwrap()["devices"][0]["since"], "2011-05-13T04:42:34.000Z");
    let made =
        json!({"op": "add", "path": path("devices[since eq \"2011-05-13T04:42:34Z\"].value"), "value": "n"});
    assert_eq!(one(made).unwrap()["devices"][1]["since"], "2011-05-13T04:42:34.000Z");

    // What is immutable may be set again to what it is.
    assert!(one(json!({"op": "replace", "path": path("badge"), "value": "7"})).is_ok());
    for operation in [
        json!({"op": "replace", "path": path("badge"), "value": "8"}),
        json!({"op": "remove", "path": path("badge")}),
        json!({"op": "remove", "path": TOOLS_URN}),
        json!({"op": "replace", "value": {TOOLS_URN: {"badge": "8"}}}),
        json!({"op": "replace", "path": path("devices[value eq \"d\"].serial"), "value": "t"}),
        json!({"op": "remove", "path": path("devices[value eq \"d\"].serial")}),
        json!({"op": "add", "path": path("devices[value eq \"d\"]"), "value": {"serial": "t"}}),
    ] {
        assert_eq!(one(operation.clone()).unwrap_err().kind, ScimErrorKind::Mutability, "{operation}");
    }
    let first = json!([{"op": "add", "path": path("badge"), "value": "8"}]);
    assert_eq!(user(&json!({}), &first), Ok(json!({TOOLS_URN: {"badge": "8"}})));
}
