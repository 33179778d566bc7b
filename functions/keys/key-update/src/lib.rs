//! `PATCH /api/v1/auth/keys/{key_id}`: an API key that goes on working, with other limits or another name.

use iam_core::id::KeyId;
use iam_core::keys::{
    CarriedRights, KEY_CAN_CHANGE, KeyChange, KeyMetadata, KeyStatus, ListedKey, OWN_KEY_CAN_CHANGE,
    OWN_SCHEDULE_STOPS, SCHEDULE_STOPS, Schedule, acts, ranges_column,
};
use iam_core::permission::{Permission, Scope};
use iam_core::sql::Batch;
use iam_service::{Access, ApiError, Caller, Context, Function, Id, Json, Route, field, key_fields};
use schemars::JsonSchema;
use serde::Deserialize;

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let write_own = Access::permission("api_keys", "write", Scope::Own);
    Function::new("key-update", "Changes API keys").uses_database().route(
        Route::patch("/api/v1/auth/keys/{key_id}", write_own, change)
            .summary("Changes an API key")
            .description(
                "What is absent stays. The next verification anywhere sees it. No permission can be given \
                 that the caller lacks, and whoever changes a key's limit or addresses must hold all that it \
                 may do. Where a key may do more than before, its schedule of rotation stops, since whoever \
                 set that may not have these permissions: set it again. Whoever holds \
                 `api_keys.write.organization` may change anybody's.",
            )
            .takes::<ChangeKeyRequest>()
            .gives::<ListedKey>(200, "The key as it is now")
            .round_trips(3),
    )
}

/// What changes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeKeyRequest {
    /// What people call it: 1 to 128 characters.
    pub name: Option<String>,
    /// All that it may do from now on: 1 to 64 permissions that the caller holds.
    pub permissions: Option<Vec<Permission>>,
    /// Requests per minute, 1 to 1000000.
    pub rate_limit: Option<u32>,
    /// All addresses and address ranges that it may be used from, 1 to 32; `null` for anywhere.
    #[serde(default, deserialize_with = "field::present")]
    #[schemars(with = "Option<Vec<String>>")]
    pub allowed_addresses: Option<Option<Vec<String>>>,
    /// All notes about it.
    pub metadata: Option<KeyMetadata>,
}

/// One round trip beside the caller's authentication; another where a limit or what it may do changes.
async fn change(
    context: Context,
    caller: Caller,
    Id(key_id): Id<KeyId>,
    Json(request): Json<ChangeKeyRequest>,
) -> Result<Json<ListedKey>, ApiError> {
    let name = request.name.as_deref().map(key_fields::name).transpose()?;
    request.permissions.iter().try_for_each(|permissions| key_fields::permissions(&caller, permissions))?;
    request.rate_limit.map(key_fields::rate_limit).transpose()?;
    request.metadata.iter().try_for_each(key_fields::metadata)?;
    let addresses = match &request.allowed_addresses {
        None => None,
        Some(None) => Some(None),
        Some(Some(texts)) => Some(ranges_column(&key_fields::allowed_addresses(texts)?)),
    };
    let organization = &caller.organization;
    let reach = caller.decide("write", "api_keys");
    let (is_recorded, stops) = if reach.is_wide() {
        (KEY_CAN_CHANGE, SCHEDULE_STOPS)
    } else {
        (OWN_KEY_CAN_CHANGE, OWN_SCHEDULE_STOPS)
    };
    let loosens = request.rate_limit.is_some() || request.allowed_addresses.is_some();
    let carried = if loosens || request.permissions.is_some() {
        let find = CarriedRights::find(organization, &key_id, reach);
        Some(context.db(organization).one(find).await?.ok_or_else(no_such_key)?)
    } else {
        None
    };
    if let Some(carried) = carried.as_ref().filter(|_| loosens) {
        key_fields::carried(&caller, &carried.permissions)?;
    }
    let event = context
        .audit_by(&caller, acts::UPDATE)?
        .on(key_id.as_str())
        .detail("attributes", attributes(&request));
    let permissions = request.permissions.as_ref().map(|list| serde_json::json!(list).to_string());
    let change = KeyChange {
        organization,
        reach,
        key_id: &key_id,
        carried: carried.as_ref(),
        name,
        permissions: permissions.clone(),
        rate_limit: request.rate_limit,
        allowed_addresses: addresses,
        metadata: request.metadata.as_ref().map(|notes| serde_json::json!(notes).to_string()),
    };
    let mut batch = Batch::new();
    batch.then(event.record_if(is_recorded, carried.as_ref().map(|carried| carried.as_stored.as_str())));
    let changed = batch.then(change.apply());
    if let (Some(wanted), Some(carried), Some(stored)) = (&request.permissions, &carried, &permissions)
        && carried.is_exceeded_by(wanted)
    {
        let event = context
            .audit_by(&caller, acts::ROTATION_END)?
            .on(key_id.as_str())
            .detail("reason", "permissions_widened");
        batch.then(event.record_if(stops, stored.as_str()));
        batch.then(Schedule::stop_widened(organization, &key_id, reach, stored));
    }
    // Last, so that it shows a schedule that stops.
    let found = batch.ask(ListedKey::find(organization, &key_id, reach));
    let answers = context.db(organization).batch(batch).await?;
    let key = ListedKey::read(&answers.one(found)?.ok_or_else(no_such_key)?, context.now)?;
    if key.status == KeyStatus::Revoked {
        return Err(ApiError::conflict("key_revoked", "this API key was revoked: it can't be changed"));
    }
    if !answers.did(changed)? {
        return Err(key_fields::changed_meanwhile());
    }
    Ok(Json(key))
}

fn no_such_key() -> ApiError {
    ApiError::not_found("there is no such API key")
}

/// The names of what changes.
fn attributes(request: &ChangeKeyRequest) -> Vec<&'static str> {
    let given = [
        (request.name.is_some(), "name"),
        (request.permissions.is_some(), "permissions"),
        (request.rate_limit.is_some(), "rate_limit"),
        (request.allowed_addresses.is_some(), "allowed_addresses"),
        (request.metadata.is_some(), "metadata"),
    ];
    given.into_iter().filter_map(|(is_given, name)| is_given.then_some(name)).collect()
}
