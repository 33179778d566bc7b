//! Organizations: one's own, and for the deployment's own administrators all of them.

use http::HeaderMap;
use iam_core::directory::account::MAX_USERNAME_BYTES;
use iam_core::directory::acts;
use iam_core::directory::organization::{
    MAX_NAME_CHARACTERS, MAX_PAGE, NewOrganization, ORGANIZATION_CREATED, ORGANIZATION_EXISTS, Organization,
    OrganizationEntropy,
};
use iam_core::id::{OrganizationId, UserId};
use iam_core::permission::Scope;
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::{
    Access, ApiError, Caller, Context, Created, Creation, CreationResult, Id, Json, Query, Route,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use iam_service::field;
use iam_service::page::{cut, page_limit};

const OWN: &str = "/api/v1/organization";
const ORGANIZATIONS: &str = "/api/v1/organizations";
const ORGANIZATION: &str = "/api/v1/organizations/{organization_id}";

const FOR_WHOM: &str =
    "For members of the deployment's own organization, whatever another one's roles grant.";

pub(crate) fn routes() -> Vec<Route> {
    let all = |action| Access::permission("organizations", action, Scope::All);
    vec![
        Route::get(OWN, Access::permission("organizations", "read", Scope::Organization), read_own)
            .summary("Shows one's own organization")
            .gives::<Organization>(200, "The organization")
            .round_trips(2),
        Route::get(ORGANIZATIONS, all("read"), list)
            .summary("Lists organizations")
            .description(FOR_WHOM)
            .takes_query::<ListOrganizationsQuery>()
            .gives::<ListOrganizationsResponse>(200, "A page of organizations")
            .round_trips(2),
        Route::get(ORGANIZATION, all("read"), read)
            .summary("Shows an organization")
            .description(FOR_WHOM)
            .gives::<Organization>(200, "The organization")
            .round_trips(2),
        Route::post(ORGANIZATIONS, all("write"), create)
            .summary("Creates an organization with its administrator")
            .description(
                "For members of the deployment's own organization. It begins with five roles. The \
                 administrator's password is in this answer and nowhere else. Takes an `Idempotency-Key`.",
            )
            .takes::<CreateOrganizationRequest>()
            .gives::<CreateOrganizationResponse>(201, "Created")
            .round_trips(3),
        Route::patch(ORGANIZATION, all("write"), rename)
            .summary("Renames an organization")
            .description(FOR_WHOM)
            .takes::<RenameOrganizationRequest>()
            .gives::<Organization>(200, "The organization as it is now")
            .round_trips(2),
    ]
}

fn not_found() -> ApiError {
    ApiError::not_found("there is no such organization")
}

async fn find(context: &Context, organization: &OrganizationId) -> Result<Json<Organization>, ApiError> {
    let found = context.db(organization).one(Organization::find(organization)).await?;
    found.map(Json).ok_or_else(not_found)
}

async fn read_own(context: Context, caller: Caller) -> Result<Json<Organization>, ApiError> {
    find(&context, &caller.organization).await
}

async fn read(
    context: Context,
    caller: Caller,
    Id(organization): Id<OrganizationId>,
) -> Result<Json<Organization>, ApiError> {
    context.check_operator(&caller, "organizations", "read")?;
    find(&context, &organization).await
}

/// Which organizations.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListOrganizationsQuery {
    /// How many at most, 1 to 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<OrganizationId>,
}

/// A page of organizations.
#[derive(Serialize, JsonSchema)]
struct ListOrganizationsResponse {
    /// The organizations.
    organizations: Vec<Organization>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<OrganizationId>,
}

async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListOrganizationsQuery>,
) -> Result<Json<ListOrganizationsResponse>, ApiError> {
    context.check_operator(&caller, "organizations", "read")?;
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let page = Organization::page(query.cursor.as_ref(), limit);
    let mut organizations = context.db(&caller.organization).all(page).await?;
    let next_cursor = cut(&mut organizations, limit, |organization| organization.organization_id.clone());
    Ok(Json(ListOrganizationsResponse { organizations, next_cursor }))
}

/// An organization that shall be.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateOrganizationRequest {
    /// Its name for people, 1 to 128 characters.
    name: String,
    /// Its first user.
    administrator: AdministratorRequest,
}

