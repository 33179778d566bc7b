//! Emergency credentials: sealed ahead of time, used once, when nothing else lets an administrator in.
//!
//! All of an organization act as one user of its own, made with the first of them. It has no password and
//! signs in no other way. Using one puts that user right first: whatever was done to it, by an identity
//! provider say, must not lock out whoever opens the envelope.

use schemars::JsonSchema;
use serde::Serialize;

use crate::id::{BreakGlassId, OrganizationId, SessionId, UserId};
use crate::record::audit::RecordCondition;
use crate::record_condition;
use crate::secret::credential::CredentialHash;
use crate::sql::{Batch, FromRow, Query, Row, RowError, Statement, Ticket};
use crate::time::{Duration, Timestamp};

/// The longest reason, in characters.
pub const MAX_REASON_CHARACTERS: usize = 500;

/// The shortest reason for using one, in characters.
pub const MIN_REASON_CHARACTERS: usize = 10;

/// The longest label, in characters.
pub const MAX_LABEL_CHARACTERS: usize = 128;

/// How many credentials a page has at most.
pub const MAX_PAGE: u32 = 100;

/// The role of the emergency administrator.
const ROLE: &str = "admin";

/// A credential that is about to be sealed.
#[derive(Debug)]
pub struct NewCredential<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Its id.
    pub credential_id: &'a BreakGlassId,
    /// Its hash.
    pub hash: &'a CredentialHash,
    /// What is written on the envelope.
    pub label: Option<&'a str>,
    /// Why it is made.
    pub reason: &'a str,
    /// By whom.
    pub created_by: &'a UserId,
    /// The emergency administrator's id, where the organization has none yet.
    pub administrator_id: &'a UserId,
    /// How long it can be used.
    pub life: Duration,
    /// Now.
    pub now: Timestamp,
}

impl NewCredential<'_> {
    /// Makes the emergency administrator where there is none, and the credential. In this order, in one
    /// transaction.
    #[must_use]
    pub fn seal(&self) -> [Statement; 4] {
        [self.name_administrator(), self.create_administrator(), self.give_role(), self.store()]
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.now.after(self.life)
    }

    /// One an organization; a user that was purged makes room for another.
    fn name_administrator(&self) -> Statement {
        Statement::new(
            "INSERT INTO break_glass_administrators (org_id, role, user_id) VALUES (?1, ?3, ?2) ON CONFLICT \
             (org_id, role) DO UPDATE SET user_id = excluded.user_id WHERE NOT EXISTS (SELECT 1 FROM users \
             WHERE users.org_id = ?1 AND users.user_id = break_glass_administrators.user_id)",
        )
        .bind(self.organization)
        .bind(self.administrator_id)
        .bind(ROLE)
    }

    fn create_administrator(&self) -> Statement {
        let username = format!("break-glass-{}", self.administrator_id);
        Statement::new(
            "INSERT INTO users (org_id, user_id, kind, username, username_key, display_name, status, \
             managed_by, created_at, updated_at) SELECT org_id, user_id, 'service_account', ?3, ?3, \
             'Emergency administrator', 'active', 'manual', ?4, ?4 FROM break_glass_administrators WHERE \
             org_id = ?1 AND role = ?5 AND user_id = ?2",
        )
        .bind(self.organization)
        .bind(self.administrator_id)
        .bind(username)
        .bind(self.now)
        .bind(ROLE)
    }

    fn give_role(&self) -> Statement {
        Statement::new(
            "INSERT INTO user_roles (org_id, user_id, role) SELECT org_id, user_id, role FROM \
             break_glass_administrators WHERE org_id = ?1 AND role = ?2 ON CONFLICT DO NOTHING",
        )
        .bind(self.organization)
        .bind(ROLE)
    }

    fn store(&self) -> Statement {
        Statement::new(
            "INSERT INTO break_glass_credentials (org_id, credential_id, credential_hash, label, reason, \
             created_by, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(self.organization)
        .bind(self.credential_id)
        .bind(self.hash)
        .bind(self.label)
        .bind(self.reason)
        .bind(self.created_by)
        .bind(self.now)
        .bind(self.expires_at())
    }
}

