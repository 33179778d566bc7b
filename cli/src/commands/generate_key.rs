//! `iam generate-key`

use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use iam_core::permission::Permission;
use serde_json::{Map, Value, json};

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::key;
use crate::output::{Format, record};

/// What is told of a new key, the key itself apart.
const FIELDS: [&str; 8] = [
    "key_id",
    "name",
    "permissions",
    "rate_limit",
    "allowed_addresses",
    "metadata",
    "expires_at",
    "created_at",
];

/// Create an API key.
///
/// The key is written to standard output, and nowhere else: it can't be shown again. With `--output-file` it
/// goes to a new file that only its owner may read, instead. What else is to be known of it is written to
/// standard error, or with `--output json` to standard output in one object with the key. Needs the
/// permission `api_keys.write.own`, and each that the key gets.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iam generate-key --name ci --permission users.read.organization --output-file \
                        ci.key\n  iam generate-key --name edge --permission api_keys.read.own --rate-limit \
                        600 \\\n      --allow-address 203.0.113.0/24 --metadata team=payments \
                        --expires-in-days 90"
)]
pub(crate) struct GenerateKey {
    /// What people call it, 1 to 128 characters.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do, such as `users.read.organization`; may be given again.
    #[arg(long = "permission", value_name = "PERMISSION", required = true, value_parser = key::permission)]
    permissions: Vec<Permission>,
    /// Requests per minute, 1 to 1000000.
    #[arg(long, value_name = "NUMBER")]
    rate_limit: Option<u32>,
    /// In how many days it ends.
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
    /// An address or address range that it may be used from, IPv4 or IPv6; may be given again. From anywhere
    /// without.
    #[arg(long = "allow-address", value_name = "CIDR")]
    allowed_addresses: Vec<String>,
    /// A note about it; may be given again.
    #[arg(long, value_name = "NAME=TEXT", value_parser = key::note)]
    metadata: Vec<(String, String)>,
    /// A new file to write the key to.
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,
}

impl GenerateKey {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let client = Client::signed_in(global)?;
        let file = key::place(self.output_file.as_deref())?;
        // However often it is sent, one key is made.
        let answer = client.call(&Call::post(key::KEYS, &self.request()?).once(key::idempotency_key()?))?;
        key::hand_over(answer.json()?, "api_key", file, |told, secret| {
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

    fn request(&self) -> Result<Value> {
        let mut request = Map::from_iter([
            ("name".to_owned(), json!(self.name)),
            ("permissions".to_owned(), serde_json::to_value(&self.permissions)?),
        ]);
        let mut give = |name: &str, value: Option<Value>| {
            request.extend(value.map(|value| (name.to_owned(), value)));
        };
        give("rate_limit", self.rate_limit.map(Value::from));
        give("expires_in_days", self.expires_in_days.map(Value::from));
        let addresses = &self.allowed_addresses;
        give("allowed_addresses", (!addresses.is_empty()).then(|| json!(addresses)));
        give("metadata", key::notes(&self.metadata));
        Ok(Value::Object(request))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        command: GenerateKey,
    }

    fn request(arguments: &[&str]) -> Value {
        let arguments = ["generate-key"].iter().chain(arguments);
        Arguments::try_parse_from(arguments).unwrap().command.request().unwrap()
    }

    #[test]
    fn what_is_not_given_is_not_sent() {
        let minimal = request(&["--name", "n", "--permission", "a.read.own"]);
        let permission = json!({"resource": "a", "action": "read", "scope": "own"});
        assert_eq!(minimal, json!({"name": "n", "permissions": [permission]}));
        let full = request(&[
            "--name=n",
            "--permission=a.read.own",
            "--permission=b.write.all",
            "--rate-limit=5",
            "--expires-in-days=7",
            "--allow-address=2001:db8::/32",
            "--allow-address=192.0.2.1",
            "--metadata=team=a=b",
        ]);
        assert_eq!(full["permissions"].as_array().unwrap().len(), 2);
        assert_eq!((&full["rate_limit"], &full["expires_in_days"]), (&json!(5), &json!(7)));
        assert_eq!(full["allowed_addresses"], json!(["2001:db8::/32", "192.0.2.1"]));
        assert_eq!(full["metadata"], json!({"team": "a=b"}));
    }
}
