//! `/api/v1/keyring`: the organization's signing keys, their rotation by call, the job that rotates, destroys
//! and deletes them by schedule, and the job that seals anew while the master key is rotated.

mod job;
mod reseal;

use iam_core::id::SigningKeyId;
use iam_core::jose::jwt::Algorithm;
use iam_core::oauth::acts;
use iam_core::oauth::keyring::{Phase, Place, RotationRefusal, SIGNING_KEY_EXISTS, StoredKey, Timing};
use iam_core::permission::Scope;
use iam_core::secret::register::IsNeeded;
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::{Access, ApiError, Area, Caller, Context, Function, Json, Route, new_key};
use iam_telemetry::Collector;
use iam_telemetry::instruments::SECURITY_EVENTS;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// The longest reason, in characters.
const MAX_REASON_CHARACTERS: usize = 256;

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read = Access::permission("keyring", "read", Scope::Organization);
    let manage = Access::permission("keyring", "manage", Scope::Organization);
    Function::new("keyring", "Shows and rotates the keys that sign tokens")
        .area(Area::Admin)
        .uses_database()
        .uses_master_key()
        .route(
            Route::get("/api/v1/keyring", read, show)
                .summary("Shows the signing keys and their phases")
                .gives::<KeyringAnswer>(200, "The keys that the JWKS publishes, youngest first")
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/keyring/rotate", manage, rotate)
                .summary("Replaces the signing key")
                .description(
                    "Announces a successor, which signs once every verifier that caches the JWKS has seen \
                     it; no token fails. With `emergency` the new key signs at once and all others are \
                     retired: every access token fails within a minute, this caller's too, and verifiers \
                     have to fetch the JWKS again.",
                )
                .takes::<RotateRequest>()
                .gives::<RotateAnswer>(200, "The new key")
                .round_trips(3),
        )
        .jobs([job::job(), reseal::job()])
}

/// The signing keys of the caller's organization.
#[derive(Serialize, JsonSchema)]
pub struct KeyringAnswer {
    /// The keys that the JWKS publishes, youngest first.
    pub keys: Vec<ListedSigningKey>,
    /// Whether the host still needs its previous master key.
    pub previous_master_key: PreviousMasterKey,
}

/// A signing key.
#[derive(Serialize, JsonSchema)]
pub struct ListedSigningKey {
    /// Its id: the `kid` of the tokens it signs.
    pub key_id: SigningKeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was made and announced.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// When its successor signs in its place, once it has one.
    pub signs_until: Option<Timestamp>,
    /// When it is no longer published, once it has a successor.
    pub retires_at: Option<Timestamp>,
    /// Whether its private half is sealed under the current master key; null once that is destroyed.
    pub sealed_under_current_master: Option<bool>,
}

/// Whether the host's secret `IAM_MASTER_KEY_PREVIOUS` may go.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreviousMasterKey {
    /// The host has none.
    Absent,
    /// Something stored opens under it alone.
    Needed,
    /// Nothing stored needs it any more: remove it.
    Unneeded,
}

/// How to rotate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Whether the keys so far can't be trusted any more.
    #[serde(default)]
    pub emergency: bool,
    /// Why, for the audit: at most 256 characters.
    pub reason: Option<String>,
}

/// The new key.
#[derive(Serialize, JsonSchema)]
pub struct RotateAnswer {
    /// Its id.
    pub key_id: SigningKeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// When it begins to sign.
    pub signs_from: Timestamp,
}

