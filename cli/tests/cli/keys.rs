//! The real binary against the product on the native host: API keys.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::process::Command;

use serde_json::{Value, json};

use super::stage::{Stage, failed, is_private, json as json_of, lines, succeeded, text};

const PERMISSION: &str = "api_keys.read.own";

/// Says to the test below, run as a program of its own, where to leave the secrets it saw.
const LEAVE_SECRETS: &str = "IAM_TEST_LEAVE_SECRETS";

impl Stage {
    /// A new key: what is told of it, and itself.
    fn generate(&self, name: &str) -> (Value, String) {
        let key = json_of(&self.run(&[
            "generate-key",
            "--name",
            name,
            "--permission",
            PERMISSION,
            "--rate-limit",
            "50",
            "--output",
            "json",
        ]));
        let secret = key["api_key"].as_str().unwrap().to_owned();
        (key, secret)
    }

    fn verify(&self, key: &str, arguments: &[&str]) -> std::process::Output {
        let arguments = ["verify-key"].iter().chain(arguments).copied().collect::<Vec<_>>();
        self.run_with(&arguments, format!("{key}\n").as_bytes())
    }
}

#[test]
fn a_key_lives_and_dies() {
    let stage = Stage::new();
    stage.login();
    let (key, secret) = stage.generate("ci");
    let key_id = key["key_id"].as_str().unwrap();
    assert_eq!(key["rate_limit"], 50);
    let verified = stage.verify(&secret, &["--output", "json"]);
    assert_eq!(json_of(&verified)["key_id"], key_id);
    assert!(!text(&verified.stdout).contains(&secret) && !text(&verified.stderr).contains(&secret));
    let table = stage.verify(&secret, &[]);
    assert!(text(&table.stdout).starts_with("valid         true\n"), "{table:?}");
    let mut from_environment = stage.command(&["verify-key"]);
    succeeded(&from_environment.env("IAM_API_KEY", &secret).output().unwrap());

    let listed = lines(&stage.run(&["list-keys", "--output", "json"]));
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["key_id"], &listed[0]["status"]), (&json!(key_id), &json!("active")));
    assert!(text(&stage.run(&["list-keys"]).stdout).contains(key_id));

    let rotated = json_of(&stage.run(&["rotate-key", key_id, "--overlap-hours", "1", "--output", "json"]));
    let (new_id, new_secret) =
        (rotated["new_key_id"].as_str().unwrap(), rotated["new_api_key"].as_str().unwrap());
    succeeded(&stage.verify(&secret, &[]));
    succeeded(&stage.verify(new_secret, &[]));
    failed(&stage.run(&["rotate-key", key_id]), 5, "409 key_already_rotated");

    let revoked = json_of(&stage.run(&["revoke-key", new_id, "--output", "json"]));
    assert_eq!(revoked["status"], "revoked");
    let dead = stage.verify(new_secret, &["--output", "json"]);
    assert_eq!(dead.status.code(), Some(9));
    assert_eq!(
        serde_json::from_slice::<Value>(&dead.stdout).unwrap(),
        json!({"valid": false, "reason": "revoked"})
    );
    succeeded(&stage.run(&["revoke-key", new_id]));
    failed(&stage.run(&["revoke-key", "key_01m83r09avf99a312cwc6rrkrt"]), 4, "404");
    assert_eq!(lines(&stage.run(&["list-keys", "--limit", "1", "--output", "json"])).len(), 1);

    let unknown = stage.verify("nonsense", &[]);
    assert_eq!(unknown.status.code(), Some(9));
    failed(&stage.verify("", &[]), 2, "IAM_API_KEY");
}

