//! `POST /api/v1/auth/keys/{key_id}/rotate`: a new key in place of an old one, both working during the overlap.

use iam_core::api_key::{KEY_EXISTS, KeyStatus, ListedKey, Reach, Rotation};
use iam_core::id::KeyId;
use iam_core::permission::Scope;
use iam_core::sql::Rows;
use iam_core::time::{Duration, Timestamp};
use iam_service::{Access, ApiError, Caller, Context, Function, Id, Json, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// The longest overlap.
const MAX_OVERLAP: Duration = Duration::from_days(90);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let write_own = Access::permission("api_keys", "write", Scope::Own);
    Function::new("key-rotate", "Rotates API keys")
        .uses_database()
        .route(
            Route::post("/api/v1/auth/keys/{key_id}/rotate", write_own, rotate)
                .summary("Replaces an API key")
                .description(
                    "The new key has all that the old one has but its secret: name, permissions, limits, address ranges, \
                     metadata, life and schedule. Both work until the overlap ends. A key that is itself on its way to \
                     its owner can't be replaced. Whoever holds `api_keys.write.organization` may rotate anybody's.",
                )
                .takes::<RotateKeyRequest>()
                .gives::<RotateKeyResponse>(200, "Replaced")
                .round_trips(2),
        )
}

/// How long the old key works on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyRequest {
    /// In hours, 0 to 2160.
    pub overlap_hours: Option<u32>,
    /// In days, 0 to 90: another way to say it.
    pub grace_period_days: Option<u32>,
}

/// The old key and the new one.
#[derive(Serialize, JsonSchema)]
pub struct RotateKeyResponse {
    /// The key that was replaced.
    pub old_key_id: KeyId,
    /// The key that replaces it.
    pub new_key_id: KeyId,
    /// The new key itself: shown here once, stored nowhere.
    pub new_api_key: String,
    /// When the old key stops working.
    pub old_key_expires_at: Timestamp,
    /// When the new key ends.
    pub new_key_expires_at: Timestamp,
}

/// One round trip beside the caller's authentication.
async fn rotate(
    context: Context,
    caller: Caller,
    Id(old_key_id): Id<KeyId>,
    Json(request): Json<RotateKeyRequest>,
) -> Result<Json<RotateKeyResponse>, ApiError> {
    let overlap = overlap(&request, context.configuration().api_keys.default_overlap)?;
    let organization = &caller.organization;
    let new_key_id = context.new_id(KeyId::new)?;
    let secret = context.new_api_key(organization)?;
    let hash = secret.hash();
    let rotation = Rotation {
        organization,
        reach: reach(&caller),
        old_key_id: &old_key_id,
        new_key_id: &new_key_id,
        new_hash: &hash,
        overlap,
        now: context.now,
    };
    let event = context
        .audit_by(&caller, "api_key.rotate", "api_key")?
        .on(old_key_id.as_str())
        .detail("new_key_id", new_key_id.as_str())
        .detail("overlap", overlap.to_string());
    let [give_schedule, end_schedule] = rotation.hand_schedule_on();
    let batch = vec![
        rotation.replace_old(),
        rotation.create_new(),
        give_schedule,
        end_schedule,
        event.record_if(KEY_EXISTS, &new_key_id),
        rotation.result(),
    ];
    let rows = context.db(organization).batch(batch).await?.pop().unwrap_or_default();
    let (old, new) = both(&rows, &old_key_id, context.now)?;
    let old = old.ok_or_else(|| ApiError::not_found("there is no such API key"))?;
    let new = new.ok_or_else(|| not_rotatable(&old))?;
    Ok(Json(RotateKeyResponse {
        old_key_id,
        new_key_id,
        new_api_key: secret.reveal().to_owned(),
        old_key_expires_at: old.expires_at,
        new_key_expires_at: new.expires_at,
    }))
}

fn overlap(request: &RotateKeyRequest, default: Duration) -> Result<Duration, ApiError> {
    let overlap = match (request.overlap_hours, request.grace_period_days) {
        (Some(_), Some(_)) => {
            return Err(ApiError::field("/grace_period_days", "not together with `overlap_hours`"));
        }
        (Some(hours), None) => Duration::from_hours(hours.into()),
        (None, Some(days)) => Duration::from_days(days.into()),
        (None, None) => default,
    };
    if overlap > MAX_OVERLAP {
        let field = if request.overlap_hours.is_some() { "/overlap_hours" } else { "/grace_period_days" };
        return Err(ApiError::field(field, format!("at most {MAX_OVERLAP}")));
    }
    Ok(overlap)
}

fn reach(caller: &Caller) -> Reach<'_> {
    if caller.may("api_keys", "write", Scope::Organization) {
        Reach::Organization
    } else {
        Reach::Own(&caller.user_id)
    }
}

fn both(
    rows: &Rows,
    old_key_id: &KeyId,
    now: Timestamp,
) -> Result<(Option<ListedKey>, Option<ListedKey>), ApiError> {
    let keys = rows.iter().map(|row| ListedKey::read(row, now)).collect::<Result<Vec<_>, _>>()?;
    let (old, new): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.key_id == *old_key_id);
    Ok((old.into_iter().next(), new.into_iter().next()))
}

fn not_rotatable(old: &ListedKey) -> ApiError {
    match (old.status, &old.replaced_by) {
        (KeyStatus::Revoked, _) => ApiError::conflict("key_revoked", "a revoked key can't be rotated"),
        (_, Some(_)) => ApiError::conflict("key_already_rotated", "this key was replaced already"),
        (KeyStatus::Expired, None) => {
            ApiError::conflict("key_expired", "an expired key can't be rotated; create a new one")
        }
        (KeyStatus::Active, None) => {
            let detail = "this key is itself on its way to its owner, in the place of another";
            ApiError::conflict("key_not_delivered", detail)
        }
    }
}