/// A credential that somebody presents.
#[derive(Debug)]
pub struct UsableCredential {
    /// Its id.
    pub credential_id: BreakGlassId,
    /// What is written on the envelope.
    pub label: Option<String>,
    /// As whom it acts.
    pub user_id: UserId,
}

impl UsableCredential {
    /// Finds a credential by its hash, where it can still be used.
    pub fn find(organization: &OrganizationId, hash: &CredentialHash, now: Timestamp) -> Query<Self> {
        Query::new(
            "SELECT credentials.credential_id, credentials.label, administrators.user_id FROM \
             break_glass_credentials AS credentials JOIN break_glass_administrators AS administrators ON \
             administrators.org_id = credentials.org_id AND administrators.role = ?4 WHERE \
             credentials.org_id = ?1 AND credentials.credential_hash = ?2 AND credentials.used_at IS NULL \
             AND credentials.revoked_at IS NULL AND credentials.expires_at > ?3",
        )
        .bind(organization)
        .bind(hash)
        .bind(now)
        .bind(ROLE)
    }
}

impl FromRow for UsableCredential {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            credential_id: BreakGlassId::from_column(row, "credential_id")?,
            label: row.optional_text("label")?.map(str::to_owned),
            user_id: UserId::from_column(row, "user_id")?,
        })
    }
}

/// One use of a credential.
#[derive(Debug)]
pub struct Use<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// Which.
    pub credential: &'a UsableCredential,
    /// Why.
    pub reason: &'a str,
    /// The session it begins.
    pub session_id: &'a SessionId,
    /// How long that lasts.
    pub life: Duration,
    /// From where.
    pub ip_address: Option<&'a str>,
    /// With what.
    pub user_agent: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

impl Use<'_> {
    /// Uses the credential if nobody has, puts its user right and begins the session. The ticket tells
    /// whether it did: of two at the same instant, for one.
    pub fn ask(&self, batch: &mut Batch) -> Ticket {
        let spent = batch.then(self.spend());
        batch.extend([self.restore_administrator(), self.restore_role(), self.begin_session()]);
        spent
    }

    fn spend(&self) -> Statement {
        Statement::new(
            "UPDATE break_glass_credentials SET used_at = ?3, used_because = ?4, session_id = ?5 WHERE \
             org_id = ?1 AND credential_id = ?2 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > \
             ?3 RETURNING credential_id",
        )
        .bind(self.organization)
        .bind(&self.credential.credential_id)
        .bind(self.now)
        .bind(self.reason)
        .bind(self.session_id)
    }

    fn restore_administrator(&self) -> Statement {
        Statement::new(
            "UPDATE users SET status = 'active', deleted_at = NULL WHERE org_id = ?1 AND user_id = ?2 AND \
             (status <> 'active' OR deleted_at IS NOT NULL) AND EXISTS (SELECT 1 FROM \
             break_glass_credentials WHERE org_id = ?1 AND credential_id = ?3 AND session_id = ?4)",
        )
        .bind(self.organization)
        .bind(&self.credential.user_id)
        .bind(&self.credential.credential_id)
        .bind(self.session_id)
    }

    fn restore_role(&self) -> Statement {
        Statement::new(
            "INSERT INTO user_roles (org_id, user_id, role) SELECT ?1, ?2, ?5 FROM break_glass_credentials \
             WHERE org_id = ?1 AND credential_id = ?3 AND session_id = ?4 ON CONFLICT DO NOTHING",
        )
        .bind(self.organization)
        .bind(&self.credential.user_id)
        .bind(&self.credential.credential_id)
        .bind(self.session_id)
        .bind(ROLE)
    }

    fn begin_session(&self) -> Statement {
        Statement::new(
            "INSERT INTO sessions (org_id, session_id, user_id, kind, ip_address, user_agent, created_at, \
             expires_at, last_activity, mfa_verified) SELECT ?1, ?4, ?2, 'break_glass', ?5, ?6, ?7, ?8, ?7, \
             0 FROM break_glass_credentials WHERE org_id = ?1 AND credential_id = ?3 AND session_id = ?4",
        )
        .bind(self.organization)
        .bind(&self.credential.user_id)
        .bind(&self.credential.credential_id)
        .bind(self.session_id)
        .bind(self.ip_address)
        .bind(self.user_agent)
        .bind(self.now)
        .bind(self.now.after(self.life))
    }
}

