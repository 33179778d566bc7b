//! The one native build of `test` and `soak`, and what it left: linted while it is compiled, so that nothing
//! is compiled twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::workspace::{Workspace, cargo};

/// Everything there is, always: with another selection cargo unifies other features and compiles all anew.
const EVERYTHING: [&str; 3] = ["--workspace", "--features", "iam-tests/hosts"];
/// What marks a test in a source, and what an example in its documentation.
const TESTS: [&str; 3] = ["test]", "(test)", "proptest!"];
const EXAMPLES: [&str; 2] = ["/// ```", "//! ```"];
/// The words of `cargo clippy -- -D warnings`, as it hands them to its compiler.
const LINTS: (&str, &str) = ("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");

/// Native cargo calls of a test run.
///
/// `cargo clippy` is `cargo check` with clippy's compiler for the workspace's own crates. That compiler does
/// all that rustc does and lints besides (it only leaves optimisations of MIR out, for which it must never
/// make what is deployed), so `cargo build` with it gives the lints and the test programs in one go.
pub(crate) struct Native {
    compiler: PathBuf,
    /// The functions without a test of their own.
    untested: Vec<String>,
    /// The functions without an example in their documentation.
    without_examples: Vec<String>,
}

impl Native {
    pub(crate) fn new(workspace: &Workspace) -> Result<Self> {
        let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]), "rustc failed")?;
        let compiler = PathBuf::from(sysroot.trim()).join("bin/clippy-driver");
        if !compiler.exists() {
            bail!("clippy is missing: `rustup component add clippy`");
        }
        Ok(Self {
            compiler,
            untested: functions_without(workspace, &TESTS)?,
            without_examples: functions_without(workspace, &EXAMPLES)?,
        })
    }

    /// What is left out is compiled and linted all the same, since the catalogue links every function; only
    /// an empty test program of its own is not made.
    fn cargo(&self, command: &str, left_out: &[String]) -> Command {
        let mut cargo = cargo();
        cargo.arg(command).args(EVERYTHING).args(left_out.iter().flat_map(|package| ["--exclude", package]));
        cargo.env("RUSTC_WORKSPACE_WRAPPER", &self.compiler).env(LINTS.0, LINTS.1);
        cargo
    }

    /// Compiles and lints every library, program and test.
    pub(crate) fn build(&self) -> Result<()> {
        process::run(
            self.cargo("build", &self.untested).arg("--all-targets"),
            "it doesn't compile, or clippy found something",
        )
    }

    /// The unit tests and the native test programs.
    pub(crate) fn tests(&self, workspace: &Workspace) -> Command {
        let mut command = self.test_programs(workspace, false);
        command.args(["--lib", "--bins"]);
        command
    }

    /// The test programs that run built modules on their hosts.
    pub(crate) fn host_tests(&self, workspace: &Workspace) -> Command {
        self.test_programs(workspace, true)
    }

    fn test_programs(&self, workspace: &Workspace, for_hosts: bool) -> Command {
        let mut command = self.cargo("test", &self.untested);
        command.arg("--no-fail-fast");
        for test in workspace.tests.iter().filter(|test| test.is_for_hosts == for_hosts) {
            command.args(["--test", &test.name]);
        }
        command
    }

    /// Compiles the tests and gives cargo's messages, one JSON a line.
    pub(crate) fn messages(&self) -> Result<String> {
        let mut command = self.cargo("test", &self.untested);
        command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
        process::output(&mut command, "the tests don't compile")
    }

    /// The examples in the documentation.
    pub(crate) fn examples(&self) -> Command {
        let mut command = self.cargo("test", &self.without_examples);
        command.args(["--no-fail-fast", "--doc"]);
        command
    }
}

fn functions_without(workspace: &Workspace, marks: &[&str]) -> Result<Vec<String>> {
    let mut without = Vec::new();
    for (manifest, package) in &workspace.packages {
        let folder = manifest.parent().context("a manifest is in no folder")?;
        if workspace.functions().any(|function| function.package == *package) && !has_any(folder, marks)? {
            without.push(package.clone());
        }
    }
    Ok(without)
}

fn has_any(folder: &Path, marks: &[&str]) -> Result<bool> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let has = if path.is_dir() {
            has_any(&path, marks)?
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            marks.iter().any(|mark| text.contains(mark))
        } else {
            false
        };
        if has {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A program that [`Native::build`] left.
pub(crate) fn program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let program = workspace.target.join("debug").join(name);
    if !program.exists() {
        bail!("cargo left no {}", program.display());
    }
    Ok(program)
}