/// One round trip beside the caller's authentication; another while there is a previous master key.
async fn show(context: Context, caller: Caller) -> Result<Json<KeyringAnswer>, ApiError> {
    let organization = &caller.organization;
    let master = context.instance.master_key()?;
    let keys = context.db(organization).all(StoredKey::all(organization, context.now)).await?;
    let previous_master_key = match master.previous_id() {
        None => PreviousMasterKey::Absent,
        // Of all organizations: the master key is the host's.
        Some(previous) => match context.db_of_deployment().one(IsNeeded::find(previous)).await? {
            Some(IsNeeded(false)) => PreviousMasterKey::Unneeded,
            Some(IsNeeded(true)) | None => PreviousMasterKey::Needed,
        },
    };
    let list = |key: &StoredKey| {
        Some(ListedSigningKey {
            key_id: key.key_id.clone(),
            algorithm: key.public.algorithm,
            phase: key.phase(context.now)?,
            created_at: key.created_at,
            signs_from: key.signs_from,
            signs_until: key.signs_until,
            retires_at: key.retires_at,
            sealed_under_current_master: key.sealed_under().map(|id| id == master.current_id()),
        })
    };
    Ok(Json(KeyringAnswer { keys: keys.iter().filter_map(list).collect(), previous_master_key }))
}

/// Two round trips beside the caller's authentication: what is there decides the new key's place, and the
/// insert decides whether that place is still free.
async fn rotate(
    context: Context,
    caller: Caller,
    Json(request): Json<RotateRequest>,
) -> Result<Json<RotateAnswer>, ApiError> {
    let reason = request.reason.as_deref().map(str::trim).unwrap_or_default();
    if reason.chars().count() > MAX_REASON_CHARACTERS {
        return Err(ApiError::field("/reason", format!("at most {MAX_REASON_CHARACTERS} characters")));
    }
    let organization = &caller.organization;
    let db = context.db(organization);
    let timing = Timing::of(context.configuration());
    let keys = db.all(StoredKey::all(organization, context.now)).await?;
    let key = new_key(&context, organization, place(&keys, request.emergency, &timing, context.now)?).await?;
    let act = if request.emergency { acts::SIGNING_KEY_EMERGENCY_ROTATE } else { acts::SIGNING_KEY_ROTATE };
    let event = context
        .audit_by(&caller, act)?
        .on(key.key_id.as_str())
        .detail("algorithm", key.public.algorithm.as_str())
        .detail("signs_from", key.signs_from.to_string())
        .detail("reason", reason);
    let end_others =
        if request.emergency { key.condemn(organization) } else { key.supersede(organization, &timing) };
    let record = event.record_if(SIGNING_KEY_EXISTS, &key.key_id);
    let mut batch = Batch::from([key.store(organization), end_others, record]);
    let keys = batch.ask(StoredKey::all(organization, context.now));
    let keys = db.batch(batch).await?.all(keys)?;
    let keys = context.take_signing_keys(organization, keys);
    if !keys.iter().any(|stored| stored.key_id == key.key_id) {
        // Another rotation took the place. Where its key waits now, that is the answer.
        place(&keys, request.emergency, &timing, context.now)?;
        let detail = "another rotation came first; look at the keys and try again";
        return Err(ApiError::conflict("rotated_meanwhile", detail));
    }
    if request.emergency
        && let Some(telemetry) = Collector::current()
    {
        telemetry.count(&SECURITY_EVENTS, 1, ["signing_keys_condemned".into(), "critical".into()]);
    }
    let (algorithm, signs_from) = (key.public.algorithm, key.signs_from);
    Ok(Json(RotateAnswer { key_id: key.key_id, algorithm, signs_from }))
}

fn place(keys: &[StoredKey], emergency: bool, timing: &Timing, now: Timestamp) -> Result<Place, ApiError> {
    if keys.is_empty() {
        return Ok(Place::first(now));
    }
    if emergency {
        return Ok(Place::emergency(keys, now));
    }
    Place::successor(keys, timing, now).map_err(|refusal| match refusal {
        RotationRefusal::Pending(signs_from) => {
            let detail = format!("a successor waits already; it signs from {signs_from}");
            ApiError::conflict("rotation_pending", detail)
        }
        RotationRefusal::TooManyKeys => {
            ApiError::conflict("too_many_keys", "too many keys are published; wait until some are retired")
        }
    })
}
