//! Roles: listed, shown, created, changed, deleted.

use http::{HeaderMap, StatusCode};
use iam_core::directory::acts;
use iam_core::directory::role::change::{
    ChangeVerdict, DeletionVerdict, MAX_TAKEN_FROM, ROLE_CREATED, RoleChange, RoleDeletion, RolesFull,
    is_full,
};
use iam_core::directory::role::{
    MAX_DESCRIPTION_CHARACTERS, MAX_EFFECTIVE_GRANTS, MAX_GRANTS, MAX_PAGE, MAX_PARENTS, MAX_ROLES, Role,
    RoleDraft, RoleName, RoleRefusal,
};
use iam_core::permission::{Grant, Scope};
use iam_core::sql::Batch;
use iam_edge::DbError;
use iam_service::{
    Access, ApiError, Caller, Context, Created, Creation, CreationResult, Id, Json, Query, Route,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use iam_service::field;
use iam_service::page::{cut, page_limit};

const ROLES: &str = "/api/v1/roles";
const ROLE: &str = "/api/v1/roles/{role}";

pub(crate) fn routes() -> Vec<Route> {
    let may = |action| Access::permission("roles", action, Scope::Organization);
    vec![
        Route::get(ROLES, may("read"), list)
            .summary("Lists roles, by name")
            .takes_query::<ListRolesQuery>()
            .gives::<ListRolesResponse>(200, "A page of roles")
            .round_trips(2),
        Route::get(ROLE, may("read"), read)
            .summary("Shows a role")
            .gives::<Role>(200, "The role")
            .round_trips(2),
        Route::post(ROLES, may("write"), create)
            .summary("Creates a role")
            .description(
                "Nobody creates a role that grants, itself or by inheritance, what its creator does not \
                 hold. Takes an `Idempotency-Key`.",
            )
            .takes::<CreateRoleRequest>()
            .gives::<Role>(201, "Created")
            // The fourth is for an `Idempotency-Key` that comes again.
            .round_trips(4),
        Route::patch(ROLE, may("write"), change)
            .summary("Changes a role")
            .description(
                "What is absent stays. It holds from the next request of everybody who has the role, or one \
                 that inherits from it. The caller must hold what the role grants, before and after.",
            )
            .takes::<ChangeRoleRequest>()
            .gives::<Role>(200, "The role as it is now")
            .round_trips(3),
        Route::delete(ROLE, may("delete"), delete)
            .summary("Deletes a role")
            .description(
                "Refused while users have it, unless by force, and while other roles inherit from it. The \
                 caller must hold what it grants.",
            )
            .takes_query::<DeleteRoleQuery>()
            .answers(204, "Deleted")
            .round_trips(3),
    ]
}

/// Which roles.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListRolesQuery {
    /// How many at most, 1 to 50.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<RoleName>,
}

/// A page of roles.
#[derive(Serialize, JsonSchema)]
struct ListRolesResponse {
    /// The roles.
    roles: Vec<Role>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<RoleName>,
}

async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListRolesQuery>,
) -> Result<Json<ListRolesResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let page = Role::page(&caller.organization, query.cursor.as_ref(), limit);
    let mut roles = context.db(&caller.organization).all(page).await?;
    let next_cursor = cut(&mut roles, limit, |role| role.role.clone());
    Ok(Json(ListRolesResponse { roles, next_cursor }))
}

async fn read(context: Context, caller: Caller, Id(role): Id<RoleName>) -> Result<Json<Role>, ApiError> {
    find(&context, &caller, &role).await.map(Json)
}

/// Finds a role. One round trip.
///
/// # Errors
/// 404 where there is none.
pub(crate) async fn find(context: &Context, caller: &Caller, role: &RoleName) -> Result<Role, ApiError> {
    let found = context.db(&caller.organization).one(Role::find(&caller.organization, role)).await?;
    found.ok_or_else(not_found)
}

pub(crate) fn not_found() -> ApiError {
    ApiError::not_found("there is no such role")
}

/// A role that shall be.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateRoleRequest {
    /// Its name: 1 to 64 lower-case letters, digits, `_` and `-`.
    role: RoleName,
    /// What it is for, at most 512 characters.
    description: Option<String>,
    /// What it grants, at most 64: `*`, `<resource>.*`, `<action>.*` or `<resource>.<action>.<scope>`.
    #[serde(default)]
    grants: Vec<String>,
    /// The roles whose grants it has too, at most 16.
    #[serde(default)]
    inherits: Vec<RoleName>,
}

