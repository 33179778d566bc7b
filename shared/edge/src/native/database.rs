use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use iam_core::sql::{Rows, Statement, Value};
use rusqlite::types::{Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::host::Shared;
use super::lock;
use crate::DbError;
use crate::database::{check_integer, unsupported_column};

/// The database of one organization.
#[derive(Clone)]
pub struct Db {
    pub(super) shared: Arc<Shared>,
    pub(super) round_trips: Arc<AtomicU32>,
}

impl Db {
    /// Runs one statement in one round trip.
    ///
    /// # Errors
    /// When a constraint refuses it, the database is busy, or it fails otherwise.
    pub async fn run(&self, statement: Statement) -> Result<Rows, DbError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let connection = lock(&self.shared.connection);
        self.shared.note_plan(&connection, &statement);
        execute(&connection, &statement)
    }

    /// Runs the statements in one round trip and one transaction: all of them or none.
    ///
    /// # Errors
    /// The first statement's that fails; then nothing has changed.
    pub async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Rows>, DbError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let mut connection = lock(&self.shared.connection);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
        // Before any of them runs: to explain a change sets `changes()` to 0, which the next statement may
        // ask for.
        statements.iter().for_each(|statement| self.shared.note_plan(&transaction, statement));
        let rows =
            statements.iter().map(|statement| execute(&transaction, statement)).collect::<Result<_, _>>()?;
        transaction.commit().map_err(error)?;
        Ok(rows)
    }
}

impl Shared {
    /// Keeps how SQLite goes about a statement, once for each text. A statement that can't be explained fails
    /// when it is run, and says why there.
    fn note_plan(&self, connection: &Connection, statement: &Statement) {
        let mut plans = lock(&self.plans);
        if !plans.contains_key(statement.text()) {
            let explained = explain(connection, statement).unwrap_or_default();
            plans.insert(statement.text().to_owned(), explained);
        }
    }
}

fn explain(connection: &Connection, statement: &Statement) -> Result<Vec<String>, DbError> {
    let parameters = statement.parameters().iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let sql = format!("EXPLAIN QUERY PLAN {}", statement.text());
    let mut prepared = connection.prepare(&sql).map_err(error)?;
    let steps = prepared
        .query_map(rusqlite::params_from_iter(parameters), |row| row.get("detail"))
        .and_then(Iterator::collect);
    steps.map_err(error)
}

fn execute(connection: &Connection, statement: &Statement) -> Result<Rows, DbError> {
    let parameters = statement.parameters().iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let mut prepared = connection.prepare_cached(statement.text()).map_err(error)?;
    let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let mut cursor = prepared.query(rusqlite::params_from_iter(parameters)).map_err(error)?;
    let mut rows = Vec::new();
    while let Some(row) = cursor.next().map_err(error)? {
        let values =
            (0..width).map(|index| column(row.get_ref(index).map_err(error)?)).collect::<Result<_, _>>()?;
        rows.push(values);
    }
    Ok(Rows::new(columns, rows))
}

fn bind(value: &Value) -> Result<SqliteValue, DbError> {
    Ok(match value {
        Value::Null => SqliteValue::Null,
        Value::Integer(integer) => SqliteValue::Integer(check_integer(*integer)?),
        Value::Text(text) => SqliteValue::Text(text.clone()),
    })
}

fn column(value: ValueRef<'_>) -> Result<Value, DbError> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(integer) => Ok(Value::Integer(integer)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => Err(unsupported_column("text that is not UTF-8")),
        },
        ValueRef::Real(_) => Err(unsupported_column("real number")),
        ValueRef::Blob(_) => Err(unsupported_column("blob")),
    }
}

pub(super) fn error(error: rusqlite::Error) -> DbError {
    let message = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => DbError::Constraint(message),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DbError::Busy(message),
        _ => DbError::Other(message),
    }
}
