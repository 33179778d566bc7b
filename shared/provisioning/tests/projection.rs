//! Which attributes an answer shows.
#![expect(clippy::unwrap_used, reason = "tests")]

use iam_provisioning::ScimErrorKind;
use iam_provisioning::projection::{MAX_NAMES, Projection};
use iam_provisioning::schema::{ENTERPRISE_URN, Extension, Registry, ResourceKind, USER_URN};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const URN: &str = "urn:example:tools:2.0:User";

fn registry() -> Registry {
    let extensions = json!([{"id": URN, "attributes": [
        {"name": "badge", "returned": "always"},
        {"name": "notes", "returned": "request"},
        {"name": "pin", "returned": "never"},
        {"name": "desk", "type": "complex", "subAttributes": [
            {"name": "floor"}, {"name": "key", "returned": "request"},
            {"name": "number", "returned": "always"}]},
    ]}]);
    Registry::new(Extension::read(&extensions).unwrap())
}

fn whole() -> Json {
    json!({
        "schemas": [USER_URN, ENTERPRISE_URN, URN], "id": "7", "userName": "ada", "password": "never",
        "name": {"givenName": "Ada", "familyName": "King"}, "meta": {"resourceType": "User", "version": "1"},
        "emails": [{"value": "w", "type": "work"}, {"value": "h"}],
        ENTERPRISE_URN: {"department": "Engines", "manager": {"value": "8"}},
        URN: {"badge": "b", "notes": "n", "pin": "p", "desk": {"floor": "1", "key": "k", "number": "2"}},
    })
}

fn shown(attributes: Option<&str>, excluded: Option<&str>) -> Json {
    let registry = registry();
    let projection = Projection::parse(registry.of(ResourceKind::User), attributes, excluded).unwrap();
    let mut resource = whole().as_object().cloned().unwrap();
    projection.apply(&mut resource);
    Json::Object(resource)
}

/// What is always there, and this.
fn always_and(members: Json) -> Json {
    let mut always = json!({
        "schemas": [USER_URN, ENTERPRISE_URN, URN], "id": "7", URN: {"badge": "b", "desk": {"number": "2"}},
    });
    always.as_object_mut().unwrap().extend(members.as_object().cloned().unwrap());
    always
}

#[test]
fn by_default_all_but_what_is_never_shown_or_must_be_asked_for() {
    let mut expected = whole();
    let members = expected.as_object_mut().unwrap();
    members.remove("password");
    members.insert(URN.to_owned(), json!({"badge": "b", "desk": {"floor": "1", "number": "2"}}));
    for (attributes, excluded) in
        [(None, None), (Some(" , "), Some("")), (None, Some("shoeSize")), (None, Some("id,SCHEMAS"))]
    {
        assert_eq!(shown(attributes, excluded), expected, "{attributes:?} {excluded:?}");
    }
}

#[test]
fn what_is_asked_for_and_what_is_always_there() {
    for (attributes, expected) in [
        ("USERNAME", json!({"userName": "ada"})),
        ("userName, shoeSize", json!({"userName": "ada"})),
        ("shoeSize", json!({})),
        ("password", json!({})),
        (&format!("{USER_URN}:userName"), json!({"userName": "ada"})),
        ("name.familyName", json!({"name": {"familyName": "King"}})),
        ("name.familyName,name", json!({"name": {"givenName": "Ada", "familyName": "King"}})),
        ("emails.type", json!({"emails": [{"type": "work"}]})),
        ("emails.primary", json!({})),
        ("meta.version", json!({"meta": {"version": "1"}})),
        (ENTERPRISE_URN, json!({ENTERPRISE_URN: {"department": "Engines", "manager": {"value": "8"}}})),
        (&format!("{ENTERPRISE_URN}:department"), json!({ENTERPRISE_URN: {"department": "Engines"}})),
        (&format!("{ENTERPRISE_URN}:manager.value"), json!({ENTERPRISE_URN: {"manager": {"value": "8"}}})),
        (&format!("{URN}:notes"), json!({URN: {"badge": "b", "notes": "n", "desk": {"number": "2"}}})),
        (&format!("{URN}:pin"), json!({})),
        (&format!("{URN}:desk"), json!({URN: {"badge": "b", "desk": {"floor": "1", "number": "2"}}})),
        (&format!("{URN}:desk.key"), json!({URN: {"badge": "b", "desk": {"key": "k", "number": "2"}}})),
        (URN, json!({URN: {"badge": "b", "desk": {"floor": "1", "number": "2"}}})),
    ] {
        assert_eq!(shown(Some(attributes), None), always_and(expected), "{attributes}");
    }
}

