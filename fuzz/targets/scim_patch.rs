//! A SCIM PATCH body (RFC 7644 section 3.5.2) that anybody sent, applied to a user.
#![no_main]

use iam_core::scim::patch;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok(operations) = patch::parse(body) else { return };
    let user = json!({"userName": "a", "active": true, "emails": [{"value": "a@example.com", "type": "work"}]});
    let Value::Object(mut user) = user else { return };
    let _ = patch::apply(operations, &mut user);
});
