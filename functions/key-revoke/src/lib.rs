//! `DELETE /api/v1/auth/keys/{key_id}`: an API key that works no longer, from the moment of the answer, anywhere.

use iam_core::api_key::{KEY_REVOKED_NOW, Reach, Revocation};
use iam_core::id::KeyId;
use iam_core::permission::Scope;
use iam_core::time::Timestamp;
use iam_service::{Access, ApiError, Caller, Context, Function, Id, Json, Route};
use schemars::JsonSchema;
use serde::Serialize;

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let delete_own = Access::permission("api_keys", "delete", Scope::Own);
    Function::new("key-revoke", "Revokes API keys").uses_database().route(
        Route::delete("/api/v1/auth/keys/{key_id}", delete_own, revoke)
            .summary("Revokes an API key")
            .description(
                "The next verification anywhere fails. Revoking twice answers the first moment again. Whoever \
                 holds `api_keys.delete.organization` may revoke anybody's.",
            )
            .gives::<RevokeKeyResponse>(200, "Revoked")
            .round_trips(2),
    )
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
}

async fn revoke(
    context: Context,
    caller: Caller,
    Id(key_id): Id<KeyId>,
) -> Result<Json<RevokeKeyResponse>, ApiError> {
    let organization = &caller.organization;
    let reach = if caller.may("api_keys", "delete", Scope::Organization) {
        Reach::Organization
    } else {
        Reach::Own(&caller.user_id)
    };
    let revocation = Revocation { organization, reach, key_id: &key_id, now: context.now };
    let event = context.audit_by(&caller, "api_key.revoke", "api_key")?.on(key_id.as_str());
    let batch = vec![revocation.revoke(), event.record_if(KEY_REVOKED_NOW, &key_id), revocation.result()];
    let rows = context.db(organization).batch(batch).await?.pop().unwrap_or_default();
    let row = rows.first().ok_or_else(|| ApiError::not_found("there is no such API key"))?;
    let revoked_at = Timestamp::from_millis(row.integer("revoked_at")?);
    Ok(Json(RevokeKeyResponse { key_id, status: "revoked", revoked_at }))
}
