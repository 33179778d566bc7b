use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use iam_core::sql::{Rows, Statement, Value};
use spin_sdk::sqlite::{Connection, Error, Value as SqliteValue};

use crate::DbError;
use crate::database::{check_integer, error_from_message, unsupported_column};

/// The label of the database in `spin.toml`.
const DATABASE: &str = "default";

/// How often a transaction that writes is begun. SQLite's own waiting (seconds) prefers whoever came last,
/// since it looks ever less often; whoever begins to wait anew is as quick as the others again.
const BEGINNINGS: usize = 3;

/// How long a request waits for its turn to write, in milliseconds, and for how long one has it at most.
const PATIENCE_MS: i64 = 15_000;

/// The longest pause between two looks at whose turn it is, in milliseconds: the first is a sixty-fourth of
/// it.
const LONGEST_PAUSE_MS: u32 = 256;

/// Since when a request of this instance writes, or waits for SQLite's lock, in milliseconds of Unix time; 0
/// while none does.
static TAKEN_AT: AtomicI64 = AtomicI64::new(0);

/// The database of one organization.
#[derive(Clone)]
pub struct Db {
    pub(super) connection: SharedConnection,
    pub(super) round_trips: Arc<AtomicU32>,
}

/// The connection for single statements, opened by the first of a request.
#[derive(Clone, Default)]
pub(super) struct SharedConnection(Arc<Mutex<Option<Arc<Connection>>>>);

impl SharedConnection {
    async fn get(&self) -> Result<Arc<Connection>, DbError> {
        if let Some(connection) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            return Ok(Arc::clone(connection));
        }
        // Two statements at once may both open one; the later stays, both work.
        let connection = Arc::new(open().await?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&connection));
        Ok(connection)
    }
}

impl Db {
    /// Runs one statement in one round trip.
    ///
    /// # Errors
    /// When a constraint refuses it, the database is busy, or it fails otherwise.
    pub async fn run(&self, statement: Statement) -> Result<Rows, DbError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let connection = self.connection.get().await?;
        let _turn = if statement.only_reads() { None } else { Some(Turn::take().await?) };
        execute(&connection, &statement).await
    }

    /// Runs the statements in one round trip and one transaction: all of them or none.
    ///
    /// # Errors
    /// The first statement's that fails; then nothing has changed.
    pub async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Rows>, DbError> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        // A connection of its own: other statements of this request must not slip into the transaction,
        // and a request that is broken off drops it, which rolls back.
        let connection = open().await?;
        let _turn = if statements.iter().all(Statement::only_reads) {
            // A reader sees one state of the database and waits for nobody.
            execute(&connection, &Statement::new("BEGIN")).await?;
            None
        } else {
            let turn = Turn::take().await?;
            begin_writing(&connection).await?;
            Some(turn)
        };
        match execute_all(&connection, &statements).await {
            Ok(rows) => {
                execute(&connection, &Statement::new("COMMIT")).await?;
                Ok(rows)
            }
            Err(error) => match execute(&connection, &Statement::new("ROLLBACK")).await {
                // SQLite has rolled back by itself where ROLLBACK finds no transaction.
                Ok(_) | Err(_) => Err(error),
            },
        }
    }
}

/// A request's turn to write. SQLite has one writer at a time, and has the others wait on threads of the
/// host: where all the requests of all instances wait so, the one that writes finds no thread to go on with.
/// So those of an instance take turns.
struct Turn(i64);

impl Turn {
    /// Waits for it by looking: what wakes a request on this host is the host alone, not another request.
    /// Pauses are by chance, and grow.
    async fn take() -> Result<Self, DbError> {
        let began = crate::now().as_millis();
        let mut longest = LONGEST_PAUSE_MS / 64;
        loop {
            let now = crate::now().as_millis();
            let taken_at = TAKEN_AT.load(Ordering::Relaxed);
            // A request that the host broke off may never have given it back.
            if taken_at == 0 || now > taken_at.saturating_add(PATIENCE_MS) {
                TAKEN_AT.store(now, Ordering::Relaxed);
                return Ok(Self(now));
            }
            if now > began.saturating_add(PATIENCE_MS) {
                return Err(DbError::Busy("other requests of this instance write".to_owned()));
            }
            let mut chance = [0];
            crate::random(&mut chance).map_err(|error| DbError::Other(error.to_string()))?;
            super::sleep(1 + u32::from(chance[0]) * longest / 256).await;
            longest = LONGEST_PAUSE_MS.min(longest * 2);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Not where it was taken over.
        let _ = TAKEN_AT.compare_exchange(self.0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

async fn open() -> Result<Connection, DbError> {
    Connection::open(DATABASE).await.map_err(error)
}

async fn begin_writing(connection: &Connection) -> Result<(), DbError> {
    let mut begun = Err(DbError::Busy(String::new()));
    for _ in 0..BEGINNINGS {
        begun = execute(connection, &Statement::new("BEGIN IMMEDIATE")).await.map(|_| ());
        if !matches!(begun, Err(DbError::Busy(_))) {
            break;
        }
    }
    begun
}

async fn execute_all(connection: &Connection, statements: &[Statement]) -> Result<Vec<Rows>, DbError> {
    let mut results = Vec::with_capacity(statements.len());
    for statement in statements {
        results.push(execute(connection, statement).await?);
    }
    Ok(results)
}

async fn execute(connection: &Connection, statement: &Statement) -> Result<Rows, DbError> {
    let parameters = statement.parameters().iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let result = connection.execute(statement.text(), parameters).await.map_err(error)?;
    let columns = result.columns().to_vec();
    // Errors come late: a statement has not succeeded before its rows are collected, even if it has none.
    let rows = result.collect().await.map_err(error)?;
    let rows = rows
        .into_iter()
        .map(|row| row.values.into_iter().map(column).collect::<Result<Vec<_>, _>>())
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Rows::new(columns, rows))
}

fn bind(value: &Value) -> Result<SqliteValue, DbError> {
    Ok(match value {
        Value::Null => SqliteValue::Null,
        Value::Integer(integer) => SqliteValue::Integer(check_integer(*integer)?),
        Value::Text(text) => SqliteValue::Text(text.clone()),
    })
}

fn column(value: SqliteValue) -> Result<Value, DbError> {
    match value {
        SqliteValue::Null => Ok(Value::Null),
        SqliteValue::Integer(integer) => Ok(Value::Integer(integer)),
        SqliteValue::Text(text) => Ok(Value::Text(text)),
        SqliteValue::Real(_) => Err(unsupported_column("real number")),
        SqliteValue::Blob(_) => Err(unsupported_column("blob")),
    }
}

fn error(error: Error) -> DbError {
    match error {
        Error::Io(message) => error_from_message(message),
        other => DbError::Other(other.to_string()),
    }
}
