//! What every function shares above its host.
//!
//! A function declares itself once, with [`Function`] and [`Route`]; [`Service`] runs the way of every
//! request around it; [`deploy!`] makes the module. Everything a handler may need comes as an argument:
//! [`Context`],
//! [`Caller`] or [`ScimClient`], [`Json`], [`Query`], [`Id`].

mod access;
mod call;
mod context;
mod database;
mod directory;
mod function;
mod instance;
mod keys;
mod oauth;
mod operation;
mod record;
mod request;
mod sign_in;

pub use access::{
    Access, BearerToken, Caller, CallerCredential, KeyVerification, RateLimited, RateLimits, RefusedKey,
    ScimClient, ValidToken, authenticate, check_origin, clear_session_cookie, session_cookie, verify_key,
    verify_signature,
};
pub use context::Context;
pub use database::Db;
pub use directory::{managed, members};
#[cfg(not(target_family = "wasm"))]
pub use function::catalogue;
pub use function::{Budget, Function, Job, Progress, Route, Schedule, Step};
pub use iam_core::config::Area;
pub use instance::{INTERNAL_TOKEN, Instance, MASTER_KEY, MASTER_KEY_PREVIOUS};
pub use keys::fields as key_fields;
pub use oauth::signing::{access_claims, new_key};
pub use operation::WEBHOOK_SECRETS;
pub use operation::notification::{NOTIFICATION_TOKEN, Notification, NotificationUser, Template};
pub use record::{Creation, CreationResult};
#[cfg(not(target_family = "wasm"))]
pub use request::codes;
pub use request::error::{ApiError, ErrorStyle, FieldError, OAuthProblem, Problem, ScimProblem};
pub use request::form::Form;
pub use request::json::{Created, Json, MAX_DEPTH, body, check_media_type, parse};
pub use request::query::{Id, Query, Two};
pub use request::serve::{MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_URI_BYTES, Notable, RoundTrips, Service};
pub use request::{field, outbound, page};
pub use sign_in::{RefreshRefusal, Refreshed, exchange_refresh_token, password};

/// What the expansion of [`deploy!`] names. Not for use by hand.
#[doc(hidden)]
pub mod entry {
    pub use axum::body::Body;
    pub use http::{Request, Response};
    pub use iam_edge::{Host, serve};
}

/// Makes the module of a function: `deploy!(function)` or `deploy!(function, scheduled)`, where `function` is
/// the `fn() -> Function` that declares it.
#[macro_export]
macro_rules! deploy {
    ($function:ident $(, $scheduled:ident)?) => {
        #[cfg(target_family = "wasm")]
        mod module {
            use $crate::entry::{Body, Host, Request, Response};

            static SERVICE: ::std::sync::LazyLock<$crate::Service> =
                ::std::sync::LazyLock::new(|| $crate::Service::new(super::$function()));

            async fn handle(host: Host, request: Request<Body>) -> Response<Body> {
                SERVICE.handle(host, request).await
            }

            $crate::deploy!(@serve $($scheduled)?);
        }
    };
    (@serve) => {
        $crate::entry::serve!(handle);
    };
    (@serve scheduled) => {
        async fn scheduled(host: Host, cron: &str) {
            SERVICE.scheduled(host, cron).await;
        }

        $crate::entry::serve!(handle, scheduled = scheduled);
    };
}