async fn create(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<CreateRoleRequest>,
) -> Result<Created<Role>, ApiError> {
    let organization = &caller.organization;
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), ROLES, &request)?;
    let draft = checked(RoleDraft {
        description: request.description,
        grants: request.grants,
        inherits: request.inherits,
    })?;
    let involved = Role::involved(organization, &request.role, &draft.inherits);
    let involved = context.db(organization).all(involved).await?;
    let parents = draft.parents(&involved).map_err(no_parent)?;
    let event = context.audit_by(&caller, acts::ROLE_CREATE)?.on(request.role.as_str());
    let revision = event.log_id.to_string();
    let role = &request.role;
    let new = RoleChange {
        organization,
        role,
        before: None,
        draft: &draft,
        parents: &parents,
        revision: &revision,
    };
    new.check(&caller.grants).map_err(refused)?;
    let answer = Role {
        role: role.clone(),
        description: draft.description.clone(),
        grants: draft.grants.clone(),
        inherits: draft.inherits.clone(),
        effective_grants: draft.effective_grants(&parents).into_iter().map(str::to_owned).collect(),
        built_in: false,
        revision: revision.clone(),
    };
    let mut batch = Batch::new();
    let tickets = new.ask(with_draft(event, &draft), &mut batch);
    let full = batch.ask(is_full(organization));
    let created = json!([role, revision]).to_string();
    let answers = match creation.run(&context, organization, batch, (ROLE_CREATED, &created), &answer).await?
    {
        CreationResult::Replayed(first) => return Ok(Created(first)),
        CreationResult::Ran(answers) => answers,
    };
    match new.verdict(&answers, tickets)? {
        ChangeVerdict::Done(role) => Ok(Created(*role)),
        ChangeVerdict::Exists => Err(ApiError::conflict("role_exists", "there is a role of that name")),
        _ if matches!(answers.one(full)?, Some(RolesFull(true))) => {
            let detail = format!("an organization has at most {MAX_ROLES} roles");
            Err(ApiError::conflict("too_many_roles", detail))
        }
        _ => Err(changed_meanwhile()),
    }
}

/// What changes. What is absent stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeRoleRequest {
    /// What it is for; null takes it away.
    #[serde(default, deserialize_with = "field::present")]
    description: Option<Option<String>>,
    /// What it grants by itself, all of it.
    grants: Option<Vec<String>>,
    /// The roles whose grants it has too, all of them.
    inherits: Option<Vec<RoleName>>,
}

async fn change(
    context: Context,
    caller: Caller,
    Id(role): Id<RoleName>,
    Json(request): Json<ChangeRoleRequest>,
) -> Result<Json<Role>, ApiError> {
    let organization = &caller.organization;
    let inherits = request.inherits.as_deref().unwrap_or_default();
    if inherits.len() > MAX_PARENTS {
        return Err(too_many_parents());
    }
    let involved = Role::involved(organization, &role, inherits);
    let involved = context.db(organization).all(involved).await?;
    let before = involved.iter().find(|involved| involved.role == role).ok_or_else(not_found)?;
    let draft = checked(RoleDraft {
        description: request.description.unwrap_or_else(|| before.description.clone()),
        grants: request.grants.unwrap_or_else(|| before.grants.clone()),
        inherits: request.inherits.unwrap_or_else(|| before.inherits.clone()),
    })?;
    let parents = draft.parents(&involved).map_err(no_parent)?;
    let event = context.audit_by(&caller, acts::ROLE_UPDATE)?.on(role.as_str());
    let revision = event.log_id.to_string();
    let change = RoleChange {
        organization,
        role: &role,
        before: Some(before),
        draft: &draft,
        parents: &parents,
        revision: &revision,
    };
    change.check(&caller.grants).map_err(refused)?;
    let mut batch = Batch::new();
    let tickets = change.ask(with_draft(event, &draft), &mut batch);
    let answers = context.db(organization).batch(batch).await.map_err(too_large)?;
    match change.verdict(&answers, tickets)? {
        ChangeVerdict::Done(role) => Ok(Json(*role)),
        ChangeVerdict::Gone | ChangeVerdict::NotCreated => Err(not_found()),
        ChangeVerdict::Circular => {
            Err(ApiError::conflict("role_cycle", "the role would inherit from itself, directly or not"))
        }
        ChangeVerdict::Exists | ChangeVerdict::ChangedMeanwhile => Err(changed_meanwhile()),
    }
}

