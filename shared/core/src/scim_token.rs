//! The bearer tokens of SCIM clients.

use crate::credential::CredentialHash;
use crate::id::{OrganizationId, ScimTokenId};
use crate::sql::{FromRow, Row, RowError, Statement};
use crate::time::Timestamp;

/// A SCIM client's token as a request's check sees it.
#[derive(Debug)]
pub struct ScimToken {
    /// Its id.
    pub token_id: ScimTokenId,
    /// What people call the client.
    pub name: String,
    expires_at: Option<Timestamp>,
    revoked: bool,
}

impl ScimToken {
    /// Finds a token by its hash, working or not.
    #[must_use]
    pub fn find(organization: &OrganizationId, hash: &CredentialHash) -> Statement {
        Statement::new(
            "SELECT token_id, name, expires_at, revoked_at FROM scim_tokens WHERE org_id = ?1 AND token_hash = ?2",
        )
        .bind(organization)
        .bind(hash)
    }

    /// Whether it works now.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        !self.revoked && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Stores a new token without an end.
    #[must_use]
    pub fn store(
        organization: &OrganizationId,
        token_id: &ScimTokenId,
        hash: &CredentialHash,
        name: &str,
        now: Timestamp,
    ) -> Statement {
        Statement::new(
            "INSERT INTO scim_tokens (org_id, token_id, token_hash, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(organization)
        .bind(token_id)
        .bind(hash)
        .bind(name)
        .bind(now)
    }
}

impl FromRow for ScimToken {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            token_id: ScimTokenId::from_column(row, "token_id")?,
            name: row.text("name")?.to_owned(),
            expires_at: row.optional_integer("expires_at")?.map(Timestamp::from_millis),
            revoked: row.optional_integer("revoked_at")?.is_some(),
        })
    }
}
