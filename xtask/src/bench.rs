//! `cargo xtask bench`: what each operation costs on workerd, beside bare functions of the same crates.

mod client;
mod measure;
mod operations;
mod report;
mod scale;
mod scim;
mod server;
mod sign_in;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use clap::value_parser;

use crate::build::{self, Host};
use crate::process;
use crate::tools::Node;
use crate::workspace::{Module, Workspace};
use client::Client;
use operations::Baseline;
use report::Report;
use server::Server;

/// What the names of the modules begin with that are built for this alone.
pub(crate) const PREFIX: &str = "bench-";

/// Measure CPU time per request on workerd, database round trips and sizes, against their budgets.
///
/// Every function has a socket of its own, without the gateway. Rounds of a bare answer, a select by primary
/// key and the operation follow each other; the figures are medians, and the ratios those of runs side by
/// side. Linux only: the CPU time is the kernel's count for the workerd process.
#[derive(Args)]
pub(crate) struct Bench {
    /// How many requests a round sends of each; one in twenty of what hashes passwords
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=900))]
    requests: u32,
    /// How many rounds are measured, after five to warm up
    #[arg(long, default_value_t = 7, value_parser = value_parser!(u32).range(1..))]
    rounds: u32,
    /// Also write the figures, with every sample, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure how the cost of each operation grows with the directory instead: how many users there are,
    /// each with ten sessions and three API keys
    #[arg(long, value_name = "USERS", num_args = 0.., value_delimiter = ',',
          default_missing_values = ["1000", "100000", "1000000"])]
    scale: Vec<u32>,
    /// Measure instead whether the time of a refused sign-in tells why: `--requests` tries of each kind
    #[arg(long, conflicts_with = "scale")]
    sign_in: bool,
    /// Fail where a budget is exceeded
    #[arg(long)]
    strict: bool,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        let node = Node::install(&workspace)?;
        let is_bench = |module: &&Module| module.name.starts_with(PREFIX);
        let modules: Vec<&Module> =
            workspace.modules.iter().filter(|module| module.function || is_bench(module)).collect();
        build::modules_for(&workspace, &modules, Host::Cloudflare)?;
        let benches: Vec<&Module> = modules.into_iter().filter(is_bench).collect();
        if !self.scale.is_empty() {
            return self.measure_scale(&workspace, &node, &benches);
        }
        if self.sign_in {
            return self.measure_sign_in(&workspace, &node, &benches);
        }
        let report = process::step("measure", || self.measure(&workspace, &node, &benches))?;
        let exceeded = report.print();
        if let Some(path) = &self.json {
            report.save(path)?;
        }
        if self.strict && exceeded > 0 {
            bail!("{exceeded} budgets are exceeded");
        }
        Ok(())
    }

    fn measure_scale(&self, workspace: &Workspace, node: &Node, benches: &[&Module]) -> Result<()> {
        let measured = scale::measure(workspace, node, benches, &self.scale, self.requests, self.rounds)?;
        let exceeded = measured.print();
        if let Some(path) = &self.json {
            measured.save(path)?;
        }
        if self.strict && exceeded > 0 {
            bail!("{exceeded} operations cost more than {} times as much", scale::BUDGET);
        }
        Ok(())
    }

    fn measure_sign_in(&self, workspace: &Workspace, node: &Node, benches: &[&Module]) -> Result<()> {
        let refusals = sign_in::measure(workspace, node, benches, self.requests)?;
        refusals.print();
        if let Some(path) = &self.json {
            refusals.save(path)?;
        }
        if self.strict && !refusals.is_held() {
            bail!(
                "the time of a refusal tells why: the medians differ by more than {} times",
                sign_in::BUDGET
            );
        }
        Ok(())
    }

    fn measure(&self, workspace: &Workspace, node: &Node, benches: &[&Module]) -> Result<Report> {
        let server = Server::start(workspace, node, benches, Vec::new())?;
        let client = Client::new();
        let operations = operations::all(&server, &client)?;
        let mut baseline = Baseline::new(&server, &client)?;
        let measured = measure::rounds(&server, &mut baseline, operations, self.requests, self.rounds)?;
        Report::new(workspace, measured, server.end()?)
    }
}
