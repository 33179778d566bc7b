//! Bodies of POST and PUT, and schemas of the configuration.
#![expect(clippy::unwrap_used, reason = "tests")]

use iam_provisioning::membership::{self, MAX_MEMBERS_PER_REQUEST, Net};
use iam_provisioning::schema::{ENTERPRISE_URN, Extension, GROUP_URN, Registry, ResourceKind, USER_URN};
use iam_provisioning::value::{self, MAX_TEXT_BYTES, MAX_VALUES};
use iam_provisioning::{ScimError, ScimErrorKind};
use serde_json::{Value as Json, json};

const URN: &str = "urn:example:scim:schemas:tools:2.0:User";

fn extension() -> Json {
    json!({
        "id": URN, "name": "Tools", "description": "What somebody works with", "resource": "User",
        "attributes": [
            {"name": "desk", "type": "integer"},
            {"name": "height", "type": "decimal"},
            {"name": "since", "type": "dateTime", "mutability": "immutable"},
            {"name": "picture", "type": "binary"},
            {"name": "page", "type": "reference", "referenceTypes": ["external"]},
            {"name": "tags", "multiValued": true, "canonicalValues": ["red", "blue"]},
            {"name": "pin", "returned": "never"},
            {"name": "locker", "type": "complex", "subAttributes": [
                {"name": "number", "type": "integer", "required": true}, {"name": "$ref",
                "type": "reference"}]},
        ],
    })
}

fn registry() -> Registry {
    Registry::new(Extension::read(&json!([extension()])).unwrap())
}

fn user(members: Json) -> Result<Json, ScimError> {
    let mut body = json!({"schemas": [USER_URN], "userName": "ada"});
    body.as_object_mut().unwrap().extend(members.as_object().cloned().unwrap());
    let mut user = value::resource(registry().of(ResourceKind::User), body)?;
    user.remove("userName");
    Ok(Json::Object(user))
}

fn group(members: Json) -> Result<(Json, Net), ScimError> {
    let mut body = json!({"schemas": [GROUP_URN], "displayName": "Engines"});
    body.as_object_mut().unwrap().extend(members.as_object().cloned().unwrap());
    let mut group = value::resource(registry().of(ResourceKind::Group), body)?;
    let net = membership::take(&mut group)?;
    group.remove("displayName");
    Ok((Json::Object(group), net))
}

#[test]
fn names_are_put_right_and_what_says_nothing_is_left_out() {
    let sent = json!({
        "Active": "False", "id": "mine", "groups": ["not looked at"], "meta": {"resourceType": "User"},
        "title": "",
        "name": {"FamilyName": "L", "givenName": null}, "nickName": null, "phoneNumbers": [],
        "shoeSize": null,
        "emails": {"value": "a@example.com", "Primary": "TRUE", "$ref": "not looked at"},
        "addresses": [{"country": "", "display": "not looked at"}],
    });
    let canonical = json!({
        "active": false, "name": {"familyName": "L"}, "emails": [{"value": "a@example.com", "primary": true}],
    });
    assert_eq!(user(sent), Ok(canonical));
}

