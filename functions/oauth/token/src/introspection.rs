//! `POST /api/v1/oauth/introspect`.

use http::{HeaderMap, StatusCode, header};
use iam_core::id::{OrganizationId, SessionId, TokenId, UserId};
use iam_core::jose::jwt::{Audience, UnverifiedToken};
use iam_core::oauth::client_assertion::sweep;
use iam_core::oauth::token::{ClientProof, PresentedRefreshToken};
use iam_core::secret::credential::{Credential, REFRESH_TOKEN_PREFIX};
use iam_core::sql::Batch;
use iam_service::{ApiError, Context, Form, Json, ValidToken};
use schemars::JsonSchema;
use serde::Serialize;

use crate::authentication::{self, AuthenticatedClient, invalid_client, refuse};

/// Which token, and the client's credential as at the token endpoint.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it documents the form")]
pub(crate) struct IntrospectionRequest {
    /// The token: an access token or a refresh token.
    token: String,
    /// Not needed: a token tells what it is.
    token_type_hint: Option<String>,
    /// The client, unless `Authorization` or the assertion names it.
    client_id: Option<String>,
    /// Its secret, unless `Authorization` has it.
    client_secret: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`.
    client_assertion_type: Option<String>,
    /// An assertion that the client signed.
    client_assertion: Option<String>,
}

/// What a token is (RFC 7662 section 2.2). Of one that does not hold there is only `active`.
#[derive(Default, Serialize, JsonSchema)]
pub(crate) struct Introspection {
    /// Whether it holds.
    active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    token: Option<Box<ActiveToken>>,
}

/// A token that holds.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ActiveToken {
    /// What it is narrowed to, grants separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The client it was issued to.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// The name of the user it speaks for.
    username: String,
    /// `Bearer`, or `refresh_token`.
    token_type: &'static str,
    /// When it ends, seconds since the epoch.
    exp: i64,
    /// When it was issued, seconds since the epoch.
    iat: i64,
    /// Since when it holds, seconds since the epoch.
    nbf: i64,
    /// Whom it speaks for.
    sub: UserId,
    /// For whom it is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    aud: Option<Audience>,
    /// Who issued it.
    iss: String,
    /// Its own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<TokenId>,
    /// The session it belongs to.
    sid: SessionId,
    /// The organization it works in.
    org: OrganizationId,
}

/// Two round trips: who asks, and what of; three where an assertion has to be used up between them.
pub(crate) async fn introspect(
    context: Context,
    headers: HeaderMap,
    form: Form,
) -> Result<Json<Introspection>, ApiError> {
    let token = form.require("token")?;
    let organization = asking(&context, &headers, &form).await?;
    let found = if token.starts_with(REFRESH_TOKEN_PREFIX) {
        refresh_token(&context, &organization, token).await?
    } else {
        access_token(&context, &organization, token).await?
    };
    Ok(Json(Introspection { active: found.is_some(), token: found.map(Box::new) }))
}

/// The organization of whoever asks: a client, or a caller with the permission.
async fn asking(context: &Context, headers: &HeaderMap, form: &Form) -> Result<OrganizationId, ApiError> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_basic = authorization
        .is_some_and(|text| text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic ")));
    let is_caller = (authorization.is_some() && !is_basic) || headers.contains_key("x-api-key");
    if !is_caller {
        let client = authenticate_client(context, headers, form).await?;
        return client
            .map(|client| client.organization)
            .ok_or_else(|| invalid_client("no client credential"));
    }
    if form.get("client_secret").is_some() || form.get("client_assertion").is_some() {
        return Err(authentication::invalid_request("send one credential"));
    }
    let caller = iam_service::authenticate(context, headers).await?;
    caller.check_wide("introspect", "tokens")?;
    Ok(caller.organization)
}

/// Authenticates the client and uses its assertion up; `None` where the request shows no credential.
pub(crate) async fn authenticate_client(
    context: &Context,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Option<AuthenticatedClient>, ApiError> {
    let Some(shown) = authentication::read(headers, form)? else { return Ok(None) };
    let organization = shown.organization()?;
    let db = context.db(&organization);
    let found = db.one(shown.find(&organization)).await?;
    let authenticated = shown.check(context, organization, found).await?;
    let AuthenticatedClient { organization, client, proof } = &authenticated;
    if let ClientProof::Assertion(used) = proof {
        let use_id = context.new_id(TokenId::new)?;
        let mut batch = Batch::new();
        let stored = batch.then(used.store(organization, &use_id));
        batch.then(sweep(organization, context.now));
        if !db.batch(batch).await?.did(stored)? {
            return Err(refuse(context, organization, client, "assertion_replayed").await?);
        }
    }
    Ok(Some(authenticated))
}

/// The access token, if it holds: `None` for 401, whatever the reason.
pub(crate) async fn holds(
    context: &Context,
    organization: &OrganizationId,
    text: &str,
) -> Result<Option<ValidToken>, ApiError> {
    // What is of another organization is not even looked up.
    let is_ours = UnverifiedToken::parse(text).is_ok_and(|token| token.claims().org == *organization);
    if !is_ours {
        return Ok(None);
    }
    match ValidToken::verify(context, text).await {
        Ok(token) => Ok(Some(token)),
        Err(error) if error.status() == StatusCode::UNAUTHORIZED => Ok(None),
        Err(error) => Err(error),
    }
}

async fn access_token(
    context: &Context,
    organization: &OrganizationId,
    text: &str,
) -> Result<Option<ActiveToken>, ApiError> {
    let Some(ValidToken { claims, session, .. }) = holds(context, organization, text).await? else {
        return Ok(None);
    };
    Ok(Some(ActiveToken {
        scope: claims.scope,
        client_id: claims.client_id,
        username: session.username,
        token_type: "Bearer",
        exp: claims.exp,
        iat: claims.iat,
        nbf: claims.nbf,
        sub: claims.sub,
        aud: Some(claims.aud),
        iss: claims.iss,
        jti: Some(claims.jti),
        sid: claims.sid,
        org: claims.org,
    }))
}

async fn refresh_token(
    context: &Context,
    organization: &OrganizationId,
    text: &str,
) -> Result<Option<ActiveToken>, ApiError> {
    let credential = Credential::parse(REFRESH_TOKEN_PREFIX, text);
    let Some(credential) = credential.filter(|credential| credential.organization() == organization) else {
        return Ok(None);
    };
    let find = PresentedRefreshToken::find(organization, &credential.hash());
    let found = context.db(organization).one(find).await?;
    let configuration = context.configuration();
    let alive = |token: &PresentedRefreshToken| {
        !token.is_spent
            && context.now < token.expires_at
            && token.session.is_alive(&configuration.session, context.now)
    };
    Ok(found.filter(alive).map(|token| ActiveToken {
        scope: token.scope,
        client_id: token.client_id,
        username: token.session.username,
        token_type: "refresh_token",
        exp: token.expires_at.as_seconds(),
        iat: token.issued_at.as_seconds(),
        nbf: token.issued_at.as_seconds(),
        sub: token.session.user_id,
        aud: None,
        iss: configuration.jwt.issuer.clone(),
        jti: None,
        sid: token.session.session_id,
        org: organization.clone(),
    }))
}
