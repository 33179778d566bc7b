//! Groups: listed, shown, created, changed, deleted.

use axum::response::{IntoResponse, Response};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use iam_core::directory::acts;
use iam_core::directory::group::{
    self, GROUP_CREATED, GROUP_EXISTS, Group, GroupChange, MAX_DESCRIPTION_CHARACTERS, MAX_NAME_CHARACTERS,
    MAX_PAGE, NewGroup, display_name_key,
};
use iam_core::encoding::{base64url, from_base64url};
use iam_core::id::{GroupId, UserId};
use iam_core::permission::Scope;
use iam_core::sql::Batch;
use iam_service::{
    Access, ApiError, Caller, Context, Created, Creation, CreationResult, Id, Json, Query, Route,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use iam_service::field;
use iam_service::managed::group_is_managed;
use iam_service::page::{cut, page_limit};

const GROUPS: &str = "/api/v1/groups";
const GROUP: &str = "/api/v1/groups/{group_id}";

pub(crate) fn routes() -> Vec<Route> {
    let may = |action| Access::permission("groups", action, Scope::Organization);
    vec![
        Route::get(GROUPS, may("read"), list)
            .summary("Lists groups, by name")
            .takes_query::<ListGroupsQuery>()
            .gives::<ListGroupsResponse>(200, "A page of groups")
            .round_trips(2),
        Route::get(GROUP, Access::permission("groups", "read", Scope::Team), read)
            .summary("Shows a group")
            .description(
                "With `groups.read.team` alone, one that the caller is in. The `ETag` is for `If-Match`.",
            )
            .gives::<Group>(200, "The group")
            .round_trips(2),
        Route::post(GROUPS, may("write"), create)
            .summary("Creates a group")
            .description("Names are unique without regard to case. Takes an `Idempotency-Key`.")
            .takes::<CreateGroupRequest>()
            .gives::<Group>(201, "Created")
            .round_trips(3),
        Route::patch(GROUP, may("write"), change)
            .summary("Changes a group")
            .description(
                "What is absent stays. With `If-Match`, only the version of that `ETag`. 409 with code \
                 `managed_by_scim` for the name of a group that is managed over SCIM, unless \
                 `scim.locally_editable` has `groups` and the group gives no roles.",
            )
            .takes::<ChangeGroupRequest>()
            .gives::<Group>(200, "The group as it is now")
            .round_trips(2),
        Route::delete(GROUP, may("delete"), delete)
            .summary("Deletes a group")
            .description("409 with code `managed_by_scim` where it is managed over SCIM, as for changes.")
            .answers(204, "Deleted")
            .round_trips(2),
    ]
}

/// Which groups.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListGroupsQuery {
    /// The one of this name, without regard to case.
    display_name: Option<String>,
    /// Those whose names begin so, without regard to case.
    display_name_prefix: Option<String>,
    /// How many at most, 1 to 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of groups.
#[derive(Serialize, JsonSchema)]
struct ListGroupsResponse {
    /// The groups.
    groups: Vec<Group>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListGroupsQuery>,
) -> Result<Json<ListGroupsResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let organization = &caller.organization;
    let question = match (&query.display_name, &query.display_name_prefix, &query.cursor) {
        (Some(name), None, None) => Group::by_display_name(organization, name),
        (None, prefix, cursor) => {
            let after = cursor.as_deref().map(read_cursor).transpose()?;
            Group::page(organization, prefix.as_deref().unwrap_or_default(), after.as_deref(), limit)
        }
        _ => {
            let detail = "`display_name` goes with neither `display_name_prefix` nor `cursor`";
            return Err(ApiError::bad_request("invalid_query", detail));
        }
    };
    let mut groups: Vec<Group> = context.db(organization).all(question).await?;
    let cursor = |group: &Group| base64url(display_name_key(&group.display_name).as_bytes());
    let next_cursor = cut(&mut groups, limit, cursor);
    Ok(Json(ListGroupsResponse { groups, next_cursor }))
}

/// A cursor is the key of the page's last group.
fn read_cursor(cursor: &str) -> Result<String, ApiError> {
    let text = from_base64url(cursor).and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| ApiError::bad_request("invalid_query", "`cursor` is the `next_cursor` of a page"))
}

/// Whom a group must hold for this caller to see it: nobody in particular, or itself.
pub(crate) fn seen_by(caller: &Caller) -> Option<&UserId> {
    if caller.decide("read", "groups").is_wide() { None } else { Some(&caller.user_id) }
}

async fn read(context: Context, caller: Caller, Id(group_id): Id<GroupId>) -> Result<Response, ApiError> {
    let question = Group::find(&caller.organization, &group_id, seen_by(&caller));
    let group = context.db(&caller.organization).one(question).await?.ok_or_else(not_found)?;
    Ok(([(ETAG, etag(&group)?)], Json(group)).into_response())
}

