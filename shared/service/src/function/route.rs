//! A route under declaration: who may call it, what it costs, how its clients want errors.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

#[cfg(not(target_family = "wasm"))]
use super::documentation::Documentation;
use crate::access::Access;
use crate::instance::flags::Opening;
use crate::request::error::ErrorStyle;

/// One route as it was declared.
pub(crate) struct Declaration {
    #[cfg(not(target_family = "wasm"))]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) style: ErrorStyle,
    pub(crate) round_trips: u32,
    pub(crate) routine: bool,
    pub(crate) opening: Opening,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) public: bool,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) documentation: Documentation,
}

/// One route under declaration.
pub struct Route {
    pub(super) handler: MethodRouter,
    pub(crate) declaration: Declaration,
}

impl Route {
    /// A route and who may call it. There is no route without an answer to that question.
    #[must_use]
    pub fn new<H, T>(method: Method, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        let declaration = Declaration {
            #[cfg(not(target_family = "wasm"))]
            method,
            path,
            access,
            style: ErrorStyle::default(),
            round_trips: 0,
            routine: false,
            opening: Opening::Never,
            #[cfg(not(target_family = "wasm"))]
            public: true,
            #[cfg(not(target_family = "wasm"))]
            documentation: Documentation::default(),
        };
        Self { handler: on(filter, handler), declaration }
    }

    /// A GET route.
    #[must_use]
    pub fn get<H: Handler<T, ()>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        Self::new(Method::GET, path, access, handler)
    }

    /// A POST route.
    #[must_use]
    pub fn post<H: Handler<T, ()>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        Self::new(Method::POST, path, access, handler)
    }

    /// A PUT route.
    #[must_use]
    pub fn put<H: Handler<T, ()>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        Self::new(Method::PUT, path, access, handler)
    }

    /// A DELETE route.
    #[must_use]
    pub fn delete<H: Handler<T, ()>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        Self::new(Method::DELETE, path, access, handler)
    }

    /// A PATCH route.
    #[must_use]
    pub fn patch<H: Handler<T, ()>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        Self::new(Method::PATCH, path, access, handler)
    }

    /// How many round trips to the database its answer waits for at most, the caller's authentication
    /// included; a batch is one. Tests hold it to that.
    #[must_use]
    pub fn round_trips(mut self, most: u32) -> Self {
        self.declaration.round_trips = most;
        self
    }

    /// It is asked so often that a request which succeeds is counted, but gets a log line only now and then
    /// (`monitoring.logging.routine_every`), unless its answer is [`Notable`](crate::Notable).
    #[must_use]
    pub fn routine(mut self) -> Self {
        self.declaration.routine = true;
        self
    }

    /// Its clients want SCIM errors.
    #[must_use]
    pub fn scim_errors(mut self) -> Self {
        self.declaration.style = ErrorStyle::Scim;
        self
    }

    /// Its clients want OAuth errors.
    #[must_use]
    pub fn oauth_errors(mut self) -> Self {
        self.declaration.style = ErrorStyle::OAuth;
        self
    }

    /// Its clients want errors as webhooks' senders get them.
    #[must_use]
    pub fn webhook_errors(mut self) -> Self {
        self.declaration.style = ErrorStyle::Webhook;
        self
    }

    /// Only other functions call it: no gateway and no trigger leads to it.
    #[must_use]
    pub fn internal_only(self) -> Self {
        #[cfg(not(target_family = "wasm"))]
        return Self { declaration: Declaration { public: false, ..self.declaration }, ..self };
        #[cfg(target_family = "wasm")]
        self
    }
}
