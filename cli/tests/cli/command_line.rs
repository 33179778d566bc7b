//! The real binary against the product on the native host: signing in, and users.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::stage::{Stage, failed, succeeded, text};

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn signs_in_and_keeps_it_for_its_owner() {
    let stage = Stage::new();
    let refused = stage.run_with(&["login", "--username", &stage.deployment.setup.username], b"wrong\n");
    failed(&refused, 3, "401 invalid_credentials");
    assert!(!stage.profile().exists());
    let nobody = stage.run(&["users", "list"]);
    failed(&nobody, 3, "iam login");

    stage.login();
    let kept = std::fs::read_to_string(stage.profile()).unwrap();
    assert!(!kept.contains(&stage.deployment.setup.password));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(stage.profile()).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let listed = stage.run(&["users", "list", "--role", "admin", "--output", "json"]);
    succeeded(&listed);
    let user: Value = serde_json::from_str(text(&listed.stdout).trim()).unwrap();
    assert_eq!(user["username"], stage.deployment.setup.username.as_str());
    let table = stage.run(&["users", "list"]);
    assert!(text(&table.stdout).starts_with("USERNAME"), "{table:?}");

    // An access token that no longer holds is exchanged, and the new pair kept.
    let mut profile: Value = serde_json::from_str(&kept).unwrap();
    profile["access_token"] = json!("spoilt");
    std::fs::write(stage.profile(), profile.to_string()).unwrap();
    succeeded(&stage.run(&["users", "list"]));
    let renewed: Value = serde_json::from_str(&std::fs::read_to_string(stage.profile()).unwrap()).unwrap();
    assert_ne!(renewed["refresh_token"], profile["refresh_token"]);
    succeeded(&stage.run(&["users", "list"]));

    let mut by_token = stage.command(&["users", "list", "--profile", "other"]);
    succeeded(&by_token.env("IAM_TOKEN", renewed["access_token"].as_str().unwrap()).output().unwrap());
}

#[test]
fn imports_and_exports() {
    let stage = Stage::new();
    stage.login();
    let folder = stage.home.path();
    // More than one chunk, with bad lines in the first and the last, an empty line, and one far too long.
    let mut users = String::new();
    for number in 1..=1203 {
        match number {
            3 => users.push_str("nonsense\n"),
            4 => users.push('\n'),
            700 => writeln!(users, "{{\"username\": \"{}\"}}", "x".repeat(70_000)).unwrap(),
            1202 => writeln!(users, "{}", json!({"username": "bad", "roles": ["nobody"]})).unwrap(),
            _ => writeln!(users, "{}", json!({"username": format!("user-{number:04}")})).unwrap(),
        }
    }
    let (input, report) = (folder.join("users.ndjson"), folder.join("report.ndjson"));
    std::fs::write(&input, &users).unwrap();
    let (input, report_path) = (input.to_str().unwrap(), report.to_str().unwrap());
    let imported = stage.run(&["users", "import", input, "--report", report_path]);
    assert_eq!(imported.status.code(), Some(10), "{imported:?}");
    assert!(text(&imported.stderr).ends_with("1199 created, 0 unchanged, 3 rejected\n"), "{imported:?}");
    let mut rejected: Vec<_> = lines(&report).iter().map(|line| line["line"].as_u64().unwrap()).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, [3, 700, 1202]);

    let again = stage.run_with(&["users", "import", "-", "--quiet"], users.as_bytes());
    assert_eq!(again.status.code(), Some(10));
    assert_eq!(text(&again.stderr), "0 created, 1199 unchanged, 3 rejected\n");
    assert!(text(&again.stdout).contains("line 1202 (bad): /roles/0 there is no such role\n"), "{again:?}");

    let exported = folder.join("export.ndjson");
    succeeded(&stage.run(&["users", "export", exported.to_str().unwrap(), "--include-password-hashes"]));
    let found = lines(&exported);
    assert_eq!(found.len(), 1200);
    assert!(found.iter().any(|user| user["password_hash"].is_string()));
    let unchanged = stage.run(&["users", "import", exported.to_str().unwrap()]);
    assert_eq!(unchanged.status.code(), Some(0), "{unchanged:?}");
    let piped = stage.run(&["users", "export"]);
    assert_eq!(text(&piped.stdout).lines().count(), 1200);
    assert!(!text(&piped.stdout).contains("$argon2"));
    let some =
        stage.run(&["users", "list", "--username-prefix", "user-", "--limit", "150", "--output", "json"]);
    assert_eq!(text(&some.stdout).lines().count(), 150);
}

