//! `iam rotate-key`

use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::key;
use crate::output::{Format, record};

const FIELDS: [&str; 4] = ["old_key_id", "old_key_expires_at", "new_key_id", "new_key_expires_at"];

/// Replace an API key by a new one; both work until the overlap ends.
///
/// The new key is written as `iam generate-key` writes one. Needs the permission `api_keys.write.own`, and
/// for those of others `api_keys.write.organization`.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam rotate-key key_01m83r09avf99a312cwc6rrkrt --overlap-hours 24 \
                        --output-file ci.key\n  iam rotate-key key_01m83r09avf99a312cwc6rrkrt \
                        --overlap-hours 0")]
pub(crate) struct RotateKey {
    /// The id of the key to replace (not the key).
    key_id: String,
    /// How many hours the old key works on, 0 to 2160; as configured without it.
    #[arg(long, value_name = "HOURS", conflicts_with = "grace_period_days")]
    overlap_hours: Option<u32>,
    /// How many days the old key works on, 0 to 90: another way to say it.
    #[arg(long, value_name = "DAYS")]
    grace_period_days: Option<u32>,
    /// A new file to write the new key to.
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

impl RotateKey {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let path = format!("{}/rotate", key::path(&self.key_id)?);
        let client = Client::signed_in(global)?;
        let file = key::place(self.output_file.as_deref())?;
        let answer = client.call(&Call::post(&path, &self.request()).once(key::idempotency_key()?))?;
        key::hand_over(answer.json()?, "new_api_key", file, |told, secret| {
            if global.output == Format::Json {
                return record(stdout().lock(), Format::Json, told, &[]).context("can't write the key");
            }
            record(stderr(), Format::Table, told, &FIELDS)?;
            match secret {
                Some(secret) => writeln!(stdout(), "{secret}").context("can't write the key"),
                None => Ok(()),
            }
        })
    }

    fn request(&self) -> Value {
        match (self.overlap_hours, self.grace_period_days) {
            (Some(hours), _) => json!({"overlap_hours": hours}),
            (None, Some(days)) => json!({"grace_period_days": days}),
            (None, None) => json!({}),
        }
    }
}