/// The key alone is on standard output, or in a file for its owner alone that was not there before.
#[test]
fn a_new_key_is_written_once() {
    let stage = Stage::new();
    stage.login();
    let arguments = ["generate-key", "--name", "n", "--permission", PERMISSION];
    let piped = stage.run(&arguments);
    succeeded(&piped);
    let secret = text(&piped.stdout).strip_suffix('\n').unwrap();
    assert!(secret.starts_with("cronos_sk_live_") && !secret.contains(char::is_whitespace));
    assert!(!text(&piped.stderr).contains(secret) && text(&piped.stderr).contains("key_id"));
    succeeded(&stage.verify(secret, &[]));

    let file = stage.home.path().join("n.key");
    for format in ["table", "json"] {
        let mut to_file = arguments.to_vec();
        to_file.extend(["--output-file", file.to_str().unwrap(), "--output", format]);
        let written = stage.run(&to_file);
        succeeded(&written);
        let kept = std::fs::read_to_string(&file).unwrap();
        assert!(is_private(&file));
        for told in [&written.stdout, &written.stderr] {
            assert!(!text(told).contains("cronos_sk_"), "{written:?}");
        }
        succeeded(&stage.verify(kept.trim_end(), &[]));
        // What is there stays, and no key is made in vain.
        let before = stage.deployment.count("SELECT COUNT(*) AS count FROM api_keys");
        failed(&stage.run(&to_file), 1, "can't make");
        assert_eq!(stage.deployment.count("SELECT COUNT(*) AS count FROM api_keys"), before);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);
        std::fs::remove_file(&file).unwrap();
    }
    // A refusal leaves no file.
    let refused = [
        "generate-key",
        "--name",
        "n",
        "--permission",
        PERMISSION,
        "--rate-limit",
        "0",
        "--output-file",
        "x",
    ];
    failed(&stage.run(&refused), 5, "/rate_limit");
    assert!(!stage.home.path().join("x").exists());

    let listed = lines(&stage.run(&["list-keys", "--output", "json"]));
    let key_id = listed[0]["key_id"].as_str().unwrap();
    let rotated = stage.run(&["rotate-key", key_id, "--output-file", file.to_str().unwrap()]);
    succeeded(&rotated);
    assert!(rotated.stdout.is_empty() && is_private(&file));
    succeeded(&stage.verify(std::fs::read_to_string(&file).unwrap().trim_end(), &[]));
    let piped = stage.run(&["rotate-key", listed[1]["key_id"].as_str().unwrap(), "--grace-period-days", "0"]);
    succeeded(&stage.verify(text(&piped.stdout).trim_end(), &[]));
}

/// A key does what its permissions say, given in the environment.
#[test]
fn a_key_is_a_credential() {
    let stage = Stage::new();
    stage.login();
    let (_, secret) = stage.generate("reader");
    std::fs::remove_file(stage.profile()).unwrap();
    let with_key = |arguments: &[&str]| stage.command(arguments).env("IAM_TOKEN", &secret).output().unwrap();
    assert_eq!(lines(&with_key(&["list-keys", "--output", "json"])).len(), 1);
    let more = with_key(&["generate-key", "--name", "n", "--permission", PERMISSION]);
    failed(&more, 3, "403 permission_denied");
    assert!(!text(&more.stderr).contains(&secret));
}

/// Whoever gives a key where an id belongs, or as an argument at all, does not see it repeated, and it is
/// sent nowhere.
#[test]
fn a_misplaced_key_is_not_repeated() {
    let stage = Stage::new();
    stage.login();
    let (_, secret) = stage.generate("misplaced");
    for arguments in [
        &["revoke-key", &secret][..],
        &["rotate-key", &secret],
        &["show-key", &secret],
        &["key-usage", &secret],
        &["verify-key", &secret],
        &["verify-key", "--key", &secret],
    ] {
        let output = stage.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!text(&output.stderr).contains(&secret), "{output:?}");
    }
    succeeded(&stage.verify(&secret, &[]));
}

/// What a deployment logs of all this, with everything logged, has none of the secrets in it. The deployment
/// logs to this process's standard error, so it is run as a program of its own.
#[test]
fn no_secret_is_logged() {
    if let Some(file) = std::env::var_os(LEAVE_SECRETS) {
        let mut configuration = iam_tests::scenarios::configuration();
        configuration["monitoring"] = json!({"logging": {"level": "DEBUG", "routine_every": 1}});
        let stage = Stage::with(&configuration);
        stage.login();
        let profile: Value = serde_json::from_slice(&std::fs::read(stage.profile()).unwrap()).unwrap();
        let (key, secret) = stage.generate("logged");
        let key_id = key["key_id"].as_str().unwrap();
        succeeded(&stage.verify(&secret, &[]));
        succeeded(&stage.run(&["list-keys"]));
        let rotated = json_of(&stage.run(&["rotate-key", key_id, "--output", "json"]));
        failed(&stage.run(&["revoke-key", &secret]), 2, "no key's id");
        succeeded(&stage.run(&["revoke-key", key_id]));
        let secrets = [
            &stage.deployment.setup.password,
            &secret,
            rotated["new_api_key"].as_str().unwrap(),
            profile["access_token"].as_str().unwrap(),
            profile["refresh_token"].as_str().unwrap(),
        ];
        std::fs::write(file, secrets.join("\n")).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets");
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["keys::no_secret_is_logged", "--exact", "--nocapture"])
        .env(LEAVE_SECRETS, &file)
        .output()
        .unwrap();
    succeeded(&run);
    let logged = text(&run.stderr);
    for path in
        ["POST /api/v1/auth/login", "POST /api/v1/auth/keys/verify", "/api/v1/auth/keys/{key_id}/rotate"]
    {
        assert!(logged.contains(path), "{logged}");
    }
    let secrets = std::fs::read_to_string(file).unwrap();
    assert_eq!(secrets.lines().count(), 5);
    for secret in secrets.lines() {
        assert!(!logged.contains(secret) && !text(&run.stdout).contains(secret), "{logged}");
    }
}
