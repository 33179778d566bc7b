//! `POST /api/v1/auth/keys/verify`: whether an API key works, and what it may do. Every service behind the product
//! asks this, so it is one round trip and nothing else before the answer.

use iam_core::api_key::{KeyRefusal, PresentedKey};
use iam_core::credential::Credential;
use iam_core::id::{KeyId, OrganizationId, UserId};
use iam_core::permission::Permission;
use iam_core::time::Timestamp;
use iam_service::{Access, ApiError, Context, Function, Json, Route};
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
                "Whoever holds the key may ask. A key that does not work is an answer, not an error.",
            )
            .takes::<VerifyKeyRequest>()
            .gives::<VerifyKeyResponse>(200, "Whether it works")
            .round_trips(1),
    )
}

/// The key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyKeyRequest {
    /// The key itself.
    pub api_key: String,
}

/// Whether it works: with what it is where it does, with why where it doesn't.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum VerifyKeyResponse {
    /// It works.
    Valid(ValidKey),
    /// It doesn't.
    Invalid(InvalidKey),
}

/// A key that works.
#[derive(Serialize, JsonSchema)]
pub struct ValidKey {
    /// Always `true`.
    pub valid: bool,
    /// Its id.
    pub key_id: KeyId,
    /// What people call it.
    pub name: String,
    /// The organization.
    pub organization: OrganizationId,
    /// Whose it is.
    pub owner_id: UserId,
    /// The owner's name.
    pub owner: String,
    /// What it may do: what it was given, less what its owner may no longer do.
    pub permissions: Vec<Permission>,
    /// Requests per minute.
    pub rate_limit: u32,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A key that does not work.
#[derive(Serialize, JsonSchema)]
pub struct InvalidKey {
    /// Always `false`.
    pub valid: bool,
    /// Why not.
    pub reason: KeyRefusal,
}

async fn verify(
    context: Context,
    Json(request): Json<VerifyKeyRequest>,
) -> Result<Json<VerifyKeyResponse>, ApiError> {
    let prefix = context.configuration().api_key_prefix();
    let Some(credential) = Credential::parse(&prefix, &request.api_key) else {
        return Ok(invalid(KeyRefusal::Unknown));
    };
    let organization = credential.organization();
    let rows = context.db(organization).run(PresentedKey::find(organization, &credential.hash())).await?;
    let Some(key) = rows.decode_first::<PresentedKey>()? else { return Ok(invalid(KeyRefusal::Unknown)) };
    if let Err(refusal) = key.check(context.now) {
        return Ok(invalid(refusal));
    }
    if key.is_use_due(context.now) {
        context.defer_statement(organization, PresentedKey::note_use(organization, &key.key_id, context.now));
    }
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&AUTH_ATTEMPTS, 1, ["api_key".into(), "success".into()]);
        telemetry.count(&API_KEY_USAGE, 1, [key.key_id.as_str().into()]);
    }
    Ok(Json(VerifyKeyResponse::Valid(ValidKey {
        valid: true,
        permissions: key.permissions(),
        key_id: key.key_id,
        name: key.name,
        organization: organization.clone(),
        owner_id: key.owner_id,
        owner: key.owner_username,
        rate_limit: key.rate_limit,
        expires_at: key.expires_at,
    })))
}

fn invalid(reason: KeyRefusal) -> Json<VerifyKeyResponse> {
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&AUTH_ATTEMPTS, 1, ["api_key".into(), "failure".into()]);
        telemetry.count(&AUTH_FAILURES, 1, ["api_key".into(), reason.as_str().into()]);
    }
    Json(VerifyKeyResponse::Invalid(InvalidKey { valid: false, reason }))
}
