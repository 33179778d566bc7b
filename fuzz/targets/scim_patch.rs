//! A SCIM PATCH body (RFC 7644 section 3.5.2) that anybody sent, applied to a user and to a group.
#![no_main]

use iam_provisioning::membership;
use iam_provisioning::patch;
use iam_provisioning::schema::{Registry, ResourceKind, USER_URN};
use iam_provisioning::value;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    let registry = Registry::default();
    let (users, groups) = (registry.of(ResourceKind::User), registry.of(ResourceKind::Group));

    if let Ok(operations) = patch::parse(groups, body.clone())
        && let Ok((others, members)) = membership::split(operations)
    {
        assert!(members.add.is_disjoint(&members.remove));
        let mut group = json!({"displayName": "a"}).as_object().cloned().unwrap_or_default();
        let _ = patch::apply(others, &mut group);
    }

    let Ok(operations) = patch::parse(users, body) else { return };
    let user =
        json!({"userName": "a", "active": true, "emails": [{"value": "a@example.com", "type": "work"}]});
    let Value::Object(mut user) = user else { return };
    if patch::apply(operations, &mut user).is_ok() {
        // What a PATCH leaves is what a PUT of it would.
        let expected = user.clone();
        user.insert("schemas".to_owned(), json!([USER_URN]));
        assert_eq!(value::resource(users, Value::Object(user)).ok(), Some(expected));
    }
});
