//! `POST /api/v1/oauth/token`.

use axum::response::{IntoResponse, Response};
use http::header::PRAGMA;
use http::{HeaderMap, HeaderValue};
use iam_core::id::SessionId;
use iam_core::oauth::acts;
use iam_core::oauth::client_assertion::sweep;
use iam_core::oauth::keyring::StoredKey;
use iam_core::oauth::token::{ClientProof, ClientToken};
use iam_core::record::audit::Outcome;
use iam_core::sign_in::session::SESSION_EXISTS;
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::{ApiError, Context, Form, Json, access_claims, exchange_refresh_token};
use schemars::JsonSchema;
use serde::Serialize;

use crate::authentication::{self, AuthenticatedClient, invalid_client, refuse};

/// What a client asks with.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it documents the form")]
pub(crate) struct TokenRequest {
    /// `client_credentials` or `refresh_token`.
    grant_type: String,
    /// The refresh token of a person's sign-in, which no client had a part in.
    refresh_token: Option<String>,
    /// Grants separated by spaces.
    scope: Option<String>,
    /// The client, unless `Authorization: Basic` or the assertion names it.
    client_id: Option<String>,
    /// Its secret, unless `Authorization: Basic` has it.
    client_secret: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`.
    client_assertion_type: Option<String>,
    /// An assertion that the client signed.
    client_assertion: Option<String>,
}

/// A token (RFC 6749 section 5.1).
#[derive(Serialize, JsonSchema)]
pub(crate) struct TokenResponse {
    /// For calls: `Authorization: Bearer`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long it lives, in seconds.
    expires_in: i64,
    /// What it is narrowed to; absent where it may do all that its service account may.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The next refresh token, where one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// A token for a client or for a refresh token.
pub(crate) async fn issue(context: Context, headers: HeaderMap, form: Form) -> Result<Response, ApiError> {
    let token = match form.require("grant_type")? {
        "client_credentials" => by_client(&context, &headers, &form).await?,
        "refresh_token" => by_refresh_token(&context, &headers, &form).await?,
        _ => {
            let detail = "`grant_type` is `client_credentials` or `refresh_token`";
            return Err(ApiError::bad_request("unsupported_grant_type", detail));
        }
    };
    let mut response = Json(token).into_response();
    // RFC 6749 section 5.1 asks for it beside the `Cache-Control: no-store` of every answer.
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// RFC 6749 section 6, for the refresh tokens that people's sign-ins give: as `POST /api/v1/auth/refresh`
/// does it.
async fn by_refresh_token(
    context: &Context,
    headers: &HeaderMap,
    form: &Form,
) -> Result<TokenResponse, ApiError> {
    let refused = |detail: &'static str| ApiError::bad_request("invalid_grant", detail);
    if authentication::read(headers, form)?.is_some() {
        return Err(refused("refresh tokens are given to people, not to clients: send it alone"));
    }
    if form.get("scope").is_some() {
        return Err(ApiError::bad_request("invalid_scope", "a refresh keeps the scope as it is"));
    }
    match exchange_refresh_token(context, form.require("refresh_token")?).await? {
        Ok(refreshed) => Ok(TokenResponse {
            access_token: refreshed.access_token,
            token_type: "Bearer",
            expires_in: context.configuration().jwt.access_token_expiry.as_seconds(),
            scope: refreshed.scope,
            refresh_token: Some(refreshed.refresh_token.reveal().to_owned()),
        }),
        Err(refusal) => {
            Err(refused("the refresh token is unknown, spent or expired").cause(refusal.as_str()))
        }
    }
}

/// Two round trips: one reads the client and the signing keys, one uses the assertion up and begins the
/// session.
async fn by_client(context: &Context, headers: &HeaderMap, form: &Form) -> Result<TokenResponse, ApiError> {
    let shown = authentication::read(headers, form)?;
    let shown = shown.ok_or_else(|| invalid_client("no client credential"))?;
    let organization = shown.organization()?;
    let mut batch = Batch::new();
    let client = batch.ask(shown.find(&organization));
    let keys = context.ask_signing_keys(&organization, &mut batch);
    let answers = context.db(&organization).batch(batch).await?;
    let authenticated = shown.check(context, organization, answers.one(client)?).await?;
    let refused = |detail| ApiError::bad_request("invalid_scope", detail);
    let scope = authenticated.client.narrow(form.get("scope")).map_err(refused)?;
    let keys = keys.map(|keys| answers.all(keys)).transpose()?;
    token(context, &authenticated, scope, keys).await
}

async fn token(
    context: &Context,
    authenticated: &AuthenticatedClient,
    scope: Option<String>,
    keys: Option<Vec<StoredKey>>,
) -> Result<TokenResponse, ApiError> {
    let AuthenticatedClient { organization, client, proof } = authenticated;
    let session_id = context.new_id(SessionId::new)?;
    let mut claims = access_claims(context, organization, client.user_id.clone(), session_id.clone())?;
    claims.client_id = Some(client.client_id.to_string());
    claims.scope.clone_from(&scope);
    let access_token = context.sign(organization, keys, &claims).await?;

    let address = context.client_address.map(|address| address.to_string());
    let token = ClientToken {
        organization,
        client,
        proof,
        session_id: &session_id,
        token_id: &claims.jti,
        scope: scope.as_deref(),
        expires_at: Timestamp::from_seconds(claims.exp),
        ip_address: address.as_deref(),
        user_agent: context.user_agent.as_deref(),
        now: context.now,
    };
    let mut event = context
        .audit(organization, acts::TOKEN_ISSUE, Outcome::Success)?
        .of_user(&client.user_id)
        .on(session_id.as_str())
        .detail("client_id", client.client_id.as_str());
    if let Some(scope) = &scope {
        event = event.detail("scope", scope.as_str());
    }
    let mut batch = Batch::new();
    let stored = match proof {
        ClientProof::Assertion(used) => Some(batch.then(used.store(organization, &claims.jti))),
        ClientProof::Secret(_) => None,
    };
    let begun = batch.then(token.begin());
    batch.then(event.record_if(SESSION_EXISTS, &session_id));
    if stored.is_some() {
        batch.then(sweep(organization, context.now));
    }
    let answers = context.db(organization).batch(batch).await?;
    if !answers.did(begun)? {
        let is_replay = match stored {
            Some(stored) => !answers.did(stored)?,
            None => false,
        };
        // Otherwise it was revoked or suspended between the two round trips.
        let reason = if is_replay { "assertion_replayed" } else { "revoked_meanwhile" };
        return Err(refuse(context, organization, client, reason).await?);
    }
    Ok(TokenResponse {
        access_token,
        token_type: "Bearer",
        expires_in: context.configuration().jwt.access_token_expiry.as_seconds(),
        scope,
        refresh_token: None,
    })
}
