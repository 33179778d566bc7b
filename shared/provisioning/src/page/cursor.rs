//! Cursors (RFC 9865): where the next page begins, whatever came or went before it.

use iam_core::encoding::{base64url, from_base64url};
use iam_core::sql::{Row, RowError};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::order::Sql;
use crate::{ScimError, ScimErrorKind};

/// The longest cursor.
const MAX_CURSOR_BYTES: usize = 6000;

/// The last resource of a page, by what it was ordered by. It holds nothing that its reader did not just see,
/// so it is not signed: whoever makes one up reads a list from elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    key: Json,
    id: String,
}

impl Cursor {
    /// The cursor after this row, for lists that [`super::question`] names so.
    ///
    /// # Errors
    /// When the row has neither the columns of a user nor of a group.
    pub fn after(row: &Row, id: &'static str, question: &str) -> Result<String, RowError> {
        let key = match row.optional_integer("sort_key") {
            Ok(integer) => json!(integer),
            Err(_) => json!(row.optional_text("sort_key")?),
        };
        Ok(base64url(json!([mark(question), key, row.text(id)?]).to_string().as_bytes()))
    }

    /// Reads a cursor.
    ///
    /// # Errors
    /// `invalidCursor` where it is none of ours, or of another list.
    pub fn parse(text: &str, question: &str) -> Result<Self, ScimError> {
        let invalid = || {
            ScimError::new(ScimErrorKind::InvalidCursor, "`cursor` must be the `nextCursor` of the same list")
        };
        if text.len() > MAX_CURSOR_BYTES {
            return Err(invalid());
        }
        let bytes = from_base64url(text).ok_or_else(invalid)?;
        let (of, key, id): (String, Json, String) = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        if of != mark(question) || !(key.is_null() || key.is_string() || key.is_i64()) {
            return Err(invalid());
        }
        Ok(Self { key, id })
    }

    /// The condition that a row comes after it.
    pub(super) fn condition(&self, order: &Sql, is_descending: bool, arguments: &mut Vec<Json>) -> String {
        let (at, id) = (arguments.len(), arguments.len() + 1);
        arguments.extend([self.key.clone(), json!(self.id)]);
        let key = &order.key;
        let ties = format!("{} > ?2 ->> '$[{id}]'", order.id);
        match (self.key.is_null(), is_descending) {
            (true, false) => format!("(({key}) IS NULL AND {ties})"),
            (true, true) => format!("((({key}) IS NULL AND {ties}) OR ({key}) IS NOT NULL)"),
            (false, true) => {
                format!("({key} < ?2 ->> '$[{at}]' OR ({key} = ?2 ->> '$[{at}]' AND {ties}))")
            }
            (false, false) if order.by.contains("IS NULL") => format!(
                "({key} > ?2 ->> '$[{at}]' OR ({key} = ?2 ->> '$[{at}]' AND {ties}) OR ({key}) IS NULL)"
            ),
            (false, false) => format!("({key}, {}) > (?2 ->> '$[{at}]', ?2 ->> '$[{id}]')", order.id),
        }
    }
}

/// A short mark of a question, so that a cursor of another one is told from its own.
fn mark(question: &str) -> String {
    let digest = Sha256::digest(question.as_bytes());
    base64url(digest.get(..9).unwrap_or(&digest))
}
