//! Schedules: set, shown, ended.

use http::StatusCode;
use iam_core::id::KeyId;
use iam_core::keys::{
    CarriedRights, KEY_CAN_ROTATE, NewSchedule, OWN_KEY_CAN_ROTATE, OWN_SCHEDULE_EXISTS, SCHEDULE_EXISTS,
    Schedule, Target, acts,
};
use iam_core::sql::Batch;
use iam_core::time::{Duration, Timestamp};
use iam_service::{ApiError, Caller, Context, Id, Json, key_fields};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::target;

/// What signing secrets begin with (Standard Webhooks).
pub(crate) const SIGNING_SECRET_PREFIX: &str = "whsec_";

/// When, and where to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleRequest {
    /// How old the key is when it is replaced, 1 to 366.
    period_days: u32,
    /// How long the old key works once the new one was delivered, 0 to 2160 and no longer than the period.
    overlap_hours: u32,
    /// Where the new key goes.
    delivery: Target,
}

/// A schedule.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ScheduleAnswer {
    /// The key.
    key_id: KeyId,
    /// How old it is when it is replaced.
    period_days: i64,
    /// How long it works once its successor was delivered.
    overlap_hours: i64,
    /// When it is replaced; null once it was, or the schedule was ended.
    due_at: Option<Timestamp>,
    /// Where the new key goes; in a Vault the whole path.
    delivery: Target,
    /// What deliveries are signed with: shown once, when a webhook is set that was not set before.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
}

impl ScheduleAnswer {
    fn new(schedule: Schedule, signing_secret: Option<String>) -> Self {
        Self {
            key_id: schedule.key_id,
            period_days: schedule.period.as_seconds() / 86_400,
            overlap_hours: schedule.overlap.as_seconds() / 3_600,
            due_at: schedule.due_at,
            delivery: schedule.target,
            signing_secret,
        }
    }
}

/// Two round trips beside the caller's authentication.
pub(crate) async fn set(
    context: Context,
    caller: Caller,
    Id(key_id): Id<KeyId>,
    Json(request): Json<ScheduleRequest>,
) -> Result<Json<ScheduleAnswer>, ApiError> {
    if !(1..=366).contains(&request.period_days) {
        return Err(ApiError::field("/period_days", "1 to 366"));
    }
    // A longer overlap than the period would gather any number of keys that work.
    if request.overlap_hours > 2160.min(request.period_days.saturating_mul(24)) {
        return Err(ApiError::field("/overlap_hours", "0 to 2160, and no longer than the period"));
    }
    let organization = &caller.organization;
    let reach = caller.decide("write", "api_keys");
    let target = target::checked(request.delivery, &caller, !reach.is_wide(), context.configuration())?;
    // Whoever says where a key's successors go gets them.
    let find = CarriedRights::find(organization, &key_id, reach);
    let carried = context.db(organization).one(find).await?.ok_or_else(no_working_key)?;
    key_fields::carried(&caller, &carried.permissions)?;
    let secret = match target {
        Target::Webhook { .. } => Some(Zeroizing::new(context.entropy::<32>()?)),
        Target::Vault { .. } => None,
    };
    let seal = |secret: &Zeroizing<[u8; 32]>| {
        let purpose = target.signing_purpose(organization);
        Ok::<_, ApiError>(context.instance.master_key()?.seal(
            &purpose,
            secret.as_slice(),
            context.entropy()?,
        )?)
    };
    let sealed = secret.as_ref().map(seal).transpose()?;
    let schedule = NewSchedule {
        organization,
        reach,
        key_id: &key_id,
        carried: &carried,
        period: Duration::from_days(request.period_days.into()),
        overlap: Duration::from_hours(request.overlap_hours.into()),
        target: &target,
        sealed_signing_secret: sealed.as_deref(),
        now: context.now,
    };
    let event = context
        .audit_by(&caller, acts::ROTATION_SET)?
        .on(key_id.as_str())
        .detail("period", schedule.period.to_string())
        .detail("overlap", schedule.overlap.to_string())
        .detail("delivery", describe(&target));
    let condition = if reach.is_wide() { KEY_CAN_ROTATE } else { OWN_KEY_CAN_ROTATE };
    let mut batch = Batch::new();
    let stored = batch.ask(schedule.set());
    batch.then(event.record_if(condition, carried.as_stored.as_str()));
    let answers = context.db(organization).batch(batch).await?;
    let stored = answers.one(stored)?.ok_or_else(no_working_key)?;
    // The secret of a target that was set before stays, and was shown then.
    let is_new = sealed.is_some() && stored.sealed_signing_secret == sealed;
    let shown = secret.filter(|_| is_new).map(|secret| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(secret.as_slice());
        format!("{SIGNING_SECRET_PREFIX}{text}")
    });
    Ok(Json(ScheduleAnswer::new(stored, shown)))
}

/// For the audit: where to, without what an address may carry in its query.
fn describe(target: &Target) -> String {
    match target {
        Target::Vault { mount, path } => format!("vault {mount} {path}"),
        Target::Webhook { url, .. } => {
            format!("webhook {}", url.split('?').next().unwrap_or_default())
        }
    }
}

/// One round trip beside the caller's authentication.
pub(crate) async fn show(
    context: Context,
    caller: Caller,
    Id(key_id): Id<KeyId>,
) -> Result<Json<ScheduleAnswer>, ApiError> {
    let find = Schedule::find(&caller.organization, &key_id, caller.decide("read", "api_keys"));
    let found = context.db(&caller.organization).one(find).await?;
    found.map(|schedule| Json(ScheduleAnswer::new(schedule, None))).ok_or_else(no_schedule)
}

/// One round trip beside the caller's authentication.
pub(crate) async fn end(
    context: Context,
    caller: Caller,
    Id(key_id): Id<KeyId>,
) -> Result<StatusCode, ApiError> {
    let reach = caller.decide("write", "api_keys");
    let condition = if reach.is_wide() { SCHEDULE_EXISTS } else { OWN_SCHEDULE_EXISTS };
    let event = context.audit_by(&caller, acts::ROTATION_END)?.on(key_id.as_str());
    let mut batch = Batch::new();
    batch.then(event.record_if(condition, &key_id));
    let ended = Schedule::end(&caller.organization, &key_id, reach, &mut batch);
    let answers = context.db(&caller.organization).batch(batch).await?;
    if answers.did(ended)? { Ok(StatusCode::NO_CONTENT) } else { Err(no_schedule()) }
}

fn no_working_key() -> ApiError {
    ApiError::not_found("there is no such API key that works and was not replaced")
}

fn no_schedule() -> ApiError {
    ApiError::not_found("this API key is not rotated by itself")
}
