//! Changes of one user: `PATCH`, `DELETE`, `/suspend`, `/activate`, `/unlock`, `/restore`.
//!
//! One round trip reads the user, one changes it if it is still as it was read.

use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use iam_core::directory::managed::LocalEdits;
use iam_core::directory::{
    Act, Change, ChangeRefusal, DirectoryStatus, DirectoryUser, FieldProblem, GroupLookUp, KnownGroup,
    KnownGroups, KnownRoles, MAX_GROUPS, MAX_ROLES, ManagedBy, Patch, RoleLookUp, RoleRefusal, Target,
    UserKind, check_display_name, check_email, check_names, check_username,
};
use iam_core::id::UserId;
use iam_edge::DbError;
use iam_service::managed::{fields_are_managed, group_is_managed};
use iam_service::{ApiError, Caller, Context, Id, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::{entity_tag, not_found, shown};

/// What an administrator changes of a user that SCIM manages only where `scim.locally_editable` has it.
const MANAGED: [&str; 4] = ["username", "email", "display_name", "groups"];

/// What changes. What is absent stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchUserRequest {
    /// Another name for signing in.
    username: Option<String>,
    /// Another e-mail address; `null` for none.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    email: Option<Option<String>>,
    /// Another name for people; `null` for none.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    display_name: Option<Option<String>>,
    /// All the roles that are given to it from now on; those that its groups give stay.
    roles: Option<Vec<String>>,
    /// All its groups from now on, by id or display name.
    groups: Option<Vec<String>>,
}

/// Tells `null` from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A change that changes nothing writes nothing.
pub(crate) async fn patch(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Id(user_id): Id<UserId>,
    Json(request): Json<PatchUserRequest>,
) -> Result<Response, ApiError> {
    check(&request).map_err(refused)?;
    let organization = &caller.organization;
    let edits = context.local_edits()?;
    let threshold = context.configuration().password.lockout_threshold;
    let names = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
    let (roles, groups) = (names(&request.roles), names(&request.groups));
    let mut batch = vec![Target::find(organization, &user_id, threshold, context.now)];
    if request.roles.is_some() || request.groups.is_some() {
        batch.push(RoleLookUp::find(organization, roles.iter().map(String::as_str)));
        batch.push(GroupLookUp::find(organization, groups.iter().map(String::as_str), &edits));
        batch.push(GroupLookUp::kept(organization, &user_id, &edits));
    }
    let mut rows = context.db(organization).batch_of(batch).await?.into_iter();
    let target = rows.next().unwrap_or_default().decode_first::<Target>()?;
    let target = changeable(target.filter(|target| target.user.deleted_at.is_none()), &caller, &headers)?;
    let known_roles = KnownRoles::read(&rows.next().unwrap_or_default())?;
    let known_groups = KnownGroups::read(&rows.next().unwrap_or_default())?;
    let kept: Vec<KnownGroup> = rows.next().unwrap_or_default().decode()?;
    let roles = known_roles.assignable(&roles, &caller.grants).map_err(not_assignable)?;
    let groups = known_groups.named(&groups).map_err(refused)?;
    let patch = Patch {
        username: request.username.map(|username| username.trim().to_owned()),
        email: request.email,
        display_name: request.display_name,
        roles: request.roles.map(|_| roles),
        groups: request.groups.map(|_| groups),
    };
    let differences = patch.differences(&target);
    if differences.is_empty() {
        return Ok(shown(&target.user));
    }
    check_managed(&target, &patch, (&differences, &kept), &edits)?;
    let act = Act::Patch(patch);
    let user = run(&context, &caller, &headers, &target, &act, differences).await?;
    Ok(shown(&user))
}

