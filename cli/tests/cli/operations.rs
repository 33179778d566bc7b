//! The real binary against the product on the native host: health, switches, configuration, completion.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use serde_json::{Value, json};

use super::stage::{Stage, failed, lines, succeeded, text};

fn value_of(flags: &[Value], name: &str) -> Value {
    flags.iter().find(|flag| flag["name"] == name).unwrap()["value"].clone()
}

#[test]
fn health_is_told() {
    let stage = Stage::new();
    let rows = lines(&stage.run(&["health", "--output", "json"]));
    assert_eq!(rows[0], json!({"component": "all", "status": "healthy"}));
    assert_eq!(rows[1]["component"], "database");
    let table = stage.run(&["health"]);
    assert!(text(&table.stdout).starts_with("COMPONENT     STATUS"), "{table:?}");
    failed(&stage.run(&["health", "--detailed"]), 3, "iam login");
    stage.login();
    let rows = lines(&stage.run(&["health", "--detailed", "--output", "json"]));
    assert!(rows.iter().any(|row| row["component"] == "key_value" && row["latency_ms"].is_u64()), "{rows:?}");
}

#[test]
fn switches_are_set_and_reset() {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["operational"] = json!({"flags_max_age": "1s", "maintenance_serves": ["admin"]});
    let stage = Stage::with(&configuration);
    stage.login();
    let set =
        ["flags", "set", "maintenance_mode=true", "maintenance_message=Back at noon", "--output", "json"];
    let flags = lines(&stage.run(&set));
    assert_eq!(flags.len(), 6);
    assert_eq!(value_of(&flags, "maintenance_mode"), true);
    assert_eq!(value_of(&flags, "maintenance_message"), "Back at noon");
    assert_eq!(lines(&stage.run(&["flags", "show", "--output", "json"])), flags);
    failed(&stage.run(&["list-keys"]), 7, "503 maintenance: Back at noon; try again in 300 s");
    failed(&stage.run(&["health"]), 7, "503 maintenance");
    failed(&stage.run(&["flags", "set", "rate_limit_per_minute=100000001"]), 5, "/rate_limit_per_minute");
    let reset = stage.run(&["flags", "reset", "maintenance_mode", "maintenance_message", "--output", "json"]);
    assert_eq!(value_of(&lines(&reset), "maintenance_mode"), false);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    succeeded(&stage.run(&["list-keys"]));
    let table = stage.run(&["flags", "show"]);
    assert!(text(&table.stdout).starts_with("NAME"), "{table:?}");
}

#[test]
fn a_configuration_is_checked() {
    let stage = Stage::new();
    let file = stage.home.path().join("iam.json");
    std::fs::write(&file, r#"{"session": {"timeout": "8h"}}"#).unwrap();
    let good = stage.run(&["validate-config", "iam.json"]);
    succeeded(&good);
    assert_eq!(text(&good.stdout), "valid    true\n");
    std::fs::write(&file, r#"{"session": {"timeout": "8 hours"}}"#).unwrap();
    let bad = stage.run(&["validate-config", "iam.json", "--output", "json"]);
    assert_eq!(bad.status.code(), Some(9));
    let told: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((&told["valid"], &told["field"]), (&json!(false), &json!("session.timeout")));
    let unknown = stage.run_with(&["validate-config", "-"], br#"{"sesion": {}}"#);
    assert_eq!(unknown.status.code(), Some(9));
    assert!(text(&unknown.stdout).contains("field    sesion\n"), "{unknown:?}");
    std::fs::write(stage.home.path().join("iam.toml"), "[session]\ntimeout = \"8h\"\nidle = 1\n").unwrap();
    let bad = stage.run(&["validate-config", "iam.toml"]);
    assert_eq!(bad.status.code(), Some(9));
    assert!(text(&bad.stdout).contains("session.idle"), "{bad:?}");
    std::fs::write(stage.home.path().join("broken.toml"), "[session").unwrap();
    let broken = stage.run(&["validate-config", "broken.toml"]);
    assert_eq!(broken.status.code(), Some(9));
    assert!(text(&broken.stdout).contains("not TOML"), "{broken:?}");
    let mut with_environment = stage.command(&["validate-config", "iam.json", "--with-environment"]);
    std::fs::write(&file, "{}").unwrap();
    let refused = with_environment.env("IAM_JWT_ALGORITHM", "none").output().unwrap();
    assert_eq!(refused.status.code(), Some(9));
    assert!(text(&refused.stdout).contains("jwt.algorithm"), "{refused:?}");
    failed(&stage.run(&["validate-config", "absent.json"]), 1, "can't read absent.json");
}

#[test]
fn shells_complete() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stage.run(&["completions", shell]);
        succeeded(&script);
        assert!(text(&script.stdout).contains("generate-key"), "{shell}");
    }
}
