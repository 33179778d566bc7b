//! What the three databases have in common: the values they all carry and the way they complain.

use crate::DbError;

/// D1 speaks JavaScript numbers: beyond this, integers would change on the way.
const LARGEST_INTEGER: u64 = 1 << 53;

/// Refuses an integer that not every host stores exactly.
pub(crate) fn check_integer(integer: i64) -> Result<i64, DbError> {
    if integer.unsigned_abs() <= LARGEST_INTEGER {
        Ok(integer)
    } else {
        Err(DbError::Other(format!("integer {integer} is beyond 2^53")))
    }
}

/// A column of a storage class that [`iam_core::sql::Value`] does not know.
pub(crate) fn unsupported_column(class: &str) -> DbError {
    DbError::Other(format!("a column holds a {class}, which not every host carries"))
}

/// Sorts a host's message where the host gives no code. SQLite's own messages say "constraint failed",
/// D1 appends the code's name. Spin passes on the message of a trigger's RAISE(ABORT) and nothing
/// else, so our triggers begin theirs with "constraint".
#[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "the native host has SQLite's codes"))]
pub(crate) fn error_from_message(message: String) -> DbError {
    let contains = |part: &str| message.contains(part);
    if contains("SQLITE_CONSTRAINT") || contains("constraint failed") || message.starts_with("constraint") {
        DbError::Constraint(message)
    } else if contains("SQLITE_BUSY") || contains("database is locked") || contains("overloaded") {
        DbError::Busy(message)
    } else {
        DbError::Other(message)
    }
}