/// Whether the fields are administrators' to change, and the groups that the user comes into and leaves.
fn check_managed(
    target: &Target,
    patch: &Patch,
    (differences, kept): (&[&'static str], &[KnownGroup]),
    edits: &LocalEdits<'_>,
) -> Result<(), ApiError> {
    let is_managed = |field: &&str| MANAGED.contains(field) && !edits.allow(target.user.managed_by, field);
    let mut managed =
        differences.iter().copied().filter(is_managed).map(|field| format!("/{field}")).peekable();
    if managed.peek().is_some() {
        let pointers: Vec<String> = managed.collect();
        return Err(fields_are_managed(pointers.iter().map(String::as_str)));
    }
    let Some(wanted) = &patch.groups else { return Ok(()) };
    let stays_out = |group: &&KnownGroup| !kept.iter().any(|kept| kept.group_id == group.group_id);
    let leaves = |group: &&KnownGroup| !wanted.iter().any(|wanted| wanted.group_id == group.group_id);
    let joined = wanted.iter().filter(|group| group.is_kept).find(stays_out);
    match joined.or_else(|| kept.iter().find(leaves)) {
        Some(group) => Err(group_is_managed(&group.display_name).and_field("/groups", "managed over SCIM")),
        None => Ok(()),
    }
}

pub(crate) async fn suspend(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Id(user_id): Id<UserId>,
) -> Result<Response, ApiError> {
    let target = read(&context, &caller, &headers, &user_id, false).await?;
    if target.user.status == DirectoryStatus::Suspended {
        return Ok(shown(&target.user));
    }
    Ok(shown(&run(&context, &caller, &headers, &target, &Act::Suspend, Vec::new()).await?))
}

pub(crate) async fn activate(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Id(user_id): Id<UserId>,
) -> Result<Response, ApiError> {
    let target = read(&context, &caller, &headers, &user_id, false).await?;
    if target.user.status != DirectoryStatus::Suspended {
        return Ok(shown(&target.user));
    }
    Ok(shown(&run(&context, &caller, &headers, &target, &Act::Activate, Vec::new()).await?))
}

pub(crate) async fn unlock(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Id(user_id): Id<UserId>,
) -> Result<Response, ApiError> {
    let target = read(&context, &caller, &headers, &user_id, false).await?;
    Ok(shown(&run(&context, &caller, &headers, &target, &Act::Unlock, Vec::new()).await?))
}

pub(crate) async fn delete(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Id(user_id): Id<UserId>,
) -> Result<StatusCode, ApiError> {
    let target = read(&context, &caller, &headers, &user_id, false).await?;
    run(&context, &caller, &headers, &target, &Act::Delete, Vec::new()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn restore(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Id(user_id): Id<UserId>,
) -> Result<Response, ApiError> {
    let target = read(&context, &caller, &headers, &user_id, true).await?;
    if target.user.deleted_at.is_none() {
        return Ok(shown(&target.user));
    }
    Ok(shown(&run(&context, &caller, &headers, &target, &Act::Restore, Vec::new()).await?))
}

fn check(request: &PatchUserRequest) -> Result<(), FieldProblem> {
    request.username.as_deref().map_or(Ok(()), |username| check_username(username).map(|_| ()))?;
    request.email.iter().flatten().try_for_each(|email| check_email(email))?;
    request.display_name.iter().flatten().try_for_each(|name| check_display_name(name))?;
    request.roles.iter().try_for_each(|roles| check_names("/roles", roles, MAX_ROLES))?;
    request.groups.iter().try_for_each(|groups| check_names("/groups", groups, MAX_GROUPS))
}

async fn read(
    context: &Context,
    caller: &Caller,
    headers: &HeaderMap,
    user_id: &UserId,
    may_be_deleted: bool,
) -> Result<Target, ApiError> {
    let threshold = context.configuration().password.lockout_threshold;
    let find = Target::find(&caller.organization, user_id, threshold, context.now);
    let target = context.db(&caller.organization).run(find).await?.decode_first::<Target>()?;
    changeable(target.filter(|target| may_be_deleted || target.user.deleted_at.is_none()), caller, headers)
}

/// The user, if it is there, the caller may change it, and it is in the version that the caller knows.
fn changeable(target: Option<Target>, caller: &Caller, headers: &HeaderMap) -> Result<Target, ApiError> {
    let target = target.ok_or_else(not_found)?;
    if target.user.kind != UserKind::Person {
        let detail = "a service account is changed where service accounts are";
        return Err(ApiError::conflict("not_a_person", detail));
    }
    if !target.is_within(&caller.grants) {
        let detail = "this user may do what you may not: you can't change it";
        let cause = format!("user {} is beyond {}", target.user.user_id, caller.user_id);
        return Err(ApiError::new(StatusCode::FORBIDDEN, "permission_denied", detail).cause(cause));
    }
    if is_other_version(headers, &target.user) {
        return Err(precondition_failed());
    }
    Ok(target)
}

/// Whether `If-Match` (RFC 9110 section 13.1.1) names other versions alone.
fn is_other_version(headers: &HeaderMap, user: &DirectoryUser) -> bool {
    let Some(wanted) = headers.get(header::IF_MATCH) else { return false };
    let wanted = wanted.to_str().unwrap_or_default();
    let tag = entity_tag(user);
    !wanted.split(',').map(str::trim).any(|it| it == "*" || it == tag)
}

fn precondition_failed() -> ApiError {
    let detail = "the user is in another version than `If-Match` says";
    ApiError::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
}

async fn run(
    context: &Context,
    caller: &Caller,
    headers: &HeaderMap,
    target: &Target,
    act: &Act,
    differences: Vec<&'static str>,
) -> Result<DirectoryUser, ApiError> {
    let change = Change {
        organization: &caller.organization,
        target,
        act,
        edits: &context.local_edits()?,
        lockout_threshold: context.configuration().password.lockout_threshold,
        deletion_grace: context.configuration().directory.deletion_grace,
        now: context.now,
    };
    let mut event = context.audit_by_text(caller, act.as_str(), "user")?.on(target.user.user_id.as_str());
    if !differences.is_empty() {
        event = event.detail("attributes", differences);
    }
    if let Act::Patch(Patch { roles: Some(roles), .. }) = act {
        let names: Vec<_> = roles.iter().map(|role| role.role.clone()).collect();
        event = event.detail("roles", names).detail("roles_before", target.user.roles.clone());
    }
    if target.user.managed_by == ManagedBy::Scim {
        // What a SCIM client keeps it may change back.
        event = event.detail("managed_by", ManagedBy::Scim.as_str());
    }
    let rows =
        context.db(&caller.organization).batch_of(change.statements(event)).await.map_err(not_stored)?;
    change.outcome(&rows)?.map_err(|refusal| not_changed(refusal, headers))
}

fn not_changed(refusal: ChangeRefusal, headers: &HeaderMap) -> ApiError {
    match refusal {
        ChangeRefusal::Gone => not_found(),
        ChangeRefusal::LastAdministrator => {
            let detail = "this is the last active user with the role `admin`: give it to another one first";
            ApiError::conflict("last_administrator", detail)
        }
        ChangeRefusal::UsernameTaken => username_taken(),
        ChangeRefusal::Conflict if headers.contains_key(header::IF_MATCH) => precondition_failed(),
        ChangeRefusal::Conflict => {
            let detail = "the user, a role or a group changed at the same moment: send it again";
            ApiError::conflict("version_conflict", detail)
        }
    }
}

/// The one constraint that a caller can violate is the unique index on user names.
fn not_stored(error: DbError) -> ApiError {
    match error {
        DbError::Constraint(message) if message.contains("username_key") => username_taken().cause(message),
        error => error.into(),
    }
}

fn username_taken() -> ApiError {
    ApiError::conflict("username_taken", "somebody has this user name").and_field("/username", "taken")
}

fn refused(problem: FieldProblem) -> ApiError {
    ApiError::field(problem.pointer, problem.detail)
}

fn not_assignable(refusal: RoleRefusal) -> ApiError {
    match refusal {
        RoleRefusal::Unknown(problem) => refused(problem),
        RoleRefusal::NotHeld(problem) => {
            ApiError::new(StatusCode::FORBIDDEN, "permission_denied", problem.detail.clone())
                .and_field(problem.pointer, problem.detail)
        }
    }
}
