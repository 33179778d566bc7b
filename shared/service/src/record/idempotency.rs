//! `Idempotency-Key` on a POST that creates: the same key and body get the first answer again, another body
//! is refused.

use http::{HeaderMap, StatusCode};
use iam_core::id::OrganizationId;
use iam_core::record::idempotency::{CreationCondition, IdempotentRequest, MAX_KEY_BYTES};
use iam_core::sql::{Answers, Batch};
use iam_edge::DbError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::request::error::ApiError;

/// A request that creates something, with or without an `Idempotency-Key`.
#[derive(Debug)]
pub struct Creation(Option<IdempotentRequest>);

/// What a creation came to.
#[derive(Debug)]
pub enum CreationResult<T> {
    /// The batch ran; what it answered.
    Ran(Answers),
    /// The key was used before for the same body; the answer it got then.
    Replayed(T),
}

impl Creation {
    /// Reads the header.
    ///
    /// # Errors
    /// 400 where it is empty, too long or not visible ASCII.
    pub fn of(
        headers: &HeaderMap,
        organization: &OrganizationId,
        subject_id: &str,
        route: &str,
        body: &impl Serialize,
    ) -> Result<Self, ApiError> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY_BYTES);
        let key = key.ok_or_else(|| {
            let detail = format!("`Idempotency-Key` must be 1 to {MAX_KEY_BYTES} visible characters");
            ApiError::bad_request("invalid_idempotency_key", detail)
        })?;
        let body = serde_json::to_vec(body)?;
        Ok(Self(Some(IdempotentRequest::new(organization, subject_id, route, key, &body))))
    }

    /// Runs the batch that creates, and keeps its answer in the same transaction where the caller sent a key
    /// and `created` holds for `id`. One round trip; another where the key was used before.
    ///
    /// # Errors
    /// 422 where the key was used for another body; whatever the database says.
    pub async fn run<T: Serialize + DeserializeOwned>(
        &self,
        context: &Context,
        organization: &OrganizationId,
        batch: Batch,
        created: (CreationCondition, &str),
        answer: &T,
    ) -> Result<CreationResult<T>, ApiError> {
        let answer = if self.0.is_some() { serde_json::to_vec(answer)? } else { Vec::new() };
        match self.run_encoded(context, organization, batch, created, &answer).await? {
            CreationResult::Ran(answers) => Ok(CreationResult::Ran(answers)),
            CreationResult::Replayed(first) => Ok(CreationResult::Replayed(serde_json::from_slice(&first)?)),
        }
    }

    /// The same with the answer's bytes: in a module once, however many kinds of answers it keeps.
    async fn run_encoded(
        &self,
        context: &Context,
        organization: &OrganizationId,
        mut batch: Batch,
        (created, id): (CreationCondition, &str),
        answer: &[u8],
    ) -> Result<CreationResult<Zeroizing<Vec<u8>>>, ApiError> {
        let db = context.db(organization);
        let Some(request) = &self.0 else { return Ok(CreationResult::Ran(db.batch(batch).await?)) };
        let master = context.instance.master_key()?;
        let sealed = master.seal(&request.purpose(), answer, context.entropy()?)?;
        // A key that was used before violates the primary key, and nothing of the batch stays done.
        batch.then(request.keep(&sealed, context.now));
        batch.then(request.forget_unless(created, id));
        match db.batch(batch).await {
            Ok(answers) => Ok(CreationResult::Ran(answers)),
            Err(DbError::Constraint(cause)) => {
                let kept = db.one(request.find()).await?;
                let kept = kept.ok_or_else(|| ApiError::internal(cause))?;
                if !request.is_same(&kept) {
                    let detail = "this `Idempotency-Key` was used with another body";
                    return Err(ApiError::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "idempotency_key_reused",
                        detail,
                    ));
                }
                Ok(CreationResult::Replayed(master.open(&request.purpose(), &kept.sealed_answer)?))
            }
            Err(error) => Err(error.into()),
        }
    }
}
