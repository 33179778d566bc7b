//! `POST /api/v1/auth/keys`: a new API key, shown once.

use http::HeaderMap;
use iam_core::config::Configuration;
use iam_core::id::KeyId;
use iam_core::keys::{KEY_CREATED, KEY_EXISTS, KeyMetadata, NewKey, acts};
use iam_core::permission::{Permission, Scope};
use iam_core::sql::Batch;
use iam_core::time::{Duration, Timestamp};
use iam_service::{
    Access, ApiError, Caller, Context, Created, Creation, CreationResult, Function, Json, Route, key_fields,
};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

const PATH: &str = "/api/v1/auth/keys";

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
    /// The addresses and address ranges that it may be used from, IPv4 and IPv6, 1 to 32; from anywhere
    /// without.
    pub allowed_addresses: Option<Vec<String>>,
    /// Notes about it: at most 16, of at most 256 characters.
    #[serde(default)]
    pub metadata: KeyMetadata,
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
    /// The address ranges that it may be used from; absent where it may be used from anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_addresses: Option<Vec<String>>,
    /// Notes about it.
    pub metadata: KeyMetadata,
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
    let name = key_fields::name(&request.name)?;
    key_fields::permissions(&caller, &request.permissions)?;
    let rate_limit =
        key_fields::rate_limit(request.rate_limit.unwrap_or(configuration.api_keys.rate_limit_default))?;
    let ranges = request.allowed_addresses.as_deref().map(key_fields::allowed_addresses).transpose()?;
    let ranges = ranges.unwrap_or_default();
    key_fields::metadata(&request.metadata)?;
    let life = life(request.expires_in_days, configuration)?;
    let organization = &caller.organization;
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), PATH, &request)?;
    let key_id = context.new_id(KeyId::new)?;
    let secret = context.new_api_key(organization)?;
    let hash = secret.hash();
    let key = NewKey {
        organization,
        key_id: &key_id,
        hash: &hash,
        name,
        owner_id: &caller.user_id,
        permissions: &request.permissions,
        rate_limit,
        allowed_addresses: &ranges,
        metadata: &request.metadata,
        life,
        now: context.now,
    };
    let event = context.audit_by(&caller, acts::CREATE)?.on(key_id.as_str()).detail("name", key.name);
    let max = configuration.api_keys.max_per_user;
    let mut batch = Batch::new();
    let created = batch.then(key.create(max));
    batch.then(event.record_if(KEY_EXISTS, &key_id));
    let answer = CreateKeyResponse {
        api_key: secret.reveal().to_owned(),
        name: key.name.to_owned(),
        permissions: request.permissions.clone(),
        rate_limit: key.rate_limit,
        allowed_addresses: request.allowed_addresses.is_some().then(|| texts(&ranges)),
        metadata: request.metadata.clone(),
        expires_at: key.expires_at(),
        created_at: key.now,
        key_id: key_id.clone(),
    };
    match creation.run(&context, organization, batch, (KEY_CREATED, key_id.as_str()), &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(answers) if answers.did(created)? => Ok(Created(answer)),
        CreationResult::Ran(_) => Err(ApiError::conflict(
            "too_many_keys",
            format!("a user may have {max} active keys; revoke one first"),
        )),
    }
}

fn texts(ranges: &[IpNet]) -> Vec<String> {
    ranges.iter().map(IpNet::to_string).collect()
}

/// How long it lives.
fn life(expires_in_days: Option<u32>, configuration: &Configuration) -> Result<Duration, ApiError> {
    let life = expires_in_days
        .map_or(configuration.api_keys.default_expiry, |days| Duration::from_days(days.into()));
    if expires_in_days == Some(0) || life > configuration.api_keys.max_expiry {
        let longest = configuration.api_keys.max_expiry;
        return Err(ApiError::field("/expires_in_days", format!("at least 1 day, at most {longest}")));
    }
    Ok(life)
}
