//! `iam verify-key`

use std::io::stdout;
use std::net::IpAddr;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::output::record;
use crate::secret;

const FIELDS: [&str; 10] = [
    "valid",
    "reason",
    "key_id",
    "name",
    "organization",
    "owner",
    "permissions",
    "rate_limit",
    "expires_at",
    "looked_up_at",
];

/// Tell whether an API key works, and what it may do.
///
/// The key is asked for; where standard input is no terminal, its first line is read instead, and where the
/// environment variable IAM_API_KEY is set, that is it. Nobody needs to be signed in. A verification counts
/// towards the key's limit. Exit code 9 where the key does not work.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam verify-key < ci.key\n  \
                        iam verify-key --ip-address 203.0.113.7 --output json < ci.key | jq -r .reason")]
pub(crate) struct VerifyKey {
    /// As if it were used from this address.
    #[arg(long, value_name = "ADDRESS")]
    ip_address: Option<IpAddr>,
}

impl VerifyKey {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let client = Client::anonymous(global)?;
        let mut request = json!({"api_key": secret::ask("API key", "IAM_API_KEY")?});
        if let (Some(address), Some(request)) = (self.ip_address, request.as_object_mut()) {
            request.insert("ip_address".to_owned(), json!(address));
        }
        let verified: Value = client.call(&Call::post("/api/v1/auth/keys/verify", &request))?.json()?;
        record(stdout().lock(), global.output, &verified, &FIELDS)?;
        Ok(if verified.get("valid") == Some(&Value::Bool(true)) { Exit::Done } else { Exit::CheckFailed })
    }
}
