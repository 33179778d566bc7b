//! What a master key that is going away still opens, and sealing it anew.

use super::{JOB_BATCH, purpose};
use crate::id::{OrganizationId, SigningKeyId};
use crate::secret::seal::{MasterKeys, NONCE_BYTES, SealError};
use crate::sql::{FromRow, Row, RowError, Statement};

/// A private half that is sealed under a master key that is going away.
#[derive(Debug)]
pub struct SealedElsewhere {
    /// In which organization.
    pub organization: OrganizationId,
    /// Whose.
    pub key_id: SigningKeyId,
    sealed: String,
}

impl SealedElsewhere {
    /// Finds them, of all organizations, some at a time, from after the last one that was found.
    #[must_use]
    pub fn find(master_key_id: &str, after: Option<&Self>) -> Statement {
        Statement::new(
            "SELECT org_id, key_id, sealed_private_key FROM signing_keys INDEXED BY signing_keys_by_master_key WHERE \
             sealed_private_key IS NOT NULL AND substr(sealed_private_key, 4, 8) = ?1 AND (org_id, key_id) > (?2, ?3) \
             ORDER BY org_id, key_id LIMIT ?4",
        )
        .bind(master_key_id)
        .bind(after.map_or("", |last| last.organization.as_str()))
        .bind(after.map_or("", |last| last.key_id.as_str()))
        .bind(JOB_BATCH)
    }

    /// Seals it under the current master key, unless it was changed meanwhile.
    ///
    /// # Errors
    /// When it does not open.
    pub fn seal_anew(&self, master: &MasterKeys, nonce: [u8; NONCE_BYTES]) -> Result<Statement, SealError> {
        let purpose = purpose(&self.organization, &self.key_id);
        let sealed = master.seal(&purpose, &master.open(&purpose, &self.sealed)?, nonce)?;
        Ok(Statement::new(
            "UPDATE signing_keys SET sealed_private_key = ?4 WHERE org_id = ?1 AND key_id = ?2 AND sealed_private_key = ?3",
        )
        .bind(&self.organization)
        .bind(&self.key_id)
        .bind(self.sealed.as_str())
        .bind(sealed))
    }
}

impl FromRow for SealedElsewhere {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            organization: OrganizationId::from_column(row, "org_id")?,
            key_id: SigningKeyId::from_column(row, "key_id")?,
            sealed: row.text("sealed_private_key")?.to_owned(),
        })
    }
}

/// Whether anything that is stored, in any organization, opens under this master key alone; column `needed`.
#[must_use]
pub fn is_master_key_needed(master_key_id: &str) -> Statement {
    Statement::new(
        "SELECT EXISTS (SELECT 1 FROM signing_keys INDEXED BY signing_keys_by_master_key WHERE sealed_private_key IS NOT \
         NULL AND substr(sealed_private_key, 4, 8) = ?1) OR EXISTS (SELECT 1 FROM idempotent_answers INDEXED BY \
         idempotent_answers_by_master_key WHERE substr(sealed_answer, 4, 8) = ?1) OR EXISTS (SELECT 1 FROM \
         api_key_deliveries INDEXED BY api_key_deliveries_by_master_key WHERE sealed_key IS NOT NULL AND \
         substr(sealed_key, 4, 8) = ?1) OR EXISTS (SELECT 1 FROM api_key_rotations INDEXED BY \
         api_key_rotations_by_master_key WHERE sealed_signing_secret IS NOT NULL AND \
         substr(sealed_signing_secret, 4, 8) = ?1) OR EXISTS (SELECT 1 FROM webhook_deliveries INDEXED BY \
         webhook_deliveries_by_master_key WHERE sealed_message IS NOT NULL AND substr(sealed_message, 4, 8) = ?1) AS \
         needed",
    )
    .bind(master_key_id)
}
