//! `iam test-webhook` against the product on the native host: signed for each scheme, and taken.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use iam_tests::scenarios::webhooks::intake;
use serde_json::Value;

fn start() -> Deployment {
    iam_tests::native::start(Setup::new(&iam_tests::scenarios::configuration())).0
}

/// Runs it with the secret and whatever else on standard input, or the secret in the environment.
fn run(url: &str, arguments: &[&str], input: &str, secret: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iam"));
    command.args(["test-webhook", "--output", "json", "--url", url]).args(arguments).env_clear();
    if let Some(secret) = secret {
        command.env("IAM_WEBHOOK_SECRET", secret);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_scheme_is_taken() {
    let deployment = start();
    let own = [
        "--signature-header=X-Own-Signature",
        "--prefix=sha256=",
        "--encoding=base64",
        "--signed={id}:{timestamp}:{body}",
        "--timestamp-header=X-Own-Time",
        "--id-header=X-Own-Id",
    ];
    let cases: [(&str, &str, &[&str]); 10] = [
        ("github", "", &[]),
        ("gitlab", "", &[]),
        ("gitlab-signed", "gitlab_signed", &[]),
        ("slack", "", &[]),
        ("stripe", "", &[]),
        ("trello", "", &["--signed-url=https://iam.example.com/webhook/trello"]),
        ("twilio", "", &["--signed-url=https://iam.example.com/webhook/twilio"]),
        ("standard", "standard_webhooks", &[]),
        ("token", "shared_secret", &["--signature-header=X-Token", "--id-header=X-Id"]),
        ("own", "hmac_sha256", &own),
    ];
    for (service, scheme, more) in cases {
        let secrets = intake::secrets();
        let secret = secrets[service][0].as_str().unwrap();
        let mut arguments = vec!["--service", service];
        if !scheme.is_empty() {
            arguments.extend(["--scheme", scheme]);
        }
        arguments.extend(more);
        let report = report(&run(&deployment.base_url, &arguments, &format!("{secret}\n"), None));
        assert_eq!(
            (report["status"].as_u64(), report["result"].as_str()),
            (Some(202), Some("accepted")),
            "{service}"
        );
        assert_eq!(
            deployment.recorded("webhook.accepted", "success", report["delivery_id"].as_str().unwrap()),
            1
        );
    }
}

#[test]
fn bodies_come_from_a_file_or_standard_input() {
    let deployment = start();
    let url = format!("{}/webhook/twilio", deployment.base_url);
    let signed_url = "--signed-url=https://iam.example.com/webhook/twilio";
    let form = [
        "--scheme",
        "twilio",
        signed_url,
        "--content-type",
        "application/x-www-form-urlencoded",
        "--body",
        "-",
    ];
    report(&run(&url, &form, "From=%2B14158675309&Body=hi", Some("webhook-secret")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("event.json");
    std::fs::write(&path, br#"{"id": "evt_1"}"#).unwrap();
    let arguments = ["--service", "stripe", "--body", path.to_str().unwrap()];
    report(&run(&deployment.base_url, &arguments, "", Some("webhook-secret")));
    let again = run(&deployment.base_url, &arguments, "", Some("webhook-secret"));
    let told = String::from_utf8(again.stdout).unwrap();
    assert!(told.contains("duplicate") || told.contains("replayed"), "{told}");
}

#[test]
fn refusals_are_failures_and_tell_no_secret() {
    let deployment = start();
    let cases: [(&[&str], &str, &str); 6] = [
        (&["--service", "github"], "a-wrong-secret", "signature_wrong"),
        (&["--service", "stripe", "--age", "400"], "webhook-secret", "timestamp_stale"),
        (&["--service", "stripe", "--age=-400"], "webhook-secret", "timestamp_ahead"),
        (&["--service", "standard", "--scheme", "standard_webhooks"], "no-key-at-all!", "the scheme's form"),
        (&["--service", "own"], "webhook-secret", "--scheme"),
        (&["--service", "../x", "--scheme", "github"], "webhook-secret", "a service's name"),
    ];
    for (arguments, secret, expected) in cases {
        let output = run(&deployment.base_url, arguments, &format!("{secret}\n"), None);
        assert!(!output.status.success(), "{arguments:?}");
        let told =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(told.contains(expected), "{arguments:?}: {told}");
        assert!(!told.contains(secret), "{told}");
    }
    // Both can't come from standard input, and a secret goes over TLS.
    let both = run(&deployment.base_url, &["--service", "github", "--body", "-"], "x", None);
    assert!(String::from_utf8(both.stderr).unwrap().contains("IAM_WEBHOOK_SECRET"));
    let plain = run("http://iam.example.com", &["--service", "github"], "", Some("webhook-secret"));
    assert!(String::from_utf8(plain.stderr).unwrap().contains("https"));
}
