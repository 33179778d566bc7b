//! The register of what is sealed: every column whose texts are sealed under the host's master key, in one
//! list.
//!
//! From this list follow the question whether the previous master key is still needed, and the loop that
//! seals anew under the current one. What is not listed would be lost with the previous master key, so a test
//! holds the list against the migrations: a column whose name begins with `sealed_` is here, and has its
//! index.

use crate::due::Due;
use crate::id::OrganizationId;
use crate::secret::seal::{MASTER_KEY_ID_LENGTH, MasterKeys, NONCE_BYTES, SealError};
use crate::sql::{FromRow, Query, Row, RowError, Statement};

/// A column whose texts are sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct SealedColumn {
    /// Its table, whose primary key begins with `org_id`.
    pub table: &'static str,
    /// Its name, which begins with `sealed_`.
    pub column: &'static str,
    /// The index that finds its texts by the id of the master key they are sealed under.
    pub index: &'static str,
    /// What of the row a text is bound to, beside its place and the organization: the columns, in order.
    pub bound_to: &'static [&'static str],
    /// How its texts come away from a master key that goes.
    pub parting: Parting,
}

/// How sealed texts come away from a master key that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// They are sealed anew, row by row.
    Reseal {
        /// The column that is the rest of the primary key: rows are gone through by it.
        by: &'static str,
        /// How many are read and written at once; their size decides.
        at_once: u32,
    },
    /// They end by themselves within a day.
    End,
}

/// Private halves of the keys that sign tokens.
pub const SIGNING_KEY: SealedColumn = SealedColumn {
    table: "signing_keys",
    column: "sealed_private_key",
    index: "signing_keys_by_master_key",
    bound_to: &["key_id"],
    parting: Parting::Reseal { by: "key_id", at_once: 100 },
};

/// API keys on their way to their owners.
pub const DELIVERED_KEY: SealedColumn = SealedColumn {
    table: "api_key_deliveries",
    column: "sealed_key",
    index: "api_key_deliveries_by_master_key",
    bound_to: &["delivery_id"],
    parting: Parting::Reseal { by: "delivery_id", at_once: 100 },
};

/// What deliveries of API keys are signed with. It is bound to the target: it stays the same when the
/// schedule is handed on, and one that is copied to another target does not open.
pub const SIGNING_SECRET: SealedColumn = SealedColumn {
    table: "api_key_rotations",
    column: "sealed_signing_secret",
    index: "api_key_rotations_by_master_key",
    bound_to: &["delivery"],
    parting: Parting::Reseal { by: "key_id", at_once: 100 },
};

/// Messages of webhooks. Each may be a megabyte.
pub const WEBHOOK_MESSAGE: SealedColumn = SealedColumn {
    table: "webhook_deliveries",
    column: "sealed_message",
    index: "webhook_deliveries_by_master_key",
    bound_to: &["delivery_id"],
    parting: Parting::Reseal { by: "delivery_id", at_once: 5 },
};

/// Answers that are kept for a retry.
pub const KEPT_ANSWER: SealedColumn = SealedColumn {
    table: "idempotent_answers",
    column: "sealed_answer",
    index: "idempotent_answers_by_master_key",
    bound_to: &["subject_id", "idempotency_key"],
    parting: Parting::End,
};

/// All of them.
pub const REGISTER: [&SealedColumn; 5] =
    [&SIGNING_KEY, &DELIVERED_KEY, &SIGNING_SECRET, &WEBHOOK_MESSAGE, &KEPT_ANSWER];

impl SealedColumn {
    /// What a text is sealed for: this column, an organization, and what of the row it is bound to. Copied
    /// anywhere else it does not open.
    #[must_use]
    pub fn purpose(&self, organization: &OrganizationId, bound_to: &[&str]) -> String {
        let mut purpose = format!("{}.{}/{organization}", self.table, self.column);
        for part in bound_to {
            purpose.push('/');
            purpose.push_str(part);
        }
        purpose
    }

    /// The condition that a text is sealed under the master key `parameter`, as the index has it.
    fn is_sealed_under(&self, parameter: &str) -> String {
        let (column, length) = (self.column, MASTER_KEY_ID_LENGTH);
        format!("{column} IS NOT NULL AND substr({column}, 4, {length}) = {parameter}")
    }

