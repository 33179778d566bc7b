//! `iam health`

use std::io::stdout;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::output::Table;

/// Tell how a deployment does: whether it lives, and whether it can serve.
///
/// Nobody needs to be signed in but for `--detailed`. Exit code 0 where it is healthy or degraded, 9 where it
/// is not, 6 where it does not answer, 7 where it is under maintenance that closes health too.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iam health --url https://iam.example.com\n  iam health --detailed --output \
         json"
)]
pub(crate) struct Health {
    /// How every part does, with times. Needs the permission `health.read.organization`.
    #[arg(long)]
    detailed: bool,
}

impl Health {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let (path, parts, client) = if self.detailed {
            ("/health/detailed", "components", Client::signed_in(global)?)
        } else {
            ("/ready", "dependencies", Client::anonymous(global)?)
        };
        let answer = client.answer(&Call::get(path).without_repeating())?;
        // What is not ready says so with 503 and its parts.
        let found: Value = answer.json().unwrap_or_default();
        let Some(parts) = found.get(parts).and_then(Value::as_object) else {
            answer.success()?.json::<Map<String, Value>>()?;
            anyhow::bail!("not the answer of this API: is this the right address?");
        };
        let columns = &[("component", 12), ("status", 10), ("latency_ms", 10), ("message", 30)];
        let mut table = Table::begin(stdout().lock(), global.output, columns)?;
        let status = found.get("status").cloned().unwrap_or_default();
        table.row(&json!({"component": "all", "status": status}))?;
        for (name, part) in parts {
            let mut row = part.as_object().cloned().unwrap_or_default();
            row.insert("component".to_owned(), json!(name));
            table.row(&Value::Object(row))?;
        }
        table.finish()?;
        Ok(if status == "healthy" || status == "degraded" { Exit::Done } else { Exit::CheckFailed })
    }
}
