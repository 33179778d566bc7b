//! Idempotent POSTs: the answer to an `Idempotency-Key` is kept, sealed, in the same transaction as what it
//! created, so a retry after a lost answer gets that answer again and creates nothing.

use sha2::{Digest, Sha256};

use crate::due::Sweep;
use crate::encoding::base64url;
use crate::id::OrganizationId;
use crate::secret::register::KEPT_ANSWER;
use crate::sql::{FromRow, Query, Row, RowError, Statement, Value};
use crate::sweep;
use crate::time::{Duration, Timestamp};

/// How long an answer is kept.
pub const RETENTION: Duration = Duration::from_hours(24);

/// The longest `Idempotency-Key`, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// A request that may be a retry.
#[derive(Debug)]
pub struct IdempotentRequest {
    organization: OrganizationId,
    subject_id: String,
    key: String,
    request_hash: String,
}

impl IdempotentRequest {
    /// A request of `subject_id` to `route` with this key and body.
    #[must_use]
    pub fn new(organization: &OrganizationId, subject_id: &str, route: &str, key: &str, body: &[u8]) -> Self {
        let hash = |parts: [&[u8]; 3]| {
            let mut digest = Sha256::new();
            parts.iter().for_each(|part| digest.update(part));
            base64url(&digest.finalize())
        };
        Self {
            organization: organization.clone(),
            subject_id: subject_id.to_owned(),
            key: hash([route.as_bytes(), b"\0", key.as_bytes()]),
            request_hash: hash([body, b"", b""]),
        }
    }

    /// What the kept answer is sealed for.
    #[must_use]
    pub fn purpose(&self) -> String {
        KEPT_ANSWER.purpose(&self.organization, &[&self.subject_id, &self.key])
    }

    /// Keeps the answer. The first statement of a batch: where the key was used already it violates the
    /// primary key, and nothing of the batch happens.
    #[must_use]
    pub fn keep(&self, sealed_answer: &str, now: Timestamp) -> Statement {
        Statement::new(
            "INSERT INTO idempotent_answers (org_id, subject_id, idempotency_key, request_hash, \
             sealed_answer, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(&self.organization)
        .bind(self.subject_id.as_str())
        .bind(self.key.as_str())
        .bind(self.request_hash.as_str())
        .bind(sealed_answer)
        .bind(now)
    }

    /// Forgets the answer again where nothing was created after all: the last statement of the batch. A
    /// refusal may become a success, so it is not kept.
    #[must_use]
    pub fn forget_unless(&self, exists: CreationCondition, id: impl Into<Value>) -> Statement {
        Statement::new(exists.0)
            .bind(&self.organization)
            .bind(self.subject_id.as_str())
            .bind(self.key.as_str())
            .bind(id)
    }

    /// Finds the kept answer.
    pub fn find(&self) -> Query<KeptAnswer> {
        Query::new(
            "SELECT request_hash, sealed_answer FROM idempotent_answers \
             WHERE org_id = ?1 AND subject_id = ?2 AND idempotency_key = ?3",
        )
        .bind(&self.organization)
        .bind(self.subject_id.as_str())
        .bind(self.key.as_str())
    }

    /// Whether a kept answer is the answer to this very request.
    #[must_use]
    pub fn is_same(&self, kept: &KeptAnswer) -> bool {
        self.request_hash == kept.request_hash
    }
}

/// What tells that something was created: made by [`creation_condition`](crate::creation_condition), so that
/// the SQL is a constant.
#[derive(Clone, Copy, Debug)]
pub struct CreationCondition(pub &'static str);

/// The condition under which an answer stays kept. Its own parameter is `?4`; `?1` is the organization.
#[macro_export]
macro_rules! creation_condition {
    ($condition:literal) => {
        $crate::record::idempotency::CreationCondition(concat!(
            "DELETE FROM idempotent_answers WHERE org_id = ?1 AND subject_id = ?2 AND idempotency_key = ?3 \
             AND NOT ",
            $condition
        ))
    };
}

/// An answer that was kept.
#[derive(Debug)]
pub struct KeptAnswer {
    /// The answer's body, sealed.
    pub sealed_answer: String,
    request_hash: String,
}

impl FromRow for KeptAnswer {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self {
            sealed_answer: row.text("sealed_answer")?.to_owned(),
            request_hash: row.text("request_hash")?.to_owned(),
        })
    }
}

/// Answers that are kept: for [`RETENTION`].
pub const OLD_ANSWERS: Sweep = sweep!(
    of: "idempotent_answers", key: "org_id, subject_id, idempotency_key", past: "created_at",
    by: "idempotent_answers_by_age",
);
