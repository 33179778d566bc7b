//! Changes of one user: `PATCH`, `DELETE`, `/suspend`, `/activate`, `/unlock`, `/restore`.
//!
//! One round trip reads the user, one changes it if it is still as it was read.

use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use iam_core::directory::managed::LocalEdits;
use iam_core::directory::{
    AssignmentRefusal, DirectoryStatus, DirectoryUser, FieldProblem, GroupLookUp, KnownGroup, KnownGroups,
    KnownRoles, MAX_GROUPS, MAX_ROLES_PER_USER, ManagedBy, RoleLookUp, TargetUser, UserAct, UserChange,
    UserChangeRefusal, UserKind, UserPatch, check_display_name, check_email, check_names, check_username,
};
use iam_core::id::UserId;
use iam_core::sql::Batch;
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
    let edits = context.local_edits()?;
    let found = look_up(&context, &caller, &user_id, &request, &edits).await?;
    let target = found.target.filter(|target| target.user.deleted_at.is_none());
    let target = changeable(target, &caller, &headers)?;
    let assigned = |names: &[String]| found.roles.assignable(names, &caller.grants);
    let patch = UserPatch {
        roles: request.roles.as_deref().map(assigned).transpose().map_err(not_assignable)?,
        groups: request.groups.map(|names| found.groups.named(&names)).transpose().map_err(refused)?,
        username: request.username.map(|username| username.trim().to_owned()),
        email: request.email,
        display_name: request.display_name,
    };
    let differences = patch.differences(&target);
    if differences.is_empty() {
        return Ok(shown(&target.user));
    }
    check_managed(&target, &patch, (&differences, &found.kept), &edits)?;
    let act = UserAct::Patch(patch);
    let user = run(&context, &caller, &headers, &target, &act, differences).await?;
    Ok(shown(&user))
}

/// What a change is decided on.
struct Found {
    target: Option<TargetUser>,
    roles: KnownRoles,
    groups: KnownGroups,
    /// The groups that the user is in and that SCIM keeps, where its groups are to change.
    kept: Vec<KnownGroup>,
}

/// Reads the user and what the request names. One round trip.
async fn look_up(
    context: &Context,
    caller: &Caller,
    user_id: &UserId,
    request: &PatchUserRequest,
    edits: &LocalEdits<'_>,
) -> Result<Found, ApiError> {
    let organization = &caller.organization;
    let threshold = context.configuration().password.lockout_threshold;
    let mut batch = Batch::new();
    let target = batch.ask(TargetUser::find(organization, user_id, threshold, context.now));
    let named = (request.roles.is_some() || request.groups.is_some()).then(|| {
        let roles = request.roles.iter().flatten().map(String::as_str);
        let groups = request.groups.iter().flatten().map(String::as_str);
        (
            batch.ask(RoleLookUp::find(organization, roles)),
            batch.ask(GroupLookUp::find(organization, groups, edits)),
            batch.ask(GroupLookUp::kept(organization, user_id, edits)),
        )
    });
    let answers = context.db(organization).batch(batch).await?;
    let target = answers.one(target)?;
    let Some((roles, groups, kept)) = named else {
        let (roles, groups) = (KnownRoles::default(), KnownGroups::default());
        return Ok(Found { target, roles, groups, kept: Vec::new() });
    };
    Ok(Found {
        target,
        roles: answers.all(roles)?.into_iter().collect(),
        groups: answers.all(groups)?.into_iter().collect(),
        kept: answers.all(kept)?,
    })
}

/// Whether the fields are administrators' to change, and the groups that the user comes into and leaves.
fn check_managed(
    target: &TargetUser,
    patch: &UserPatch,
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
    Ok(shown(&run(&context, &caller, &headers, &target, &UserAct::Suspend, Vec::new()).await?))
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
    Ok(shown(&run(&context, &caller, &headers, &target, &UserAct::Activate, Vec::new()).await?))
}

pub(crate) async fn unlock(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Id(user_id): Id<UserId>,
) -> Result<Response, ApiError> {
    let target = read(&context, &caller, &headers, &user_id, false).await?;
    Ok(shown(&run(&context, &caller, &headers, &target, &UserAct::Unlock, Vec::new()).await?))
}

