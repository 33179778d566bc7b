//! What has to be on the machine before a command can run, installed where it can be.

use std::process::Command;

use anyhow::Result;

use crate::process;

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