#[test]
fn what_is_left_out_and_what_is_not() {
    let everything = shown(None, None);
    for (excluded, path) in [
        ("userName", vec!["userName"]),
        ("NAME.givenName", vec!["name", "givenName"]),
        ("emails", vec!["emails"]),
        (ENTERPRISE_URN, vec![ENTERPRISE_URN]),
        (&format!("{ENTERPRISE_URN}:department"), vec![ENTERPRISE_URN, "department"]),
        (&format!("{ENTERPRISE_URN}.manager.value"), vec![ENTERPRISE_URN, "manager"]),
        (&format!("{URN}:desk"), vec![URN, "desk", "floor"]),
    ] {
        let mut expected = everything.clone();
        let (last, above) = path.split_last().unwrap();
        let place = above.iter().fold(&mut expected, |json, name| json.get_mut(*name).unwrap());
        place.as_object_mut().unwrap().remove(*last);
        assert_eq!(shown(None, Some(excluded)), expected, "{excluded}");
    }
    let always = shown(None, Some(&format!("id,schemas,{URN}")));
    assert_eq!(always.get(URN), Some(&json!({"badge": "b", "desk": {"number": "2"}})));
    assert!(always.get("id").is_some() && always.get("schemas").is_some());
}

#[test]
fn what_need_not_be_loaded() {
    let registry = Registry::default();
    let schema = registry.of(ResourceKind::Group);
    let wants =
        |attributes, excluded| Projection::parse(schema, attributes, excluded).unwrap().wants("members");
    assert!(wants(None, None) && wants(Some("Members"), None) && wants(Some("members.value"), None));
    assert!(wants(None, Some("displayName")) && wants(None, Some("members.display")));
    assert!(!wants(Some("displayName"), None) && !wants(None, Some("MEMBERS")));
    let default = Projection::parse(registry.of(ResourceKind::User), None, None).unwrap();
    assert!(default.wants("groups") && !default.wants("password") && !default.wants("shoeSize"));
}

#[test]
fn bounds() {
    let registry = registry();
    let schema = registry.of(ResourceKind::User);
    let both = Projection::parse(schema, Some("userName"), Some("emails")).unwrap_err();
    assert_eq!(both.kind, ScimErrorKind::InvalidValue);
    let many = vec!["userName"; MAX_NAMES + 1];
    assert!(Projection::parse(schema, Some(&many.join(",")), None).is_err());
    assert!(Projection::of_lists(schema, &many, &[]).is_err());
    let lists = Projection::of_lists(schema, &["userName", "name.familyName"], &[]);
    assert_eq!(lists, Projection::parse(schema, Some("userName,name.familyName"), None));
}

proptest! {
    #[test]
    fn foreign_names_never_panic(attributes in ".{0,60}", excluded in "[a-zA-Z.,:]{0,60}") {
        let registry = registry();
        let schema = registry.of(ResourceKind::User);
        let asked = [(Some(attributes.as_str()), None), (None, Some(excluded.as_str()))];
        for (attributes, excluded) in asked {
            let projection = Projection::parse(schema, attributes, excluded);
            let mut resource = whole().as_object().cloned().unwrap();
            projection.unwrap().apply(&mut resource);
            prop_assert!(resource.contains_key("id") && resource.contains_key("schemas"));
            prop_assert!(!resource.contains_key("password"));
        }
    }
}
