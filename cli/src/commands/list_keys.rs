//! `iam list-keys`

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

/// How many keys one request asks for.
const PAGE: u64 = 100;

/// List API keys, oldest first: one's own, or with `--owner` or `--all` those of others.
///
/// Filters can be combined. Needs the permission `api_keys.read.own`, and for those of others
/// `api_keys.read.organization`.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam list-keys --status active\n  \
                        iam list-keys --all --unused-since 2026-08-01T00:00:00Z --output json | jq -r \
                        .key_id")]
pub(crate) struct ListKeys {
    /// Whose: a user's id.
    #[arg(long, value_name = "USER_ID", conflicts_with = "all")]
    owner: Option<String>,
    /// Everybody's in the organization.
    #[arg(long)]
    all: bool,
    /// This status.
    #[arg(long, value_parser = ["active", "expired", "revoked"])]
    status: Option<String>,
    /// This in its name.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Keys that end before this moment (RFC 3339).
    #[arg(long, value_name = "MOMENT")]
    expires_before: Option<String>,
    /// Keys neither used nor created since this moment (RFC 3339).
    #[arg(long, value_name = "MOMENT")]
    unused_since: Option<String>,
    /// How many at most; all without it.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
}

#[derive(Deserialize)]
struct Page {
    keys: Vec<Value>,
    next_cursor: Option<String>,
}

impl ListKeys {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let client = Client::signed_in(global)?;
        let columns = &[
            ("key_id", 30),
            ("name", 24),
            ("status", 7),
            ("rate_limit", 10),
            ("expires_at", 20),
            ("last_used", 20),
        ];
        let mut table = Table::begin(BufWriter::new(stdout().lock()), global.output, columns)?;
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut cursor: Option<String> = None;
        while left > 0 {
            let page: Page =
                client.call(&Call::get(&self.path(left.min(PAGE), cursor.as_deref())))?.json()?;
            for key in &page.keys {
                table.row(key)?;
            }
            left = left.saturating_sub(u64::try_from(page.keys.len())?);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        table.finish()?;
        Ok(Exit::Done)
    }

    fn path(&self, limit: u64, cursor: Option<&str>) -> String {
        let limit = limit.to_string();
        with_query(
            key::KEYS,
            &[
                ("owner_id", self.owner.as_deref()),
                ("all", self.all.then_some("true")),
                ("status", self.status.as_deref()),
                ("name", self.name.as_deref()),
                ("expires_before", self.expires_before.as_deref()),
                ("unused_since", self.unused_since.as_deref()),
                ("limit", Some(&limit)),
                ("cursor", cursor),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        command: ListKeys,
    }

    #[test]
    fn filters_are_parameters() {
        let path = |arguments: &[&str]| {
            let arguments = ["list-keys"].iter().chain(arguments);
            Arguments::try_parse_from(arguments).map(|arguments| arguments.command.path(5, Some("key_1")))
        };
        assert_eq!(path(&[]).unwrap(), "/api/v1/auth/keys?limit=5&cursor=key_1");
        let filtered =
            path(&["--all", "--status=revoked", "--name=a b", "--unused-since=2026-08-01T00:00:00Z"]);
        assert_eq!(
            filtered.unwrap(),
            "/api/v1/auth/keys?all=true&status=revoked&name=a%20b&unused_since=2026-08-01T00%3A00%3A00Z\
             &limit=5&cursor=key_1"
        );
        assert!(path(&["--all", "--owner=user_1"]).is_err());
        assert!(path(&["--status=gone"]).is_err());
    }
}
