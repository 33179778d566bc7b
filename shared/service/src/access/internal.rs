//! The internal token: another function or a scheduler calls.

use axum::extract::Request;

use super::bearer::bearer;
use super::rule::{Access, Admission, Rule};
use crate::context::Context;
use crate::request::error::ApiError;

impl Access {
    /// Another function or a scheduler may call, with the host's internal token.
    #[must_use]
    pub fn internal() -> Self {
        Self { rule: Rule::Internal, admit: admit_internal }
    }
}

fn admit_internal<'a>(_: Rule, context: &'a Context, request: &'a mut Request) -> Admission<'a> {
    Box::pin(async move {
        let given = bearer(request.headers())?.unwrap_or_default();
        if context.instance.is_internal_token(given) {
            Ok(())
        } else {
            Err(ApiError::invalid_token("not the internal token"))
        }
    })
}
