//! `POST /api/v1/auth/keys/{key_id}/rotate`: a new key in place of an old one, both working during the
//! overlap.

use http::HeaderMap;
use iam_core::id::KeyId;
use iam_core::keys::{CarriedRights, KEY_CREATED, KEY_EXISTS, Rotation, RotationOutcome, acts};
use iam_core::permission::Scope;
use iam_core::sql::Batch;
use iam_core::time::{Duration, Timestamp};
use iam_service::{
    Access, ApiError, Caller, Context, Creation, CreationResult, Function, Id, Json, Route, key_fields,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// The longest overlap.
const MAX_OVERLAP: Duration = Duration::from_days(90);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let write_own = Access::permission("api_keys", "write", Scope::Own);
    Function::new("key-rotate", "Rotates API keys").uses_database().uses_master_key().route(
        Route::post("/api/v1/auth/keys/{key_id}/rotate", write_own, rotate)
            .summary("Replaces an API key")
            .description(
                "The new key has all that the old one has but its secret: name, permissions, limits, \
                     address ranges, metadata, life and schedule. Both work until the overlap ends. A key \
                     that is itself on its way to its owner can't be replaced. Whoever holds \
                     `api_keys.write.organization` may rotate anybody's; either must hold all that the key \
                     may do. Takes an `Idempotency-Key`.",
            )
            .takes::<RotateKeyRequest>()
            .gives::<RotateKeyResponse>(200, "Replaced")
            .round_trips(4),
    )
}

/// How long the old key works on.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyRequest {
    /// In hours, 0 to 2160.
    pub overlap_hours: Option<u32>,
    /// In days, 0 to 90: another way to say it.
    pub grace_period_days: Option<u32>,
}

/// The old key and the new one.
#[derive(Serialize, Deserialize, JsonSchema)]
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

/// Two round trips beside the caller's authentication; another where an `Idempotency-Key` comes again.
async fn rotate(
    context: Context,
    caller: Caller,
    Id(old_key_id): Id<KeyId>,
    headers: HeaderMap,
    Json(request): Json<RotateKeyRequest>,
) -> Result<Json<RotateKeyResponse>, ApiError> {
    let overlap = overlap(&request, context.configuration().api_keys.default_overlap)?;
    let organization = &caller.organization;
    let route = format!("/api/v1/auth/keys/{old_key_id}/rotate");
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), &route, &request)?;
    let reach = caller.decide("write", "api_keys");
    let find = CarriedRights::find(organization, &old_key_id, reach);
    let carried = context.db(organization).one(find).await?.ok_or_else(no_such_key)?;
    key_fields::carried(&caller, &carried.permissions)?;
    let new_key_id = context.new_id(KeyId::new)?;
    let secret = context.new_api_key(organization)?;
    let hash = secret.hash();
    let rotation = Rotation {
        organization,
        reach,
        old_key_id: &old_key_id,
        new_key_id: &new_key_id,
        new_hash: &hash,
        carried: &carried,
        overlap,
        max_per_user: context.configuration().api_keys.max_per_user,
        now: context.now,
    };
    let event = context
        .audit_by(&caller, acts::ROTATE)?
        .on(old_key_id.as_str())
        .detail("new_key_id", new_key_id.as_str())
        .detail("overlap", overlap.to_string());
    let mut batch = Batch::new();
    batch.extend([rotation.replace_old(), rotation.create_new()]);
    batch.extend(rotation.hand_schedule_on());
    batch.then(event.record_if(KEY_EXISTS, &new_key_id));
    let outcome = batch.ask(rotation.outcome());
    let answer = RotateKeyResponse {
        old_key_id: old_key_id.clone(),
        new_key_id: new_key_id.clone(),
        new_api_key: secret.reveal().to_owned(),
        old_key_expires_at: rotation.old_expires_at(),
        new_key_expires_at: rotation.new_expires_at(),
    };
    let created = (KEY_CREATED, new_key_id.as_str());
    let answers = match creation.run(&context, organization, batch, created, &answer).await? {
        CreationResult::Replayed(first) => return Ok(Json(first)),
        CreationResult::Ran(answers) => answers,
    };
    match RotationOutcome::read(&answers.one(outcome)?.ok_or_else(no_such_key)?, &rotation)? {
        RotationOutcome::Replaced => Ok(Json(answer)),
        outcome => Err(not_rotated(outcome, rotation.max_per_user)),
    }
}

fn no_such_key() -> ApiError {
    ApiError::not_found("there is no such API key")
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

fn not_rotated(outcome: RotationOutcome, max_per_user: u32) -> ApiError {
    match outcome {
        RotationOutcome::Revoked => ApiError::conflict("key_revoked", "a revoked key can't be rotated"),
        RotationOutcome::ReplacedBefore => {
            ApiError::conflict("key_already_rotated", "this key was replaced already")
        }
        RotationOutcome::Expired => {
            ApiError::conflict("key_expired", "an expired key can't be rotated; create a new one")
        }
        RotationOutcome::NotDelivered => {
            let detail = "this key is itself on its way to its owner, in the place of another";
            ApiError::conflict("key_not_delivered", detail)
        }
        RotationOutcome::TooMany => {
            let most = max_per_user.saturating_mul(2);
            let detail = format!(
                "a user may have {most} active keys, those that are being replaced among them; wait for an \
                 overlap to end, or revoke one"
            );
            ApiError::conflict("too_many_keys", detail)
        }
        RotationOutcome::Changed | RotationOutcome::Replaced => key_fields::changed_meanwhile(),
    }
}
