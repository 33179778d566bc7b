//! A SCIM filter (RFC 7644 section 3.4.2.2) that anybody sent, over users and groups, as far as its SQL.
#![no_main]

use iam_provisioning::filter::{evaluate, parse, sql};
use iam_provisioning::schema::{Registry, ResourceKind};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let registry = Registry::default();
    let resource = json!({
        "id": "a", "userName": "a", "displayName": "a", "active": true,
        "meta": {"created": "2025-01-16T10:30:00Z"},
        "emails": [{"value": "a@example.com", "type": "work", "primary": true}], "members": [{"value": "a"}],
    });
    for kind in ResourceKind::ALL {
        let schema = registry.of(kind);
        if let Ok(filter) = parse::parse(schema, text) {
            let _ = evaluate::matches(&filter, &resource);
            let compiled = sql::compile(kind, &filter);
            // What D1 takes.
            assert!(compiled.condition.len() + compiled.candidates.len() < 90_000);
        }
        for attribute in schema.top_level() {
            let _ = parse::parse_value_filter(attribute, text);
        }
    }
});
