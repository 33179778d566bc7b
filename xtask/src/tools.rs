//! What has to be on the machine before a command can run, installed where it can be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::write;
use crate::process;
use crate::workspace::Workspace;

/// Adds a Rust target that `rustup` doesn't have yet.
pub(crate) fn rust_target(triple: &str) -> Result<()> {
    if !process::exists("rustup") {
        // A Rust from a distribution may well bring the target itself; cargo says it if not.
        return Ok(());
    }
    let installed = process::output(
        Command::new("rustup").args(["target", "list", "--installed"]),
        "rustup cannot list the installed targets",
    )?;
    if installed.lines().any(|line| line.trim() == triple) {
        return Ok(());
    }
    process::step(&format!("add the Rust target {triple}"), || {
        process::quiet(
            Command::new("rustup").args(["target", "add", triple]),
            &format!("the Rust target {triple} is missing and `rustup target add {triple}` failed"),
        )
    })
}

/// What keeps wrangler and miniflare from asking anything outside or anybody.
pub(crate) const QUIET_WRANGLER: [(&str, &str); 5] = [
    ("CI", "1"),
    ("WRANGLER_SEND_METRICS", "false"),
    ("WRANGLER_SEND_ERROR_REPORTS", "false"),
    ("WRANGLER_HIDE_BANNER", "true"),
    ("CLOUDFLARE_CF_FETCH_ENABLED", "false"),
];

/// The pinned npm tools, installed under `node_modules/`.
pub(crate) struct Node {
    root: PathBuf,
}

impl Node {
    /// Installs what `package-lock.json` pins, where that isn't done yet.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        let root = workspace.root.clone();
        let lock = fs::read(root.join("package-lock.json")).context("cannot read package-lock.json")?;
        let stamp = root.join("node_modules/.installed-from");
        if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
            return Ok(Self { root });
        }
        if !process::exists("npm") {
            bail!(
                "Node.js with npm is needed (any version: it installs the pinned one): install it and try \
                 again"
            );
        }
        process::step("install the npm tools", || {
            process::quiet(
                Command::new("npm")
                    .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
                    .current_dir(&root),
                "`npm ci` failed",
            )?;
            write(&stamp, &lock)
        })?;
        Ok(Self { root })
    }

    /// The pinned Node running `script`, a path from the root.
    pub(crate) fn command(&self, script: &str) -> Command {
        let mut command = Command::new(self.root.join("node_modules/node/bin/node"));
        command.arg(self.root.join(script)).envs(QUIET_WRANGLER).current_dir(&self.root);
        command
    }

    /// wrangler itself, not a wrapper: ending it ends its children.
    pub(crate) fn wrangler(&self) -> Command {
        self.command("node_modules/wrangler/bin/wrangler.js")
    }
}

/// The private Python environment `.venv`.
pub(crate) struct Python {
    program: PathBuf,
}

impl Python {
    /// Installs what `tests/requirements.txt` pins, where that isn't done yet.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        let environment = workspace.root.join(".venv");
        let program = environment.join("bin/python");
        let requirements = workspace.root.join("tests/requirements.txt");
        let pins = fs::read(&requirements).context("cannot read tests/requirements.txt")?;
        let stamp = environment.join("installed-from");
        if fs::read(&stamp).is_ok_and(|installed| installed == pins) {
            return Ok(Self { program });
        }
        create_environment(&environment)?;
        let mut pip = Command::new(&program);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        process::quiet(pip.arg(&requirements), "pip could not install tests/requirements.txt")?;
        write(&stamp, &pins)?;
        Ok(Self { program })
    }

    /// The path of a command that a package brings.
    pub(crate) fn script(&self, name: &str) -> Result<PathBuf> {
        let path = self.program.with_file_name(name);
        if !path.exists() {
            bail!("no package brings the command {name}");
        }
        Ok(path)
    }

    /// The path of a file that the Python module `module` brings.
    pub(crate) fn module_file(&self, module: &str, file: &str) -> Result<PathBuf> {
        let script = format!("import os, {module}; print(os.path.dirname({module}.__file__))");
        let folder = process::output(
            Command::new(&self.program).args(["-c", &script]),
            &format!("the Python module {module} is not installed"),
        )?;
        let path = PathBuf::from(folder.trim()).join(file);
        if !path.exists() {
            bail!("the Python module {module} brings no {file}");
        }
        Ok(path)
    }
}

fn create_environment(environment: &Path) -> Result<()> {
    let create = || {
        process::quiet(
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment),
            "python3 cannot create a virtual environment",
        )
    };
    if process::exists("python3") && create().is_ok() {
        return Ok(());
    }
    debian(&["python3", "python3-venv"])?;
    create()
}

/// Installs Debian packages, where that needs no question.
fn debian(packages: &[&str]) -> Result<()> {
    let is_root = process::output(Command::new("id").arg("-u"), "`id -u` failed")?.trim() == "0";
    let apt = |arguments: &[&str]| {
        let mut command = if is_root { Command::new("apt-get") } else { Command::new("sudo") };
        if !is_root {
            command.args(["-n", "apt-get"]);
        }
        command.args(arguments).args(packages.iter().filter(|_| arguments.contains(&"install")));
        let failure = format!("apt-get could not install {}: install it by hand", packages.join(" "));
        process::quiet(command.env("DEBIAN_FRONTEND", "noninteractive"), &failure)
    };
    apt(&["update"])?;
    apt(&["install", "--yes", "--no-install-recommends"])
}
