//! `POST /api/v1/users`: a new person in the directory.

use http::{HeaderMap, StatusCode};
use iam_core::directory::managed::LocalEdits;
use iam_core::directory::{
    AssignmentRefusal, DirectoryUser, FieldProblem, GroupLookUp, KnownGroup, KnownGroups, KnownRole,
    KnownRoles, MAX_GROUPS, MAX_ROLES_PER_USER, NewUser, RoleLookUp, USER_CREATED, UsernameTaken, acts,
    check_display_name, check_email, check_names, check_username, repeatable_salt,
};
use iam_core::id::UserId;
use iam_core::permission::Scope;
use iam_core::secret::password;
use iam_core::sign_in::password::policy::{self, Names};
use iam_core::sql::Batch;
use iam_service::managed::group_is_managed;
use iam_service::{
    Access, ApiError, Area, Caller, Context, Created, Creation, CreationResult, Function, Json, Route,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

iam_service::deploy!(function);

const PATH: &str = "/api/v1/users";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let write = Access::permission("users", "write", Scope::Organization);
    Function::new("user-create", "Creates users").area(Area::Admin).uses_database().uses_master_key().route(
        Route::post(PATH, write, create)
            .summary("Creates a user")
            .description(
                "409 with code `username_taken` where somebody has the name. A role is given only by who \
                 holds all that it grants. 409 with code `managed_by_scim` for a group whose members SCIM \
                 decides on. Takes an `Idempotency-Key`.",
            )
            .takes::<CreateUserRequest>()
            .gives::<DirectoryUser>(201, "Created")
            .round_trips(4),
    )
}

/// The user.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUserRequest {
    /// The name for signing in: 1 to 254 bytes, unique without regard to case.
    pub username: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The name for people.
    pub display_name: Option<String>,
    /// Roles, by name.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Groups, by id or display name.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The first password; without one the user can't sign in with a password yet.
    pub password: Option<String>,
}

/// Two round trips beside the caller's authentication: one looks up roles and groups where there are any, one
/// creates. Another where an `Idempotency-Key` comes again.
async fn create(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Json(mut request): Json<CreateUserRequest>,
) -> Result<Created<Value>, ApiError> {
    let username = check(&request).map_err(refused)?.to_owned();
    let organization = &caller.organization;
    // From here on the request has the hash in the place of the password: its digest is kept with the answer.
    if let Some(password) = request.password.take() {
        request.password = Some(hash(&context, &caller, &headers, &request, &password)?);
    }
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), PATH, &request)?;
    let edits = context.local_edits()?;
    let (roles, groups) = assignment(&context, &caller, &request, &edits).await?;
    let user_id = context.new_id(UserId::new)?;
    let user = NewUser {
        organization,
        user_id: &user_id,
        username: &username,
        email: request.email.as_deref(),
        display_name: request.display_name.as_deref(),
        password_hash: request.password.as_deref(),
        roles: &roles,
        groups: &groups,
        edits: &edits,
        now: context.now,
    };
    let event = context
        .audit_by(&caller, acts::USER_CREATE)?
        .on(user_id.as_str())
        .detail("roles", request.roles.clone())
        .detail("with_password", request.password.is_some());
    let mut batch = Batch::new();
    let tickets = user.ask(event, &mut batch);
    // As JSON: a kept answer is given again as it is.
    let answer = serde_json::to_value(user.created())?;
    match creation.run(&context, organization, batch, (USER_CREATED, user_id.as_str()), &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(answers) if answers.did(tickets.created)? => Ok(Created(answer)),
        CreationResult::Ran(answers) => {
            Err(not_created(matches!(answers.one(tickets.inspection)?, Some(UsernameTaken(true)))))
        }
    }
}

fn not_created(is_taken: bool) -> ApiError {
    if is_taken {
        ApiError::conflict("username_taken", "somebody has this user name").and_field("/username", "taken")
    } else {
        let detail = "a role or group changed at the same moment: send it again";
        ApiError::conflict("version_conflict", detail)
    }
}

/// Checks every field that can be checked by itself, and gives the user name.
fn check(request: &CreateUserRequest) -> Result<&str, FieldProblem> {
    let username = check_username(&request.username)?;
    request.email.as_deref().map_or(Ok(()), check_email)?;
    request.display_name.as_deref().map_or(Ok(()), check_display_name)?;
    check_names("/roles", &request.roles, MAX_ROLES_PER_USER)?;
    check_names("/groups", &request.groups, MAX_GROUPS)?;
    Ok(username)
}

fn hash(
    context: &Context,
    caller: &Caller,
    headers: &HeaderMap,
    request: &CreateUserRequest,
    password: &str,
) -> Result<String, ApiError> {
    let configuration = &context.configuration().password;
    let names = Names {
        username: &request.username,
        email: request.email.as_deref(),
        display_name: request.display_name.as_deref(),
    };
    let violations = policy::check(password, &names, configuration);
    if !violations.is_empty() {
        return Err(iam_service::password::refused("/password", &violations));
    }
    let salt = match headers.get("idempotency-key") {
        Some(key) => repeatable_salt(&caller.organization, &caller.user_id, key.as_bytes()),
        None => context.entropy()?,
    };
    Ok(password::hash(password, &salt, configuration.argon2)?)
}

/// Looks up the roles and groups, and whether the caller may give them.
async fn assignment(
    context: &Context,
    caller: &Caller,
    request: &CreateUserRequest,
    edits: &LocalEdits<'_>,
) -> Result<(Vec<KnownRole>, Vec<KnownGroup>), ApiError> {
    if request.roles.is_empty() && request.groups.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let organization = &caller.organization;
    let mut batch = Batch::new();
    let roles = batch.ask(RoleLookUp::find(organization, request.roles.iter().map(String::as_str)));
    let groups = batch.ask(GroupLookUp::find(organization, request.groups.iter().map(String::as_str), edits));
    let answers = context.db(organization).batch(batch).await?;
    let roles: KnownRoles = answers.all(roles)?.into_iter().collect();
    let groups: KnownGroups = answers.all(groups)?.into_iter().collect();
    let roles = roles.assignable(&request.roles, &caller.grants).map_err(not_assignable)?;
    if let Some((index, group)) = groups.first_kept(&request.groups) {
        let error = group_is_managed(&group.display_name);
        return Err(error.and_field(format!("/groups/{index}"), "managed over SCIM"));
    }
    Ok((roles, groups.named(&request.groups).map_err(refused)?))
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
