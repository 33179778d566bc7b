//! Migrations and the first organization on a plain SQLite file, as Spin's sqlite keeps it.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use iam_core::sql::{Statement, Value};
use rusqlite::types::Null;
use rusqlite::{Connection, ToSql, params_from_iter};

use crate::first_organization::EXISTS;

/// The table that wrangler keeps on D1, so that there is one way to ask what was applied.
const RECORD: &str = "CREATE TABLE IF NOT EXISTS d1_migrations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE,
    applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)";

/// Opens the file with a write-ahead log: readers then never wait for a writer.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let connection =
        Connection::open(path).with_context(|| format!("cannot open the database {}", path.display()))?;
    connection.pragma_update(None, "journal_mode", "WAL").context("the database takes no write-ahead log")?;
    Ok(connection)
}

/// Applies what is new in `folder`, in order, each migration whole or not at all; gives their names.
pub(crate) fn apply(connection: &mut Connection, folder: &Path) -> Result<Vec<String>> {
    connection.execute_batch(RECORD).context("cannot create the table of migrations")?;
    let applied: BTreeSet<String> = connection
        .prepare("SELECT name FROM d1_migrations")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let pending: Vec<String> = files(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .into_iter()
        .filter(|name| !applied.contains(name))
        .collect();
    for name in &pending {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(&text).with_context(|| format!("the migration {name} failed"))?;
        transaction.execute("INSERT INTO d1_migrations (name) VALUES (?1)", [name])?;
        transaction.commit()?;
    }
    Ok(pending)
}

/// Whether there is no organization yet.
pub(crate) fn is_empty(connection: &Connection) -> Result<bool> {
    Ok(!connection.prepare(EXISTS)?.exists([])?)
}

/// Runs the statements as one transaction.
pub(crate) fn run(connection: &mut Connection, statements: &[Statement]) -> Result<()> {
    let transaction = connection.transaction()?;
    for statement in statements {
        let parameters = statement.parameters().iter().map(parameter);
        // Some say what they made.
        let mut prepared = transaction.prepare(statement.text())?;
        let mut rows = prepared.query(params_from_iter(parameters))?;
        while rows.next()?.is_some() {}
    }
    Ok(transaction.commit()?)
}

fn parameter(value: &Value) -> &dyn ToSql {
    match value {
        Value::Null => &Null,
        Value::Integer(integer) => integer,
        Value::Text(text) => text,
    }
}

fn files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".sql") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
