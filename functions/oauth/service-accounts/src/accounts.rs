//! The service accounts themselves.

use http::{HeaderMap, StatusCode};
use iam_core::directory::account::{MAX_USERNAME_BYTES, UserStatus};
use iam_core::directory::service_account::{
    ACCOUNT_CREATED, AccountChange, CheckedRole, MAX_DISPLAY_NAME_CHARACTERS, MAX_PAGE, MAX_ROLE_BYTES,
    MAX_ROLES, NewServiceAccount, RoleChange, ServiceAccount,
};
use iam_core::id::UserId;
use iam_core::oauth::acts;
use iam_core::record::Act;
use iam_core::sql::Batch;
use iam_service::page::{cut, page_limit};
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
    let found = context.db(organization).all(CheckedRole::find(organization, &names)).await?;
    let roles = assignable(&caller, &names, &found)?;
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
        .audit_by(&caller, acts::SERVICE_ACCOUNT_CREATE)?
        .on(user_id.as_str())
        .detail("username", username)
        .detail("roles", names.clone());
    let mut batch = Batch::new();
    let created = batch.then(account.create());
    batch.extend([event.record_if_changed(), account.assign_roles()]);
    let name = batch.ask(NewServiceAccount::find_name(organization, username));
    let answer = ServiceAccount {
        user_id: user_id.clone(),
        username: username.to_owned(),
        display_name: display_name.map(str::to_owned),
        roles: names,
        status: UserStatus::Active,
        created_at: context.now,
        updated_at: context.now,
    };
    let condition = (ACCOUNT_CREATED, user_id.as_str());
    match creation.run(&context, organization, batch, condition, &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(answers) if answers.did(created)? => Ok(Created(answer)),
        CreationResult::Ran(answers) if answers.did(name)? => {
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
    let mut service_accounts = context.db(&caller.organization).all(page).await?;
    let next_cursor = cut(&mut service_accounts, limit, |account| account.user_id.clone());
    Ok(Json(ListResponse { service_accounts, next_cursor }))
}

pub(crate) async fn show(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
) -> Result<Json<ServiceAccount>, ApiError> {
    let find = ServiceAccount::by_id(&caller.organization, &user_id);
    context.db(&caller.organization).one(find).await?.map(Json).ok_or_else(not_found)
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
    let mut batch = Batch::new();
    let account = batch.ask(ServiceAccount::by_id(organization, &user_id));
    let found = batch.ask(CheckedRole::find(organization, names));
    let answers = context.db(organization).batch(batch).await?;
    let account = answers.one(account)?.ok_or_else(not_found)?;
    // What it has already is not given away by this caller.
    let is_new = |role: &String| !account.roles.contains(role);
    let added_names: Vec<String> = names.iter().filter(|role| is_new(role)).cloned().collect();
    let added = assignable(&caller, &added_names, &answers.all(found)?)?;
    let roles = wanted.map(|wanted| RoleChange { wanted, added });

    let change = AccountChange { organization, user_id: &user_id, now: context.now };
    let none = RoleChange::default();
    let event = context.audit_by(&caller, acts::SERVICE_ACCOUNT_UPDATE)?.on(user_id.as_str());
    let event = match &roles {
        Some(roles) => event.detail("roles", roles.wanted.clone()).detail("roles_before", account.roles),
        None => event,
    };
    let added = &roles.as_ref().unwrap_or(&none).added;
    let mut batch = Batch::new();
    let updated = batch.then(change.update(display_name, added));
    batch.then(event.record_if_changed());
    batch.extend(roles.iter().flat_map(|roles| [change.remove_roles(roles), change.add_roles(roles)]));
    let now = batch.ask(ServiceAccount::by_id(organization, &user_id));
    let answers = context.db(organization).batch(batch).await?;
    let now = answers.one(now)?.ok_or_else(not_found)?;
    if answers.did(updated)? { Ok(Json(now)) } else { Err(roles_changed()) }
}

pub(crate) async fn delete(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let change = AccountChange { organization, user_id: &user_id, now: context.now };
    let event = context.audit_by(&caller, acts::SERVICE_ACCOUNT_DELETE)?.on(user_id.as_str());
    let mut batch = Batch::new();
    let deleted = batch.then(change.delete());
    batch.extend([event.record_if_changed(), change.revoke_clients(), change.end_sessions()]);
    let answers = context.db(organization).batch(batch).await?;
    if answers.did(deleted)? { Ok(StatusCode::NO_CONTENT) } else { Err(not_found()) }
}

pub(crate) async fn suspend(
    context: Context,
    caller: Caller,
    id: Id<UserId>,
) -> Result<Json<ServiceAccount>, ApiError> {
    set_status(&context, &caller, &id.0, UserStatus::Suspended, acts::SERVICE_ACCOUNT_SUSPEND).await
}

pub(crate) async fn activate(
    context: Context,
    caller: Caller,
    id: Id<UserId>,
) -> Result<Json<ServiceAccount>, ApiError> {
    set_status(&context, &caller, &id.0, UserStatus::Active, acts::SERVICE_ACCOUNT_ACTIVATE).await
}

async fn set_status(
    context: &Context,
    caller: &Caller,
    user_id: &UserId,
    status: UserStatus,
    act: Act,
) -> Result<Json<ServiceAccount>, ApiError> {
    let organization = &caller.organization;
    let change = AccountChange { organization, user_id, now: context.now };
    let event = context.audit_by(caller, act)?.on(user_id.as_str());
    let mut batch =
        Batch::from([change.set_status(status), event.record_if_changed(), change.end_sessions()]);
    let account = batch.ask(ServiceAccount::by_id(organization, user_id));
    context.db(organization).batch(batch).await?.one(account)?.map(Json).ok_or_else(not_found)
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
    found: &[CheckedRole],
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
