//! Which credential a request brings: the kinds are listed here, each is a file beside this one.

use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, Method, Uri};
use iam_core::permission::{Permission, Scope};

use super::access_token::by_access_token;
use super::api_key::by_api_key;
use super::bearer::bearer;
use super::caller::Caller;
use super::charge::RateLimits;
use super::cookie::{by_cookie, credential_missing};
use super::rule::{Access, Admission, Rule};
use crate::context::Context;
use crate::request::error::ApiError;

impl Access {
    /// A person or service may call that holds this permission, with an access token, an API key or a session
    /// cookie.
    #[must_use]
    pub fn permission(resource: &'static str, action: &'static str, scope: Scope) -> Self {
        Self { rule: Rule::Permission(resource, action, scope), admit: admit_caller }
    }
}

fn admit_caller<'a>(rule: Rule, context: &'a Context, request: &'a mut Request) -> Admission<'a> {
    Box::pin(async move {
        let Rule::Permission(resource, action, scope) = rule else {
            return Err(ApiError::internal("a route that asks for no permission"));
        };
        let (caller, limits) = identify(context, request.method(), request.uri(), request.headers()).await?;
        let permission = Permission::new(resource, action, scope);
        if !caller.holds(&permission) {
            let cause = format!("user {} lacks {permission}", caller.user_id);
            return Err(ApiError::forbidden(&permission).cause(cause));
        }
        request.extensions_mut().insert(Arc::new(caller));
        request.extensions_mut().insert(limits);
        Ok(())
    })
}

/// Tells who calls, from `Authorization: Bearer`, `X-API-Key` or, without either, the session cookie. One
/// round trip.
async fn identify(
    context: &Context,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(Caller, RateLimits), ApiError> {
    match by_header(context, headers).await? {
        Some(caller) => Ok(caller),
        None => by_cookie(context, method, uri, headers).await,
    }
}

/// Tells who calls, from `Authorization: Bearer` or `X-API-Key` alone, for a handler of a public route that
/// has more than one way in. One round trip.
///
/// # Errors
/// 401 where there is no credential, or none that holds.
pub async fn authenticate(context: &Context, headers: &HeaderMap) -> Result<Caller, ApiError> {
    by_header(context, headers).await?.map(|(caller, _)| caller).ok_or_else(credential_missing)
}

async fn by_header(context: &Context, headers: &HeaderMap) -> Result<Option<(Caller, RateLimits)>, ApiError> {
    let api_key = headers.get("x-api-key").map(|value| value.to_str().unwrap_or_default());
    match (bearer(headers)?, api_key) {
        (Some(_), Some(_)) => {
            let detail = "send `Authorization` or `X-API-Key`, not both";
            Err(ApiError::bad_request("two_credentials", detail))
        }
        (None, None) => Ok(None),
        (Some(text), None) if !text.starts_with(&context.configuration().api_keys.prefix) => {
            by_access_token(context, text).await.map(Some)
        }
        (Some(text), None) | (None, Some(text)) => by_api_key(context, text).await.map(Some),
    }
}
