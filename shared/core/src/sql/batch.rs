//! Batches that know what each of their statements answers.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::{FromRow, RowError, Rows, Statement, Value};

/// A statement whose rows are `T`s: a `SELECT`, or a change with a `RETURNING`.
#[must_use]
pub struct Query<T> {
    statement: Statement,
    rows: PhantomData<fn() -> T>,
}

impl<T> Query<T> {
    /// A query without parameters yet. The text is never built from a caller's input.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Statement::new(text).into()
    }

    /// Binds the next parameter.
    pub fn bind(self, value: impl Into<Value>) -> Self {
        self.statement.bind(value).into()
    }

    /// The statement, for whoever runs it.
    #[must_use]
    pub fn into_statement(self) -> Statement {
        self.statement
    }
}

impl<T> From<Statement> for Query<T> {
    fn from(statement: Statement) -> Self {
        Self { statement, rows: PhantomData }
    }
}

impl<T> Clone for Query<T> {
    fn clone(&self) -> Self {
        self.statement.clone().into()
    }
}

impl<T> std::fmt::Debug for Query<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.statement.fmt(formatter)
    }
}

/// Statements that run in one round trip and one transaction: all of them or none.
///
/// Each that is put in gives a [`Ticket`], and with that its answer is found: nobody counts statements.
///
/// ```
/// use iam_core::sql::{Answers, Batch, FromRow, Query, Row, RowError, Rows, Statement, Value};
///
/// struct Name(String);
///
/// impl FromRow for Name {
///     fn from_row(row: &Row) -> Result<Self, RowError> {
///         Ok(Self(row.text("name")?.to_owned()))
///     }
/// }
///
/// let mut batch = Batch::new();
/// let taken = batch.then(Statement::new("UPDATE seats SET name = 'a' WHERE name IS NULL RETURNING seat"));
/// let names = batch.ask(Query::<Name>::new("SELECT name FROM seats"));
/// assert_eq!(batch.statements().len(), 2);
///
/// // What a host answers, one set of rows a statement.
/// let seats = Rows::new(vec!["name".into()], [vec![Value::Text("a".into())]]);
/// let answers = Answers::new(vec![Rows::default(), seats]);
/// assert!(!answers.did(taken)?);
/// assert_eq!(answers.one(names)?.map(|name| name.0).as_deref(), Some("a"));
/// # Ok::<(), RowError>(())
/// ```
#[derive(Debug, Default)]
pub struct Batch(Vec<Statement>);

/// Where the answer to one statement of a batch is found.
#[derive(Debug)]
pub struct Ticket<T = ()> {
    place: usize,
    rows: PhantomData<fn() -> T>,
}

impl<T> Clone for Ticket<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ticket<T> {}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for rows of `T`.
    pub fn ask<T>(&mut self, query: Query<T>) -> Ticket<T> {
        Ticket { place: self.push(query.into_statement()), rows: PhantomData }
    }

    /// Does something. Where the statement has a `RETURNING`, [`Answers::did`] tells whether it did.
    pub fn then(&mut self, statement: Statement) -> Ticket {
        Ticket { place: self.push(statement), rows: PhantomData }
    }

    /// Does something more, about whose answers nobody asks.
    pub fn extend(&mut self, statements: impl IntoIterator<Item = Statement>) {
        self.0.extend(statements);
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The statements, in order.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.0
    }

    /// The statements, for whoever runs them.
    #[must_use]
    pub fn into_statements(self) -> Vec<Statement> {
        self.0
    }

    fn push(&mut self, statement: Statement) -> usize {
        self.0.push(statement);
        self.0.len() - 1
    }
}

impl From<Vec<Statement>> for Batch {
    fn from(statements: Vec<Statement>) -> Self {
        Self(statements)
    }
}

impl<const N: usize> From<[Statement; N]> for Batch {
    fn from(statements: [Statement; N]) -> Self {
        Self(statements.into())
    }
}

/// What a batch answered, found by ticket. An answer that is missing is an error, never "no row".
#[derive(Debug)]
pub struct Answers(Vec<Rows>);

impl Answers {
    /// The answers of a host, in the order of the statements.
    #[must_use]
    pub fn new(rows: Vec<Rows>) -> Self {
        Self(rows)
    }

    /// The first row of a query, where there is one.
    ///
    /// # Errors
    /// When the query was not answered, or the row does not decode.
    pub fn one<T: FromRow>(&self, ticket: Ticket<T>) -> Result<Option<T>, RowError> {
        self.rows(ticket)?.decode_first()
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// When the query was not answered, or a row does not decode.
    pub fn all<T: FromRow>(&self, ticket: Ticket<T>) -> Result<Vec<T>, RowError> {
        self.rows(ticket)?.decode()
    }

    /// Whether the statement returned a row: of one that changes something, whether it did.
    ///
    /// # Errors
    /// When the statement was not answered.
    pub fn did<T>(&self, ticket: Ticket<T>) -> Result<bool, RowError> {
        Ok(!self.rows(ticket)?.is_empty())
    }

    /// How many rows the statement returned.
    ///
    /// # Errors
    /// When the statement was not answered.
    pub fn count<T>(&self, ticket: Ticket<T>) -> Result<usize, RowError> {
        Ok(self.rows(ticket)?.len())
    }

    fn rows<T>(&self, ticket: Ticket<T>) -> Result<&Rows, RowError> {
        self.0.get(ticket.place).ok_or(RowError::unanswered())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_answer_is_an_error() {
        let mut batch = Batch::new();
        let done = batch.then(Statement::new("DELETE FROM seats RETURNING seat"));
        let answers = Answers::new(Vec::new());
        assert!(answers.did(done).is_err());
        let asked = Batch::new().ask(Query::<crate::sql::Row>::new("SELECT 1"));
        assert!(answers.one(asked).is_err());
        assert!(answers.all(asked).is_err());
    }
}
