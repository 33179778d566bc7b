//! `iam revoke-key`

use std::io::stdout;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::key;
use crate::output::record;
use crate::query::with_query;

/// Revoke an API key: from then on it works nowhere.
///
/// Revoking twice does no harm. Needs the permission `api_keys.delete.own`, and for those of others
/// `api_keys.delete.organization`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  iam revoke-key key_01m83r09avf99a312cwc6rrkrt --reason 'the laptop was stolen'"
)]
pub(crate) struct RevokeKey {
    /// The key's id (not the key).
    key_id: String,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl RevokeKey {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let path = with_query(&key::path(&self.key_id)?, &[("reason", self.reason.as_deref())]);
        let revoked: Value = Client::signed_in(global)?.call(&Call::delete(&path))?.json()?;
        record(stdout().lock(), global.output, &revoked, &["key_id", "status", "revoked_at"])?;
        Ok(Exit::Done)
    }
}
