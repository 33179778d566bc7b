//! A deployment, and the binary in a home of its own.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![allow(dead_code, reason = "not every file of tests uses all of it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use serde_json::Value;

pub(crate) struct Stage {
    pub(crate) deployment: Deployment,
    pub(crate) home: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(&iam_tests::scenarios::configuration())
    }

    pub(crate) fn with(configuration: &Value) -> Self {
        let (deployment, _host) = iam_tests::native::start(Setup::new(configuration));
        Self { deployment, home: tempfile::tempdir().unwrap() }
    }

    /// The binary with these arguments, and nothing of this process's environment. No argument is a secret.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let secrets = self.secrets();
        let is_secret = |argument: &&&str| secrets.iter().any(|secret| argument.contains(secret.as_str()));
        assert_eq!(arguments.iter().find(is_secret), None, "a secret as an argument");
        let mut command = Command::new(env!("CARGO_BIN_EXE_iam"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("IAM_URL", &self.deployment.base_url)
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.kept_secret(self.command(arguments).output().unwrap())
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        // Whoever fails early reads nothing.
        let _ = writer.join().unwrap();
        self.kept_secret(output)
    }

    pub(crate) fn login(&self) {
        let password = format!("{}\n", self.deployment.setup.password);
        let output =
            self.run_with(&["login", "--username", &self.deployment.setup.username], password.as_bytes());
        succeeded(&output);
        assert!(output.stdout.is_empty());
    }

    pub(crate) fn profile(&self) -> PathBuf {
        self.home.path().join(".config/edge-iam/profiles/default.json")
    }

    /// The password, and the tokens of the sign-in.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![self.deployment.setup.password.clone()];
        if let Ok(kept) = std::fs::read(self.profile()) {
            let kept: Value = serde_json::from_slice(&kept).unwrap_or_default();
            let token =
                |name: &str| kept.get(name)?.as_str().filter(|token| token.len() > 20).map(str::to_owned);
            secrets.extend(["access_token", "refresh_token"].into_iter().filter_map(token));
        }
        secrets
    }

    fn kept_secret(&self, output: Output) -> Output {
        for secret in self.secrets() {
            for written in [&output.stdout, &output.stderr] {
                assert!(!String::from_utf8_lossy(written).contains(&secret), "a secret in what is written");
            }
        }
        output
    }
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub(crate) fn json(output: &Output) -> Value {
    succeeded(output);
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn lines(output: &Output) -> Vec<Value> {
    succeeded(output);
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

pub(crate) fn failed(output: &Output, code: i32, message: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(text(&output.stderr).contains(message), "{output:?}");
}

/// On Unix, only its owner may read it.
pub(crate) fn is_private(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600
    }
    #[cfg(not(unix))]
    path.exists()
}
