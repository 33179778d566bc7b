//! `iam flags`

mod reset;
mod set;
mod show;

use std::io::stdout;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::Global;
use crate::answer::Answer;
use crate::exit::Exit;
use crate::output::Table;

/// Where the switches are.
const FLAGS: &str = "/api/v1/flags";

/// The switches there are.
const NAMES: [&str; 6] = [
    "maintenance_message",
    "maintenance_mode",
    "maintenance_retry_after",
    "rate_limit_per_minute",
    "rate_limiting_enabled",
    "verbose_logging",
];

/// Switches that work without a deploy: show, set, reset.
#[derive(Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Reset(reset::Reset),
    Set(set::Set),
    Show(show::Show),
}

impl Flags {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        match &self.command {
            Command::Reset(command) => command.run(global),
            Command::Set(command) => command.run(global),
            Command::Show(command) => command.run(global),
        }
    }
}

/// Writes the switches, one a row.
fn write(answer: &Answer, global: &Global) -> Result<Exit> {
    let found: Value = answer.json()?;
    let columns = &[("name", 23), ("value", 26), ("source", 13), ("changed_at", 20), ("changed_by", 31)];
    let mut table = Table::begin(stdout().lock(), global.output, columns)?;
    for (name, flag) in found.get("flags").and_then(Value::as_object).into_iter().flatten() {
        let mut row = flag.as_object().cloned().unwrap_or_default();
        row.insert("name".to_owned(), json!(name));
        table.row(&Value::Object(row))?;
    }
    table.finish()?;
    Ok(Exit::Done)
}
