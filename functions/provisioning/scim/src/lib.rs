//! `/api/scim/v2`: users and groups provisioned by an identity provider over SCIM 2.0 (RFC 7643, RFC 7644, RFC 9865).
//!
//! Whoever holds a token of one of an organization's SCIM clients may see, create, change and delete its users and groups,
//! whoever made them. `roles` and `entitlements` of users are kept and shown as they came, and grant nothing: roles follow from
//! groups, by the mapping of the configuration (`scim.role_mappings`).

mod bulk;
mod discovery;
mod document;
mod groups;
mod guard;
mod me;
mod message;
mod search;
mod users;
mod work;

use axum::response::{IntoResponse as _, Response};
use iam_core::id::{GroupId, UserId};
use iam_provisioning::schema::ResourceKind;
use iam_service::{Access, ApiError, Function, Id, Route};

use bulk::{BulkRequest, BulkResponse};
use document::{GroupResource, PatchRequest, UserResource};
use message::{ListResponse, MEDIA_TYPE, ScimBody, ScimQuery, Shown};
use search::{ListQuery, SearchRequest};
use work::{Change, Conditions, Work};

iam_service::deploy!(function);

const ROOT: &str = "/api/scim/v2";
const USERS: &str = "/api/scim/v2/Users";
const USER: &str = "/api/scim/v2/Users/{id}";
const GROUPS: &str = "/api/scim/v2/Groups";
const GROUP: &str = "/api/scim/v2/Groups/{id}";

/// A change is tried twice, each time reading and writing.
const CHANGE_ROUND_TRIPS: u32 = 6;

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function = Function::new("scim", "Lets identity providers provision users and groups over SCIM 2.0")
        .uses_database();
    let function = user_routes(function);
    let function = group_routes(function);
    me_routes(discovery::routes(common_routes(function)))
}

fn user_routes(function: Function) -> Function {
    function
        .route(
            Route::post(USERS, Access::scim(), create_user)
                .summary("Creates a user")
                .description(
                    "A user that was deleted lately and had the same `externalId` comes back under its former id, with \
                     nothing else of what it had.",
                )
                .takes_as::<UserResource>(MEDIA_TYPE)
                .takes_query::<Shown>()
                .gives_as::<UserResource>(201, MEDIA_TYPE, "Created")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::get(USERS, Access::scim(), search::users)
                .summary("Lists users")
                .takes_query::<ListQuery>()
                .gives_as::<ListResponse<UserResource>>(200, MEDIA_TYPE, "A page of users")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::post("/api/scim/v2/Users/.search", Access::scim(), search::search_users)
                .summary("Lists users, by a question in the body")
                .takes_as::<SearchRequest>(MEDIA_TYPE)
                .gives_as::<ListResponse<UserResource>>(200, MEDIA_TYPE, "A page of users")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::get(USER, Access::scim(), get_user)
                .summary("Shows a user")
                .takes_query::<Shown>()
                .gives_as::<UserResource>(200, MEDIA_TYPE, "The user")
                .answers(304, "It is in a version of `If-None-Match`")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::put(USER, Access::scim(), replace_user)
                .summary("Replaces a user")
                .description("What is absent goes, but for `active` and the password.")
                .takes_as::<UserResource>(MEDIA_TYPE)
                .takes_query::<Shown>()
                .gives_as::<UserResource>(200, MEDIA_TYPE, "The user as it is now")
                .round_trips(CHANGE_ROUND_TRIPS)
                .scim_errors(),
        )
        .route(
            Route::patch(USER, Access::scim(), patch_user)
                .summary("Changes a user")
                .description(
                    "All operations or none. Who is deactivated or gets a new password is signed out everywhere.",
                )
                .takes_as::<PatchRequest>(MEDIA_TYPE)
                .takes_query::<Shown>()
                .gives_as::<UserResource>(200, MEDIA_TYPE, "The user as it is now")
                .round_trips(CHANGE_ROUND_TRIPS)
                .scim_errors(),
        )
        .route(
            Route::delete(USER, Access::scim(), delete_user)
                .summary("Deletes a user")
                .description("It is signed out everywhere, its keys end, and its user name is free again.")
                .answers(204, "Deleted")
                .round_trips(2)
                .scim_errors(),
        )
}

fn group_routes(function: Function) -> Function {
    function
        .route(
            Route::post(GROUPS, Access::scim(), create_group)
                .summary("Creates a group")
                .takes_as::<GroupResource>(MEDIA_TYPE)
                .takes_query::<Shown>()
                .gives_as::<GroupResource>(201, MEDIA_TYPE, "Created")
                .round_trips(3)
                .scim_errors(),
        )
        .route(
            Route::get(GROUPS, Access::scim(), search::groups)
                .summary("Lists groups")
                .description("A page ends early where its groups have very many members. `excludedAttributes=members` spares them.")
                .takes_query::<ListQuery>()
                .gives_as::<ListResponse<GroupResource>>(200, MEDIA_TYPE, "A page of groups")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::post("/api/scim/v2/Groups/.search", Access::scim(), search::search_groups)
                .summary("Lists groups, by a question in the body")
                .takes_as::<SearchRequest>(MEDIA_TYPE)
                .gives_as::<ListResponse<GroupResource>>(200, MEDIA_TYPE, "A page of groups")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::get(GROUP, Access::scim(), get_group)
                .summary("Shows a group")
                .takes_query::<Shown>()
                .gives_as::<GroupResource>(200, MEDIA_TYPE, "The group")
                .answers(304, "It is in a version of `If-None-Match`")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::put(GROUP, Access::scim(), replace_group)
                .summary("Replaces a group and who is in it")
                .takes_as::<GroupResource>(MEDIA_TYPE)
                .takes_query::<Shown>()
                .gives_as::<GroupResource>(200, MEDIA_TYPE, "The group as it is now")
                .round_trips(CHANGE_ROUND_TRIPS)
                .scim_errors(),
        )
        .route(
            Route::patch(GROUP, Access::scim(), patch_group)
                .summary("Changes a group, or who is in it")
                .description("All operations or none. Shows the group where `attributes` or `excludedAttributes` is given.")
                .takes_as::<PatchRequest>(MEDIA_TYPE)
                .takes_query::<Shown>()
                .gives_as::<GroupResource>(200, MEDIA_TYPE, "The group as it is now")
                .answers(204, "Changed")
                .round_trips(CHANGE_ROUND_TRIPS)
                .scim_errors(),
        )
        .route(
            Route::delete(GROUP, Access::scim(), delete_group)
                .summary("Deletes a group")
                .answers(204, "Deleted")
                .round_trips(2)
                .scim_errors(),
        )
}

