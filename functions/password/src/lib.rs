//! `/api/v1/auth/password/…` and `/api/v1/users/{user_id}/password-reset`: one's own password changed, and a new one
//! for whoever lost it.

mod change;
mod confirm;
mod reset;

use iam_core::permission::Scope;
use iam_service::{Access, Function, Route};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let change_own = Access::permission("profile", "write", Scope::Own);
    let write_users = Access::permission("users", "write", Scope::Organization);
    Function::new("password", "Changes passwords, and lets people choose new ones who lost theirs")
        .uses_database()
        .uses_notifications()
        .route(
            Route::post("/api/v1/auth/password/change", change_own, change::change)
                .summary("Changes one's own password")
                .description("All other sessions of the user end. All rules that the new password violates are named at once.")
                .takes::<change::ChangeRequest>()
                .answers(204, "Changed")
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/auth/password/reset", Access::public(), reset::request)
                .summary("Asks for a new password")
                .description(
                    "The answer is the same whether there is such a user or not. An active person with a password and an \
                     address is sent a token that works once; the newest alone works. Three an hour at most.",
                )
                .takes::<reset::ResetRequest>()
                .gives::<reset::ResetResponse>(202, "If there is such a user, a message is on its way")
                .round_trips(1),
        )
        .route(
            Route::post("/api/v1/auth/password/reset/confirm", Access::public(), confirm::confirm)
                .summary("Sets a new password with a reset token")
                .description(
                    "A password that the policy refuses leaves the token unspent. All sessions of the user end, and its \
                     lock with them.",
                )
                .takes::<confirm::ConfirmRequest>()
                .answers(204, "The new password is set")
                .round_trips(2),
        )
        .route(
            Route::post("/api/v1/users/{user_id}/password-reset", write_users, reset::for_user)
                .summary("Makes a reset token for a user")
                .description(
                    "It is in this answer and nowhere else; with `notify=true` it is sent to the user instead. The caller \
                     must hold all that the user's roles grant.",
                )
                .takes_query::<reset::ForUserQuery>()
                .gives::<reset::ForUserResponse>(201, "Made")
                .round_trips(3),
        )
}
