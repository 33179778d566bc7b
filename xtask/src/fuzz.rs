//! `cargo xtask fuzz`: the parsers of foreign bytes under libFuzzer.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::value_parser;

use crate::process;
use crate::workspace::{Workspace, cargo};

/// What makes rustc count what an input reaches: cargo-fuzz's flags, less the sanitizers, which only a nightly
/// toolchain has and code without `unsafe` needs least.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Fuzz the parsers of foreign bytes (fuzz/targets/), each for a while.
///
/// Needs a C++ compiler, for libFuzzer. What an earlier run found interesting is kept in target/fuzz-corpus/ and gone
/// on from; an input that fails is left in target/fuzz-failures/ and named. `cargo fuzz run <target>` works as well.
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
        run(&Workspace::load()?, &self.targets, self.seconds)
    }
}

/// Builds and runs.
pub(crate) fn run(workspace: &Workspace, targets: &[String], seconds: u32) -> Result<()> {
    let folder = workspace.root.join("fuzz");
    let all = names(&folder.join("targets"))?;
    if let Some(unknown) = targets.iter().find(|target| !all.contains(target)) {
        bail!("there is no fuzz target `{unknown}`; there are: {}", all.join(", "));
    }
    let programs = workspace.target.join("fuzz");
    process::step(&format!("compile {} fuzz targets", all.len()), || {
        let mut command = cargo();
        command.args(["build", "--release", "--locked", "--manifest-path"]).arg(folder.join("Cargo.toml"));
        // The flags must not reach build scripts: a named target keeps them apart.
        command.args(["--target", &host()?]).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &programs);
        process::run(&mut command, "the fuzz targets don't build (libFuzzer needs a C++ compiler)")
    })?;
    for target in if targets.is_empty() { &all } else { targets } {
        let found = workspace.target.join("fuzz-corpus").join(target);
        let failures = workspace.target.join("fuzz-failures").join(target);
        for folder in [&found, &failures] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        process::step(&format!("fuzz {target} for {seconds} s"), || {
            let mut command = Command::new(programs.join(host()?).join("release").join(target));
            command.arg(format!("-max_total_time={seconds}")).args([
                "-timeout=10",
                "-max_len=8192",
                "-verbosity=0",
            ]);
            command.arg(format!("-artifact_prefix={}/", failures.display()));
            command.arg(&found).arg(folder.join("seeds").join(target));
            process::run(
                &mut command,
                &format!("{target} failed on an input, left in {}", failures.display()),
            )
        })?;
    }
    Ok(())
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

fn names(folder: &PathBuf) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
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
