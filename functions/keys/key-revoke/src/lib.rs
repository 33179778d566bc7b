//! `DELETE /api/v1/auth/keys/{key_id}`: an API key that works no longer, from the moment of the answer,
//! anywhere.

use iam_core::id::KeyId;
use iam_core::keys::{MAX_REASON_CHARACTERS, Revocation, RevokedKey, acts};
use iam_core::permission::Scope;
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::{Access, ApiError, Caller, Context, Function, Id, Json, Query, Route, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let delete_own = Access::permission("api_keys", "delete", Scope::Own);
    Function::new("key-revoke", "Revokes API keys").uses_database().route(
        Route::delete("/api/v1/auth/keys/{key_id}", delete_own, revoke)
            .summary("Revokes an API key")
            .description(
                "The next verification anywhere fails. Revoking twice answers the first moment again. \
                 Whoever holds `api_keys.delete.organization` may revoke anybody's.",
            )
            .takes_query::<RevokeKeyQuery>()
            .gives::<RevokeKeyResponse>(200, "Revoked")
            .round_trips(2),
    )
}

/// Why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeKeyQuery {
    /// For whoever reads the list or the audit: 1 to 200 characters.
    pub reason: Option<String>,
}

/// The revoked key.
#[derive(Serialize, JsonSchema)]
pub struct RevokeKeyResponse {
    /// Its id.
    pub key_id: KeyId,
    /// Always `revoked`.
    pub status: &'static str,
    /// Since when.
    pub revoked_at: Timestamp,
    /// Why: `leaked`, or the words of whoever did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_because: Option<String>,
}

async fn revoke(
    context: Context,
    caller: Caller,
    Id(key_id): Id<KeyId>,
    Query(query): Query<RevokeKeyQuery>,
) -> Result<Json<RevokeKeyResponse>, ApiError> {
    let reason = query
        .reason
        .as_deref()
        .map(|text| field::query("reason", text, MAX_REASON_CHARACTERS))
        .transpose()?;
    let organization = &caller.organization;
    let reach = caller.decide("delete", "api_keys");
    let revocation = Revocation { organization, reach, key_id: &key_id, reason, now: context.now };
    let mut event = context.audit_by(&caller, acts::REVOKE)?.on(key_id.as_str());
    if let Some(reason) = reason {
        event = event.detail("reason", reason);
    }
    let mut batch = Batch::from([revocation.revoke(), event.record_if_changed()]);
    let result = batch.ask(revocation.result());
    let revoked = context.db(organization).batch(batch).await?.one(result)?;
    let RevokedKey { revoked_at, revoked_because } =
        revoked.ok_or_else(|| ApiError::not_found("there is no such API key"))?;
    Ok(Json(RevokeKeyResponse { key_id, status: "revoked", revoked_at, revoked_because }))
}
