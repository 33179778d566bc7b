//! Changing the switches: one conditional statement, and who changed which.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::FlagSettings;
use crate::id::{LogId, OrganizationId, UserId};
use crate::record::audit::RecordCondition;
use crate::sql::{FromRow, Query, Row, RowError, Statement};
use crate::time::Timestamp;

/// Whether the change that bears this audit record's id is the one in force; `?2` is that id.
pub const FLAGS_CHANGED: RecordCondition =
    crate::record_condition!("EXISTS (SELECT 1 FROM flags WHERE org_id = ?1 AND log_id = ?2)");

/// Who changed a switch last, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFlag {
    /// Who.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
}

/// What was set, with who did it.
#[derive(Clone, Debug, Default)]
pub struct FlagsOnRecord {
    /// What was set.
    pub settings: FlagSettings,
    /// The last change of each switch that was ever changed, by its name.
    pub changes: BTreeMap<String, ChangedFlag>,
    /// One more with each change; 0 before the first.
    pub version: i64,
}

impl FlagsOnRecord {
    /// Finds what was set for a deployment, which is its first organization's.
    pub fn find(deployment: &OrganizationId) -> Query<Self> {
        Query::new("SELECT document, changes, version FROM flags WHERE org_id = ?1").bind(deployment)
    }
}

impl FromRow for FlagsOnRecord {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            settings: row.json("document")?,
            changes: row.json("changes")?,
            version: row.integer("version")?,
        })
    }
}

/// A change of what was read.
#[derive(Debug)]
pub struct FlagChange<'a> {
    /// The deployment's organization.
    pub deployment: &'a OrganizationId,
    /// What it was, as it was read.
    pub from: &'a FlagsOnRecord,
    /// What it shall be.
    pub settings: &'a FlagSettings,
    /// Which switches are others then.
    pub changed: &'a [&'a str],
    /// Who changes them.
    pub by: &'a UserId,
    /// When.
    pub now: Timestamp,
    /// The id of its audit record.
    pub log_id: &'a LogId,
}

impl FlagChange<'_> {
    /// Stores it, unless another change came first.
    ///
    /// # Errors
    /// Never for settings as they are; JSON says it could.
    pub fn store(&self) -> Result<Statement, serde_json::Error> {
        let mut changes = self.from.changes.clone();
        for name in self.changed {
            changes.insert((*name).to_owned(), ChangedFlag { by: self.by.clone(), at: self.now });
        }
        let statement = Statement::new(
            "INSERT INTO flags (org_id, document, changes, version, log_id) VALUES (?1, ?2, ?3, ?4 + 1, ?5) \
             ON CONFLICT (org_id) DO UPDATE SET document = excluded.document, changes = excluded.changes, \
             version = excluded.version, log_id = excluded.log_id WHERE version = ?4",
        );
        Ok(statement
            .bind(self.deployment)
            .bind(serde_json::to_string(self.settings)?)
            .bind(serde_json::to_string(&changes)?)
            .bind(self.from.version)
            .bind(self.log_id))
    }
}
