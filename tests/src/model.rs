//! A database for models: the schema in SQLite, statements of the domain run as every host runs them, a batch
//! as one transaction.

use iam_core::record::{Act, PersonalData, Severity};
use iam_core::sql::{Rows, Statement, Value};
use rusqlite::types::{Value as Stored, ValueRef};

/// An act that only a test knows.
#[must_use]
pub fn act(name: &'static str, resource: &'static str) -> Act {
    Act { name, resource, severity: Severity::Routine, personal_data: PersonalData::None }
}

/// An empty database with the schema.
pub struct Database(rusqlite::Connection);

impl Default for Database {
    fn default() -> Self {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch(iam_edge::native::SCHEMA).unwrap();
        Self(connection)
    }
}

impl Database {
    /// Runs statements in one transaction.
    pub fn batch(&mut self, statements: impl IntoIterator<Item = Statement>) -> Vec<Rows> {
        let transaction = self.0.transaction().unwrap();
        let rows = statements.into_iter().map(|statement| run(&transaction, &statement)).collect();
        transaction.commit().unwrap();
        rows
    }

    /// Runs one statement.
    pub fn run(&mut self, statement: Statement) -> Rows {
        self.batch([statement]).remove(0)
    }

    /// The one number that a query gives.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        self.0.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Runs SQL without parameters.
    pub fn execute(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }
}

fn run(connection: &rusqlite::Connection, statement: &Statement) -> Rows {
    let parameters = statement.parameters().iter().map(|value| match value {
        Value::Null => Stored::Null,
        Value::Integer(integer) => Stored::Integer(*integer),
        Value::Text(text) => Stored::Text(text.clone()),
    });
    let mut prepared = connection.prepare_cached(statement.text()).unwrap();
    let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let mut found = prepared.query(rusqlite::params_from_iter(parameters)).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let value = |index| match row.get_ref(index).unwrap() {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(integer) => Value::Integer(integer),
            ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
            ValueRef::Real(_) | ValueRef::Blob(_) => panic!("only integers and text are stored"),
        };
        rows.push((0..columns.len()).map(value).collect());
    }
    Rows::new(columns, rows)
}
