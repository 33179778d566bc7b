//! Who may call a route: a rule, and the check that enforces it.

use std::future::Future;
use std::pin::Pin;

use axum::extract::Request;
use iam_core::permission::Scope;

use crate::context::Context;
use crate::request::error::ApiError;

/// Who may call a route: a rule, and the check that enforces it. The check is a function pointer, so that a
/// module whose routes never ask for an access token does not carry the cryptography that verifies one.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    pub(crate) rule: Rule,
    pub(crate) admit: Admit,
}

/// Who may call, in words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Public,
    Permission(&'static str, &'static str, Scope),
    AccessToken,
    Scim,
    Internal,
}

/// Checks a request and notes the caller on it.
pub(crate) type Admit = for<'a> fn(Rule, &'a Context, &'a mut Request) -> Admission<'a>;
pub(crate) type Admission<'a> = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>>;

impl Access {
    /// Anybody may call.
    #[must_use]
    pub fn public() -> Self {
        Self { rule: Rule::Public, admit: |_, _, _| Box::pin(std::future::ready(Ok(()))) }
    }
}

/// As an argument of a handler: whom the route's check noted on the request.
macro_rules! admitted {
    ($caller:ty, $missing:literal) => {
        impl<S: Send + Sync> axum::extract::FromRequestParts<S> for $caller {
            type Rejection = crate::request::error::ApiError;

            async fn from_request_parts(
                parts: &mut http::request::Parts,
                _: &S,
            ) -> Result<Self, Self::Rejection> {
                let caller = parts.extensions.get::<std::sync::Arc<Self>>();
                caller
                    .map(|caller| Self::clone(caller))
                    .ok_or_else(|| crate::request::error::ApiError::internal($missing))
            }
        }
    };
}
pub(super) use admitted;
