//! `POST /api/v1/auth/refresh`: a refresh token for a new access token and the next refresh token.

use iam_service::{Access, ApiError, Area, Context, Function, Json, Route, exchange_refresh_token};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("token-refresh", "Exchanges refresh tokens")
        .area(Area::Admin)
        .uses_database()
        .uses_master_key()
        .route(
            Route::post("/api/v1/auth/refresh", Access::public(), refresh)
                .summary("Exchanges a refresh token for a new pair of tokens")
                .description(
                    "A refresh token has one successor. Whoever sends it again within \
                     `jwt.refresh_reuse_tolerance` (10 seconds by default), as a retry or at the same time, \
                     gets that same successor with another access token, until the successor is used. One \
                     that was spent longer ago ends its session, because two parties hold it. Refreshing \
                     counts as activity; no refresh token outlives its session.",
                )
                .takes::<RefreshRequest>()
                .gives::<RefreshResponse>(200, "Exchanged")
                .round_trips(2),
        )
}

/// A refresh token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token of the last answer.
    pub refresh_token: String,
}

/// A new pair of tokens.
#[derive(Serialize, JsonSchema)]
pub struct RefreshResponse {
    /// For calls: `Authorization: Bearer`.
    pub access_token: String,
    /// The next refresh token.
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// How long the access token lives, in seconds.
    pub expires_in: i64,
}

/// One round trip; another where a reused token ends its session.
async fn refresh(
    context: Context,
    Json(request): Json<RefreshRequest>,
) -> Result<Json<RefreshResponse>, ApiError> {
    match exchange_refresh_token(&context, &request.refresh_token).await? {
        Ok(refreshed) => Ok(Json(RefreshResponse {
            access_token: refreshed.access_token,
            refresh_token: refreshed.refresh_token.reveal().to_owned(),
            token_type: "Bearer",
            expires_in: context.configuration().jwt.access_token_expiry.as_seconds(),
        })),
        Err(refusal) => {
            let detail = "the refresh token is unknown, spent or expired";
            Err(ApiError::unauthorized("invalid_refresh_token", detail).cause(refusal.as_str()))
        }
    }
}
