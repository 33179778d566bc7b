//! `iam flags reset`

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;

/// Return switches to what the configuration says.
///
/// For members of the deployment's own organization; needs the permission `flags.manage.all`.
#[derive(Args)]
#[command(after_help = "Example:\n  iam flags reset maintenance_mode maintenance_message")]
pub(super) struct Reset {
    /// Which switches.
    #[arg(value_name = "NAME", required = true, value_parser = super::NAMES)]
    names: Vec<String>,
}

impl Reset {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let patch = self.names.iter().map(|name| (name.clone(), Value::Null)).collect();
        let answer = Client::signed_in(global)?.call(&Call::patch(super::FLAGS, &Value::Object(patch)))?;
        super::write(&answer, global)
    }
}
