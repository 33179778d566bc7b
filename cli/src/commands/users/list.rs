//! `iam users list`

use std::io::{BufWriter, stdout};

use anyhow::Result;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::output::Table;
use crate::query::with_query;

/// How many users one request asks for.
const PAGE: u64 = 100;

/// List users, oldest first.
///
/// Filters can be combined. Needs the permission `users.read.organization`.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam users list --status locked\n  \
                        iam users list --role admin --output json | jq -r .username")]
pub(crate) struct List {
    /// This user name, without regard to case.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// User names that begin like this.
    #[arg(long, value_name = "TEXT")]
    username_prefix: Option<String>,
    /// This e-mail address, without regard to case.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// This status; deleted users are listed with `deleted` alone.
    #[arg(long, value_parser = ["active", "suspended", "locked", "deleted"])]
    status: Option<String>,
    /// Who has this role.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Who is a member of the group with this id.
    #[arg(long, value_name = "GROUP_ID")]
    group: Option<String>,
    /// People or service accounts.
    #[arg(long, value_parser = ["person", "service_account"])]
    kind: Option<String>,
    /// Who is kept by administrators, or by a SCIM client.
    #[arg(long, value_parser = ["manual", "scim"])]
    managed_by: Option<String>,
    /// How many at most; all without it.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
}

#[derive(Deserialize)]
struct Page {
    users: Vec<Value>,
    next_cursor: Option<String>,
}

impl List {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let client = Client::signed_in(global)?;
        let columns = &[("username", 28), ("status", 9), ("roles", 24), ("email", 32), ("user_id", 31)];
        let mut table = Table::begin(BufWriter::new(stdout().lock()), global.output, columns)?;
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut cursor: Option<String> = None;
        while left > 0 {
            let page: Page =
                client.call(&Call::get(&self.query(left.min(PAGE), cursor.as_deref())))?.json()?;
            for user in &page.users {
                table.row(user)?;
            }
            left = left.saturating_sub(u64::try_from(page.users.len())?);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        table.finish()?;
        Ok(Exit::Done)
    }

    fn query(&self, limit: u64, cursor: Option<&str>) -> String {
        let limit = limit.to_string();
        let parameters = [
            ("username", self.username.as_deref()),
            ("username_prefix", self.username_prefix.as_deref()),
            ("email", self.email.as_deref()),
            ("status", self.status.as_deref()),
            ("role", self.role.as_deref()),
            ("group", self.group.as_deref()),
            ("kind", self.kind.as_deref()),
            ("managed_by", self.managed_by.as_deref()),
            ("limit", Some(limit.as_str())),
            ("cursor", cursor),
        ];
        with_query("/api/v1/users", &parameters)
    }
}
