//! Who is in a group.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use iam_core::directory::acts;
use iam_core::directory::group::Group;
use iam_core::directory::group::member::{
    GroupInspection, MAX_ADDED, Standing, UserKnown, add, page, remove,
};
use iam_core::directory::role::member::MAX_MEMBERS_PAGE;
use iam_core::id::{GroupId, LogId, UserId};
use iam_core::permission::Scope;
use iam_core::sql::{Answers, Batch, Ticket};
use iam_service::{Access, ApiError, Caller, Context, Id, Json, Query, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::groups::{not_found, seen_by};
use iam_service::Two;
use iam_service::field::in_order;
use iam_service::managed::group_is_managed;
use iam_service::members::{ListMembersQuery, ListMembersResponse};
use iam_service::page::page_limit;

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
        Route::new(Method::PUT, MEMBER, write(), put_one)
            .summary("Puts a user into a group")
            .description("Doing it twice does no harm. 409 as for many at once.")
            .answers(204, "The user is in the group")
            .round_trips(2),
        Route::delete(MEMBER, write(), take_out)
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
    let mut batch = Batch::new();
    let group = batch.ask(Group::find(organization, &group_id, seen_by(&caller)));
    let members = batch.ask(page(organization, &group_id, query.cursor.as_ref(), limit));
    let answers = context.db(organization).batch(batch).await?;
    if !answers.did(group)? {
        return Err(not_found());
    }
    Ok(Json(ListMembersResponse::of(answers.all(members)?, limit)))
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

async fn put_one(
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
    let event = context.audit_by(caller, acts::GROUP_MEMBER_ADD)?.on(group_id.as_str());
    let mut batch = Batch::new();
    let edits = context.local_edits()?;
    let tickets = add(&caller.organization, group_id, &users, &edits, event, &mut batch);
    let answers = context.db(&caller.organization).batch(batch).await?;
    check_open(&answers, tickets.group)?;
    let standings = answers.all(tickets.standings)?;
    Ok(standings.into_iter().map(|stood| (stood.user_id, stood.standing)).collect())
}

/// Whether the group is there, and who is in it is the caller's to change.
fn check_open(answers: &Answers, group: Ticket<GroupInspection>) -> Result<(), ApiError> {
    match answers.one(group)? {
        None => Err(not_found()),
        Some(group) if group.is_kept => Err(group_is_managed(&group.display_name)),
        Some(_) => Ok(()),
    }
}

async fn take_out(
    context: Context,
    caller: Caller,
    Two(group_id, user_id): Two<GroupId, UserId>,
) -> Result<StatusCode, ApiError> {
    let event = context
        .audit_by(&caller, acts::GROUP_MEMBER_REMOVE)?
        .on(group_id.as_str())
        .detail("member", user_id.as_str());
    let mut batch = Batch::new();
    let edits = context.local_edits()?;
    let tickets = remove(&caller.organization, &group_id, &user_id, &edits, event, &mut batch);
    let answers = context.db(&caller.organization).batch(batch).await?;
    check_open(&answers, tickets.group)?;
    match answers.one(tickets.user)? {
        Some(UserKnown(true)) => Ok(StatusCode::NO_CONTENT),
        Some(UserKnown(false)) | None => Err(no_user()),
    }
}

fn no_user() -> ApiError {
    ApiError::not_found("there is no such user")
}
