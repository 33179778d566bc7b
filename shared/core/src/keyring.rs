//! The keyring: an organization's signing keys, their private halves sealed under the host's master key.

use crate::encoding::{base64url, from_base64url};
use crate::id::{OrganizationId, SigningKeyId};
use crate::jwt::{Algorithm, PrivateKey, PublicKey};
use crate::seal::{MasterKey, NONCE_BYTES, SealError};
use crate::sql::{FromRow, Row, RowError, Statement};
use crate::time::Timestamp;

/// How many keys of an organization are looked at: the one in use per algorithm and those that still verify.
const MAX_KEYS: u32 = 16;

/// A signing key as it is stored.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Its id, the `kid` of the tokens it signs.
    pub key_id: SigningKeyId,
    /// What verifies its signatures.
    pub public: PublicKey,
    /// Whether it no longer signs.
    pub is_retired: bool,
    sealed_private: String,
}

impl StoredKey {
    /// Seals a new key for an organization.
    ///
    /// # Errors
    /// When the cipher refuses.
    pub fn new(
        organization: &OrganizationId,
        key_id: SigningKeyId,
        private: &PrivateKey,
        public: PublicKey,
        master: &MasterKey,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, SealError> {
        let sealed_private = master.seal(&purpose(organization, &key_id), &private.bytes, nonce)?;
        Ok(Self { key_id, public, is_retired: false, sealed_private })
    }

    /// The organization's keys, newest first.
    #[must_use]
    pub fn all(organization: &OrganizationId) -> Statement {
        Statement::new(
            "SELECT key_id, algorithm, public_key, sealed_private_key, retired_at FROM signing_keys \
             WHERE org_id = ?1 ORDER BY key_id DESC LIMIT ?2",
        )
        .bind(organization)
        .bind(MAX_KEYS)
    }

    /// Stores the key, unless another key of its algorithm is in use already: of two made at the same
    /// instant one stays.
    #[must_use]
    pub fn store(&self, organization: &OrganizationId, now: Timestamp) -> Statement {
        Statement::new(
            "INSERT INTO signing_keys (org_id, key_id, algorithm, public_key, sealed_private_key, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )
        .bind(organization)
        .bind(&self.key_id)
        .bind(self.public.algorithm.as_str())
        .bind(base64url(&self.public.bytes))
        .bind(self.sealed_private.as_str())
        .bind(now)
    }

    /// Opens the private half.
    ///
    /// # Errors
    /// When it was sealed under another master key or changed since.
    pub fn open(&self, organization: &OrganizationId, master: &MasterKey) -> Result<PrivateKey, SealError> {
        let bytes = master.open(&purpose(organization, &self.key_id), &self.sealed_private)?;
        Ok(PrivateKey { algorithm: self.public.algorithm, bytes })
    }
}

fn purpose(organization: &OrganizationId, key_id: &SigningKeyId) -> String {
    format!("signing_keys/{organization}/{key_id}")
}

impl FromRow for StoredKey {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let algorithm =
            Algorithm::from_name(row.text("algorithm")?).ok_or(RowError::unreadable("algorithm"))?;
        let bytes = from_base64url(row.text("public_key")?).ok_or(RowError::unreadable("public_key"))?;
        Ok(Self {
            key_id: SigningKeyId::from_column(row, "key_id")?,
            public: PublicKey { algorithm, bytes },
            is_retired: row.optional_integer("retired_at")?.is_some(),
            sealed_private: row.text("sealed_private_key")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::key_pair;

    #[test]
    fn a_key_opens_for_its_own_organization_only() {
        let master = MasterKey::parse(&base64url(&[9; 32])).unwrap();
        let organization: OrganizationId = "org_000000001".parse().unwrap();
        let (private, public) = key_pair(Algorithm::Es256, &[1; 32]).unwrap();
        let key_id = SigningKeyId::new(Timestamp::from_millis(1), [1; 10]);
        let stored =
            StoredKey::new(&organization, key_id, &private, public, &master, [2; NONCE_BYTES]).unwrap();
        assert_eq!(stored.open(&organization, &master).unwrap().bytes, private.bytes);
        let other: OrganizationId = "org_000000002".parse().unwrap();
        assert_eq!(stored.open(&other, &master).err(), Some(SealError::Broken));
    }
}