    /// Who, of all organizations, has texts under this master key.
    pub fn due(&self, master_key_id: &str, known: &[OrganizationId]) -> Query<Due> {
        let text = format!(
            "SELECT org_id FROM {} INDEXED BY {} WHERE {} AND org_id NOT IN (SELECT value FROM \
             json_each(?1)) ORDER BY org_id LIMIT ?2",
            self.table,
            self.index,
            self.is_sealed_under("?3")
        );
        Due::find(text, known).bind(master_key_id)
    }

    /// What of an organization is sealed under this master key and is to be sealed anew: a few rows at a
    /// time, those behind the row `after`, for [`SealedText::read`]. A row whose text does not open is gone
    /// past, and keeps none behind it from being found. `None` where the texts end by themselves.
    #[must_use]
    pub fn find(
        &self,
        organization: &OrganizationId,
        master_key_id: &str,
        after: &str,
    ) -> Option<Query<Row>> {
        let Parting::Reseal { by, at_once } = self.parting else { return None };
        let bound_to: String = self.bound_to.iter().map(|name| format!(", {name}")).collect();
        let text = format!(
            "SELECT {by} AS row_key, {} AS sealed{bound_to} FROM {} INDEXED BY {} WHERE org_id = ?1 AND {} \
             AND {by} > ?3 ORDER BY {by} LIMIT ?4",
            self.column,
            self.table,
            self.index,
            self.is_sealed_under("?2")
        );
        let query = Query::new(text).bind(organization).bind(master_key_id).bind(after);
        Some(query.bind(at_once))
    }
}

/// Whether anything that is stored, in any organization, opens under a master key alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsNeeded(pub bool);

impl IsNeeded {
    /// Asks for one master key, by its id.
    pub fn find(master_key_id: &str) -> Query<Self> {
        let is_somewhere = |column: &SealedColumn| {
            let condition = column.is_sealed_under("?1");
            format!("EXISTS (SELECT 1 FROM {} INDEXED BY {} WHERE {condition})", column.table, column.index)
        };
        let any: Vec<String> = REGISTER.into_iter().map(is_somewhere).collect();
        Query::new(format!("SELECT {} AS needed", any.join(" OR "))).bind(master_key_id)
    }
}

impl FromRow for IsNeeded {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self(row.integer("needed")? != 0))
    }
}

/// A text that is sealed under a master key that goes.
#[derive(Debug)]
pub struct SealedText {
    column: &'static SealedColumn,
    organization: OrganizationId,
    /// That of its row, by which rows are gone through.
    pub row_key: String,
    purpose: String,
    sealed: String,
}

impl SealedText {
    /// Reads a row of [`SealedColumn::find`].
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(
        column: &'static SealedColumn,
        organization: &OrganizationId,
        row: &Row,
    ) -> Result<Self, RowError> {
        let bound_to: Vec<&str> =
            column.bound_to.iter().map(|name| row.text(name)).collect::<Result<_, _>>()?;
        Ok(Self {
            column,
            organization: organization.clone(),
            row_key: row.text("row_key")?.to_owned(),
            purpose: column.purpose(organization, &bound_to),
            sealed: row.text("sealed")?.to_owned(),
        })
    }

    /// Seals it under the current master key, unless it was changed meanwhile. `None` where it ends by
    /// itself.
    ///
    /// # Errors
    /// When it does not open.
    pub fn reseal(
        &self,
        master: &MasterKeys,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Option<Statement>, SealError> {
        let SealedColumn { table, column, parting, .. } = self.column;
        let Parting::Reseal { by, .. } = parting else { return Ok(None) };
        let sealed = master.seal(&self.purpose, &master.open(&self.purpose, &self.sealed)?, nonce)?;
        let text =
            format!("UPDATE {table} SET {column} = ?4 WHERE org_id = ?1 AND {by} = ?2 AND {column} = ?3");
        let statement = Statement::new(text).bind(&self.organization).bind(self.row_key.as_str());
        Ok(Some(statement.bind(self.sealed.as_str()).bind(sealed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_columns_share_a_purpose() {
        let organization: OrganizationId = "org_000000001".parse().unwrap();
        let purpose = |column: &SealedColumn| column.purpose(&organization, &["a", "b"]);
        assert_eq!(purpose(&KEPT_ANSWER), "idempotent_answers.sealed_answer/org_000000001/a/b");
        let purposes: std::collections::BTreeSet<String> = REGISTER.into_iter().map(purpose).collect();
        assert_eq!(purposes.len(), REGISTER.len());
    }
}
