//! Questions to the database, as values.
//!
//! The domain writes [`Statement`]s and [`Query`]s, puts them into a [`Batch`] and reads what [`Answers`] it;
//! `iam_edge::Db` runs the one and gives the other.
//! SQL is SQLite's on every host (D1, Spin's sqlite, rusqlite). Only two storage classes are used,
//! integers and text: they are what all three hosts carry without loss (D1 speaks JavaScript numbers, so
//! integers stay within ±2^53), and bytes are stored as base64url text.

mod batch;

use std::borrow::Cow;
use std::sync::Arc;

pub use batch::{Answers, Batch, Query, Ticket};

/// A bound parameter or a column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// An integer within ±2^53.
    Integer(i64),
    /// UTF-8 text.
    Text(String),
}

/// One SQL statement with its bound parameters (`?1`, `?2`, … in the order they were bound).
///
/// ```
/// use iam_core::sql::{Statement, Value};
///
/// let statement = Statement::new("SELECT name FROM roles WHERE org_id = ?1 AND level > ?2")
///     .bind("org_1")
///     .bind(3);
/// assert_eq!(statement.parameters()[1], Value::Integer(3));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    text: Cow<'static, str>,
    parameters: Vec<Value>,
}

impl Statement {
    /// A statement without parameters yet. The text is never built from a caller's input.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), parameters: Vec::new() }
    }

    /// Binds the next parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.parameters.push(value.into());
        self
    }

    /// The SQL.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parameters, in order.
    #[must_use]
    pub fn parameters(&self) -> &[Value] {
        &self.parameters
    }

    /// Whether it surely changes nothing: a transaction of such statements need not wait for those that
    /// write.
    ///
    /// ```
    /// use iam_core::sql::Statement;
    ///
    /// assert!(Statement::new("SELECT name FROM roles").only_reads());
    /// // What begins with `WITH` may end in an `INSERT`.
    /// assert!(!Statement::new("WITH held AS (SELECT 1) SELECT * FROM held").only_reads());
    /// ```
    #[must_use]
    pub fn only_reads(&self) -> bool {
        self.text.starts_with("SELECT ")
    }
}

/// The one row of a table that parameters name, to be joined with others by its columns. D1's host prepares a
/// join over parameters anew whenever they are bound, which takes more than running it; the limit keeps
/// SQLite from making one of this.
#[macro_export]
macro_rules! only_row {
    ($table:literal, $($condition:expr),+) => {
        concat!("(SELECT * FROM ", $table, " WHERE ", $($condition),+, " LIMIT 1)")
    };
}

/// What one statement answered: no rows where it returns none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(Vec<Row>);

impl Rows {
    /// Rows that share one list of column names.
    #[must_use]
    pub fn new(columns: Vec<String>, rows: impl IntoIterator<Item = Vec<Value>>) -> Self {
        let columns: Arc<[String]> = columns.into();
        Self(rows.into_iter().map(|values| Row { columns: Arc::clone(&columns), values }).collect())
    }

    /// The first row, where there is one.
    #[must_use]
    pub fn first(&self) -> Option<&Row> {
        self.0.first()
    }

    /// Whether nothing came back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows came back.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The rows, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.0.iter()
    }

    /// Decodes every row.
    ///
    /// # Errors
    /// The first row that does not decode.
    pub fn decode<T: FromRow>(&self) -> Result<Vec<T>, RowError> {
        self.0.iter().map(T::from_row).collect()
    }

    /// Decodes the first row, where there is one.
    ///
    /// # Errors
    /// When that row does not decode.
    pub fn decode_first<T: FromRow>(&self) -> Result<Option<T>, RowError> {
        self.first().map(T::from_row).transpose()
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = &'a Row;
    type IntoIter = std::slice::Iter<'a, Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One row. Columns are read by name, so the order of a SELECT list is free to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    fn value(&self, column: &'static str) -> Result<&Value, RowError> {
        self.columns
            .iter()
            .position(|name| name == column)
            .and_then(|index| self.values.get(index))
            .ok_or(RowError { column, problem: RowProblem::Missing })
    }

    /// A text column that is never NULL.
    ///
    /// # Errors
    /// When the column is absent, NULL or an integer.
    pub fn text(&self, column: &'static str) -> Result<&str, RowError> {
        self.optional_text(column)?.ok_or(RowError { column, problem: RowProblem::Null })
    }

    /// A text column, `None` for NULL.
    ///
    /// # Errors
    /// When the column is absent or an integer.
    pub fn optional_text(&self, column: &'static str) -> Result<Option<&str>, RowError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Integer(_) => Err(RowError { column, problem: RowProblem::WrongType }),
        }
    }

    /// An integer column that is never NULL.
    ///
    /// # Errors
    /// When the column is absent, NULL or text.
    pub fn integer(&self, column: &'static str) -> Result<i64, RowError> {
        self.optional_integer(column)?.ok_or(RowError { column, problem: RowProblem::Null })
    }

    /// An integer column, `None` for NULL.
    ///
    /// # Errors
    /// When the column is absent or text.
    pub fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, RowError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(integer) => Ok(Some(*integer)),
            Value::Text(_) => Err(RowError { column, problem: RowProblem::WrongType }),
        }
    }

    /// A JSON document in a text column, decoded.
    ///
    /// # Errors
    /// When the column is absent, NULL, not text or not the document that was expected.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T, RowError> {
        serde_json::from_str(self.text(column)?)
            .map_err(|_| RowError { column, problem: RowProblem::WrongType })
    }
}

/// A struct that one row decodes into.
pub trait FromRow: Sized {
    /// Reads the columns it needs.
    ///
    /// # Errors
    /// When a column is absent or of another type: the schema and the code disagree.
    fn from_row(row: &Row) -> Result<Self, RowError>;
}

/// The row as it is, for what is decoded with more than the row tells.
impl FromRow for Row {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(row.clone())
    }
}

/// A row that is not what the code expected. It names the column, never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowError {
    column: &'static str,
    problem: RowProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowProblem {
    Unanswered,
    Missing,
    Null,
    WrongType,
}

impl RowError {
    /// A column whose text is not one of the values the code knows (an unknown status, a malformed id).
    #[must_use]
    pub fn unreadable(column: &'static str) -> Self {
        Self { column, problem: RowProblem::WrongType }
    }

    /// A statement of a batch that has no answer.
    const fn unanswered() -> Self {
        Self { column: "*", problem: RowProblem::Unanswered }
    }
}

impl std::fmt::Display for RowError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let problem = match self.problem {
            RowProblem::Unanswered => "has no answer",
            RowProblem::Missing => "is not in the result",
            RowProblem::Null => "is null",
            RowProblem::WrongType => "has an unexpected value",
        };
        write!(formatter, "column `{}` {problem}", self.column)
    }
}

impl std::error::Error for RowError {}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<i32> for Value {
    fn from(integer: i32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Integer(truth.into())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::Null, Into::into)
    }
}
