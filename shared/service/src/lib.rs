//! What every function shares above its host.
//!
//! A function declares itself once, with [`Function`] and [`Route`]; [`Service`] runs the way of every request
//! around it; [`deploy!`] makes the module. Everything a handler may need comes as an argument: [`Context`],
//! [`Caller`] or [`ScimClient`], [`Json`], [`Query`], [`Id`].

mod access;
mod access_token;
mod address;
mod api_key;
#[cfg(not(target_family = "wasm"))]
pub mod catalogue;
mod context;
mod cookie;
mod cors;
mod database;
mod documentation;
mod error;
pub mod field;
mod flags;
mod form;
mod function;
mod idempotency;
mod instance;
mod internal;
mod json;
pub mod key_fields;
mod keyring;
mod lockout;
pub mod managed;
mod notification;
mod origin;
pub mod outbound;
pub mod page;
pub mod password;
mod rate_limit;
mod refresh;
mod secrets;
mod serve;

pub use access::{Access, Caller, CallerCredential, ScimClient, authenticate};
pub use access_token::{BearerToken, ValidToken};
pub use api_key::{KeyVerification, RefusedKey, verify_key};
pub use context::Context;
pub use cookie::{clear_session_cookie, session_cookie};
pub use database::Db;
pub use error::{ApiError, ErrorStyle, FieldError, OAuthProblem, Problem, ScimProblem};
pub use form::Form;
pub use function::{Function, Route};
pub use iam_core::config::Area;
pub use idempotency::{Creation, CreationResult};
pub use instance::{INTERNAL_TOKEN, Instance, MASTER_KEY, MASTER_KEY_PREVIOUS};
pub use json::{Created, Id, Json, MAX_DEPTH, Query, body, check_media_type, parse};
pub use keyring::{Keyring, access_claims, new_key, verify_signature};
pub use notification::{NOTIFICATION_TOKEN, Notification, NotificationUser, Template};
pub use origin::check_origin;
pub use rate_limit::{RateLimited, RateLimits};
pub use refresh::{RefreshRefusal, Refreshed, exchange_refresh_token};
pub use secrets::WEBHOOK_SECRETS;
pub use serve::{MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_URI_BYTES, Notable, RoundTrips, Service};

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
