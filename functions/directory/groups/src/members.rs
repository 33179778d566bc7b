//! Who is in a group.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use iam_core::directory::group::{
    Group, GroupInspection, MAX_ADDED, Standing, add_members, members, remove_member,
};
use iam_core::directory::role::member::MAX_MEMBERS_PAGE;
use iam_core::id::{GroupId, LogId, UserId};
use iam_core::permission::Scope;
use iam_core::sql::Rows;
use iam_service::{Access, ApiError, Caller, Context, Id, Json, Query, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::groups::{not_found, seen_by};
use iam_service::field::in_order;
use iam_service::managed::group_is_managed;
use iam_service::page::{ListMembersQuery, ListMembersResponse, Two, page_limit};

const MEMBERS: &str = "/api/v1/groups/{group_id}/members";
const MEMBER: &str = "/api/v1/groups/{group_id}/members/{user_id}";

pub(crate) fn routes() -> Vec<Route> {
    let write = || Access::permission("groups", "write", Scope::Organization);
    vec![
        Route::get(MEMBERS, Access::permission("groups", "read", Scope::Team), list)
            .summary("Lists the users in a group")
            .description("With `groups.read.team` alone, of a group that the caller is in.")
            .takes_query::<ListMembersQuery>()
            .gives::<ListMembersResponse>(200, "A page of users")
            .round_trips(2),
        Route::post(MEMBERS, write(), add_many)
            .summary("Puts users into a group")
            .description(
                "Up to 500 at once, each told of; who is unknown keeps nobody else out. 409 with code \
                 `managed_by_scim` where SCIM decides who is in the group: it is managed over SCIM, and \
                 `scim.locally_editable` has no `groups` or the group gives roles.",
            )
            .takes::<AddMembersRequest>()
            .gives::<AddMembersResponse>(200, "What became of each")
            .round_trips(2),
        Route::new(Method::PUT, MEMBER, write(), add)
            .summary("Puts a user into a group")
            .description("Doing it twice does no harm. 409 as for many at once.")
            .answers(204, "The user is in the group")
            .round_trips(2),
        Route::delete(MEMBER, write(), remove)
            .summary("Takes a user out of a group")
            .description("Doing it twice does no harm. 409 as for those who are put in.")
            .answers(204, "The user is not in the group")
            .round_trips(2),
    ]
}

async fn list(
    context: Context,
    caller: Caller,
    Id(group_id): Id<GroupId>,
    Query(query): Query<ListMembersQuery>,
) -> Result<Json<ListMembersResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_MEMBERS_PAGE)?;
    let organization = &caller.organization;
    let batch = vec![
        Group::find(organization, &group_id, seen_by(&caller)),
        members(organization, &group_id, query.cursor.as_ref(), limit),
    ];
    match context.db(organization).batch_of(batch).await?.as_slice() {
        [group, members] if !group.is_empty() => ListMembersResponse::read(members, limit).map(Json),
        _ => Err(not_found()),
    }
}

/// Whom to put in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddMembersRequest {
    /// 1 to 500 users.
    user_ids: Vec<UserId>,
}

/// What became of each.
#[derive(Serialize, JsonSchema)]
struct AddMembersResponse {
    /// One for each user that was named, in that order.
    results: Vec<AddedMember>,
}

/// What became of one.
#[derive(Serialize, JsonSchema)]
struct AddedMember {
    /// The user.
    user_id: UserId,
    /// What became of it.
    result: Standing,
}

async fn add_many(
    context: Context,
    caller: Caller,
    Id(group_id): Id<GroupId>,
    Json(request): Json<AddMembersRequest>,
) -> Result<Json<AddMembersResponse>, ApiError> {
    if request.user_ids.is_empty() || request.user_ids.len() > MAX_ADDED {
        return Err(ApiError::field("/user_ids", format!("1 to {MAX_ADDED} users")));
    }
    let standings = put_in(&context, &caller, &group_id, &request.user_ids).await?;
    let result = |user_id: UserId| {
        let result = standings.get(&user_id).copied().unwrap_or(Standing::UnknownUser);
        AddedMember { user_id, result }
    };
    Ok(Json(AddMembersResponse { results: request.user_ids.into_iter().map(result).collect() }))
}

async fn add(
    context: Context,
    caller: Caller,
    Two(group_id, user_id): Two<GroupId, UserId>,
) -> Result<StatusCode, ApiError> {
    let standings = put_in(&context, &caller, &group_id, std::slice::from_ref(&user_id)).await?;
    match standings.get(&user_id) {
        Some(Standing::Added | Standing::AlreadyMember) => Ok(StatusCode::NO_CONTENT),
        Some(Standing::UnknownUser) | None => Err(no_user()),
    }
}

/// Puts users into a group, each with a record of its own, and tells how each stood before. One round trip.
async fn put_in(
    context: &Context,
    caller: &Caller,
    group_id: &GroupId,
    user_ids: &[UserId],
) -> Result<BTreeMap<UserId, Standing>, ApiError> {
    let users = in_order(user_ids.to_vec())
        .into_iter()
        .map(|user_id| Ok((user_id, context.new_id(LogId::new)?)))
        .collect::<Result<Vec<_>, ApiError>>()?;
    let event = context.audit_by_text(caller, "group.member.add", "group")?.on(group_id.as_str());
    let batch = add_members(&caller.organization, group_id, &users, &context.local_edits()?, event);
    let rows = context.db(&caller.organization).batch_of(batch.into()).await?;
    check_open(&rows)?;
    Ok(read_standings(rows.get(1).ok_or_else(too_little)?)?)
}

/// Whether the group is there, and who is in it is the caller's to change.
fn check_open(rows: &[Rows]) -> Result<(), ApiError> {
    let group: Option<GroupInspection> = rows.first().ok_or_else(too_little)?.decode_first()?;
    match group {
        None => Err(not_found()),
        Some(group) if group.is_kept => Err(group_is_managed(&group.display_name)),
        Some(_) => Ok(()),
    }
}

fn too_little() -> ApiError {
    ApiError::internal("a batch answered too little")
}

fn read_standings(rows: &Rows) -> Result<BTreeMap<UserId, Standing>, iam_core::sql::RowError> {
    let mut standings = BTreeMap::new();
    for row in rows {
        let (user_id, standing) = Standing::read(row)?;
        standings.insert(user_id, standing);
    }
    Ok(standings)
}

async fn remove(
    context: Context,
    caller: Caller,
    Two(group_id, user_id): Two<GroupId, UserId>,
) -> Result<StatusCode, ApiError> {
    let event = context
        .audit_by_text(&caller, "group.member.remove", "group")?
        .on(group_id.as_str())
        .detail("member", user_id.as_str());
    let batch = remove_member(&caller.organization, &group_id, &user_id, &context.local_edits()?, event);
    let rows = context.db(&caller.organization).batch_of(batch.into()).await?;
    check_open(&rows)?;
    let row = rows.last().and_then(Rows::first).ok_or_else(too_little)?;
    if row.integer("known")? == 0 { Err(no_user()) } else { Ok(StatusCode::NO_CONTENT) }
}

fn no_user() -> ApiError {
    ApiError::not_found("there is no such user")
}