pub(crate) fn not_found() -> ApiError {
    ApiError::not_found("there is no such group")
}

fn etag(group: &Group) -> Result<HeaderValue, ApiError> {
    HeaderValue::try_from(format!("\"{}\"", group.version))
        .map_err(|error| ApiError::internal(error.to_string()))
}

/// A group that shall be.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateGroupRequest {
    /// Its name for people, 1 to 128 characters.
    display_name: String,
    /// What it is for, at most 512 characters.
    description: Option<String>,
}

async fn create(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<CreateGroupRequest>,
) -> Result<Response, ApiError> {
    let organization = &caller.organization;
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), GROUPS, &request)?;
    let display_name = field::name("/display_name", &request.display_name, MAX_NAME_CHARACTERS)?;
    field::description("/description", request.description.as_deref(), MAX_DESCRIPTION_CHARACTERS)?;
    let group = Group {
        group_id: context.new_id(GroupId::new)?,
        display_name: display_name.to_owned(),
        description: request.description.clone(),
        external_id: None,
        managed_by: "manual".to_owned(),
        created_at: context.now,
        updated_at: context.now,
        version: 1,
    };
    let event = context
        .audit_by(&caller, acts::GROUP_CREATE)?
        .on(group.group_id.as_str())
        .detail("display_name", display_name);
    let mut batch = Batch::new();
    let is_new = batch.then(NewGroup { organization, group: &group }.create());
    batch.then(event.record_if(GROUP_EXISTS, &group.group_id));
    let created = (GROUP_CREATED, group.group_id.as_str());
    let group = match creation.run(&context, organization, batch, created, &group).await? {
        CreationResult::Replayed(first) => first,
        CreationResult::Ran(answers) if answers.did(is_new)? => group,
        CreationResult::Ran(_) => return Err(group_exists()),
    };
    Ok(([(ETAG, etag(&group)?)], Created(group)).into_response())
}

fn group_exists() -> ApiError {
    ApiError::conflict("group_exists", "there is a group of that name")
}

/// What changes. What is absent stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeGroupRequest {
    /// Its name for people, 1 to 128 characters.
    display_name: Option<String>,
    /// What it is for, at most 512 characters; null takes it away.
    #[serde(default, deserialize_with = "field::present")]
    description: Option<Option<String>>,
}

async fn change(
    context: Context,
    caller: Caller,
    Id(group_id): Id<GroupId>,
    headers: HeaderMap,
    Json(request): Json<ChangeGroupRequest>,
) -> Result<Response, ApiError> {
    let version = wanted_version(&headers)?;
    let display_name = request.display_name.as_deref();
    let display_name =
        display_name.map(|name| field::name("/display_name", name, MAX_NAME_CHARACTERS)).transpose()?;
    let description = request.description.as_ref().map(Option::as_deref);
    field::description("/description", description.flatten(), MAX_DESCRIPTION_CHARACTERS)?;
    let organization = &caller.organization;
    let edits = context.local_edits()?;
    let change = GroupChange {
        organization,
        group_id: &group_id,
        version,
        display_name,
        description,
        edits: &edits,
        now: context.now,
    };
    let event = context.audit_by(&caller, acts::GROUP_UPDATE)?.on(group_id.as_str());
    let event = match display_name {
        Some(name) => event.detail("display_name", name),
        None => event,
    };
    let mut batch = Batch::new();
    let tickets = change.ask(event, &mut batch);
    let answers = context.db(organization).batch(batch).await?;
    let after = answers.one(tickets.after)?.ok_or_else(not_found)?;
    if answers.did(tickets.changed)? {
        Ok(([(ETAG, etag(&after.group)?)], Json(after.group)).into_response())
    } else if after.is_name_kept {
        Err(group_is_managed(&after.group.display_name).and_field("/display_name", "managed over SCIM"))
    } else if after.is_name_taken {
        Err(group_exists())
    } else {
        let detail = "the group is not the version of `If-Match` any more";
        Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", detail))
    }
}

/// The version of `If-Match` (RFC 9110 section 13.1.1): one strong `ETag` of ours, or any.
fn wanted_version(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    // What is no version of ours is no version of the group.
    Ok(Some(version.and_then(|text| text.parse().ok()).filter(|version| *version > 0).unwrap_or(0)))
}

async fn delete(context: Context, caller: Caller, Id(group_id): Id<GroupId>) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let event = context.audit_by(&caller, acts::GROUP_DELETE)?.on(group_id.as_str());
    let mut batch = Batch::new();
    let tickets = group::delete(organization, &group_id, &context.local_edits()?, event, &mut batch);
    let answers = context.db(organization).batch(batch).await?;
    if answers.did(tickets.deleted)? {
        return Ok(StatusCode::NO_CONTENT);
    }
    match answers.one(tickets.kept)? {
        Some(kept) => Err(group_is_managed(&kept.display_name)),
        None => Err(not_found()),
    }
}
