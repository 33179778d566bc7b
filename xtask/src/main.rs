//! `cargo xtask <command>`: builds, serves, tests and deploys the functions.

mod audit;
mod bench;
mod bindings;
mod bootstrap;
mod breached;
mod build;
mod catalogue;
mod deploy;
mod dev;
mod first_organization;
mod fuzz;
mod manifests;
mod migrations;
mod native;
mod process;
mod sizes;
mod soak;
mod state;
mod test;
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
    Audit(audit::Audit),
    Bench(bench::Bench),
    Bootstrap(bootstrap::Bootstrap),
    BreachedList(breached::BreachedList),
    Build(build::Build),
    Deploy(deploy::Deploy),
    Dev(dev::Dev),
    Fuzz(fuzz::Fuzz),
    Manifests(manifests::Manifests),
    Sizes(sizes::Sizes),
    Soak(soak::Soak),
    Test(test::Test),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<process::Unsaid>() {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Audit(audit) => audit.run(),
        Command::Bench(bench) => bench.run(),
        Command::Bootstrap(bootstrap) => bootstrap.run(),
        Command::BreachedList(list) => list.run(),
        Command::Build(build) => build.run(),
        Command::Deploy(deploy) => deploy.run(),
        Command::Dev(dev) => dev.run(),
        Command::Fuzz(fuzz) => fuzz.run(),
        Command::Manifests(manifests) => manifests.run(),
        Command::Sizes(sizes) => sizes.run(),
        Command::Soak(soak) => soak.run(),
        Command::Test(test) => test.run(),
    }
}
