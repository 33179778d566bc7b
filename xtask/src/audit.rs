//! `cargo xtask audit`: licences, bans, sources and advisories of everything we depend on.

use anyhow::{Result, bail};
use clap::Args;

use crate::process;
use crate::workspace::cargo;

/// Check licences, bans, sources and, where their database can be reached, advisories (deny.toml).
///
/// Needs cargo-deny: `cargo install --locked cargo-deny`, some minutes. Not part of `cargo xtask test` for
/// that.
#[derive(Args)]
pub(crate) struct Audit {
    /// Leave the advisories out: their database can't be reached from here
    #[arg(long)]
    offline: bool,
}

impl Audit {
    pub(crate) fn run(&self) -> Result<()> {
        let installed =
            cargo().args(["deny", "--version"]).output().is_ok_and(|output| output.status.success());
        if !installed {
            bail!("cargo-deny is not installed: `cargo install --locked cargo-deny`");
        }
        let mut command = cargo();
        command.args(["deny", "--all-features", "check", "licenses", "bans", "sources"]);
        if !self.offline {
            command.arg("advisories");
        }
        process::run(&mut command, "cargo-deny found something")
    }
}