/// The database checks one thing by itself: how much a role may grant, here one that inherits from the
/// changed one.
fn too_large(error: DbError) -> ApiError {
    match error {
        DbError::Constraint(cause) => {
            let detail =
                format!("a role that inherits from it would grant more than {MAX_EFFECTIVE_GRANTS} things");
            ApiError::conflict("role_too_large", detail).cause(cause)
        }
        other => other.into(),
    }
}

/// How a role is deleted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeleteRoleQuery {
    /// Takes it from the users who have it, 10000 at most.
    #[serde(default)]
    force: bool,
}

async fn delete(
    context: Context,
    caller: Caller,
    Id(role): Id<RoleName>,
    Query(query): Query<DeleteRoleQuery>,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let role = find(&context, &caller, &role).await?;
    let deletion = RoleDeletion { organization, role: &role, by_force: query.force };
    deletion.check(&caller.grants).map_err(refused)?;
    let event = context.audit_by(&caller, acts::ROLE_DELETE)?.on(role.role.as_str());
    let mut batch = Batch::new();
    let tickets = deletion.ask(event, &mut batch);
    let answers = context.db(organization).batch(batch).await?;
    match deletion.verdict(&answers, tickets)? {
        DeletionVerdict::Done => Ok(StatusCode::NO_CONTENT),
        DeletionVerdict::Gone => Err(not_found()),
        DeletionVerdict::Inherited => {
            Err(ApiError::conflict("role_inherited", "other roles inherit from it"))
        }
        DeletionVerdict::InUse if query.force => {
            let detail = format!("more than {MAX_TAKEN_FROM} users have it: take it from some of them first");
            Err(ApiError::conflict("role_in_use", detail))
        }
        DeletionVerdict::InUse => {
            Err(ApiError::conflict("role_in_use", "users have it; `force=true` takes it from them"))
        }
        DeletionVerdict::ChangedMeanwhile => Err(changed_meanwhile()),
    }
}

/// Checks every field, and brings the lists in order.
fn checked(mut draft: RoleDraft) -> Result<RoleDraft, ApiError> {
    field::description("/description", draft.description.as_deref(), MAX_DESCRIPTION_CHARACTERS)?;
    if draft.grants.len() > MAX_GRANTS {
        return Err(ApiError::field("/grants", format!("at most {MAX_GRANTS} grants")));
    }
    for (index, grant) in draft.grants.iter().enumerate() {
        let refused = |error: iam_core::permission::PermissionError| {
            ApiError::field(format!("/grants/{index}"), error.to_string())
        };
        grant.parse::<Grant>().map_err(refused)?;
    }
    if draft.inherits.len() > MAX_PARENTS {
        return Err(too_many_parents());
    }
    draft.grants = field::in_order(draft.grants);
    draft.inherits = field::in_order(draft.inherits);
    Ok(draft)
}

fn too_many_parents() -> ApiError {
    ApiError::field("/inherits", format!("at most {MAX_PARENTS} roles"))
}

fn no_parent(index: usize) -> ApiError {
    ApiError::field(format!("/inherits/{index}"), "there is no such role")
}

pub(crate) fn refused(refusal: RoleRefusal) -> ApiError {
    match refusal {
        RoleRefusal::NotHeld(grant) => {
            let detail = format!("the role grants `{grant}`, which you don't hold yourself");
            ApiError::new(StatusCode::FORBIDDEN, "grant_not_held", detail)
        }
        RoleRefusal::TooManyGrants => ApiError::field(
            "/grants",
            format!("at most {MAX_EFFECTIVE_GRANTS} with those of the roles it inherits from"),
        ),
        RoleRefusal::Administrator => ApiError::conflict(
            "administrator_role",
            "the administrators' role stays, and keeps its grant `*`",
        ),
    }
}

pub(crate) fn changed_meanwhile() -> ApiError {
    ApiError::conflict("changed_meanwhile", "the role, or one it inherits from, has just changed: look again")
}

fn with_draft(
    event: iam_core::record::audit::AuditEvent,
    draft: &RoleDraft,
) -> iam_core::record::audit::AuditEvent {
    event.detail("grants", json!(draft.grants)).detail("inherits", json!(draft.inherits))
}
