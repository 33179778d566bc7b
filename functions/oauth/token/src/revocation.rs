//! `POST /api/v1/oauth/revoke`.

use http::{HeaderMap, StatusCode};
use iam_core::id::{OrganizationId, SessionId, UserId};
use iam_core::jose::jwt::UnverifiedToken;
use iam_core::oauth::acts;
use iam_core::oauth::token::PresentedRefreshToken;
use iam_core::record::audit::Outcome;
use iam_core::secret::credential::{Credential, REFRESH_TOKEN_PREFIX};
use iam_core::sign_in::session::end;
use iam_service::{ApiError, Context, Form};

use crate::authentication::invalid_client;
use crate::introspection::{authenticate_client, holds};

/// The session of a token, and the client that the token was issued to.
struct Revocable {
    organization: OrganizationId,
    session_id: SessionId,
    user_id: UserId,
    client_id: Option<String>,
}

/// Whoever shows a person's token may end its session: with it they could do as much by themselves. A
/// client's token is ended by that client alone.
pub(crate) async fn revoke(context: Context, headers: HeaderMap, form: Form) -> Result<StatusCode, ApiError> {
    let text = form.require("token")?;
    let client = authenticate_client(&context, &headers, &form).await?;
    let Some(token) = find(&context, text).await? else { return Ok(StatusCode::OK) };
    let shown = client.as_ref().map(|client| client.client.client_id.as_str());
    match (&token.client_id, shown) {
        (Some(owner), Some(shown)) if owner == shown => {}
        (None, None) => {}
        (Some(_), None) => return Err(invalid_client("the token is a client's, and no client came")),
        (_, Some(_)) => {
            let detail = "the token was not issued to this client";
            return Err(ApiError::bad_request("unauthorized_client", detail));
        }
    }
    let mut event = context
        .audit(&token.organization, acts::TOKEN_REVOKE, Outcome::Success)?
        .of_user(&token.user_id)
        .on(token.session_id.as_str());
    if let Some(client_id) = shown {
        event = event.detail("client_id", client_id);
    }
    let batch =
        [end(&token.organization, &token.session_id, "revoked", context.now), event.record_if_changed()];
    context.db(&token.organization).batch(batch).await?;
    Ok(StatusCode::OK)
}

/// Finds the session of a token. `None` where the token is unknown or has ended, so that there is nothing to
/// revoke. A refresh token that was used is still one of its family.
async fn find(context: &Context, text: &str) -> Result<Option<Revocable>, ApiError> {
    if text.starts_with(REFRESH_TOKEN_PREFIX) {
        let Some(credential) = Credential::parse(REFRESH_TOKEN_PREFIX, text) else { return Ok(None) };
        let organization = credential.organization().clone();
        let find = PresentedRefreshToken::find(&organization, &credential.hash());
        let found = context.db(&organization).one(find).await?;
        return Ok(found.map(|token| Revocable {
            organization,
            session_id: token.session.session_id,
            user_id: token.session.user_id,
            client_id: token.client_id,
        }));
    }
    let Ok(unverified) = UnverifiedToken::parse(text) else { return Ok(None) };
    let organization = unverified.claims().org.clone();
    let token = holds(context, &organization, text).await?;
    Ok(token.map(|token| Revocable {
        organization,
        session_id: token.claims.sid,
        user_id: token.claims.sub,
        client_id: token.claims.client_id,
    }))
}
