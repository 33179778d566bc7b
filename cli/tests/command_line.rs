//! The real binary against the product on the native host.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use serde_json::{Value, json};

struct Stage {
    deployment: Deployment,
    home: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let (deployment, _host) =
            iam_tests::native::start(Setup::new(&iam_tests::scenarios::configuration()));
        Self { deployment, home: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iam"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("IAM_URL", &self.deployment.base_url)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output
    }

    fn login(&self) {
        let password = format!("{}\n", self.deployment.setup.password);
        let output =
            self.run_with(&["login", "--username", &self.deployment.setup.username], password.as_bytes());
        succeeded(&output);
    }

    fn profile(&self) -> std::path::PathBuf {
        self.home.path().join(".config/edge-iam/profiles/default.json")
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn signs_in_and_keeps_it_for_its_owner() {
    let stage = Stage::new();
    let refused = stage.run_with(&["login", "--username", &stage.deployment.setup.username], b"wrong\n");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("401 invalid_credentials"), "{refused:?}");
    assert!(!stage.profile().exists());
    let nobody = stage.run(&["users", "list"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("iam login"));

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
    assert_eq!(imported.status.code(), Some(2), "{imported:?}");
    assert!(text(&imported.stderr).ends_with("1199 created, 0 unchanged, 3 rejected\n"), "{imported:?}");
    let mut rejected: Vec<_> = lines(&report).iter().map(|line| line["line"].as_u64().unwrap()).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, [3, 700, 1202]);

    let again = stage.run_with(&["users", "import", "-", "--quiet"], users.as_bytes());
    assert_eq!(again.status.code(), Some(2));
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

#[test]
fn mistakes_are_failures() {
    let stage = Stage::new();
    for arguments in [
        &["nonsense"][..],
        &["users", "list", "--status", "gone"],
        &["users", "import", "/nonexistent"],
        &["users", "list", "--profile", "../escape"],
        &["login", "--username", "a", "--url", "http://iam.example.com"],
    ] {
        let output = stage.command(arguments).env("IAM_TOKEN", "x").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
    for arguments in [&["--help"][..], &["login", "--help"], &["users", "import", "--help"], &["--version"]] {
        let output = stage.run(arguments);
        succeeded(&output);
        assert!(!output.stdout.is_empty());
    }
}
