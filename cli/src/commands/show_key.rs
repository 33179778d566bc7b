//! `iam show-key`

use std::io::stdout;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::key;
use crate::output::record;

/// Show an API key, without its secret.
///
/// Needs the permission `api_keys.read.own`, and for those of others `api_keys.read.organization`.
#[derive(Args)]
#[command(after_help = "Example:\n  iam show-key key_01m83r09avf99a312cwc6rrkrt")]
pub(crate) struct ShowKey {
    /// The key's id (not the key).
    key_id: String,
}

impl ShowKey {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let path = key::path(&self.key_id)?;
        let found: Value = Client::signed_in(global)?.call(&Call::get(&path))?.json()?;
        record(stdout().lock(), global.output, &found, &key::FIELDS)?;
        Ok(Exit::Done)
    }
}
