//! `iam key-usage`

use std::io::{BufWriter, stdout};

use anyhow::Result;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::key;
use crate::output::Table;
use crate::query::with_query;

/// Show how often an API key was used, by day (UTC), oldest first.
///
/// Days without use are left out. Needs the permission `api_keys.read.own`, and for those of others
/// `api_keys.read.organization`.
#[derive(Args)]
#[command(after_help = "Example:\n  iam key-usage key_01m83r09avf99a312cwc6rrkrt --days 7")]
pub(crate) struct KeyUsage {
    /// The key's id (not the key).
    key_id: String,
    /// How many days, today included: 1 to 90; 30 without it.
    #[arg(long, value_name = "DAYS")]
    days: Option<u32>,
}

#[derive(Deserialize)]
struct Usage {
    usage: Vec<Value>,
}

impl KeyUsage {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let path = format!("{}/usage", key::path(&self.key_id)?);
        let days = self.days.map(|days| days.to_string());
        let path = with_query(&path, &[("days", days.as_deref())]);
        let found: Usage = Client::signed_in(global)?.call(&Call::get(&path))?.json()?;
        let columns = &[("day", 10), ("accepted", 10), ("refused", 10)];
        let mut table = Table::begin(BufWriter::new(stdout().lock()), global.output, columns)?;
        for day in &found.usage {
            table.row(day)?;
        }
        table.finish()?;
        Ok(Exit::Done)
    }
}
