//! `POST /api/v1/auth/password/change` and `POST /api/v1/users/{user_id}/password-reset`: one's own password, and a
//! reset token for somebody else's. Using the token is the function `password-reset`'s.

mod change;
mod issue;

use iam_core::permission::Scope;
use iam_service::{Access, Function, Route};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let change_own = Access::permission("profile", "write", Scope::Own);
    let write_users = Access::permission("users", "write", Scope::Organization);
    Function::new("password", "Changes passwords")
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
            Route::post("/api/v1/users/{user_id}/password-reset", write_users, issue::issue)
                .summary("Makes a reset token for a user")
                .description(
                    "It is in this answer and nowhere else; with `notify=true` it is sent to the user instead. The caller \
                     must hold all that the user's roles grant.",
                )
                .takes_query::<issue::IssueQuery>()
                .gives::<issue::IssueResponse>(201, "Made")
                .round_trips(3),
        )
}
