//! `/api/v1/users`: users as their administrators see and change them.

mod change;
mod list;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use iam_core::directory::DirectoryUser;
use iam_core::id::UserId;
use iam_core::permission::Scope;
use iam_service::{Access, ApiError, Area, Caller, Context, Function, Id, Json, Route};

use change::PatchUserRequest;
use list::{ListUsersQuery, ListUsersResponse};

iam_service::deploy!(function);

const USERS: &str = "/api/v1/users";
const USER: &str = "/api/v1/users/{user_id}";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let may = |action| Access::permission("users", action, Scope::Organization);
    Function::new("users", "Shows, finds and changes users")
        .area(Area::Admin)
        .uses_database()
        .route(
            Route::get(USERS, may("read"), list::list)
                .summary("Lists users, oldest first, or by name where `username_prefix` alone is given")
                .description(
                    "Filters can be combined. A page looks at 1,000 users at most, so with several filters \
                     it may have fewer than `limit`, even none, and still a `next_cursor`: the list ends \
                     where that is absent.",
                )
                .takes_query::<ListUsersQuery>()
                .gives::<ListUsersResponse>(200, "A page of users")
                .round_trips(2),
        )
        .route(
            Route::get(USER, may("read"), get)
                .summary("Shows a user")
                .gives::<DirectoryUser>(200, "The user; its `ETag` is its version")
                .round_trips(2),
        )
        .route(
            Route::patch(USER, may("write"), change::patch)
                .summary("Changes a user")
                .description(
                    "What is absent stays; `null` takes an e-mail address or display name away; roles and \
                     groups are replaced as a whole. With `If-Match` only that version is changed (412 \
                     otherwise). Nobody changes a user who may do what the caller may not. The last active \
                     administrator stays one.",
                )
                .takes::<PatchUserRequest>()
                .gives::<DirectoryUser>(200, "The user as it is now")
                .round_trips(3),
        )
        .route(
            Route::delete(USER, may("delete"), change::delete)
                .summary("Deletes a user")
                .description(
                    "It is signed out everywhere, its API keys are revoked and its user name is free. It can \
                     be restored until `directory.deletion_grace` is over.",
                )
                .answers(204, "Deleted")
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/users/{user_id}/suspend", may("write"), change::suspend)
                .summary("Suspends a user")
                .description("It is signed out everywhere and can't sign in until it is activated.")
                .gives::<DirectoryUser>(200, "The user as it is now")
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/users/{user_id}/activate", may("write"), change::activate)
                .summary("Ends a user's suspension")
                .gives::<DirectoryUser>(200, "The user as it is now")
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/users/{user_id}/unlock", may("write"), change::unlock)
                .summary("Forgets a user's failed sign-ins")
                .gives::<DirectoryUser>(200, "The user as it is now")
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/users/{user_id}/restore", may("delete"), change::restore)
                .summary("Brings a deleted user back")
                .description("409 where somebody else has its user name by now. Its API keys stay revoked.")
                .gives::<DirectoryUser>(200, "The user as it is now")
                .round_trips(3),
        )
}

async fn get(context: Context, caller: Caller, Id(user_id): Id<UserId>) -> Result<Response, ApiError> {
    let threshold = context.configuration().password.lockout_threshold;
    let find = DirectoryUser::by_id(&caller.organization, &user_id, threshold, context.now);
    let user = context.db(&caller.organization).one(find).await?;
    Ok(shown(&user.ok_or_else(not_found)?))
}

fn not_found() -> ApiError {
    ApiError::not_found("there is no such user")
}

/// The user, with its version as its `ETag` (RFC 9110 section 8.8.3).
fn shown(user: &DirectoryUser) -> Response {
    let mut response = Json(user).into_response();
    if let Ok(tag) = HeaderValue::from_str(&entity_tag(user)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn entity_tag(user: &DirectoryUser) -> String {
    format!("\"{}\"", user.version)
}
