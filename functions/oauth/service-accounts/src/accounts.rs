//! The service accounts themselves.

use http::{HeaderMap, StatusCode};
use iam_core::directory::account::{MAX_USERNAME_BYTES, UserStatus};
use iam_core::directory::service_account::{
    ACCOUNT_CREATED, AccountChange, CheckedRole, MAX_DISPLAY_NAME_CHARACTERS, MAX_PAGE, MAX_ROLE_BYTES,
    MAX_ROLES, NewServiceAccount, RoleChange, ServiceAccount,
};
use iam_core::id::UserId;
use iam_core::sql::Rows;
use iam_service::page::page_limit;
use iam_service::{ApiError, Caller, Context, Created, Creation, CreationResult, Id, Json, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ACCOUNTS;

/// A service account that is wanted.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRequest {
    /// Its name, unique among all users without regard to case: 1 to 254 bytes.
    username: String,
    /// Its name for people: at most 256 characters.
    display_name: Option<String>,
    /// Its roles: at most 32.
    #[serde(default)]
    roles: Vec<String>,
}

/// What is to change; what is absent stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRequest {
    /// Its name for people: at most 256 characters; empty for none.
    display_name: Option<String>,
    /// Its roles, all of them: at most 32.
    roles: Option<Vec<String>>,
}

/// Which service accounts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// How many at most, 1 to 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<UserId>,
}

/// A page of service accounts.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListResponse {
    /// The service accounts.
    service_accounts: Vec<ServiceAccount>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<UserId>,
}

/// Two round trips beside the caller's authentication: the roles, and the creation; another where an
/// `Idempotency-Key` comes again.
pub(crate) async fn create(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<CreateRequest>,
) -> Result<Created<ServiceAccount>, ApiError> {
    let organization = &caller.organization;
    let username = request.username.trim();
    let has_control = username.chars().any(char::is_control);
    if username.is_empty() || request.username.len() > MAX_USERNAME_BYTES || has_control {
        let allowed = format!("1 to {MAX_USERNAME_BYTES} bytes without control characters");
        return Err(ApiError::field("/username", allowed));
    }
    let display_name = checked_display_name(request.display_name.as_deref())?;
    let names = checked_names(&request.roles)?;
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), ACCOUNTS, &request)?;
    let found = context.db(organization).run(CheckedRole::find(organization, &names)).await?;
    let roles = assignable(&caller, &names, found.decode()?)?;
    let user_id = context.new_id(UserId::new)?;
    let account = NewServiceAccount {
        organization,
        user_id: &user_id,
        username,
        display_name,
        roles: &roles,
        now: context.now,
    };
    let event = context
        .audit_by_text(&caller, "service_account.create", "user")?
        .on(user_id.as_str())
        .detail("username", username)
        .detail("roles", names.clone());
    let batch = vec![
        account.create(),
        event.record_if_changed(),
        account.assign_roles(),
        NewServiceAccount::find_name(organization, username),
    ];
    let answer = ServiceAccount {
        user_id: user_id.clone(),
        username: username.to_owned(),
        display_name: display_name.map(str::to_owned),
        roles: names,
        status: UserStatus::Active,
        created_at: context.now,
        updated_at: context.now,
    };
    match creation.run_of(&context, organization, batch, (ACCOUNT_CREATED, user_id.as_str()), &answer).await?
    {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(rows) if rows.first().is_some_and(|rows| !rows.is_empty()) => Ok(Created(answer)),
        CreationResult::Ran(rows) if rows.get(3).is_some_and(|rows| !rows.is_empty()) => {
            Err(ApiError::conflict("username_taken", "another user has this name"))
        }
        CreationResult::Ran(_) => Err(roles_changed()),
    }
}

pub(crate) async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<ListResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let page = ServiceAccount::page(&caller.organization, query.cursor.as_ref(), limit);
    let rows = context.db(&caller.organization).run(page).await?;
    let mut service_accounts: Vec<ServiceAccount> = rows.decode()?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    service_accounts.truncate(wanted);
    let last = service_accounts.last().map(|account| account.user_id.clone());
    let next_cursor = last.filter(|_| rows.len() > wanted);
    Ok(Json(ListResponse { service_accounts, next_cursor }))
}

pub(crate) async fn show(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
) -> Result<Json<ServiceAccount>, ApiError> {
    let find = ServiceAccount::by_id(&caller.organization, &user_id);
    let rows = context.db(&caller.organization).run(find).await?;
    rows.decode_first()?.map(Json).ok_or_else(not_found)
}

