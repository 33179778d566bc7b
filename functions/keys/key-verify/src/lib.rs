//! `POST /api/v1/auth/keys/verify`: whether an API key works, and what it may do. Every service behind the
//! product asks this, so it is one round trip and nothing else before the answer.

use std::net::IpAddr;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use iam_core::id::{KeyId, OrganizationId, UserId};
use iam_core::keys::KeyRefusal;
use iam_core::permission::Permission;
use iam_core::secret::credential::Credential;
use iam_core::time::Timestamp;
use iam_service::{
    Access, ApiError, Context, Function, Json, KeyVerification, Notable, RefusedKey, Route, verify_key,
};
use iam_telemetry::Collector;
use iam_telemetry::instruments::{API_KEY_USAGE, AUTH_ATTEMPTS, AUTH_FAILURES};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("key-verify", "Verifies API keys").uses_database().route(
        Route::post("/api/v1/auth/keys/verify", Access::public(), verify)
            .summary("Tells whether an API key works, and what it may do")
            .description(
                "Whoever holds the key may ask. A key that does not work is an answer, not an error. Each \
                 verification that answers `valid` counts towards the key's limit and its organization's; \
                 `RateLimit` headers tell how much is left.",
            )
            .takes::<VerifyKeyRequest>()
            .gives::<VerifyKeyResponse<'_>>(200, "Whether it works")
            .round_trips(1)
            .routine(),
    )
}

/// The key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyKeyRequest {
    /// The key itself.
    pub api_key: String,
    /// Who uses it: where whoever asks is a service that was sent the key. Without it, whoever asks.
    #[schemars(with = "Option<String>")]
    pub ip_address: Option<IpAddr>,
}

/// Whether it works: with what it is where it does, with why where it doesn't.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum VerifyKeyResponse<'a> {
    /// It works.
    Valid(ValidKey<'a>),
    /// It doesn't.
    Invalid(InvalidKey),
}

/// A key that works.
#[derive(Serialize, JsonSchema)]
pub struct ValidKey<'a> {
    /// Always `true`.
    pub valid: bool,
    /// Its id.
    pub key_id: &'a KeyId,
    /// What people call it.
    pub name: &'a str,
    /// The organization.
    pub organization: &'a OrganizationId,
    /// Whose it is.
    pub owner_id: &'a UserId,
    /// The owner's name.
    pub owner: &'a str,
    /// What it may do: what it was given, less what its owner may no longer do.
    pub permissions: Vec<Permission>,
    /// Requests per minute.
    pub rate_limit: u32,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was looked up, where `api_keys.verification_cache` allows an instance to remember it: a
    /// revocation since then is not seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_up_at: Option<Timestamp>,
}

/// A key that does not work.
#[derive(Serialize, JsonSchema)]
pub struct InvalidKey {
    /// Always `false`.
    pub valid: bool,
    /// Why not.
    pub reason: KeyRefusal,
}

async fn verify(context: Context, Json(request): Json<VerifyKeyRequest>) -> Result<Response, ApiError> {
    let address = request.ip_address.or(context.client_address);
    let Some(credential) = Credential::parse(&context.configuration().api_key_prefix(), &request.api_key)
    else {
        return Ok(invalid(KeyRefusal::Unknown.into()));
    };
    let KeyVerification { key, limits, looked_up_at } =
        match verify_key(&context, &credential, address).await? {
            Ok(verification) => verification,
            Err(refused) => return Ok(invalid(refused)),
        };
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&AUTH_ATTEMPTS, 1, ["api_key".into(), "success".into()]);
        telemetry.count(&API_KEY_USAGE, 1, [key.key_id.as_str().into()]);
    }
    let remembers = context.configuration().api_keys.verification_cache.as_seconds() > 0;
    let mut response = Json(VerifyKeyResponse::Valid(ValidKey {
        valid: true,
        key_id: &key.key_id,
        name: &key.name,
        organization: credential.organization(),
        owner_id: &key.owner_id,
        owner: &key.owner_username,
        permissions: key.permissions(),
        rate_limit: key.rate_limit,
        expires_at: key.expires_at,
        looked_up_at: remembers.then_some(looked_up_at),
    }))
    .into_response();
    limits.write(response.headers_mut());
    Ok(response)
}

fn invalid(refused: RefusedKey) -> Response {
    let reason = refused.reason;
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&AUTH_ATTEMPTS, 1, ["api_key".into(), "failure".into()]);
        telemetry.count(&AUTH_FAILURES, 1, ["api_key".into(), reason.as_str().into()]);
    }
    let mut response = Json(VerifyKeyResponse::Invalid(InvalidKey { valid: false, reason })).into_response();
    response.extensions_mut().insert(Notable);
    if let Some(limited) = refused.limited {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(limited.retry_after()));
        limited.0.write(response.headers_mut());
    }
    response
}
