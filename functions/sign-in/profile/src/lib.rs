//! `GET /api/v1/auth/me`: the signed-in user.

use iam_core::directory::account::User;
use iam_core::permission::Scope;
use iam_service::{Access, ApiError, Caller, Context, Function, Json, Route};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read_own = Access::permission("profile", "read", Scope::Own);
    Function::new("profile", "Shows the signed-in user").uses_database().route(
        Route::get("/api/v1/auth/me", read_own, me)
            .summary("Shows the signed-in user")
            .description("Everybody who is signed in may; an API key needs the permission.")
            .gives::<User>(200, "The user")
            .round_trips(2),
    )
}

async fn me(context: Context, caller: Caller) -> Result<Json<User>, ApiError> {
    let find = User::by_id(&caller.organization, &caller.user_id);
    let user = context.db(&caller.organization).one(find).await?;
    user.map(Json).ok_or_else(|| ApiError::not_found("the user was deleted"))
}
