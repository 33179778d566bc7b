//! What is still sealed under the previous master key.

use super::{Target, delivery_purpose};
use crate::id::{KeyDeliveryId, KeyId, OrganizationId};
use crate::secret::seal::{MasterKeys, NONCE_BYTES, SealError};
use crate::sql::{Row, RowError, Statement};

/// How many are looked at at once.
const SEALING_BATCH: u32 = 100;

/// What a rotation keeps sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedKind {
    /// A key on its way.
    Key,
    /// What deliveries are signed with.
    SigningSecret,
}

/// Something that is sealed under another master key than the current one.
#[derive(Debug)]
pub struct SealedBefore {
    kind: SealedKind,
    organization: OrganizationId,
    /// That of its row, by which rows are gone through.
    id: String,
    purpose: String,
    sealed: String,
}

impl SealedBefore {
    /// Finds some of all organizations, those that come after `after`: one that does not open is gone past,
    /// and keeps none behind it from being found.
    #[must_use]
    pub fn find(kind: SealedKind, master_key_id: &str, after: Option<&Self>) -> Statement {
        let text = match kind {
            SealedKind::Key => {
                "SELECT org_id, delivery_id, sealed_key FROM api_key_deliveries INDEXED BY \
                 api_key_deliveries_by_master_key WHERE sealed_key IS NOT NULL AND substr(sealed_key, 4, 8) \
                 = ?1 AND (org_id, delivery_id) > (?2, ?3) ORDER BY org_id, delivery_id LIMIT ?4"
            }
            SealedKind::SigningSecret => {
                "SELECT org_id, key_id, delivery, sealed_signing_secret FROM api_key_rotations INDEXED BY \
                 api_key_rotations_by_master_key WHERE sealed_signing_secret IS NOT NULL AND \
                 substr(sealed_signing_secret, 4, 8) = ?1 AND (org_id, key_id) > (?2, ?3) ORDER BY org_id, \
                 key_id LIMIT ?4"
            }
        };
        Statement::new(text)
            .bind(master_key_id)
            .bind(after.map_or("", |after| after.organization.as_str()))
            .bind(after.map_or("", |after| after.id.as_str()))
            .bind(SEALING_BATCH)
    }

    /// Reads a row of [`SealedBefore::find`].
    ///
    /// # Errors
    /// When a column is absent or of another type.
    pub fn read(kind: SealedKind, row: &Row) -> Result<Self, RowError> {
        let organization = OrganizationId::from_column(row, "org_id")?;
        let (id, purpose, sealed) = match kind {
            SealedKind::Key => {
                let delivery_id = KeyDeliveryId::from_column(row, "delivery_id")?;
                let purpose = delivery_purpose(&organization, &delivery_id);
                (delivery_id.to_string(), purpose, row.text("sealed_key")?)
            }
            SealedKind::SigningSecret => {
                let target: Target = row.json("delivery")?;
                let purpose = target.signing_purpose(&organization);
                (KeyId::from_column(row, "key_id")?.to_string(), purpose, row.text("sealed_signing_secret")?)
            }
        };
        Ok(Self { kind, organization, id, purpose, sealed: sealed.to_owned() })
    }

    /// Seals it under the current master key, unless it was changed meanwhile.
    ///
    /// # Errors
    /// When it does not open.
    pub fn seal_anew(&self, master: &MasterKeys, nonce: [u8; NONCE_BYTES]) -> Result<Statement, SealError> {
        let sealed = master.seal(&self.purpose, &master.open(&self.purpose, &self.sealed)?, nonce)?;
        let text = match self.kind {
            SealedKind::Key => {
                "UPDATE api_key_deliveries SET sealed_key = ?4 WHERE org_id = ?1 AND delivery_id = ?2 AND \
                 sealed_key = ?3"
            }
            SealedKind::SigningSecret => {
                "UPDATE api_key_rotations SET sealed_signing_secret = ?4 WHERE org_id = ?1 AND key_id = ?2 \
                 AND sealed_signing_secret = ?3"
            }
        };
        let statement = Statement::new(text).bind(&self.organization).bind(self.id.as_str());
        Ok(statement.bind(self.sealed.as_str()).bind(sealed))
    }
}
