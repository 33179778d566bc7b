//! `GET /bench/token-check`: what checking an access token costs a function, and nothing else.

use http::StatusCode;
use iam_core::permission::Scope;
use iam_service::{Access, Function, Route};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read_own = Access::permission("profile", "read", Scope::Own);
    Function::new("bench-token-check", "Checks an access token").uses_database().route(
        Route::get("/bench/token-check", read_own, async || StatusCode::NO_CONTENT)
            .summary("Checks an access token")
            .answers(204, "It is good")
            .round_trips(1)
            .routine(),
    )
}
