//! The real binary against the product on the native host: what is kept of API keys, and how they are found.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use serde_json::{Value, json};

use super::stage::{Stage, failed, json as json_of, lines, succeeded, text};

fn id(key: &Value) -> &str {
    key["key_id"].as_str().unwrap()
}

#[test]
fn keys_have_addresses_and_notes() {
    let stage = Stage::new();
    stage.login();
    let created = json_of(&stage.run(&[
        "generate-key",
        "--name",
        "edge",
        "--permission",
        "api_keys.read.own",
        "--allow-address",
        "203.0.113.0/24",
        "--allow-address",
        "2001:db8::/32",
        "--metadata",
        "team=payments",
        "--expires-in-days",
        "7",
        "--output",
        "json",
    ]));
    let key = format!("{}\n", created["api_key"].as_str().unwrap());
    let verify = |arguments: &[&str]| stage.run_with(arguments, key.as_bytes());
    succeeded(&verify(&["verify-key", "--ip-address", "203.0.113.9"]));
    succeeded(&verify(&["verify-key", "--ip-address", "2001:db8::1"]));
    let elsewhere = verify(&["verify-key", "--ip-address", "198.51.100.1", "--output", "json"]);
    assert_eq!(elsewhere.status.code(), Some(9));
    assert!(text(&elsewhere.stdout).contains("address_not_allowed"), "{elsewhere:?}");

    let shown = json_of(&stage.run(&["show-key", id(&created), "--output", "json"]));
    assert_eq!(shown["metadata"], json!({"team": "payments"}));
    assert_eq!(shown["allowed_addresses"], json!(["203.0.113.0/24", "2001:db8::/32"]));
    let table = stage.run(&["show-key", id(&created)]);
    assert!(text(&table.stdout).contains("metadata           team=payments\n"), "{table:?}");
    failed(&stage.run(&["show-key", "key_01m83r09avf99a312cwc6rrkrt"]), 4, "404");

    let changed = stage.run(&[
        "update-key",
        id(&created),
        "--allow-any-address",
        "--rate-limit",
        "7",
        "--metadata",
        "team=edge",
        "--output",
        "json",
    ]);
    let changed = json_of(&changed);
    assert_eq!((&changed["rate_limit"], &changed["metadata"]), (&json!(7), &json!({"team": "edge"})));
    assert_eq!(changed["allowed_addresses"], Value::Null);
    succeeded(&verify(&["verify-key", "--ip-address", "198.51.100.1"]));

    let used = lines(&stage.run(&["key-usage", id(&created), "--days", "1", "--output", "json"]));
    assert!(used.iter().all(|day| day["accepted"].is_u64()), "{used:?}");
    failed(&stage.run(&["key-usage", id(&created), "--days", "91"]), 5, "`days`");
}

#[test]
fn keys_are_found() {
    let stage = Stage::new();
    stage.login();
    for name in ["alpha", "beta", "alphabet"] {
        succeeded(&stage.run(&["generate-key", "--name", name, "--permission", "api_keys.read.own"]));
    }
    let found = |filters: &[&str]| {
        let arguments = [&["list-keys", "--output", "json"], filters].concat();
        lines(&stage.run(&arguments))
    };
    assert_eq!(found(&["--name", "alpha"]).len(), 2);
    assert_eq!(found(&["--all", "--status", "active"]).len(), 3);
    let beta = found(&["--name", "beta"]);
    let revoked = ["revoke-key", id(&beta[0]), "--reason", "the laptop was stolen", "--output", "json"];
    succeeded(&stage.run(&revoked));
    let gone = found(&["--status", "revoked"]);
    assert_eq!((gone.len(), &gone[0]["revoked_because"]), (1, &json!("the laptop was stolen")));
    assert_eq!(found(&["--expires-before", "2020-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(found(&["--unused-since", "2100-01-01T00:00:00Z", "--status", "active"]).len(), 2);
    failed(&stage.run(&["list-keys", "--expires-before", "tomorrow"]), 5, "400");
}
