//! Who is due: the organizations that a scheduled job has something to do for.
//!
//! That is the one question a job asks over all organizations; what it does, it does for one. So it is asked
//! of the deployment's database, and everything else of the organization's own.

use std::borrow::Cow;

use crate::id::OrganizationId;
use crate::sql::{FromRow, Query, Row, RowError};

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
