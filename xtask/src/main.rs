//! `cargo xtask <command>`: builds, serves, tests and deploys the functions.

mod bindings;
mod build;
mod catalogue;
mod dev;
mod first_organization;
mod manifests;
mod migrations;
mod process;
mod state;
mod tools;
mod workers;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build, serve, test and deploy Edge IAM.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(build::Build),
    Dev(dev::Dev),
    Manifests(manifests::Manifests),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Build(build) => build.run(),
        Command::Dev(dev) => dev.run(),
        Command::Manifests(manifests) => manifests.run(),
    }
}
