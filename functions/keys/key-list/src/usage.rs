//! `GET /api/v1/auth/keys/{key_id}/usage`: how often a key was used, by day.

use iam_core::id::KeyId;
use iam_core::keys::{KeyUsage, ListedKey, USAGE_DAYS};
use iam_core::sql::Batch;
use iam_service::{ApiError, Caller, Context, Id, Json, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::no_such_key;

const DEFAULT_DAYS: u32 = 30;

/// Of how many days.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// How many days, today included: 1 to 90, 30 where absent.
    pub days: Option<u32>,
}

/// How often a key was used.
#[derive(Serialize, JsonSchema)]
pub(crate) struct UsageResponse {
    /// The key.
    pub key_id: KeyId,
    /// The days on which it was used, UTC, oldest first.
    pub usage: Vec<KeyUsage>,
}

pub(crate) async fn usage(
    context: Context,
    caller: Caller,
    Id(key_id): Id<KeyId>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageResponse>, ApiError> {
    let days = query.days.unwrap_or(DEFAULT_DAYS);
    if !(1..=USAGE_DAYS).contains(&days) {
        return Err(ApiError::bad_request("invalid_query", format!("`days` is 1 to {USAGE_DAYS}")));
    }
    let organization = &caller.organization;
    let mut batch = Batch::new();
    let key = batch.ask(ListedKey::find(organization, &key_id, caller.decide("read", "api_keys")));
    let usage = batch.ask(KeyUsage::of_key(organization, &key_id, days, context.now));
    let answers = context.db(organization).batch(batch).await?;
    answers.one(key)?.ok_or_else(no_such_key)?;
    Ok(Json(UsageResponse { key_id, usage: answers.all(usage)? }))
}
