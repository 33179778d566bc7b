//! `cargo xtask fuzz`: the parsers of foreign bytes under libFuzzer.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::value_parser;

use crate::process;
use crate::workspace::{Workspace, cargo};

/// What makes rustc count what an input reaches: cargo-fuzz's flags, less the sanitizers, which only a
/// nightly toolchain has and code without `unsafe` needs least.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Fuzz the parsers of foreign bytes (fuzz/targets/), each for a while.
///
/// Needs a C++ compiler, for libFuzzer. What an earlier run found interesting is kept in target/fuzz-corpus/
/// and gone on from; an input that fails is left in target/fuzz-failures/ and named. `cargo fuzz run
/// <target>` works as well.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Which targets; all of them when none is named
    targets: Vec<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    seconds: u32,
}

impl Fuzz {
    pub(crate) fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        let all = names(&workspace)?;
        if let Some(unknown) = self.targets.iter().find(|target| !all.contains(target)) {
            bail!("there is no fuzz target `{unknown}`; there are: {}", all.join(", "));
        }
        let targets = Targets::compile(&workspace)?;
        for target in if self.targets.is_empty() { &all } else { &self.targets } {
            process::step(&format!("fuzz {target} for {} s", self.seconds), || {
                let left = targets.failures(target);
                let failure = format!("{target} failed on an input, left in {}", left.display());
                process::run(&mut targets.command(target, self.seconds)?, &failure)
            })?;
        }
        Ok(())
    }
}

/// The targets, compiled.
pub(crate) struct Targets {
    programs: PathBuf,
    seeds: PathBuf,
    found: PathBuf,
    failures: PathBuf,
}

/// The targets' names.
pub(crate) fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

impl Targets {
    /// Compiles all of them.
    pub(crate) fn compile(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.root.join("fuzz");
        let built = workspace.target.join("fuzz");
        process::step("compile the fuzz targets", || {
            let mut command = cargo();
            command
                .args(["build", "--release", "--locked", "--manifest-path"])
                .arg(folder.join("Cargo.toml"));
            // The flags must not reach build scripts: a named target keeps them apart.
            command.args(["--target", &host()?]).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &built);
            process::run(&mut command, "the fuzz targets don't build (libFuzzer needs a C++ compiler)")
        })?;
        Ok(Self {
            programs: built.join(host()?).join("release"),
            seeds: folder.join("seeds"),
            found: workspace.target.join("fuzz-corpus"),
            failures: workspace.target.join("fuzz-failures"),
        })
    }

    /// The program of one target, run for some seconds; what it found before it goes on from.
    pub(crate) fn command(&self, target: &str, seconds: u32) -> Result<Command> {
        let (found, failures) = (self.found.join(target), self.failures(target));
        for folder in [&found, &failures] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut command = Command::new(self.program(target));
        command.arg(format!("-max_total_time={seconds}"));
        command.args(["-timeout=10", "-max_len=8192", "-verbosity=0"]);
        command.arg(format!("-artifact_prefix={}/", failures.display()));
        command.arg(&found).arg(self.seeds.join(target));
        Ok(command)
    }

    /// The program of one target: given a file, it tries that alone.
    pub(crate) fn program(&self, target: &str) -> PathBuf {
        self.programs.join(target)
    }

    /// Where inputs on which a target fails are left.
    pub(crate) fn failures(&self, target: &str) -> PathBuf {
        self.failures.join(target)
    }
}

/// Whether the targets still compile, which takes no C++ compiler.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut command = cargo();
    command.args(["check", "--quiet", "--locked", "--no-default-features", "--manifest-path"]);
    command
        .arg(workspace.root.join("fuzz/Cargo.toml"))
        .env("CARGO_TARGET_DIR", workspace.target.join("fuzz"));
    process::run(&mut command, "the fuzz targets don't compile")
}

/// The machine's own target triple.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc names no host")
}
