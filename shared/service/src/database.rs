//! The database as handlers have it: now and then a question of the product's own rides along in the same
//! round trip.

use std::sync::Arc;

use iam_core::operation::flags::StoredFlags;
use iam_core::sql::{Answers, Batch, FromRow, Query, Rows, Statement};
use iam_core::time::Timestamp;
use iam_edge::DbError;

use crate::instance::Instance;
use crate::request::error::ApiError;

/// The database of one organization. Where the flags were read too long ago, the next question brings them
/// along, so that nobody waits for them.
#[derive(Clone)]
pub struct Db {
    pub(crate) database: iam_edge::Db,
    pub(crate) instance: Arc<Instance>,
    pub(crate) now: Timestamp,
}

impl Db {
    /// Runs the batch in one round trip and one transaction: all of it or nothing.
    ///
    /// # Errors
    /// The first statement's that fails; then nothing has changed.
    pub async fn batch(&self, batch: impl Into<Batch>) -> Result<Answers, DbError> {
        Ok(Answers::new(self.run_all(batch.into().into_statements()).await?))
    }

    /// The first row of a query, where there is one.
    ///
    /// # Errors
    /// When the database fails, or the row does not decode.
    pub async fn one<T: FromRow>(&self, query: Query<T>) -> Result<Option<T>, ApiError> {
        Ok(self.run_one(query.into_statement()).await?.decode_first()?)
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// When the database fails, or a row does not decode.
    pub async fn all<T: FromRow>(&self, query: Query<T>) -> Result<Vec<T>, ApiError> {
        Ok(self.run_one(query.into_statement()).await?.decode()?)
    }

    /// Runs one statement; whether it returned a row: of one that changes something and has a `RETURNING`,
    /// whether it did.
    ///
    /// # Errors
    /// When a constraint refuses it, the database is busy, or it fails otherwise.
    pub async fn execute(&self, statement: Statement) -> Result<bool, DbError> {
        Ok(!self.run_one(statement).await?.is_empty())
    }

    async fn run_one(&self, statement: Statement) -> Result<Rows, DbError> {
        match self.question() {
            None => self.database.run(statement).await,
            Some(question) => {
                let mut rows = self.database.batch(vec![statement, question]).await?;
                self.learn(rows.pop());
                rows.pop().ok_or_else(unanswered)
            }
        }
    }

    async fn run_all(&self, mut statements: Vec<Statement>) -> Result<Vec<Rows>, DbError> {
        let question = self.question();
        let asks = question.is_some();
        statements.extend(question);
        let mut rows = if statements.len() == 1 {
            // One statement is a transaction of its own.
            vec![self.database.run(statements.swap_remove(0)).await?]
        } else {
            self.database.batch(statements).await?
        };
        if asks {
            self.learn(rows.pop());
        }
        Ok(rows)
    }

    /// Reads the flags alone.
    pub(crate) async fn read_flags(&self) -> Result<(), DbError> {
        let question = StoredFlags::find(&self.instance.configuration.organization).into_statement();
        self.learn(Some(self.database.run(question).await?));
        Ok(())
    }

    fn question(&self) -> Option<Statement> {
        let configuration = &self.instance.configuration;
        let is_due = self.instance.flags.is_due(self.now, configuration.operational.flags_max_age);
        is_due.then(|| StoredFlags::find(&configuration.organization).into_statement())
    }

    fn learn(&self, rows: Option<Rows>) {
        match rows.unwrap_or_default().decode_first::<StoredFlags>() {
            Ok(stored) => self.instance.learn_flags(stored.unwrap_or_default(), self.now),
            // What holds goes on holding; the next question asks again.
            Err(error) => self.instance.log_problem("the flags can't be read", &error.to_string()),
        }
    }
}

fn unanswered() -> DbError {
    DbError::Other("a statement was not answered".to_owned())
}
