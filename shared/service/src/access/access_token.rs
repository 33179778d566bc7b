//! An access token that holds: its claims, its signature and its session, in one round trip.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use http::request::Parts;
use iam_core::jose::jwt::{AccessClaims, TokenError, UnverifiedToken};
use iam_core::limit::SessionClaim;
use iam_core::sign_in::session::LiveSession;
use iam_core::sql::Batch;

use super::bearer::bearer;
use super::caller::Caller;
use super::charge::{Charge, RateLimits};
use super::rule::{Access, Admission, Rule};
use super::session::{caller_of, live, note_use};
use super::signature::verify_with;
use crate::context::Context;
use crate::request::error::ApiError;

/// An access token that holds, and the session that it belongs to.
#[derive(Debug)]
pub struct ValidToken {
    /// What it says.
    pub claims: AccessClaims,
    /// Its session, alive.
    pub session: LiveSession,
    /// The limits that it counts towards.
    pub(crate) limits: RateLimits,
}

impl ValidToken {
    /// Verifies a token and finds its session alive. One round trip.
    ///
    /// # Errors
    /// 401 where one of them does not hold.
    pub async fn verify(context: &Context, text: &str) -> Result<Self, ApiError> {
        Self::verify_charged(context, text, false).await
    }

    /// The same for its bearer, who counts towards the limits.
    ///
    /// # Errors
    /// 401 where one of them does not hold; 429 over a limit.
    pub(crate) async fn of_bearer(context: &Context, text: &str) -> Result<Self, ApiError> {
        Self::verify_charged(context, text, true).await
    }

    async fn verify_charged(context: &Context, text: &str, is_charged: bool) -> Result<Self, ApiError> {
        let refused = |error: TokenError| ApiError::invalid_token(error.reason());
        let token = UnverifiedToken::parse(text).map_err(refused)?;
        let claims = token.claims();
        let jwt = &context.configuration().jwt;
        token.check(&jwt.issuer, &jwt.audience, context.now).map_err(refused)?;
        let charge = if is_charged {
            Charge::of_session(context, &claims.org, SessionClaim::AccessToken(&claims.sid))
        } else {
            Charge::none(context, &claims.org)
        };
        let mut batch = Batch::new();
        let session = batch.ask(LiveSession::find(&claims.org, &claims.sid));
        let leases = charge.ask(&mut batch);
        let answers = verify_with(context, &claims.org, text, &token, batch).await;
        let answers = answers.inspect_err(|_| charge.give_back_unsettled())?;
        let session = live(context, answers.one(session)?).inspect_err(|_| charge.give_back_unsettled())?;
        let limits = charge.settle(0, &leases, &answers)??;
        if session.user_id != claims.sub {
            return Err(ApiError::invalid_token("session of another user"));
        }
        Ok(Self { claims: claims.clone(), session, limits })
    }
}

impl Access {
    /// Whoever holds an access token that holds may call, whatever it may do.
    #[must_use]
    pub fn access_token() -> Self {
        Self { rule: Rule::AccessToken, admit: crate::access::access_token::admit }
    }
}

/// Whoever calls with an access token.
pub(super) async fn by_access_token(context: &Context, text: &str) -> Result<(Caller, RateLimits), ApiError> {
    let token = ValidToken::of_bearer(context, text).await?;
    Ok((caller_of(context, &token.claims.org, token.session), token.limits))
}

/// Admits the bearer of a token that holds.
fn admit<'a>(_: Rule, context: &'a Context, request: &'a mut Request) -> Admission<'a> {
    Box::pin(async move {
        let missing = || ApiError::unauthorized("credential_missing", "send an access token");
        let text = bearer(request.headers())?.ok_or_else(missing)?;
        let token = ValidToken::of_bearer(context, text).await?;
        note_use(context, &token.claims.org, &token.session);
        request.extensions_mut().insert(token.limits.clone());
        request.extensions_mut().insert(Arc::new(token));
        Ok(())
    })
}

/// As an argument of a handler: the token it was called with.
#[derive(Clone, Debug)]
pub struct BearerToken(Arc<ValidToken>);

impl std::ops::Deref for BearerToken {
    type Target = ValidToken;

    fn deref(&self) -> &ValidToken {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for BearerToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let token = parts.extensions.get::<Arc<ValidToken>>();
        let missing = || ApiError::internal("the handler takes a token, but its route does not ask for one");
        token.map(|token| Self(Arc::clone(token))).ok_or_else(missing)
    }
}
