//! `iam flags show`

use anyhow::Result;
use clap::Args;

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;

/// Show every switch: what holds, where that comes from, and who changed it last.
///
/// For members of the deployment's own organization; needs the permission `flags.read.all`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  iam flags show --output json | jq 'select(.name == \"maintenance_mode\").value'"
)]
pub(super) struct Show {}

impl Show {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let answer = Client::signed_in(global)?.call(&Call::get(super::FLAGS))?;
        super::write(&answer, global)
    }
}