pub(crate) async fn delete(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Id(user_id): Id<UserId>,
) -> Result<StatusCode, ApiError> {
    let target = read(&context, &caller, &headers, &user_id, false).await?;
    run(&context, &caller, &headers, &target, &UserAct::Delete, Vec::new()).await?;
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
    Ok(shown(&run(&context, &caller, &headers, &target, &UserAct::Restore, Vec::new()).await?))
}

fn check(request: &PatchUserRequest) -> Result<(), FieldProblem> {
    request.username.as_deref().map_or(Ok(()), |username| check_username(username).map(|_| ()))?;
    request.email.iter().flatten().try_for_each(|email| check_email(email))?;
    request.display_name.iter().flatten().try_for_each(|name| check_display_name(name))?;
    request.roles.iter().try_for_each(|roles| check_names("/roles", roles, MAX_ROLES_PER_USER))?;
    request.groups.iter().try_for_each(|groups| check_names("/groups", groups, MAX_GROUPS))
}

async fn read(
    context: &Context,
    caller: &Caller,
    headers: &HeaderMap,
    user_id: &UserId,
    may_be_deleted: bool,
) -> Result<TargetUser, ApiError> {
    let threshold = context.configuration().password.lockout_threshold;
    let find = TargetUser::find(&caller.organization, user_id, threshold, context.now);
    let target = context.db(&caller.organization).one(find).await?;
    changeable(target.filter(|target| may_be_deleted || target.user.deleted_at.is_none()), caller, headers)
}

/// The user, if it is there, the caller may change it, and it is in the version that the caller knows.
fn changeable(
    target: Option<TargetUser>,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<TargetUser, ApiError> {
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
    target: &TargetUser,
    act: &UserAct,
    differences: Vec<&'static str>,
) -> Result<DirectoryUser, ApiError> {
    let change = UserChange {
        organization: &caller.organization,
        target,
        act,
        edits: &context.local_edits()?,
        lockout_threshold: context.configuration().password.lockout_threshold,
        deletion_grace: context.configuration().directory.deletion_grace,
        now: context.now,
    };
    let mut event = context.audit_by(caller, act.act())?.on(target.user.user_id.as_str());
    if !differences.is_empty() {
        event = event.detail("attributes", differences);
    }
    if let UserAct::Patch(UserPatch { roles: Some(roles), .. }) = act {
        let names: Vec<_> = roles.iter().map(|role| role.role.clone()).collect();
        event = event.detail("roles", names).detail("roles_before", target.user.roles.clone());
    }
    if target.user.managed_by == ManagedBy::Scim {
        // What a SCIM client keeps it may change back.
        event = event.detail("managed_by", ManagedBy::Scim.as_str());
    }
    let mut batch = Batch::new();
    let tickets = change.ask(event, &mut batch);
    let answers = context.db(&caller.organization).batch(batch).await.map_err(not_stored)?;
    change.outcome(&answers, tickets)?.map_err(|refusal| not_changed(refusal, headers))
}

fn not_changed(refusal: UserChangeRefusal, headers: &HeaderMap) -> ApiError {
    match refusal {
        UserChangeRefusal::Gone => not_found(),
        UserChangeRefusal::LastAdministrator => {
            let detail = "this is the last active user with the role `admin`: give it to another one first";
            ApiError::conflict("last_administrator", detail)
        }
        UserChangeRefusal::UsernameTaken => username_taken(),
        UserChangeRefusal::Conflict if headers.contains_key(header::IF_MATCH) => precondition_failed(),
        UserChangeRefusal::Conflict => {
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

fn not_assignable(refusal: AssignmentRefusal) -> ApiError {
    match refusal {
        AssignmentRefusal::Unknown(problem) => refused(problem),
        AssignmentRefusal::NotHeld(problem) => {
            ApiError::new(StatusCode::FORBIDDEN, "permission_denied", problem.detail.clone())
                .and_field(problem.pointer, problem.detail)
        }
    }
}
