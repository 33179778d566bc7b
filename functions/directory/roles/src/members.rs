//! Who has a role.

use http::{Method, StatusCode};
use iam_core::directory::role::member::{MAX_MEMBERS_PAGE, MembershipOutcome, RoleMembership, page};
use iam_core::directory::role::{Role, RoleName};
use iam_core::directory::{MAX_ROLES_PER_USER, acts};
use iam_core::id::UserId;
use iam_core::permission::Scope;
use iam_core::sql::{Batch, Ticket};
use iam_service::{Access, ApiError, Caller, Context, Id, Json, Query, Route};

use crate::roles::{changed_meanwhile, find, not_found, refused};
use iam_service::Two;
use iam_service::members::{ListMembersQuery, ListMembersResponse};
use iam_service::page::page_limit;

const MEMBERS: &str = "/api/v1/roles/{role}/members";
const MEMBER: &str = "/api/v1/roles/{role}/members/{user_id}";

pub(crate) fn routes() -> Vec<Route> {
    let may = |action| Access::permission("roles", action, Scope::Organization);
    vec![
        Route::get(MEMBERS, may("read"), list)
            .summary("Lists the users who have a role")
            .takes_query::<ListMembersQuery>()
            .gives::<ListMembersResponse>(200, "A page of users")
            .round_trips(2),
        Route::new(Method::PUT, MEMBER, may("write"), add)
            .summary("Gives a user a role")
            .description("Nobody gives a role that grants what they don't hold. Doing it twice does no harm.")
            .answers(204, "The user has the role")
            .round_trips(3),
        Route::delete(MEMBER, may("write"), remove)
            .summary("Takes a role from a user")
            .description(
                "The caller must hold what the role grants. The last administrator who may act stays one. \
                 409 with code `given_by_group` where a group gives the role: it is taken away there. Doing \
                 it twice does no harm.",
            )
            .answers(204, "The user does not have the role")
            .round_trips(3),
    ]
}

async fn list(
    context: Context,
    caller: Caller,
    Id(role): Id<RoleName>,
    Query(query): Query<ListMembersQuery>,
) -> Result<Json<ListMembersResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_MEMBERS_PAGE)?;
    let organization = &caller.organization;
    let mut batch = Batch::new();
    let found = batch.ask(Role::find(organization, &role));
    let members = batch.ask(page(organization, &role, query.cursor.as_ref(), limit));
    let answers = context.db(organization).batch(batch).await?;
    if !answers.did(found)? {
        return Err(not_found());
    }
    Ok(Json(ListMembersResponse::of(answers.all(members)?, limit)))
}

async fn add(
    context: Context,
    caller: Caller,
    Two(role, user_id): Two<RoleName, UserId>,
) -> Result<StatusCode, ApiError> {
    let role = find(&context, &caller, &role).await?;
    role.check_held(&caller.grants).map_err(refused)?;
    let event = context
        .audit_by(&caller, acts::ROLE_MEMBER_ADD)?
        .on(role.role.as_str())
        .detail("member", user_id.as_str());
    let membership = RoleMembership { organization: &caller.organization, role: &role, user_id: &user_id };
    let mut batch = Batch::new();
    let outcome = membership.add(event, &mut batch);
    match run(&context, &caller, batch, outcome).await? {
        outcome if outcome.is_given => Ok(StatusCode::NO_CONTENT),
        outcome if !outcome.is_unchanged => Err(changed_meanwhile()),
        outcome if !outcome.is_known => Err(no_user()),
        outcome if !outcome.has_room => {
            let detail = format!("a user has at most {MAX_ROLES_PER_USER} roles");
            Err(ApiError::conflict("too_many_roles", detail))
        }
        _ => Err(ApiError::internal("a role was not given, for no reason")),
    }
}

async fn remove(
    context: Context,
    caller: Caller,
    Two(role, user_id): Two<RoleName, UserId>,
) -> Result<StatusCode, ApiError> {
    let role = find(&context, &caller, &role).await?;
    role.check_held(&caller.grants).map_err(refused)?;
    let event = context
        .audit_by(&caller, acts::ROLE_MEMBER_REMOVE)?
        .on(role.role.as_str())
        .detail("member", user_id.as_str());
    let membership = RoleMembership { organization: &caller.organization, role: &role, user_id: &user_id };
    let mut batch = Batch::new();
    let outcome = membership.remove(event, &mut batch);
    match run(&context, &caller, batch, outcome).await? {
        outcome if outcome.is_by_group => Err(ApiError::conflict(
            "given_by_group",
            "a group gives the user this role: take the user out of the group",
        )),
        outcome if !outcome.is_given && outcome.is_known => Ok(StatusCode::NO_CONTENT),
        outcome if !outcome.is_given => Err(no_user()),
        outcome if !outcome.is_unchanged => Err(changed_meanwhile()),
        outcome if !outcome.is_administered => Err(ApiError::conflict(
            "last_administrator",
            "this is the last administrator who may act; make another one first",
        )),
        _ => Err(ApiError::internal("a role was not taken away, for no reason")),
    }
}

async fn run(
    context: &Context,
    caller: &Caller,
    batch: Batch,
    outcome: Ticket<MembershipOutcome>,
) -> Result<MembershipOutcome, ApiError> {
    let answers = context.db(&caller.organization).batch(batch).await?;
    answers.one(outcome)?.ok_or_else(|| ApiError::internal("a membership without an outcome"))
}

fn no_user() -> ApiError {
    ApiError::not_found("there is no such user")
}
