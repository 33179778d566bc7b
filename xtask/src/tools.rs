//! What has to be on the machine before a command can run, installed where it can be.

use std::fs;
use std::path::PathBuf;
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
        if !process::exists("npm") {
            bail!(
                "Node.js with npm is needed (any version: it installs the pinned one): install it and try again"
            );
        }
        let lock = fs::read(root.join("package-lock.json")).context("cannot read package-lock.json")?;
        let stamp = root.join("node_modules/.installed-from");
        if !fs::read(&stamp).is_ok_and(|installed| installed == lock) {
            process::step("install the npm tools", || {
                process::quiet(
                    Command::new("npm")
                        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
                        .current_dir(&root),
                    "`npm ci` failed",
                )?;
                write(&stamp, &lock)
            })?;
        }
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