/// A sign-in that ended is told apart from one that is refreshed; signing out ends the session and forgets
/// it.
#[test]
fn signs_out() {
    let stage = Stage::new();
    stage.login();
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(stage.profile()).unwrap()).unwrap();
    succeeded(&stage.run(&["logout"]));
    assert!(!stage.profile().exists());
    let mut by_token = stage.command(&["users", "list"]);
    let ended = by_token.env("IAM_TOKEN", kept["access_token"].as_str().unwrap()).output().unwrap();
    failed(&ended, 3, "401");
    std::fs::write(stage.profile(), kept.to_string()).unwrap();
    failed(&stage.run(&["users", "list"]), 3, "iam login");
    succeeded(&stage.run(&["logout"]));
    assert!(!stage.profile().exists());
    succeeded(&stage.run(&["logout"]));
}

#[test]
fn each_kind_of_end_has_its_exit_code() {
    let stage = Stage::new();
    let with_token = |arguments: &[&str]| stage.command(arguments).env("IAM_TOKEN", "x").output().unwrap();
    for arguments in [
        &["nonsense"][..],
        &["users", "list", "--status", "gone"],
        &["users", "list", "--profile", "../escape"],
        &["users", "list", "--url", "https://ada:s3cret@iam.example.com"],
        &["login", "--username", "a", "--url", "http://iam.example.com"],
        &["login", "--username", "a", "--password", "p"],
        &["show-key", "key"],
        &["generate-key", "--name", "a"],
        &["generate-key", "--name", "a", "--permission", "users"],
        &["rotate-key", "key_01m83r09avf99a312cwc6rrkrt", "--overlap-hours", "1", "--grace-period-days", "1"],
        &["update-key", "key_01m83r09avf99a312cwc6rrkrt"],
        &["flags", "set", "maintenance_mode=perhaps"],
        &["flags", "reset", "nothing"],
        &["completions", "powerbook"],
    ] {
        let output = with_token(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
        assert!(!text(&output.stderr).contains("s3cret"));
    }
    failed(&with_token(&["users", "import", "/nonexistent"]), 1, "can't read");
    failed(&with_token(&["users", "list"]), 3, "401");
    // A port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = format!("http://127.0.0.1:{port}");
    failed(&stage.run(&["health", "--url", &nowhere]), 6, "does not answer");
    let mut without_address = stage.command(&["health"]);
    failed(&without_address.env_remove("IAM_URL").output().unwrap(), 2, "IAM_URL");
}

#[test]
fn help_is_help() {
    let stage = Stage::new();
    let commands = [
        &["--help"][..],
        &["--version"],
        &["login", "--help"],
        &["logout", "--help"],
        &["generate-key", "--help"],
        &["list-keys", "--help"],
        &["show-key", "--help"],
        &["key-usage", "--help"],
        &["rotate-key", "--help"],
        &["revoke-key", "--help"],
        &["update-key", "--help"],
        &["verify-key", "--help"],
        &["health", "--help"],
        &["validate-config", "--help"],
        &["flags", "--help"],
        &["flags", "set", "--help"],
        &["completions", "--help"],
        &["users", "import", "--help"],
    ];
    for arguments in commands {
        let output = stage.run(arguments);
        succeeded(&output);
        assert!(!output.stdout.is_empty());
    }
    let help = stage.run(&["--help"]);
    assert!(text(&help.stdout).contains("9  a check failed"));
}
