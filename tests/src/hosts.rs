//! The built functions on workerd and on a Spin-compatible host, each a process of its own that ends with
//! this one. `cargo xtask test` builds what they need first.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;

use iam_core::sql::Value;
use serde_json::json;

use crate::deployment::{Deployment, Setup};
use crate::process::{Attached, watched};

/// The checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Whether hosts show what the functions log: `IAM_TEST_VERBOSE=1`.
#[must_use]
pub fn is_verbose() -> bool {
    std::env::var_os("IAM_TEST_VERBOSE").is_some()
}

/// Starts all functions on workerd, with an empty database that is then filled.
#[must_use]
pub fn workerd(setup: Setup) -> (Deployment, Attached) {
    let document = root().join("dist/cloudflare/workers.json");
    let text = std::fs::read_to_string(&document).expect("`cargo xtask build` has run");
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    // What is empty counts as not there.
    let secrets = json!({
        "IAM_CONFIG": setup.configuration,
        "IAM_MASTER_KEY": setup.master_key,
        "IAM_VAULT_SECRET_ID": setup.vault_secret_id,
        "IAM_INTERNAL_TOKEN": setup.internal_token,
        "IAM_WEBHOOK_SECRETS": setup.webhook_secrets,
    });
    for worker in document["workers"].as_array_mut().unwrap() {
        worker["bindings"] = secrets.clone();
    }
    document["seed"] =
        json!({"unless": "SELECT 1 FROM organizations LIMIT 1", "statements": setup.statements_as_json()});
    let state = tempfile::tempdir().unwrap();
    document["state"] = json!(state.path());
    document["verbose"] = json!(is_verbose());
    let (base_url, running) = start_workerd(&document);
    let count = Arc::new(move |sql: &str| count(&d1_file(state.path()), sql));
    (
        Deployment {
            base_url,
            setup,
            violations: Arc::new(Vec::new),
            count,
            administrator: tokio::sync::Mutex::default(),
        },
        running,
    )
}

/// The file in which D1 keeps the database.
fn d1_file(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_ours = path.extension().is_some_and(|extension| extension == "sqlite")
                && path.components().any(|part| part.as_os_str() == "d1")
                && has_audit(&path);
            if is_ours {
                return path;
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    panic!("D1 keeps no database there");
}

fn has_audit(database: &Path) -> bool {
    count(database, "SELECT COUNT(*) AS count FROM sqlite_schema WHERE name = 'audit_events'") == 1
}

fn count(database: &Path, sql: &str) -> i64 {
    // The host has it open too: only look.
    let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(database, read_only).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Starts what a document for `xtask/js/workerd.mjs` describes.
#[must_use]
pub fn start_workerd(document: &serde_json::Value) -> (String, Attached) {
    let mut child = Command::new(root().join("node_modules/node/bin/node"))
        .arg(root().join("xtask/js/workerd.mjs"))
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts: `cargo xtask test` installs it");
    let output = child.stdout.take().unwrap();
    let mut attached = Attached::new(child);
    writeln!(attached.input(), "{document}").unwrap();
    let line = first_line(output, |_| true);
    let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = answer["ready"]["url"].as_str().unwrap_or_else(|| panic!("workerd did not start: {line}"));
    (url.trim_end_matches('/').to_owned(), attached)
}

/// Starts all functions on the Spin-compatible host, over a database that is filled first.
#[must_use]
pub fn spin(setup: Setup) -> (Deployment, Attached) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    fill(&state.join("default.db"), &setup);
    let secrets = json!({
        "iam_config": setup.configuration,
        "iam_master_key": setup.master_key,
        "iam_internal_token": setup.internal_token,
        "iam_webhook_secrets": setup.webhook_secrets,
        "iam_vault_secret_id": setup.vault_secret_id,
    });
    let (base_url, running) = start_spin(&root().join("spin.toml"), state, &secrets);
    let count = Arc::new(move |sql: &str| count(&folder.path().join("default.db"), sql));
    (
        Deployment {
            base_url,
            setup,
            violations: Arc::new(Vec::new),
            count,
            administrator: tokio::sync::Mutex::default(),
        },
        running,
    )
}

/// Starts what a manifest describes, with these variables.
#[must_use]
pub fn start_spin(manifest: &Path, state: &Path, variables: &serde_json::Value) -> (String, Attached) {
    let file = state.join("variables.json");
    std::fs::write(&file, variables.to_string()).unwrap();
    let host =
        std::env::var_os("IAM_TEST_SPIN_HOST").expect("IAM_TEST_SPIN_HOST names the Spin-compatible host");
    let mut child = watched(host)
        .args(["--listen", "127.0.0.1:0", "--manifest"])
        .arg(manifest)
        .arg("--state")
        .arg(state)
        .arg("--variables-file")
        .arg(&file)
        .arg("--compile-cache")
        .arg(root().join("dist/spin/compiled"))
        .stdout(Stdio::piped())
        .stderr(if is_verbose() { Stdio::inherit() } else { Stdio::null() })
        .spawn()
        .expect("the Spin-compatible host starts");
    let output = child.stdout.take().unwrap();
    let attached = Attached::new(child);
    let line = first_line(output, |line| line.starts_with("listening "));
    (line.trim().trim_start_matches("listening ").trim_end_matches('/').to_owned(), attached)
}

fn fill(database: &Path, setup: &Setup) {
    let mut connection = rusqlite::Connection::open(database).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    connection.execute_batch(iam_edge::native::SCHEMA).unwrap();
    let transaction = connection.transaction().unwrap();
    for statement in &setup.statements {
        let parameters = statement.parameters().iter().map(|value| match value {
            Value::Null => rusqlite::types::Value::Null,
            Value::Integer(integer) => (*integer).into(),
            Value::Text(text) => text.clone().into(),
        });
        // Some say what they made.
        let mut prepared = transaction.prepare(statement.text()).unwrap();
        let mut rows = prepared.query(rusqlite::params_from_iter(parameters)).unwrap();
        while rows.next().unwrap().is_some() {}
    }
    transaction.commit().unwrap();
}

fn first_line(output: ChildStdout, wanted: impl Fn(&str) -> bool) -> String {
    let mut output = BufReader::new(output);
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "the host ended before it was ready");
        if wanted(&line) {
            // Whatever else it says is read and mostly dropped, so that it never waits for a reader.
            std::thread::spawn(move || match is_verbose() {
                true => std::io::copy(&mut output, &mut std::io::stderr()),
                false => std::io::copy(&mut output, &mut std::io::sink()),
            });
            return line;
        }
    }
}
