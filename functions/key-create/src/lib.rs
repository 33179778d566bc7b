//! `POST /api/v1/auth/keys`: a new API key, shown once.

use http::HeaderMap;
use iam_core::api_key::{KEY_CREATED, KEY_EXISTS, MAX_NAME_CHARACTERS, MAX_PERMISSIONS, NewKey};
use iam_core::config::Configuration;
use iam_core::credential::Credential;
use iam_core::id::KeyId;
use iam_core::permission::{Permission, Scope};
use iam_core::time::{Duration, Timestamp};
use iam_service::{
    Access, ApiError, Caller, Context, Created, Creation, CreationResult, Function, Json, Route,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

const PATH: &str = "/api/v1/auth/keys";

/// The highest rate limit, in requests per minute.
const MAX_RATE_LIMIT: u32 = 1_000_000;

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let write_own = Access::permission("api_keys", "write", Scope::Own);
    Function::new("key-create", "Creates API keys").uses_database().uses_master_key().route(
        Route::post(PATH, write_own, create)
            .summary("Creates an API key")
            .description(
                "The key is in this answer and nowhere else. It never carries more than its creator may do. \
                 Takes an `Idempotency-Key`.",
            )
            .takes::<CreateKeyRequest>()
            .gives::<CreateKeyResponse>(201, "Created")
            .round_trips(3),
    )
}

/// What the key is for.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyRequest {
    /// What people call it: 1 to 128 characters.
    pub name: String,
    /// What it may do: 1 to 64 permissions that its creator holds.
    pub permissions: Vec<Permission>,
    /// Requests per minute, 1 to 1000000.
    pub rate_limit: Option<u32>,
    /// In how many days it ends.
    pub expires_in_days: Option<u32>,
}

/// The key, and what it is.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct CreateKeyResponse {
    /// Its id.
    pub key_id: KeyId,
    /// The key itself: shown here once, stored nowhere.
    pub api_key: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// Requests per minute.
    pub rate_limit: u32,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was created.
    pub created_at: Timestamp,
}

/// One round trip beside the caller's authentication; another where an `Idempotency-Key` comes again.
async fn create(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<CreateKeyRequest>,
) -> Result<Created<CreateKeyResponse>, ApiError> {
    let configuration = context.configuration();
    let life = check(&request, &caller, configuration)?;
    let organization = &caller.organization;
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), PATH, &request)?;
    let key_id = context.new_id(KeyId::new)?;
    let secret = Credential::new(&configuration.api_key_prefix(), organization, &context.entropy()?);
    let hash = secret.hash();
    let key = NewKey {
        organization,
        key_id: &key_id,
        hash: &hash,
        name: request.name.trim(),
        owner_id: &caller.user_id,
        permissions: &request.permissions,
        rate_limit: request.rate_limit.unwrap_or(configuration.api_keys.rate_limit_default),
        life,
        now: context.now,
    };
    let event =
        context.audit_by(&caller, "api_key.create", "api_key")?.on(key_id.as_str()).detail("name", key.name);
    let max = configuration.api_keys.max_per_user;
    let batch = vec![key.create(max), event.record_if(KEY_EXISTS, &key_id)];
    let answer = CreateKeyResponse {
        api_key: secret.reveal().to_owned(),
        name: key.name.to_owned(),
        permissions: request.permissions.clone(),
        rate_limit: key.rate_limit,
        expires_at: key.expires_at(),
        created_at: key.now,
        key_id: key_id.clone(),
    };
    match creation.run(&context, organization, batch, (KEY_CREATED, key_id.as_str()), &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(rows) if rows.first().is_some_and(|rows| !rows.is_empty()) => Ok(Created(answer)),
        CreationResult::Ran(_) => Err(ApiError::conflict(
            "too_many_keys",
            format!("a user may have {max} active keys; revoke one first"),
        )),
    }
}

/// Checks every field and gives the key's life.
fn check(
    request: &CreateKeyRequest,
    caller: &Caller,
    configuration: &Configuration,
) -> Result<Duration, ApiError> {
    let name = request.name.trim().chars().count();
    if name == 0 || name > MAX_NAME_CHARACTERS {
        return Err(ApiError::field("/name", format!("1 to {MAX_NAME_CHARACTERS} characters")));
    }
    if request.permissions.is_empty() || request.permissions.len() > MAX_PERMISSIONS {
        return Err(ApiError::field("/permissions", format!("1 to {MAX_PERMISSIONS} permissions")));
    }
    if request.rate_limit.is_some_and(|limit| limit == 0 || limit > MAX_RATE_LIMIT) {
        return Err(ApiError::field("/rate_limit", format!("1 to {MAX_RATE_LIMIT} requests per minute")));
    }
    let life = request
        .expires_in_days
        .map_or(configuration.api_keys.default_expiry, |days| Duration::from_days(days.into()));
    if request.expires_in_days == Some(0) || life > configuration.api_keys.max_expiry {
        let longest = configuration.api_keys.max_expiry;
        return Err(ApiError::field("/expires_in_days", format!("at least 1 day, at most {longest}")));
    }
    for (index, permission) in request.permissions.iter().enumerate() {
        if !caller.grants.allow(permission) {
            return Err(ApiError::forbidden(permission)
                .and_field(format!("/permissions/{index}"), "you don't hold this permission yourself"));
        }
    }
    Ok(life)
}
