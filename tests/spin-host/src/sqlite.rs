//! `spin:sqlite` over SQLite files.

use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::types::{Value as SqlValue, ValueRef};
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use crate::bindings::spin::sqlite::sqlite::{
    Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
};
use crate::database::Database;
use crate::instance::{InstanceState, SpinInterfaces};

/// The application's database.
#[derive(Clone, Debug)]
pub(crate) struct SqliteDatabase {
    path: PathBuf,
    /// Without a connection that stays, SQLite would fold the write-ahead log in after every request.
    _held_open: Database,
}

impl SqliteDatabase {
    pub(crate) fn open(path: PathBuf) -> rusqlite::Result<Self> {
        Ok(Self { _held_open: Database::open_with_write_ahead_log(&path)?, path })
    }
}

/// A database that a component has opened: a connection of its own.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct OpenDatabase(Database);

/// What a statement gave before it ended or failed.
struct Executed {
    columns: Vec<String>,
    rows: Vec<RowResult>,
    outcome: Result<(), Error>,
}

fn failed(error: impl ToString) -> Error {
    Error::Io(error.to_string())
}

/// Runs a statement. Only a statement that can't be prepared fails at once: like on Spin, what goes wrong
/// later is known only to those who ask for the outcome.
fn execute(connection: &Connection, statement: &str, parameters: Vec<Value>) -> Result<Executed, Error> {
    let mut statement = connection.prepare_cached(statement).map_err(failed)?;
    let columns = statement.column_names().map(ToOwned::to_owned).collect();
    let mut rows = Vec::new();
    let outcome = collect(&mut statement, parameters, &mut rows).map_err(failed);
    Ok(Executed { columns, rows, outcome })
}

fn collect(
    statement: &mut rusqlite::Statement<'_>,
    parameters: Vec<Value>,
    collected: &mut Vec<RowResult>,
) -> rusqlite::Result<()> {
    let width = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(parameters.into_iter().map(to_sql)))?;
    while let Some(row) = rows.next()? {
        let values = (0..width).map(|column| from_sql(row.get_ref(column)?)).collect::<Result<_, _>>()?;
        collected.push(RowResult { values });
    }
    Ok(())
}

fn to_sql(value: Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Integer(integer) => SqlValue::Integer(integer),
        Value::Real(real) => SqlValue::Real(real),
        Value::Text(text) => SqlValue::Text(text),
        Value::Blob(blob) => SqlValue::Blob(blob),
    }
}

fn from_sql(value: ValueRef<'_>) -> rusqlite::Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(_) => Value::Text(value.as_str()?.to_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    })
}

impl InstanceState {
    fn database(&self, connection: &Resource<OpenDatabase>) -> wasmtime::Result<Database> {
        Ok(self.table.get(connection)?.0.clone())
    }

    fn open_database(&mut self, label: &str) -> wasmtime::Result<Result<Resource<OpenDatabase>, Error>> {
        if !self.component.sqlite_databases.contains(label) {
            return Ok(Err(Error::AccessDenied));
        }
        match Database::open(&self.component.stores.sqlite.path) {
            Ok(database) => Ok(Ok(self.table.push(OpenDatabase(database))?)),
            Err(error) => Ok(Err(failed(error))),
        }
    }
}

impl Host for InstanceState {}

impl HostConnection for InstanceState {
    fn open(&mut self, label: String) -> wasmtime::Result<Result<Resource<OpenDatabase>, Error>> {
        self.open_database(&label)
    }

    fn execute(
        &mut self,
        connection: Resource<OpenDatabase>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        let executed = self.database(&connection)?.with(|open| execute(open, &statement, parameters));
        Ok(executed
            .and_then(|Executed { columns, rows, outcome }| outcome.map(|()| QueryResult { columns, rows })))
    }

    fn last_insert_rowid(&mut self, connection: Resource<OpenDatabase>) -> wasmtime::Result<i64> {
        Ok(self.database(&connection)?.with(Connection::last_insert_rowid))
    }

    fn changes(&mut self, connection: Resource<OpenDatabase>) -> wasmtime::Result<u64> {
        Ok(self.database(&connection)?.with(Connection::changes))
    }

    fn drop(&mut self, connection: Resource<OpenDatabase>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: 'static> HostConnectionWithStore<T> for SpinInterfaces {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<OpenDatabase>, Error>> {
        accessor.with(|mut access| access.get().open_database(&label))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<OpenDatabase>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<
        Result<(Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), Error>>), Error>,
    > {
        let database = accessor.with(|mut access| access.get().database(&connection))?;
        let executed = database.run(move |open| execute(open, &statement, parameters)).await;
        let Executed { columns, rows, outcome } = match executed.map_err(Error::Io).flatten() {
            Ok(executed) => executed,
            Err(error) => return Ok(Err(error)),
        };
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, rows)?;
            let outcome =
                FutureReader::new(&mut access, std::future::ready(Ok::<_, wasmtime::Error>(outcome)))?;
            Ok(Ok((columns, rows, outcome)))
        })
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<OpenDatabase>,
    ) -> wasmtime::Result<i64> {
        let database = accessor.with(|mut access| access.get().database(&connection))?;
        Ok(database.with(Connection::last_insert_rowid))
    }

    async fn changes_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<OpenDatabase>,
    ) -> wasmtime::Result<u64> {
        let database = accessor.with(|mut access| access.get().database(&connection))?;
        Ok(database.with(Connection::changes))
    }
}
