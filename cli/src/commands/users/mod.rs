//! `iam users`

mod export;
mod import;
mod list;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::Global;
use crate::exit::Exit;

/// Users: list, import, export.
#[derive(Args)]
pub(crate) struct Users {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Export(export::Export),
    Import(import::Import),
    List(list::List),
}

impl Users {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        match &self.command {
            Command::Export(export) => export.run(global),
            Command::Import(import) => import.run(global),
            Command::List(list) => list.run(global),
        }
    }
}