/// What is about users and groups alike.
fn common_routes(function: Function) -> Function {
    // Authentication, and for each operation what the costliest of them takes.
    let bulk_round_trips = 1 + CHANGE_ROUND_TRIPS * u32::try_from(bulk::MAX_OPERATIONS).unwrap_or(u32::MAX);
    function
        .route(
            Route::get(ROOT, Access::scim(), search::root)
                .summary("Lists users and groups")
                .takes_query::<ListQuery>()
                .gives_as::<ListResponse<serde_json::Value>>(200, MEDIA_TYPE, "Users, and behind them groups")
                .round_trips(3)
                .scim_errors(),
        )
        .route(
            Route::post("/api/scim/v2/.search", Access::scim(), search::search)
                .summary("Lists users and groups, by a question in the body")
                .takes_as::<SearchRequest>(MEDIA_TYPE)
                .gives_as::<ListResponse<serde_json::Value>>(200, MEDIA_TYPE, "Users, and behind them groups")
                .round_trips(3)
                .scim_errors(),
        )
        .route(
            Route::post("/api/scim/v2/Bulk", Access::scim(), bulk::bulk)
                .summary("Does many things at once")
                .description("Each by itself. `bulkId:<id>` refers to what another operation creates, before or after it.")
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

type Answer = Result<Response, ApiError>;

async fn create_user(work: Work, ScimQuery(shown): ScimQuery<Shown>, ScimBody(body): ScimBody) -> Answer {
    let projection = shown.projection(work.schema(ResourceKind::User))?;
    let user_id = work.context.new_id(UserId::new)?;
    Ok(users::create(&work, user_id, body, &projection).await?.into_response())
}

async fn get_user(
    work: Work,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    Id(user_id): Id<UserId>,
) -> Answer {
    let projection = shown.projection(work.schema(ResourceKind::User))?;
    Ok(users::get(&work, &user_id, &conditions, &projection).await?.into_response())
}

async fn replace_user(
    work: Work,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    Id(user_id): Id<UserId>,
    ScimBody(body): ScimBody,
) -> Answer {
    let projection = shown.projection(work.schema(ResourceKind::User))?;
    let change = Change::Replace(body);
    Ok(users::change(&work, &user_id, change, &conditions, &projection).await?.into_response())
}

async fn patch_user(
    work: Work,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    Id(user_id): Id<UserId>,
    ScimBody(body): ScimBody,
) -> Answer {
    let projection = shown.projection(work.schema(ResourceKind::User))?;
    let change = Change::Patch(body);
    Ok(users::change(&work, &user_id, change, &conditions, &projection).await?.into_response())
}

async fn delete_user(work: Work, conditions: Conditions, Id(user_id): Id<UserId>) -> Answer {
    Ok(users::delete(&work, &user_id, &conditions).await?.into_response())
}

async fn create_group(work: Work, ScimQuery(shown): ScimQuery<Shown>, ScimBody(body): ScimBody) -> Answer {
    let projection = shown.projection(work.schema(ResourceKind::Group))?;
    let group_id = work.context.new_id(GroupId::new)?;
    Ok(groups::create(&work, group_id, body, &projection).await?.into_response())
}

async fn get_group(
    work: Work,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    Id(group_id): Id<GroupId>,
) -> Answer {
    let projection = shown.projection(work.schema(ResourceKind::Group))?;
    Ok(groups::get(&work, &group_id, &conditions, &projection).await?.into_response())
}

async fn replace_group(
    work: Work,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    Id(group_id): Id<GroupId>,
    ScimBody(body): ScimBody,
) -> Answer {
    let projection = shown.projection(work.schema(ResourceKind::Group))?;
    let change = Change::Replace(body);
    Ok(groups::change(&work, &group_id, change, &conditions, Some(&projection)).await?.into_response())
}

/// A group with very many members is shown where the client asks for it alone (RFC 7644 section 3.5.2 allows either).
async fn patch_group(
    work: Work,
    conditions: Conditions,
    ScimQuery(shown): ScimQuery<Shown>,
    Id(group_id): Id<GroupId>,
    ScimBody(body): ScimBody,
) -> Answer {
    let projection = shown.projection(work.schema(ResourceKind::Group))?;
    let projection = shown.is_asked().then_some(&projection);
    let change = Change::Patch(body);
    Ok(groups::change(&work, &group_id, change, &conditions, projection).await?.into_response())
}

async fn delete_group(work: Work, conditions: Conditions, Id(group_id): Id<GroupId>) -> Answer {
    Ok(groups::delete(&work, &group_id, &conditions).await?.into_response())
}
