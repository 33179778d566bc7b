//! `/api/scim/v2`: users provisioned by an identity provider over SCIM 2.0 (RFC 7643, RFC 7644).
//!
//! Whoever holds an organization's SCIM token may see, create, change and delete its users, whoever made them.
//! `roles` and `entitlements` are kept and shown as they came, and grant nothing.

mod discovery;
mod message;

use axum::response::Response;
use http::StatusCode;
use iam_core::audit::{Actor, AuditEvent, Outcome};
use iam_core::id::{OrganizationId, UserId};
use iam_core::password;
use iam_core::password::change::PasswordOwner;
use iam_core::password::policy::{self, Violation};
use iam_core::scim::filter::UserFilter;
use iam_core::scim::patch;
use iam_core::scim::store::{self, Creation, Page, Update};
use iam_core::scim::user::{Attributes, NewPassword, ScimUser};
use iam_core::scim::{ScimError, ScimErrorKind};
use iam_core::sql::Rows;
use iam_edge::DbError;
use iam_service::{Access, ApiError, Context, Function, Id, Query, Route, ScimClient};
use schemars::JsonSchema;
use serde::Deserialize;

use message::{BaseUrl, ListResponse, MEDIA_TYPE, PatchRequest, ScimBody, UserResource, refused, resource};

iam_service::deploy!(function);

const USERS: &str = "/api/scim/v2/Users";
const USER: &str = "/api/scim/v2/Users/{id}";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let function = Function::new("scim", "Lets identity providers provision users over SCIM 2.0")
        .uses_database()
        .route(
            Route::post(USERS, Access::scim(), create)
                .summary("Creates a user")
                .takes_as::<UserResource>(MEDIA_TYPE)
                .gives_as::<UserResource>(201, MEDIA_TYPE, "Created")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::get(USERS, Access::scim(), list)
                .summary("Lists users, oldest first")
                .takes_query::<ListQuery>()
                .gives_as::<ListResponse>(200, MEDIA_TYPE, "A page of users")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::get(USER, Access::scim(), get)
                .summary("Shows a user")
                .gives_as::<UserResource>(200, MEDIA_TYPE, "The user")
                .round_trips(2)
                .scim_errors(),
        )
        .route(
            Route::patch(USER, Access::scim(), change)
                .summary("Changes a user")
                .description(
                    "All operations or none. Who is deactivated or gets a new password is signed out everywhere. 409 \
                     where somebody else changes the user at the same moment: send it again.",
                )
                .takes_as::<PatchRequest>(MEDIA_TYPE)
                .gives_as::<UserResource>(200, MEDIA_TYPE, "The user as it is now")
                .round_trips(3)
                .scim_errors(),
        )
        .route(
            Route::delete(USER, Access::scim(), delete)
                .summary("Deletes a user")
                .description("It is signed out everywhere, and its user name is free again.")
                .answers(204, "Deleted")
                .round_trips(2)
                .scim_errors(),
        );
    discovery::routes(function)
}

/// Which users.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    /// `userName eq "…"`, `externalId eq "…"` or `id eq "…"`.
    filter: Option<String>,
    /// The number of the first one, from 1.
    start_index: Option<i64>,
    /// How many at most: 100 without it, never more than 200.
    count: Option<i64>,
}

async fn create(
    context: Context,
    client: ScimClient,
    base: BaseUrl,
    ScimBody(body): ScimBody,
) -> Result<Response, ApiError> {
    let (attributes, password) = Attributes::parse(body).map_err(refused)?;
    let password_hash = hash(&context, password.as_ref(), &attributes, None)?;
    let user_id = context.new_id(UserId::new)?;
    let creation = Creation {
        organization: &client.organization,
        user_id: &user_id,
        attributes: &attributes,
        password_hash: password_hash.as_deref(),
        now: context.now,
    };
    let names = names(attributes.names(), password.as_ref());
    let event = event(&context, &client, "scim.user.create", &user_id)?.detail("attributes", names);
    let batch = creation.statements(event);
    context.db(&client.organization).batch(batch).await.map_err(|error| not_stored(error, &attributes))?;
    resource(StatusCode::CREATED, &creation.created(), &base)
}

async fn list(
    context: Context,
    client: ScimClient,
    base: BaseUrl,
    query: Result<Query<ListQuery>, ApiError>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|error| error.scim_type(ScimErrorKind::InvalidValue.as_str()))?;
    let filter = query.filter.as_deref().map(UserFilter::parse).transpose().map_err(refused)?;
    let page = Page::new(filter, query.start_index, query.count);
    let organization = &client.organization;
    let batch = vec![page.total(organization), page.users(organization)];
    let mut rows = context.db(organization).batch(batch).await?.into_iter();
    let total = rows.next().unwrap_or_default();
    let users = rows.next().unwrap_or_default().decode::<ScimUser>()?;
    let total = total.first().map(|row| row.integer("total")).transpose()?.unwrap_or_default();
    Ok(ListResponse::of_users(total, page.start_index, &users, &base).into_response())
}

async fn get(
    context: Context,
    client: ScimClient,
    base: BaseUrl,
    Id(user_id): Id<UserId>,
) -> Result<Response, ApiError> {
    let user = read(&context, &client.organization, &user_id).await?;
    resource(StatusCode::OK, &user, &base)
}