/// An organization's first user.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AdministratorRequest {
    /// Its name for signing in, at most 254 bytes.
    username: String,
    /// Its e-mail address.
    email: Option<String>,
}

/// An organization, and who can sign in to it.
#[derive(Serialize, Deserialize, JsonSchema)]
struct CreateOrganizationResponse {
    /// Its id: what a sign-in names as `organization`.
    organization_id: OrganizationId,
    /// Its name for people.
    name: String,
    /// When it was created.
    created_at: Timestamp,
    /// Its first user.
    administrator: Administrator,
}

/// An organization's first user.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Administrator {
    /// Its id.
    user_id: UserId,
    /// Its name for signing in.
    username: String,
    /// Its e-mail address.
    email: Option<String>,
    /// Its password: shown here once, stored nowhere.
    password: String,
}

async fn create(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<CreateOrganizationRequest>,
) -> Result<Created<CreateOrganizationResponse>, ApiError> {
    context.check_operator(&caller, "organizations", "write")?;
    let creation =
        Creation::of(&headers, &caller.organization, caller.user_id.as_str(), ORGANIZATIONS, &request)?;
    let name = field::name("/name", &request.name, MAX_NAME_CHARACTERS)?;
    let (username, email) = administrator(&request.administrator)?;
    let organization = OrganizationId::new(context.now, context.entropy()?);
    let new = NewOrganization {
        organization: &organization,
        name,
        username,
        email,
        cost: context.configuration().password.argon2,
        now: context.now,
    };
    let entropy = OrganizationEntropy {
        user: context.entropy()?,
        log: context.entropy()?,
        password: context.entropy()?,
        salt: context.entropy()?,
    };
    let made = new.make(&entropy)?;
    let event =
        context.audit_by(&caller, acts::ORGANIZATION_CREATE)?.on(organization.as_str()).detail("name", name);
    let mut batch = Batch::from(made.statements);
    batch.then(event.record_if(ORGANIZATION_EXISTS, &organization));
    let answer = CreateOrganizationResponse {
        organization_id: organization.clone(),
        name: name.to_owned(),
        created_at: context.now,
        administrator: Administrator {
            user_id: made.user_id,
            username: username.to_owned(),
            email: email.map(str::to_owned),
            password: made.password.to_string(),
        },
    };
    let created = (ORGANIZATION_CREATED, organization.as_str());
    match creation.run(&context, &caller.organization, batch, created, &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(_) => Ok(Created(answer)),
    }
}

/// Its user name and e-mail address.
fn administrator(request: &AdministratorRequest) -> Result<(&str, Option<&str>), ApiError> {
    let is_plain = |text: &str| {
        !text.is_empty()
            && text.len() <= MAX_USERNAME_BYTES
            && !text.chars().any(|character| character.is_control() || character.is_whitespace())
    };
    let username = request.username.trim();
    if !is_plain(username) {
        let detail = format!("1 to {MAX_USERNAME_BYTES} bytes without spaces and control characters");
        return Err(ApiError::field("/administrator/username", detail));
    }
    let email = request.email.as_deref().map(str::trim);
    let is_address = |text: &str| {
        is_plain(text) && text.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
    };
    if email.is_some_and(|email| !is_address(email)) {
        return Err(ApiError::field("/administrator/email", "an e-mail address"));
    }
    Ok((username, email))
}

/// What changes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RenameOrganizationRequest {
    /// Its name for people, 1 to 128 characters.
    name: String,
}

async fn rename(
    context: Context,
    caller: Caller,
    Id(organization): Id<OrganizationId>,
    Json(request): Json<RenameOrganizationRequest>,
) -> Result<Json<Organization>, ApiError> {
    context.check_operator(&caller, "organizations", "write")?;
    let name = field::name("/name", &request.name, MAX_NAME_CHARACTERS)?;
    let event =
        context.audit_by(&caller, acts::ORGANIZATION_UPDATE)?.on(organization.as_str()).detail("name", name);
    let mut batch = Batch::new();
    let renamed = batch.ask(Organization::rename(&organization, name));
    batch.then(event.record_if(ORGANIZATION_EXISTS, &organization));
    let answers = context.db(&organization).batch(batch).await?;
    answers.one(renamed)?.map(Json).ok_or_else(not_found)
}
