//! `--sign-in`: whether the time of a refusal tells why. One try each for unknown users, wrong passwords and
//! suspended accounts, in turns, as an attacker would measure it from outside.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use iam_core::config::Configuration;
use iam_core::sql::Statement;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::measure::median;
use super::server::{CONFIGURATION, Server};
use crate::build::write;
use crate::tools::Node;
use crate::workspace::{Module, Workspace};

/// By how much the medians may differ.
pub(super) const BUDGET: f64 = 1.05;

/// Tries before the measured ones: the optimising compiler takes its time.
const WARM_UP: u32 = 30;

/// A kind of refusal: its name, the users it is tried with, and whether with the right password.
const KINDS: [(&str, &str, bool); 3] = [
    ("unknown user", "nobody", false),
    ("wrong password", "active", false),
    ("suspended account", "suspended", true),
];

/// What was found out: milliseconds of each try, by kind.
pub(super) struct Refusals(Vec<(&'static str, Vec<f64>)>);

/// Tries `tries` users of each kind, each once, so that nobody is locked.
pub(super) fn measure(
    workspace: &Workspace,
    node: &Node,
    benches: &[&Module],
    tries: u32,
) -> Result<Refusals> {
    let server = Server::start(workspace, node, benches, statements(tries.saturating_add(WARM_UP))?)?;
    let client = Client::new();
    let url = format!("{}/api/v1/auth/login", server.url("iam-login")?);
    let mut refusals: Vec<(&'static str, Vec<f64>)> =
        KINDS.iter().map(|(name, ..)| (*name, Vec::new())).collect();
    for number in 1..=tries.saturating_add(WARM_UP) {
        // What a try leaves behind is paid for by the next: each kind follows each other as often.
        let first = usize::try_from(number).unwrap_or_default();
        for turn in 0..KINDS.len() {
            let kind = first.wrapping_add(turn).checked_rem(KINDS.len()).unwrap_or_default();
            let (Some((_, users, right)), Some((_, times))) = (KINDS.get(kind), refusals.get_mut(kind))
            else {
                continue;
            };
            let password = if *right { server.credentials.password.as_str() } else { "Wrong-password-1" };
            let body = json!({ "username": format!("{users}-{number}"), "password": password });
            let begun = Instant::now();
            client.send(&Call::post(url.clone(), &body).expect(401))?;
            if number > WARM_UP {
                times.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    server.end()?;
    Ok(Refusals(refusals))
}

/// Users with the administrator's password, active and suspended.
fn statements(users: u32) -> Result<Vec<Statement>> {
    let configuration = Configuration::parse(CONFIGURATION, []).context("the configuration")?;
    let statement = |status: &str| {
        Statement::new(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) INSERT INTO users \
             (org_id, user_id, username, username_key, status, password_hash, password_changed_at, \
             managed_by, created_at, updated_at) SELECT ?1, printf('user_%s%025d', substr(?3, 1, 1), i), \
             printf('%s-%d', ?3, i), printf('%s-%d', ?3, i), ?3, (SELECT password_hash FROM users WHERE \
             org_id = ?1 AND username_key = 'admin@example.com'), unixepoch() * 1000, 'manual', unixepoch() \
             * 1000, unixepoch() * 1000 FROM n",
        )
        .bind(&configuration.organization)
        .bind(users)
        .bind(status)
    };
    Ok(vec![statement("active"), statement("suspended")])
}

impl Refusals {
    fn medians(&self) -> Vec<f64> {
        self.0.iter().map(|(_, times)| median(times.iter().copied())).collect()
    }

    /// How many times the quickest median the slowest is.
    fn spread(&self) -> f64 {
        let medians = self.medians();
        medians.iter().copied().fold(f64::NAN, f64::max) / medians.iter().copied().fold(f64::NAN, f64::min)
    }

    /// Whether the medians are as close as they have to be.
    pub(super) fn is_held(&self) -> bool {
        self.spread() <= BUDGET
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        println!("{:<20} {:>6} {:>10}", "refused sign-in", "tries", "median ms");
        for ((name, times), median) in self.0.iter().zip(self.medians()) {
            println!("{name:<20} {:>6} {median:>10.3}", times.len());
        }
        let verdict = if self.is_held() { "held" } else { "exceeded" };
        println!("{verdict:<9} slowest to quickest median {:.3} of at most {BUDGET:.2}", self.spread());
    }

    /// Writes every try as JSON.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let kinds: Vec<Value> =
            self.0.iter().map(|(name, times)| json!({ "name": name, "milliseconds": times })).collect();
        let document = json!({ "spread": self.spread(), "budget": BUDGET, "refusals": kinds });
        write(path, format!("{document:#}\n").as_bytes())
    }
}
