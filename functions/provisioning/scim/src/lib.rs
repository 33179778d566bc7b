//! `/api/scim/v2`: users and groups provisioned by an identity provider over SCIM 2.0 (RFC 7643, RFC 7644,
//! RFC 9865).
//!
//! Whoever holds a token of one of an organization's SCIM clients may see, create, change and delete its
//! users and groups, whoever made them. `roles` and `entitlements` of users are kept and shown as they came,
//! and grant nothing: roles follow from groups, by the mapping of the configuration (`scim.role_mappings`).

mod bulk;
mod discovery;
mod document;
mod groups;
mod guard;
mod me;
mod message;
mod resource;
mod routes;
mod search;
mod users;
mod work;

use iam_service::{Access, Function, Route};

use bulk::{BulkRequest, BulkResponse};
use document::{GroupResource, PatchRequest, UserResource};
use message::{ListResponse, MEDIA_TYPE, Shown};
use search::{ListQuery, SearchRequest};
use work::CHANGE_ROUND_TRIPS;

iam_service::deploy!(function);

const ROOT: &str = "/api/scim/v2";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function = Function::new("scim", "Lets identity providers provision users and groups over SCIM 2.0")
        .uses_database();
    let function = routes::of::<GroupResource>(routes::of::<UserResource>(function));
    me_routes(discovery::routes(common_routes(function)))
}

/// What is about users and groups alike.
fn common_routes(function: Function) -> Function {
    // Authentication, and for each operation what the costliest of them takes: a change.
    let bulk_round_trips = 1 + CHANGE_ROUND_TRIPS * u32::try_from(bulk::MAX_OPERATIONS).unwrap_or(u32::MAX);
    function
        .route(
            Route::get(ROOT, Access::scim(), search::list_all)
                .summary("Lists users and groups")
                .takes_query::<ListQuery>()
                .gives_as::<ListResponse<serde_json::Value>>(200, MEDIA_TYPE, "Users, and behind them groups")
                .round_trips(3)
                .scim_errors(),
        )
        .route(
            Route::post("/api/scim/v2/.search", Access::scim(), search::search_all)
                .summary("Lists users and groups, by a question in the body")
                .takes_as::<SearchRequest>(MEDIA_TYPE)
                .gives_as::<ListResponse<serde_json::Value>>(200, MEDIA_TYPE, "Users, and behind them groups")
                .round_trips(3)
                .scim_errors(),
        )
        .route(
            Route::post("/api/scim/v2/Bulk", Access::scim(), bulk::bulk)
                .summary("Does many things at once")
                .description(
                    "Each by itself. `bulkId:<id>` refers to what another operation creates, before \
                              or after it.",
                )
                .takes_as::<BulkRequest>(MEDIA_TYPE)
                .gives_as::<BulkResponse>(200, MEDIA_TYPE, "What became of each")
                .round_trips(bulk_round_trips)
                .scim_errors(),
        )
}

/// Open to anybody as far as the router goes: the handler looks at the credential, which is a user's own.
fn me_routes(function: Function) -> Function {
    const ME: &str = "/api/scim/v2/Me";
    function
        .route(
            Route::get(ME, Access::public(), me::get)
                .summary("Shows the signed-in user")
                .description("With an access token or an API key; needs the permission `profile.read.own`.")
                .takes_query::<Shown>()
                .gives_as::<UserResource>(200, MEDIA_TYPE, "The user")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::patch(ME, Access::public(), me::patch)
                .summary("Changes the signed-in user")
                .description("What `scim.self_editable` lists; needs the permission `profile.write.own`.")
                .takes_as::<PatchRequest>(MEDIA_TYPE)
                .takes_query::<Shown>()
                .gives_as::<UserResource>(200, MEDIA_TYPE, "The user as it is now")
                .round_trips(3)
                .scim_errors(),
        )
        .route(
            Route::put(ME, Access::public(), me::put)
                .summary("Replaces the signed-in user")
                .description(
                    "What `scim.self_editable` lists may differ; needs the permission `profile.write.own`.",
                )
                .takes_as::<UserResource>(MEDIA_TYPE)
                .takes_query::<Shown>()
                .gives_as::<UserResource>(200, MEDIA_TYPE, "The user as it is now")
                .round_trips(3)
                .scim_errors(),
        )
        .route(Route::post(ME, Access::public(), me::not_offered).summary("Not offered: 501").scim_errors())
        .route(Route::delete(ME, Access::public(), me::not_offered).summary("Not offered: 501").scim_errors())
}
