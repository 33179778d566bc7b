//! The one native build of a test run, and what it left: linted while it is compiled, so that nothing is
//! compiled twice.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::{Workspace, cargo};

/// Everything there is, always: with another selection cargo unifies other features and compiles all anew.
const EVERYTHING: [&str; 3] = ["--workspace", "--features", "iam-tests/hosts"];
/// The words of `cargo clippy -- -D warnings`, as it hands them to its compiler.
const LINTS: (&str, &str) = ("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");

/// Native cargo calls of a test run.
///
/// `cargo clippy` is `cargo check` with clippy's compiler for the workspace's own crates. That compiler does
/// all that rustc does and lints besides (it only leaves optimisations of MIR out, for which it must never
/// make what is deployed), so `cargo build` with it gives the lints and the test programs in one go.
pub(super) struct Native {
    compiler: PathBuf,
}

impl Native {
    pub(super) fn new() -> Result<Self> {
        let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]), "rustc failed")?;
        let compiler = PathBuf::from(sysroot.trim()).join("bin/clippy-driver");
        if !compiler.exists() {
            bail!("clippy is missing: `rustup component add clippy`");
        }
        Ok(Self { compiler })
    }

    fn cargo(&self, command: &str) -> Command {
        let mut cargo = cargo();
        cargo.arg(command).args(EVERYTHING).env("RUSTC_WORKSPACE_WRAPPER", &self.compiler);
        cargo.env(LINTS.0, LINTS.1);
        cargo
    }

    /// Compiles and lints every library, program and test.
    pub(super) fn build(&self) -> Result<()> {
        process::run(
            self.cargo("build").arg("--all-targets"),
            "it doesn't compile, or clippy found something",
        )
    }

    /// The unit tests and the native test programs.
    pub(super) fn tests(&self, workspace: &Workspace) -> Command {
        let mut command = self.test_programs(workspace, false);
        command.args(["--lib", "--bins"]);
        command
    }

    /// The test programs that run built modules on their hosts.
    pub(super) fn host_tests(&self, workspace: &Workspace) -> Command {
        self.test_programs(workspace, true)
    }

    fn test_programs(&self, workspace: &Workspace, for_hosts: bool) -> Command {
        let mut command = self.cargo("test");
        command.arg("--no-fail-fast");
        for test in workspace.tests.iter().filter(|test| test.is_for_hosts == for_hosts) {
            command.args(["--test", &test.name]);
        }
        command
    }

    /// The examples in the documentation.
    pub(super) fn examples(&self) -> Command {
        let mut command = self.cargo("test");
        command.args(["--no-fail-fast", "--doc"]);
        command
    }
}

/// A program that [`Native::build`] left.
pub(super) fn program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let program = workspace.target.join("debug").join(name);
    if !program.exists() {
        bail!("cargo left no {}", program.display());
    }
    Ok(program)
}
