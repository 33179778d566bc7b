//! OAuth for machines: tokens for clients (RFC 6749 section 4.4), introspection (RFC 7662), revocation (RFC
//! 7009); and `GET /api/v1/auth/validate`.

mod authentication;
mod introspection;
mod issue;
mod revocation;

use iam_core::id::{ClientId, OrganizationId, SessionId, UserId};
use iam_core::time::Timestamp;
use iam_service::{Access, ApiError, BearerToken, Function, Json, Route};
use schemars::JsonSchema;
use serde::Serialize;

iam_service::deploy!(function);

/// Where clients get tokens; also what their assertions may name as audience.
const TOKEN_PATH: &str = "/api/v1/oauth/token";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("token", "Issues, introspects, revokes and validates tokens")
        .uses_database()
        .uses_master_key()
        .route(
            Route::post(TOKEN_PATH, Access::public(), issue::issue)
                .summary("Issues an access token to an OAuth client, or for a refresh token")
                .description(
                    "RFC 6749 section 4.4. The client proves itself by exactly one of `client_secret_basic`, \
                     `client_secret_post` and `private_key_jwt` (RFC 7523; the audience is this address or \
                     the issuer, the end is 5 minutes ahead at most, and each `jti` works once). `scope` is \
                     grants separated by spaces; without it the token may do what the client may. With \
                     `grant_type=refresh_token` (section 6), the refresh token of a person's sign-in alone: \
                     as `POST /api/v1/auth/refresh`.",
                )
                .takes_as::<issue::TokenRequest>("application/x-www-form-urlencoded")
                .gives::<issue::TokenResponse>(200, "A token")
                .oauth_errors()
                // The first token of an organization makes its signing key with the third.
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/oauth/introspect", Access::public(), introspection::introspect)
                .summary("Tells what a token is and whether it holds")
                .description(
                    "RFC 7662. For OAuth clients, which prove themselves as at the token endpoint, and for \
                     callers with the permission `tokens.introspect.organization`. Whatever is unknown, \
                     foreign, ended or malformed is `{\"active\": false}`.",
                )
                .takes_as::<introspection::IntrospectionRequest>("application/x-www-form-urlencoded")
                .gives::<introspection::Introspection>(200, "What it is")
                .oauth_errors()
                // A client that came with an assertion takes the third.
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/oauth/revoke", Access::public(), revocation::revoke)
                .summary("Revokes a token")
                .description(
                    "RFC 7009. Ends the session that the token belongs to, and so all its tokens. A client's \
                     token is revoked by that client; a token of a person's sign-in is its own proof. A \
                     token that is unknown or has ended is revoked already: 200.",
                )
                .takes_as::<introspection::IntrospectionRequest>("application/x-www-form-urlencoded")
                .answers(200, "Revoked")
                .oauth_errors()
                // Two without a client, three with its secret, four with its assertion.
                .round_trips(4),
        )
        .route(
            Route::get("/api/v1/auth/validate", Access::access_token(), validate)
                .summary("Tells that an access token holds")
                .description("One that does not hold gets 401, as everywhere.")
                .gives::<Validation>(200, "It holds")
                .round_trips(1)
                .routine(),
        )
}

/// An access token that holds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Always true.
    pub valid: bool,
    /// When the token ends by itself.
    pub expires_at: Timestamp,
    /// Whom it speaks for.
    pub subject: UserId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// The organization it works in.
    pub organization: OrganizationId,
    /// The OAuth client it was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// What it is narrowed to, grants separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

async fn validate(token: BearerToken) -> Result<Json<Validation>, ApiError> {
    let claims = &token.claims;
    Ok(Json(Validation {
        valid: true,
        expires_at: Timestamp::from_seconds(claims.exp),
        subject: claims.sub.clone(),
        session_id: claims.sid.clone(),
        organization: claims.org.clone(),
        client_id: claims.client_id.as_deref().and_then(|id| id.parse().ok()),
        scope: claims.scope.clone(),
    }))
}