#[test]
fn every_kind_has_one_form() {
    for (name, sent, canonical) in [
        ("desk", json!(12), json!(12)),
        ("desk", json!("12"), json!(12)),
        ("desk", json!(12.0), json!(12)),
        ("desk", json!(-(1_i64 << 53)), json!(-(1_i64 << 53))),
        ("height", json!(1), json!(1.0)),
        ("height", json!("-0"), json!(0.0)),
        ("height", json!("1.75"), json!(1.75)),
        ("since", json!("2011-05-13T04:42:34Z"), json!("2011-05-13T04:42:34.000Z")),
        ("since", json!("2011-05-13T06:42:34.5+02:00"), json!("2011-05-13T04:42:34.500Z")),
        ("since", json!("1969-12-31T23:59:59.001Z"), json!("1969-12-31T23:59:59.001Z")),
        ("picture", json!("QUJD\r\nREU="), json!("QUJDREU=")),
        ("page", json!("https://example.com/ada"), json!("https://example.com/ada")),
        ("tags", json!(["red", "green", "red", "", null]), json!(["red", "green"])),
        ("tags", json!("red"), json!(["red"])),
        ("tags", json!([{"value": "red"}]), json!(["red"])),
        ("locker", json!({"number": "7"}), json!({"number": 7})),
    ] {
        assert_eq!(user(json!({URN: {name: sent}})).unwrap()[URN][name], canonical, "{name}: {sent}");
    }
    for (name, sent) in [
        ("desk", json!(1.5)),
        ("desk", json!("1.0")),
        ("desk", json!((1_i64 << 53) + 1)),
        ("desk", json!(u64::MAX)),
        ("desk", json!(true)),
        ("height", json!("NaN")),
        ("height", json!("inf")),
        ("height", json!("1,5")),
        ("since", json!("2011-05-13")),
        ("since", json!("2011-05-13T04:42:34")),
        ("since", json!(1)),
        ("picture", json!("not base64")),
        ("picture", json!("QUJDR")),
        ("page", json!(["https://example.com"])),
        ("tags", json!([1])),
        ("tags", json!([{"value": "red", "type": "x"}])),
        ("tags", json!(vec!["a"; MAX_VALUES + 1])),
        ("locker", json!({"$ref": "x"})),
        ("locker", json!([{"number": 7}])),
        ("locker", json!("7")),
    ] {
        let error = user(json!({URN: {name: sent}})).unwrap_err();
        assert_eq!(error.kind, ScimErrorKind::InvalidValue, "{name}: {sent}");
        assert!(error.detail.contains(&format!("`{URN}:{name}")), "{}", error.detail);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_its_path() {
    use ScimErrorKind::{InvalidSyntax, InvalidValue};
    for (kind, sent, named) in [
        (InvalidValue, json!({"userName": 1}), "`userName`"),
        (InvalidValue, json!({"userName": ""}), "`userName`"),
        (InvalidValue, json!({"title": "a\0b"}), "`title`"),
        (InvalidValue, json!({"title": "a".repeat(MAX_TEXT_BYTES + 1)}), "`title`"),
        (InvalidValue, json!({"title": ["a"]}), "`title`"),
        (InvalidValue, json!({"active": "yes"}), "`active`"),
        (InvalidValue, json!({"name": "Ada"}), "`name`"),
        (InvalidValue, json!({"emails": ["a@example.com"]}), "`emails`"),
        (InvalidValue, json!({"emails": "a@example.com"}), "`emails`"),
        (InvalidValue, json!({"emails": [{"value": 1}]}), "`emails.value`"),
        (InvalidValue, json!({"emails": vec![json!({"value": "a"}); MAX_VALUES + 1]}), "`emails`"),
        (
            InvalidValue,
            json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
            "`emails`",
        ),
        (InvalidSyntax, json!({"shoeSize": 43}), "`shoeSize`"),
        (InvalidSyntax, json!({"name": {"shoeSize": 43}}), "`name.shoeSize`"),
        (InvalidSyntax, json!({"emails": [{"shoeSize": 43}]}), "`emails.shoeSize`"),
        (InvalidSyntax, json!({ENTERPRISE_URN: {"shoeSize": 43}}), &format!("`{ENTERPRISE_URN}:shoeSize`")),
        (InvalidSyntax, json!({"urn:unknown:User": {"a": 1}}), "`urn:unknown:User`"),
        (InvalidSyntax, json!({"name.givenName": "Ada"}), "`name.givenName`"),
        (InvalidSyntax, json!({"title": "a", "Title": "b"}), "`title`"),
        (InvalidSyntax, json!({"schemas": []}), USER_URN),
        (InvalidSyntax, json!({"schemas": USER_URN}), USER_URN),
        (InvalidSyntax, json!({"schemas": [ENTERPRISE_URN]}), USER_URN),
        (InvalidSyntax, json!({"schemas": [USER_URN, "urn:unknown:User"]}), "`urn:unknown:User`"),
        (InvalidSyntax, json!({"schemas": [USER_URN, GROUP_URN]}), GROUP_URN),
    ] {
        let error = user(sent.clone()).unwrap_err();
        assert_eq!(error.kind, kind, "{sent}");
        assert!(error.detail.contains(named), "{sent}: {}", error.detail);
    }
    let registry = Registry::default();
    let nameless = value::resource(registry.of(ResourceKind::User), json!({"schemas": [USER_URN]}));
    assert_eq!(nameless.unwrap_err().detail, "`userName` is required");
}

#[test]
fn an_extension_need_not_be_listed() {
    for schemas in [json!([USER_URN]), json!([USER_URN.to_uppercase(), URN, ENTERPRISE_URN])] {
        let sent = json!({"schemas": schemas, URN: {"desk": 1}, ENTERPRISE_URN: {"manager": "7"}});
        assert_eq!(user(sent), Ok(json!({URN: {"desk": 1}, ENTERPRISE_URN: {"manager": {"value": "7"}}})));
    }
    let wanted = json!([{"id": URN, "required": true, "attributes": [{"name": "desk"}]}]);
    let registry = Registry::new(Extension::read(&wanted).unwrap());
    let without = json!({"schemas": [USER_URN], "userName": "ada"});
    let error = value::resource(registry.of(ResourceKind::User), without).unwrap_err();
    assert!(error.detail.contains(URN) && error.kind == ScimErrorKind::InvalidValue);
}

#[test]
fn groups_as_okta_and_entra_make_them() {
    let okta = json!({"members": [{"value": "b", "display": "bob"}, {"value": "a"}, {"value": "b"}]});
    assert_eq!(group(okta), Ok((json!({}), Net::replacing(["a".to_owned(), "b".to_owned()]))));
    let entra = json!({
        "schemas": [GROUP_URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159", "meta": {"resourceType": "Group"},
        "members": [],
    });
    let (group_made, net) = group(entra).unwrap();
    assert_eq!(group_made, json!({"externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159"}));
    assert_eq!(net, Net::replacing([]));
    let many = |count: usize| (0..count).map(|id| json!({"value": id.to_string()})).collect::<Vec<_>>();
    assert_eq!(
        group(json!({"members": many(MAX_MEMBERS_PER_REQUEST)})).unwrap().1.add.len(),
        MAX_MEMBERS_PER_REQUEST
    );
    for members in [
        json!(many(MAX_MEMBERS_PER_REQUEST + 1)),
        json!([{"value": "a", "type": "Group"}]),
        json!([{"display": "Ada"}]),
        json!([{"value": 1}]),
    ] {
        assert_eq!(group(json!({"members": members})).unwrap_err().kind, ScimErrorKind::InvalidValue);
    }
    assert!(group(json!({"members": [{"value": "a"}], "Members": [{"value": "b"}]})).is_err());
}

#[test]
fn what_is_set_once_stays() {
    let registry = registry();
    let schema = registry.of(ResourceKind::User);
    let check = |before: Json, after: Json| {
        value::check_immutable(schema, before.as_object().unwrap(), after.as_object().unwrap())
    };
    let since = |year: i32| json!({URN: {"since": format!("{year}-01-01T00:00:00.000Z")}});
    assert_eq!(check(json!({}), since(2011)), Ok(()));
    assert_eq!(check(since(2011), since(2011)), Ok(()));
    for after in [since(2012), json!({}), json!({URN: {}})] {
        let error = check(since(2011), after).unwrap_err();
        assert_eq!(error.kind, ScimErrorKind::Mutability);
        assert!(error.detail.contains(&format!("`{URN}:since`")));
    }
}

#[test]
fn the_audit_sees_what_differs_and_no_secret() {
    let registry = registry();
    let before = json!({"title": "a", "active": true, URN: {"desk": 1, "pin": "1234"}});
    let after =
        json!({"nickName": "n", "active": true, "password": "secret", URN: {"desk": 2, "pin": "4321"}});
    let changes = value::changes(
        registry.of(ResourceKind::User),
        before.as_object().unwrap(),
        after.as_object().unwrap(),
    );
    let expected = json!({
        "title": ["a", null], "nickName": [null, "n"], "password": [null, "hidden"],
        format!("{URN}:desk"): [1, 2], format!("{URN}:pin"): ["hidden", "hidden"],
    });
    assert_eq!(Json::Object(changes), expected);
}

#[test]
fn a_schema_is_published_as_it_was_configured() {
    let registry = registry();
    let schema = registry.schemas().find(|schema| schema.id == URN).unwrap().definition();
    assert_eq!(schema["name"], "Tools");
    let attributes = schema["attributes"].as_array().unwrap();
    assert_eq!(attributes[2]["type"], "dateTime");
    assert_eq!(attributes[2]["mutability"], "immutable");
    assert_eq!(attributes[5]["canonicalValues"], json!(["red", "blue"]));
    assert_eq!(attributes[7]["subAttributes"][0]["required"], true);
    assert_eq!(attributes[3]["caseExact"], true);
    // What it publishes can be configured.
    let again = json!([{"id": URN, "name": "Tools", "attributes": schema["attributes"]}]);
    let again = Extension::read(&again).unwrap();
    assert_eq!(again[0].schema.attributes, registry.schemas().find(|it| it.id == URN).unwrap().attributes);
    assert!(Extension::read(&Json::Null).unwrap().is_empty());
}

#[test]
fn bad_extensions_name_their_field() {
    let base = "scim.extensions[0]";
    let with = |name: &str, value: Json| {
        let mut extension = extension();
        extension[name] = value;
        extension
    };
    let attribute = |attribute: Json| with("attributes", json!([{"name": "ok"}, attribute]));
    let many =
        |count: usize| (0..count).map(|number| json!({"name": format!("a{number}")})).collect::<Vec<_>>();
    for (extension, field) in [
        (json!("urn:a"), ""),
        (json!({"attributes": [{"name": "a"}]}), ".id"),
        (with("id", json!("https://example.com")), ".id"),
        (with("id", json!("urn:")), ".id"),
        (with("id", json!("urn:a b")), ".id"),
        (with("id", json!("urn:a:")), ".id"),
        (with("id", json!(USER_URN)), ".id"),
        (with("id", json!(ENTERPRISE_URN.to_uppercase().replacen("URN", "urn", 1))), ".id"),
        (with("id", json!(format!("{ENTERPRISE_URN}:more"))), ".id"),
        (with("id", json!("urn:ietf:params:scim")), ".id"),
        (with("resource", json!("Device")), ".resource"),
        (with("required", json!("yes")), ".required"),
        (with("name", json!("")), ".name"),
        (with("color", json!("red")), ".color"),
        (with("attributes", json!([])), ".attributes"),
        (with("attributes", json!({})), ".attributes"),
        (with("attributes", json!(many(65))), ".attributes"),
        (attribute(json!("a")), ".attributes[1]"),
        (attribute(json!({})), ".attributes[1].name"),
        (attribute(json!({"name": "1a"})), ".attributes[1].name"),
        (attribute(json!({"name": "a.b"})), ".attributes[1].name"),
        (attribute(json!({"name": "$ref"})), ".attributes[1].name"),
        (attribute(json!({"name": "OK"})), ".attributes[1].name"),
        (attribute(json!({"name": "a", "type": "text"})), ".attributes[1].type"),
        (attribute(json!({"name": "a", "type": "complex"})), ".attributes[1].subAttributes"),
        (attribute(json!({"name": "a", "subAttributes": [{"name": "b"}]})), ".attributes[1].subAttributes"),
        (attribute(json!({"name": "a", "multiValued": 1})), ".attributes[1].multiValued"),
        (attribute(json!({"name": "a", "mutability": "writeOnly"})), ".attributes[1].mutability"),
        (attribute(json!({"name": "a", "returned": "sometimes"})), ".attributes[1].returned"),
        (attribute(json!({"name": "a", "uniqueness": "server"})), ".attributes[1].uniqueness"),
        (attribute(json!({"name": "a", "canonicalValues": [1]})), ".attributes[1].canonicalValues"),
        (attribute(json!({"name": "a", "referenceTypes": "User"})), ".attributes[1].referenceTypes"),
        (attribute(json!({"name": "a", "kind": "string"})), ".attributes[1].kind"),
        (
            attribute(
                json!({"name": "a", "type": "complex", "subAttributes": [{"name": "b", "type": "complex"}]}),
            ),
            ".attributes[1].subAttributes[0].type",
        ),
        (
            attribute(json!({"name": "a", "type": "complex", "subAttributes": [{"name": "b",
                "multiValued": true}]})),
            ".attributes[1].subAttributes[0].multiValued",
        ),
    ] {
        let error = Extension::read(&json!([extension])).unwrap_err();
        assert_eq!(error.field, format!("{base}{field}"), "{extension}: {error}");
    }
    let twice = Extension::read(&json!([extension(), with("id", json!(format!("{URN}:more")))])).unwrap_err();
    assert_eq!(twice.field, "scim.extensions[1].id");
    assert_eq!(Extension::read(&json!({})).unwrap_err().field, "scim.extensions");
    assert_eq!(Extension::read(&json!(vec![extension(); 17])).unwrap_err().field, "scim.extensions");
}