/// Revokes a credential that can still be used; returns its id if so.
#[must_use]
pub fn revoke(organization: &OrganizationId, credential_id: &BreakGlassId, now: Timestamp) -> Statement {
    Statement::new(
        "UPDATE break_glass_credentials SET revoked_at = ?3 WHERE org_id = ?1 AND credential_id = ?2 AND \
         revoked_at IS NULL AND used_at IS NULL RETURNING credential_id",
    )
    .bind(organization)
    .bind(credential_id)
    .bind(now)
}

/// The audit condition "the credential `?2` can be revoked", before it is.
pub const CAN_BE_REVOKED: RecordCondition = record_condition!(
    "EXISTS (SELECT 1 FROM break_glass_credentials WHERE org_id = ?1 AND credential_id = ?2 AND revoked_at \
     IS NULL AND used_at IS NULL)"
);

/// Whether a credential can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialStatus {
    /// It can.
    Sealed,
    /// It was used.
    Used,
    /// It was revoked.
    Revoked,
    /// It is past its time.
    Expired,
}

/// A credential as the list shows it, without its secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ListedCredential {
    /// Its id.
    pub credential_id: BreakGlassId,
    /// What is written on the envelope.
    pub label: Option<String>,
    /// Why it was made.
    pub reason: String,
    /// Whether it can still be used.
    pub status: CredentialStatus,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// Why it was used.
    pub used_because: Option<String>,
    /// The session that it began.
    pub session_id: Option<SessionId>,
}

impl ListedCredential {
    /// A page of an organization's credentials, oldest first, after the one that is named.
    pub fn page(
        organization: &OrganizationId,
        after: Option<&BreakGlassId>,
        limit: u32,
        now: Timestamp,
    ) -> Query<Self> {
        Query::new(
            "SELECT credential_id, label, reason, created_by, created_at, expires_at, revoked_at, used_at, \
             used_because, session_id, expires_at <= ?4 AS is_expired FROM break_glass_credentials WHERE \
             org_id = ?1 AND credential_id > ?2 ORDER BY credential_id LIMIT ?3",
        )
        .bind(organization)
        .bind(after.map(BreakGlassId::as_str).unwrap_or_default())
        .bind(limit)
        .bind(now)
    }
}

impl FromRow for ListedCredential {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let moment = |column| Ok(row.optional_integer(column)?.map(Timestamp::from_millis));
        let (revoked_at, used_at) = (moment("revoked_at")?, moment("used_at")?);
        let status = match (used_at, revoked_at, row.integer("is_expired")?) {
            (Some(_), ..) => CredentialStatus::Used,
            (None, Some(_), _) => CredentialStatus::Revoked,
            (None, None, 0) => CredentialStatus::Sealed,
            (None, None, _) => CredentialStatus::Expired,
        };
        let session_id = row.optional_text("session_id")?.map(str::parse).transpose();
        Ok(Self {
            credential_id: BreakGlassId::from_column(row, "credential_id")?,
            label: row.optional_text("label")?.map(str::to_owned),
            reason: row.text("reason")?.to_owned(),
            status,
            created_by: UserId::from_column(row, "created_by")?,
            created_at: Timestamp::from_millis(row.integer("created_at")?),
            expires_at: Timestamp::from_millis(row.integer("expires_at")?),
            revoked_at,
            used_at,
            used_because: row.optional_text("used_because")?.map(str::to_owned),
            session_id: session_id.map_err(|_| RowError::unreadable("session_id"))?,
        })
    }
}
