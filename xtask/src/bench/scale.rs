//! `--scale`: the same operations over directories of different sizes, each on a workerd of its own, in
//! turns.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use iam_core::config::Configuration;
use iam_core::sql::Statement;
use serde_json::{Value, json};

use super::client::Client;
use super::measure::{median, spent};
use super::operations::{self, Operation};
use super::scim;
use super::server::{CONFIGURATION, Server};
use crate::build::write;
use crate::tools::Node;
use crate::workspace::{Module, Workspace};

/// How many times as much an operation may cost in the largest directory as in the smallest.
pub(super) const BUDGET: f64 = 1.3;

const SESSIONS_EACH: u32 = 10;
const KEYS_EACH: u32 = 3;

/// One directory, and the operations on it.
struct Directory {
    users: u32,
    server: Server,
    operations: Vec<Operation>,
}

/// CPU milliseconds of one operation: for each directory, the rounds.
struct Grown {
    name: &'static str,
    rounds: Vec<Vec<f64>>,
}

/// What was found out.
pub(super) struct Growth {
    sizes: Vec<u32>,
    operations: Vec<Grown>,
}

/// Fills the directories and measures round by round, so that what else the machine does falls on all alike.
pub(super) fn measure(
    workspace: &Workspace,
    node: &Node,
    benches: &[&Module],
    sizes: &[u32],
    requests: u32,
    rounds: u32,
) -> Result<Growth> {
    let mut directories = Vec::new();
    for users in sizes {
        directories.push(fill(workspace, node, benches, *users)?);
    }
    let names: Vec<&'static str> = directories.first().map(names).unwrap_or_default();
    let mut operations: Vec<Grown> =
        names.iter().map(|name| Grown { name, rounds: vec![Vec::new(); sizes.len()] }).collect();
    for round in 0..=rounds {
        for (index, grown) in operations.iter_mut().enumerate() {
            for (directory, samples) in directories.iter_mut().zip(&mut grown.rounds) {
                let milliseconds = directory.spend(index, requests)?;
                if round > 0 {
                    samples.push(milliseconds);
                }
            }
        }
        eprintln!("  {}", if round == 0 { "warm".to_owned() } else { format!("round {round}") });
    }
    for directory in directories {
        directory.server.end()?;
    }
    Ok(Growth { sizes: sizes.to_vec(), operations })
}

fn names(directory: &Directory) -> Vec<&'static str> {
    directory.operations.iter().map(|operation| operation.name).collect()
}

fn fill(workspace: &Workspace, node: &Node, benches: &[&Module], users: u32) -> Result<Directory> {
    let begun = Instant::now();
    let server = Server::start(workspace, node, benches, statements(users)?)?;
    eprintln!("  {users} users filled in {:.0} s", begun.elapsed().as_secs_f64());
    let client = Client::new();
    let mut all = operations::all(&server, &client)?;
    all.extend(operations::in_directory(&server, &client, users)?);
    all.extend(scim::in_directory(&server, &client, users)?);
    Ok(Directory { users, server, operations: all })
}

impl Directory {
    fn spend(&mut self, index: usize, requests: u32) -> Result<f64> {
        let users = self.users;
        let operation = self.operations.get_mut(index).context("an operation is missing")?;
        let some = requests.div_ceil(operation.divisor);
        spent(&self.server, &mut operation.send, some)
            .with_context(|| format!("cannot measure {} of {users} users", operation.name))
    }
}

/// Users with the administrator's password, their roles, sessions and keys: a statement each, in the order of
/// the indexes.
fn statements(users: u32) -> Result<Vec<Statement>> {
    let configuration = Configuration::parse(CONFIGURATION, []).context("the configuration")?;
    let texts = [
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) INSERT INTO users \
         (org_id, user_id, username, username_key, email, display_name, status, password_hash, \
         password_changed_at, managed_by, created_at, updated_at) SELECT ?1, printf('user_%026d', i), \
         printf('scale-%d', i), printf('scale-%d', i), printf('scale-%d@example.com', i), printf('Number \
         %d', i), 'active', (SELECT password_hash FROM users WHERE org_id = ?1 AND username_key = \
         'admin@example.com'), unixepoch() * 1000, 'manual', unixepoch() * 1000, unixepoch() * 1000 FROM n",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) INSERT INTO \
         user_roles (org_id, user_id, role) SELECT ?1, printf('user_%026d', i), 'analyst' FROM n",
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 * ?3 - 1) INSERT INTO \
         sessions (org_id, session_id, user_id, kind, created_at, expires_at, last_activity, mfa_verified) \
         SELECT ?1, printf('sess_%026d', i), printf('user_%026d', i / ?3 + 1), 'interactive', unixepoch() * \
         1000, (unixepoch() + 28800) * 1000, unixepoch() * 1000, 0 FROM n",
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?2 * ?3 - 1) INSERT INTO \
         api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, status, life_ms, \
         created_at, expires_at) SELECT ?1, printf('key_%026d', i), printf('%043d', i), 'scale', \
         printf('user_%026d', i / ?3 + 1), '[]', 1000, 'active', 86400000, unixepoch() * 1000, (unixepoch() \
         + 864000) * 1000 FROM n",
    ];
    let each = [None, None, Some(SESSIONS_EACH), Some(KEYS_EACH)];
    let statement = |(text, each): (&'static str, Option<u32>)| {
        let statement = Statement::new(text).bind(&configuration.organization).bind(users);
        each.into_iter().fold(statement, Statement::bind)
    };
    let group = scim::statements(&configuration, users);
    Ok(texts.into_iter().zip(each).map(statement).chain(group).collect())
}

impl Grown {
    fn medians(&self) -> Vec<f64> {
        self.rounds.iter().map(|samples| median(samples.iter().copied())).collect()
    }

    /// How many times as much it costs in the last directory as in the first.
    fn growth(&self) -> f64 {
        let medians = self.medians();
        match (medians.first(), medians.last()) {
            (Some(first), Some(last)) => last / first,
            _ => f64::NAN,
        }
    }

    fn is_held(&self) -> bool {
        self.growth() <= BUDGET
    }
}

impl Growth {
    /// Prints the table; gives the number of operations that grow beyond the budget.
    pub(super) fn print(&self) -> usize {
        let heads: String = self.sizes.iter().map(|users| format!(" {users:>10}")).collect();
        println!("{:<32}{heads}     growth   (CPU ms by number of users)", "operation");
        for grown in &self.operations {
            let cells: String = grown.medians().iter().map(|value| format!(" {value:>10.3}")).collect();
            let verdict = if grown.is_held() { "held" } else { "exceeded" };
            println!("{:<32}{cells}     {:>6.2}   {verdict}", grown.name, grown.growth());
        }
        self.operations.iter().filter(|grown| !grown.is_held()).count()
    }

    /// Writes every sample as JSON.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let operation = |grown: &Grown| {
            let (growth, held) = (grown.growth(), grown.is_held());
            json!({ "name": grown.name, "growth": growth, "held": held, "cpu_milliseconds": grown.rounds })
        };
        let operations: Vec<Value> = self.operations.iter().map(operation).collect();
        let document = json!({ "users": self.sizes, "budget": BUDGET, "operations": operations });
        write(path, format!("{document:#}\n").as_bytes())
    }
}
