//! `GET /api/v1/users`.

use iam_core::directory::account::MAX_USERNAME_BYTES;
use iam_core::directory::{
    DirectoryStatus, DirectoryUser, ManagedBy, UserFilter, UserKind, UserListQuery, check_email,
};
use iam_core::id::GroupId;
use iam_core::sql::Batch;
use iam_service::page::page_limit;
use iam_service::{ApiError, Caller, Context, Json, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many users a page has at most.
const MAX_PAGE: u32 = 100;

/// The longest cursor, in bytes: a user name, encoded.
const MAX_CURSOR_BYTES: usize = 1024;

/// Which users.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListUsersQuery {
    /// This user name, without regard to case.
    username: Option<String>,
    /// User names that begin like this, without regard to case.
    username_prefix: Option<String>,
    /// This e-mail address, without regard to case.
    email: Option<String>,
    /// This status. Deleted users are listed where `deleted` is asked for, alone.
    status: Option<DirectoryStatus>,
    /// Who has this role.
    role: Option<String>,
    /// Who is a member of the group with this id.
    group: Option<GroupId>,
    /// People or service accounts.
    kind: Option<UserKind>,
    /// Who is kept by administrators, or by a SCIM client.
    managed_by: Option<ManagedBy>,
    /// How many at most, 1 to 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before, with the same filters.
    cursor: Option<String>,
}

/// A page of users.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListUsersResponse {
    /// The users.
    users: Vec<DirectoryUser>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One round trip beside the caller's authentication.
pub(crate) async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListUsersQuery>,
) -> Result<Json<ListUsersResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let cursor = query.cursor.clone();
    let filter = filter(query)?;
    let question = UserListQuery {
        organization: &caller.organization,
        filter: &filter,
        cursor: cursor.as_deref().filter(|cursor| cursor.len() <= MAX_CURSOR_BYTES),
        limit,
        lockout_threshold: context.configuration().password.lockout_threshold,
        now: context.now,
    };
    let is_cut = cursor.is_some() && question.cursor.is_none();
    let mut batch = Batch::new();
    let tickets = question.ask(&mut batch).filter(|_| !is_cut);
    let tickets = tickets.ok_or_else(|| invalid("`cursor` is not one of ours".to_owned()))?;
    let answers = context.db(&caller.organization).batch(batch).await?;
    let page = question.page(&answers, tickets)?;
    Ok(Json(ListUsersResponse { users: page.users, next_cursor: page.next_cursor }))
}

fn filter(query: ListUsersQuery) -> Result<UserFilter, ApiError> {
    for (name, text) in
        [("username", &query.username), ("username_prefix", &query.username_prefix), ("role", &query.role)]
    {
        let is_odd =
            |text: &String| text.trim().is_empty() || text.len() > MAX_USERNAME_BYTES || text.contains('\0');
        if text.as_ref().is_some_and(is_odd) {
            return Err(invalid(format!("`{name}` is 1 to {MAX_USERNAME_BYTES} bytes")));
        }
    }
    if query.email.as_deref().is_some_and(|email| check_email(email).is_err()) {
        return Err(invalid("`email` is an e-mail address".to_owned()));
    }
    Ok(UserFilter {
        username: query.username,
        username_prefix: query.username_prefix,
        email: query.email,
        status: query.status,
        role: query.role,
        group_id: query.group,
        kind: query.kind,
        managed_by: query.managed_by,
    })
}

fn invalid(detail: String) -> ApiError {
    ApiError::bad_request("invalid_query", detail)
}
