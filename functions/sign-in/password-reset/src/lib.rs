//! `/api/v1/auth/password/reset…`: a new password for whoever lost theirs.

mod confirm;
mod request;

use iam_service::{Access, Function, Route};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("password-reset", "Lets people choose a new password who lost theirs")
        .uses_database()
        .uses_notifications()
        .route(
            Route::post("/api/v1/auth/password/reset", Access::public(), request::request)
                .summary("Asks for a new password")
                .description(
                    "The answer is the same whether there is such a user or not. An active person with a \
                     password and an address is sent a token that works once; the newest alone works. Three \
                     an hour at most.",
                )
                .takes::<request::ResetRequest>()
                .gives::<request::ResetResponse>(202, "If there is such a user, a message is on its way")
                .round_trips(1),
        )
        .route(
            Route::post("/api/v1/auth/password/reset/confirm", Access::public(), confirm::confirm)
                .summary("Sets a new password with a reset token")
                .description(
                    "A password that the policy refuses leaves the token unspent. All sessions of the user \
                     end, and its lock with them.",
                )
                .takes::<confirm::ConfirmRequest>()
                .answers(204, "The new password is set")
                .round_trips(2),
        )
}