/// One round trip reads the user, one changes it if it is still as it was read. A change that changes nothing
/// writes nothing.
async fn change(
    context: Context,
    client: ScimClient,
    base: BaseUrl,
    Id(user_id): Id<UserId>,
    ScimBody(body): ScimBody,
) -> Result<Response, ApiError> {
    let operations = patch::parse(body).map_err(refused)?;
    let (before, owner) = read_with_passwords(&context, &client.organization, &user_id).await?;
    let (after, password) =
        before.attributes.changed(|members| patch::apply(operations, members)).map_err(refused)?;
    let names = names(before.attributes.differences(&after), password.as_ref());
    if names.is_empty() {
        return resource(StatusCode::OK, &before, &base);
    }
    let password_hash = hash(&context, password.as_ref(), &after, owner.as_ref())?;
    let update = Update {
        organization: &client.organization,
        before: &before,
        after: &after,
        password_hash: password_hash.as_deref(),
        history_size: context.configuration().password.history_size,
        now: context.now,
    };
    let action = if update.is_deactivation() { "scim.user.deactivate" } else { "scim.user.update" };
    let event = event(&context, &client, action, &user_id)?.detail("attributes", names);
    let batch = update.statements(event);
    let rows =
        context.db(&client.organization).batch(batch).await.map_err(|error| not_stored(error, &after))?;
    if rows.last().is_none_or(Rows::is_empty) {
        let detail = "the user was changed or deleted meanwhile: send the change again";
        return Err(ApiError::conflict("version_conflict", detail));
    }
    resource(StatusCode::OK, &update.changed(), &base)
}

async fn delete(
    context: Context,
    client: ScimClient,
    Id(user_id): Id<UserId>,
) -> Result<StatusCode, ApiError> {
    let event = event(&context, &client, "scim.user.delete", &user_id)?;
    let batch = store::delete(&client.organization, &user_id, context.now, event);
    let rows = context.db(&client.organization).batch(batch).await?;
    if rows.last().is_none_or(Rows::is_empty) {
        return Err(not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn read(
    context: &Context,
    organization: &OrganizationId,
    user_id: &UserId,
) -> Result<ScimUser, ApiError> {
    let rows = context.db(organization).run(store::by_id(organization, user_id)).await?;
    rows.decode_first()?.ok_or_else(not_found)
}

fn not_found() -> ApiError {
    ApiError::not_found("there is no such user")
}

/// The user, and the passwords it had.
async fn read_with_passwords(
    context: &Context,
    organization: &OrganizationId,
    user_id: &UserId,
) -> Result<(ScimUser, Option<PasswordOwner>), ApiError> {
    let history_size = context.configuration().password.history_size;
    let batch =
        vec![store::by_id(organization, user_id), PasswordOwner::by_id(organization, user_id, history_size)];
    let mut rows = context.db(organization).batch(batch).await?.into_iter();
    let user = rows.next().unwrap_or_default().decode_first()?.ok_or_else(not_found)?;
    Ok((user, rows.next().unwrap_or_default().decode_first()?))
}

/// Holds a new password to the policy, with the names the user will have, and hashes it.
fn hash(
    context: &Context,
    password: Option<&NewPassword>,
    attributes: &Attributes,
    owner: Option<&PasswordOwner>,
) -> Result<Option<String>, ApiError> {
    let Some(new) = password else { return Ok(None) };
    let configuration = &context.configuration().password;
    let mut violations = policy::check(new, &attributes.password_names(), configuration);
    let former = owner.into_iter().flat_map(PasswordOwner::hashes);
    if violations.is_empty() && policy::is_reused(new, former, password::verify) {
        violations.push(Violation::Reused(configuration.history_size));
    }
    if !violations.is_empty() {
        let rules: Vec<_> = violations.into_iter().map(Violation::detail).collect();
        let detail = format!("`password` must be: {}", rules.join("; "));
        return Err(refused(ScimError { kind: ScimErrorKind::InvalidValue, detail }));
    }
    Ok(Some(password::hash(new, &context.entropy()?, configuration.argon2)?))
}

/// The names of what changed, for the audit record.
fn names(mut attributes: Vec<&'static str>, password: Option<&NewPassword>) -> Vec<&'static str> {
    attributes.extend(password.map(|_| "password"));
    attributes
}

fn event(
    context: &Context,
    client: &ScimClient,
    action: &'static str,
    user_id: &UserId,
) -> Result<AuditEvent, ApiError> {
    let event = context
        .audit(&client.organization, action, "user", Outcome::Success)?
        .of_user(user_id)
        .on(user_id.as_str())
        .detail("token_id", client.token_id.as_str())
        .detail("token", client.name.as_str());
    Ok(AuditEvent { actor: Actor::Scim, ..event })
}

/// The one constraint that a client can violate is the unique index on user names.
fn not_stored(error: DbError, attributes: &Attributes) -> ApiError {
    match error {
        DbError::Constraint(message) => {
            let detail = format!("the user name `{}` is taken", attributes.username());
            refused(ScimError { kind: ScimErrorKind::Uniqueness, detail }).cause(message)
        }
        error => error.into(),
    }
}