/// Two round trips beside the caller's authentication: what there is, and the change.
pub(crate) async fn change(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
    Json(request): Json<ChangeRequest>,
) -> Result<Json<ServiceAccount>, ApiError> {
    let organization = &caller.organization;
    let display_name = match &request.display_name {
        None => None,
        Some(name) => Some(checked_display_name(Some(name))?),
    };
    let wanted = request.roles.as_deref().map(checked_names).transpose()?;
    let names = wanted.as_deref().unwrap_or_default();
    let questions =
        vec![ServiceAccount::by_id(organization, &user_id), CheckedRole::find(organization, names)];
    let rows = context.db(organization).batch_of(questions).await?;
    let found = |index: usize| rows.get(index).cloned().unwrap_or_default();
    let account: ServiceAccount = found(0).decode_first()?.ok_or_else(not_found)?;
    // What it has already is not given away by this caller.
    let is_new = |role: &String| !account.roles.contains(role);
    let added_names: Vec<String> = names.iter().filter(|role| is_new(role)).cloned().collect();
    let added = assignable(&caller, &added_names, found(1).decode()?)?;
    let roles = wanted.map(|wanted| RoleChange { wanted, added });

    let change = AccountChange { organization, user_id: &user_id, now: context.now };
    let none = RoleChange::default();
    let event = context.audit_by_text(&caller, "service_account.update", "user")?.on(user_id.as_str());
    let event = match &roles {
        Some(roles) => event.detail("roles", roles.wanted.clone()).detail("roles_before", account.roles),
        None => event,
    };
    let added = &roles.as_ref().unwrap_or(&none).added;
    let mut batch = vec![change.update(display_name, added), event.record_if_changed()];
    batch.extend(roles.iter().flat_map(|roles| [change.remove_roles(roles), change.add_roles(roles)]));
    batch.push(ServiceAccount::by_id(organization, &user_id));
    let mut rows = context.db(organization).batch_of(batch).await?;
    let now = rows.pop().unwrap_or_default().decode_first()?.ok_or_else(not_found)?;
    if rows.first().is_none_or(Rows::is_empty) {
        return Err(roles_changed());
    }
    Ok(Json(now))
}

pub(crate) async fn delete(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let change = AccountChange { organization, user_id: &user_id, now: context.now };
    let event = context.audit_by_text(&caller, "service_account.delete", "user")?.on(user_id.as_str());
    let batch =
        vec![change.delete(), event.record_if_changed(), change.revoke_clients(), change.end_sessions()];
    let rows = context.db(organization).batch_of(batch).await?;
    if rows.first().is_none_or(Rows::is_empty) { Err(not_found()) } else { Ok(StatusCode::NO_CONTENT) }
}

pub(crate) async fn suspend(
    context: Context,
    caller: Caller,
    id: Id<UserId>,
) -> Result<Json<ServiceAccount>, ApiError> {
    set_status(&context, &caller, &id.0, UserStatus::Suspended, "service_account.suspend").await
}

pub(crate) async fn activate(
    context: Context,
    caller: Caller,
    id: Id<UserId>,
) -> Result<Json<ServiceAccount>, ApiError> {
    set_status(&context, &caller, &id.0, UserStatus::Active, "service_account.activate").await
}

async fn set_status(
    context: &Context,
    caller: &Caller,
    user_id: &UserId,
    status: UserStatus,
    action: &'static str,
) -> Result<Json<ServiceAccount>, ApiError> {
    let organization = &caller.organization;
    let change = AccountChange { organization, user_id, now: context.now };
    let event = context.audit_by_text(caller, action, "user")?.on(user_id.as_str());
    let batch = vec![
        change.set_status(status),
        event.record_if_changed(),
        change.end_sessions(),
        ServiceAccount::by_id(organization, user_id),
    ];
    let rows = context.db(organization).batch_of(batch).await?.pop().unwrap_or_default();
    rows.decode_first()?.map(Json).ok_or_else(not_found)
}

fn not_found() -> ApiError {
    ApiError::not_found("there is no such service account")
}

fn roles_changed() -> ApiError {
    ApiError::conflict("roles_changed", "a role was changed while it was assigned; try again")
}

/// The name for people; `None` for an empty one.
fn checked_display_name(name: Option<&str>) -> Result<Option<&str>, ApiError> {
    let name = name.unwrap_or_default().trim();
    if name.chars().count() > MAX_DISPLAY_NAME_CHARACTERS || name.chars().any(char::is_control) {
        let allowed =
            format!("at most {MAX_DISPLAY_NAME_CHARACTERS} characters, none of them control characters");
        return Err(ApiError::field("/display_name", allowed));
    }
    Ok((!name.is_empty()).then_some(name))
}

/// The names of the roles, each once.
fn checked_names(roles: &[String]) -> Result<Vec<String>, ApiError> {
    let is_too_long = roles.iter().any(|role| role.len() > MAX_ROLE_BYTES);
    if roles.len() > MAX_ROLES || is_too_long {
        return Err(ApiError::field(
            "/roles",
            format!("at most {MAX_ROLES}, each at most {MAX_ROLE_BYTES} bytes long"),
        ));
    }
    let mut names = roles.to_vec();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The roles of these names, if all are there and the caller may give them away.
fn assignable(
    caller: &Caller,
    names: &[String],
    found: Vec<CheckedRole>,
) -> Result<Vec<CheckedRole>, ApiError> {
    let mut roles = Vec::with_capacity(names.len());
    for name in names {
        let role = found.iter().find(|role| role.role == *name);
        let role = role.ok_or_else(|| ApiError::field("/roles", format!("there is no role `{name}`")))?;
        if !role.may_be_given_by(&caller.grants) {
            return Err(cannot_give(format!("the role `{name}` grants what you don't hold yourself")));
        }
        roles.push(role.clone());
    }
    Ok(roles)
}

/// 403: nobody grants what they don't hold.
fn cannot_give(detail: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "grants_not_held", detail)
}
