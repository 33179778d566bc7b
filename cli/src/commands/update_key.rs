//! `iam update-key`

use std::io::stdout;

use anyhow::Result;
use clap::{ArgGroup, Args};
use iam_core::permission::Permission;
use serde_json::{Map, Value, json};

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::key;
use crate::output::record;

/// Change an API key that goes on working: its name, permissions, limit, addresses or notes.
///
/// What is not given stays. The next verification anywhere sees it. Needs the permission
/// `api_keys.write.own`, for keys of others `api_keys.write.organization`, and each that the key gets.
#[derive(Args)]
#[command(
    group = ArgGroup::new("changes").required(true).multiple(true),
    after_help = "Examples:\n  iam update-key key_01m83r09avf99a312cwc6rrkrt --rate-limit 1200\n  \
                  iam update-key key_01m83r09avf99a312cwc6rrkrt --allow-address 203.0.113.0/24"
)]
pub(crate) struct UpdateKey {
    /// The key's id (not the key).
    key_id: String,
    /// What people call it, 1 to 128 characters.
    #[arg(long, value_name = "NAME", group = "changes")]
    name: Option<String>,
    /// All that it may do from now on, such as `users.read.organization`; may be given again.
    #[arg(long = "permission", value_name = "PERMISSION", value_parser = key::permission, group = "changes")]
    permissions: Vec<Permission>,
    /// Requests per minute, 1 to 1000000.
    #[arg(long, value_name = "NUMBER", group = "changes")]
    rate_limit: Option<u32>,
    /// All addresses and address ranges that it may be used from; may be given again.
    #[arg(long = "allow-address", value_name = "CIDR", group = "changes")]
    allowed_addresses: Vec<String>,
    /// It may be used from anywhere.
    #[arg(long, conflicts_with = "allowed_addresses", group = "changes")]
    allow_any_address: bool,
    /// All notes about it; may be given again.
    #[arg(long, value_name = "NAME=TEXT", value_parser = key::note, group = "changes")]
    metadata: Vec<(String, String)>,
}

impl UpdateKey {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let path = key::path(&self.key_id)?;
        let changed = Client::signed_in(global)?.call(&Call::patch(&path, &self.patch()?))?;
        record(stdout().lock(), global.output, &changed.json::<Value>()?, &key::FIELDS)?;
        Ok(Exit::Done)
    }

    fn patch(&self) -> Result<Value> {
        let mut patch = Map::new();
        let mut give = |name: &str, value: Option<Value>| {
            patch.extend(value.map(|value| (name.to_owned(), value)));
        };
        give("name", self.name.as_deref().map(Value::from));
        let permissions = &self.permissions;
        give(
            "permissions",
            (!permissions.is_empty()).then(|| serde_json::to_value(permissions)).transpose()?,
        );
        give("rate_limit", self.rate_limit.map(Value::from));
        let addresses = &self.allowed_addresses;
        let any = self.allow_any_address.then_some(Value::Null);
        give("allowed_addresses", any.or_else(|| (!addresses.is_empty()).then(|| json!(addresses))));
        give("metadata", key::notes(&self.metadata));
        Ok(Value::Object(patch))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        command: UpdateKey,
    }

    #[test]
    fn what_is_not_given_stays() {
        let patch = |arguments: &[&str]| {
            let arguments = ["update-key", "key_1"].iter().chain(arguments);
            Arguments::try_parse_from(arguments).map(|arguments| arguments.command.patch().unwrap())
        };
        assert!(patch(&[]).is_err());
        assert_eq!(patch(&["--name=n"]).unwrap(), json!({"name": "n"}));
        assert_eq!(patch(&["--allow-any-address"]).unwrap(), json!({"allowed_addresses": null}));
        assert!(patch(&["--allow-any-address", "--allow-address=::1"]).is_err());
        let several =
            patch(&["--allow-address=::1", "--metadata=a=b", "--permission=a.read.own", "--rate-limit=5"]);
        let permission = json!({"resource": "a", "action": "read", "scope": "own"});
        assert_eq!(
            several.unwrap(),
            json!({
                "allowed_addresses": ["::1"], "metadata": {"a": "b"}, "permissions": [permission],
                "rate_limit": 5,
            })
        );
    }
}
