//! The test programs as cargo left them, and what is in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::sources::{self, Kind};
use crate::native::Native;
use crate::process;
use crate::workspace::Workspace;

/// One test in a program.
pub(super) struct Test {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) program: PathBuf,
    /// Where cargo would run it.
    pub(super) folder: PathBuf,
    /// What selects the program: `-p iam-core --lib`.
    selection: String,
}

/// Of cargo's messages, the artefacts.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Test {
    /// The command line that runs it by hand.
    pub(super) fn by_hand(&self) -> String {
        format!("cargo test {} -- --exact {}", self.selection, self.name)
    }
}

/// Compiles the tests, and finds those that are worth repeating.
pub(super) fn compile(workspace: &Workspace) -> Result<Vec<Test>> {
    let text = process::step("compile the tests", || Native::new(workspace)?.messages())?;
    let mut tests = Vec::new();
    for line in text.lines() {
        let message: Message = serde_json::from_str(line).context("cargo's message is not as expected")?;
        let Message {
            executable: Some(program),
            manifest_path: Some(manifest),
            target: Some(target),
            profile,
        } = message
        else {
            continue;
        };
        if profile.is_some_and(|profile| profile.test) {
            tests.extend(within(workspace, &program, &manifest, &target)?);
        }
    }
    Ok(tests)
}

fn within(workspace: &Workspace, program: &Path, manifest: &Path, target: &Target) -> Result<Vec<Test>> {
    let (Some(package), Some(folder)) = (workspace.packages.get(manifest), manifest.parent()) else {
        return Ok(Vec::new());
    };
    let properties = sources::property_tests(folder)?;
    let kind = |name: &str| {
        let function = name.rsplit("::").next().unwrap_or(name);
        properties.get(function).copied().or_else(|| sources::is_race(function).then_some(Kind::Race))
    };
    if workspace.tests.iter().any(|test| test.is_for_hosts && test.name == target.name) {
        return Ok(Vec::new());
    }
    let kinds = target.kind.first().map_or("lib", String::as_str);
    let selection = match kinds {
        "test" | "bin" => format!("-p {package} --{kinds} {}", target.name),
        _ => format!("-p {package} --lib"),
    };
    let listed = |more: &[&str]| {
        let mut command = Command::new(program);
        command.args(["--list", "--format", "terse"]).args(more).current_dir(folder);
        process::output(&mut command, &format!("{} doesn't list its tests", program.display()))
    };
    // What is ignored needs programs that only `cargo xtask test` installs.
    let (all, ignored) = (listed(&[])?, listed(&["--ignored"])?);
    let names = all.lines().filter(|line| !ignored.lines().any(|ignored| ignored == *line));
    let names = names.filter_map(|line| line.strip_suffix(": test"));
    let test = |name: &str| {
        Some(Test {
            name: name.to_owned(),
            kind: kind(name)?,
            program: program.to_owned(),
            folder: folder.to_owned(),
            selection: selection.clone(),
        })
    };
    Ok(names.filter_map(test).collect())
}
