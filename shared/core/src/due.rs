//! Who is due: the organizations that a scheduled job has something to do for.
//!
//! That is the one question a job asks over all organizations; what it does, it does for one. So it is asked
//! of the deployment's database, and everything else of the organization's own.

use std::borrow::Cow;

use crate::id::OrganizationId;
use crate::sql::{FromRow, Query, Row, RowError, Value};

/// How many rows a question for who is due gives at most. One organization may be in many of them.
pub const DUE_ROWS: u32 = 200;

/// An organization that there is something to do for.
#[derive(Debug)]
pub struct Due(pub OrganizationId);

impl Due {
    /// Asks, with a text of [`who_is_due`](crate::who_is_due), for organizations that are not known yet. The
    /// question's own parameters begin at `?3`.
    pub fn find(text: impl Into<Cow<'static, str>>, known: &[OrganizationId]) -> Query<Self> {
        Query::new(text).bind(serde_json::json!(known).to_string()).bind(DUE_ROWS)
    }
}

impl FromRow for Due {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        OrganizationId::from_column(row, "org_id").map(Self)
    }
}

/// The text of a question for who is due: the organizations `of` the rows `from` somewhere `where` something
/// is to be done, those that wait longest first, which is what `by` says. Organizations that are known
/// already (`?1`) keep nobody else from being found, however much they have.
#[macro_export]
macro_rules! who_is_due {
    (of: $organization:literal, from: $from:expr, where: $condition:expr, by: $order:literal $(,)?) => {
        concat!(
            "SELECT ",
            $organization,
            " AS org_id FROM ",
            $from,
            " WHERE ",
            $condition,
            " AND ",
            $organization,
            " NOT IN (SELECT value FROM json_each(?1)) ORDER BY ",
            $order,
            " LIMIT ?2"
        )
    };
}

/// How many rows a sweep forgets at once.
pub const SWEEP_BATCH: u32 = 500;

/// Rows of a table that are forgotten once a moment of theirs is past: made by [`sweep`](crate::sweep), so
/// that the SQL is a constant.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    who: &'static str,
    forget: &'static str,
}

impl Sweep {
    /// For the macro alone, which knows the statements.
    #[doc(hidden)]
    #[must_use]
    pub const fn of_statements(who: &'static str, forget: &'static str) -> Self {
        Self { who, forget }
    }

    /// Who has rows whose moment is not after `until`.
    pub fn due(&self, until: impl Into<Value>, known: &[OrganizationId]) -> Query<Due> {
        Due::find(self.who, known).bind(until)
    }

    /// Forgets an organization's rows whose moment is not after `until`, those longest past first,
    /// [`SWEEP_BATCH`] at a time; a row for each.
    pub fn forget(&self, organization: &OrganizationId, until: impl Into<Value>) -> Query<Row> {
        Query::new(self.forget).bind(organization).bind(until).bind(SWEEP_BATCH)
    }
}

/// What is forgotten of the table `of`, whose primary key is `key`, once its column `past` is past; by an
/// index that begins with that column.
///
/// ```
/// const SEATS: iam_core::due::Sweep =
///     iam_core::sweep!(of: "seats", key: "org_id, seat", past: "free_from", by: "seats_by_end");
/// assert!(SEATS.due(1, &[]).into_statement().text().contains("free_from <= ?3"));
/// ```
#[macro_export]
macro_rules! sweep {
    (of: $table:literal, key: $key:literal, past: $column:literal, by: $index:literal $(,)?) => {
        $crate::due::Sweep::of_statements(
            $crate::who_is_due!(
                of: "org_id",
                from: concat!($table, " INDEXED BY ", $index),
                where: concat!($column, " <= ?3"),
                by: $column
            ),
            concat!(
                "DELETE FROM ",
                $table,
                " WHERE (",
                $key,
                ") IN (SELECT ",
                $key,
                " FROM ",
                $table,
                " INDEXED BY ",
                $index,
                " WHERE org_id = ?1 AND ",
                $column,
                " <= ?2 ORDER BY ",
                $column,
                " LIMIT ?3) RETURNING 1 AS forgotten"
            ),
        )
    };
}
