//! SCIM clients.

use http::{HeaderMap, StatusCode};
use iam_core::id::{ScimClientId, ScimTokenId};
use iam_core::provisioning::acts;
use iam_core::provisioning::client::{
    ListedScimClient, MAX_CLIENTS, MAX_NAME_CHARACTERS, MAX_PAGE, MAX_RATE_LIMIT, NewScimClient,
    NewScimToken, SCIM_CLIENT_CREATED, SCIM_CLIENT_EXISTS, ScimClientChange, ScimClientRevocation,
};
use iam_core::secret::credential::{Credential, SCIM_TOKEN_PREFIX};
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::page::{cut, page_limit};
use iam_service::{ApiError, Caller, Context, Created, Creation, CreationResult, Id, Json, Query, field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tokens::end_of;

/// A SCIM client that is wanted.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRequest {
    /// What people call it: 1 to 128 characters.
    name: String,
    /// How many requests a minute each of its tokens may make, 1 to 1000000. Without it, what
    /// `scim.rate_limit_per_minute` says.
    rate_limit: Option<u32>,
    /// In how many days its first token ends, 1 to 3660. Without it, when it is revoked.
    expires_in_days: Option<u32>,
}

/// A new SCIM client.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreatedClient {
    /// Its id.
    client_id: ScimClientId,
    /// What people call it.
    name: String,
    /// How many requests a minute each of its tokens may make; null for what the configuration says.
    rate_limit: Option<u32>,
    /// The id of its first token.
    token_id: ScimTokenId,
    /// Its first token: shown here once, stored nowhere.
    token: String,
    /// When it was created.
    created_at: Timestamp,
    /// When its first token ends, where it does.
    expires_at: Option<Timestamp>,
}

/// One round trip beside the caller's authentication; another where an `Idempotency-Key` comes again.
pub(crate) async fn create(
    context: Context,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<CreateRequest>,
) -> Result<Created<CreatedClient>, ApiError> {
    let name = field::name("/name", &request.name, MAX_NAME_CHARACTERS)?;
    check_limit(request.rate_limit)?;
    let expires_at = end_of(&context, request.expires_in_days)?;
    let organization = &caller.organization;
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), crate::CLIENTS, &request)?;
    let client_id = context.new_id(ScimClientId::new)?;
    let token_id = context.new_id(ScimTokenId::new)?;
    let token = Credential::new(SCIM_TOKEN_PREFIX, organization, &context.entropy()?);
    let (rate_limit, now) = (request.rate_limit, context.now);
    let client = NewScimClient { organization, client_id: &client_id, name, rate_limit, now };
    let first = NewScimToken {
        organization,
        client_id: &client_id,
        token_id: &token_id,
        hash: &token.hash(),
        expires_at,
        now,
    };
    let event = context
        .audit_by(&caller, acts::CLIENT_CREATE)?
        .on(client_id.as_str())
        .detail("name", name)
        .detail("rate_limit", rate_limit)
        .detail("token_id", token_id.as_str());
    let mut batch = Batch::new();
    let is_new = batch.then(client.create());
    batch.then(event.record_if(SCIM_CLIENT_EXISTS, &client_id));
    batch.extend([first.create(), client.forget_revoked()]);
    let answer = CreatedClient {
        client_id: client_id.clone(),
        name: name.to_owned(),
        rate_limit,
        token: token.reveal().to_owned(),
        created_at: now,
        expires_at,
        token_id: token_id.clone(),
    };
    let created = (SCIM_CLIENT_CREATED, client_id.as_str());
    match creation.run(&context, organization, batch, created, &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(answers) if answers.did(is_new)? => Ok(Created(answer)),
        CreationResult::Ran(_) => Err(ApiError::conflict(
            "too_many_clients",
            format!("an organization may have {MAX_CLIENTS} SCIM clients; revoke one first"),
        )),
    }
}

fn check_limit(limit: Option<u32>) -> Result<(), ApiError> {
    match limit {
        Some(limit) if !(1..=MAX_RATE_LIMIT).contains(&limit) => {
            Err(ApiError::field("/rate_limit", format!("1 to {MAX_RATE_LIMIT} requests a minute")))
        }
        _ => Ok(()),
    }
}

/// Which clients.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// How many at most, 1 to 50.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<ScimClientId>,
}

/// A page of SCIM clients.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListResponse {
    /// The clients.
    clients: Vec<ListedScimClient>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<ScimClientId>,
}

pub(crate) async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<ListResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let page = ListedScimClient::page(&caller.organization, query.cursor.as_ref(), limit);
    let mut clients = context.db(&caller.organization).all(page).await?;
    let next_cursor = cut(&mut clients, limit, |client| client.client_id.clone());
    Ok(Json(ListResponse { clients, next_cursor }))
}

pub(crate) fn not_found() -> ApiError {
    ApiError::not_found("there is no such SCIM client")
}

pub(crate) async fn show(
    context: Context,
    caller: Caller,
    Id(client_id): Id<ScimClientId>,
) -> Result<Json<ListedScimClient>, ApiError> {
    let find = ListedScimClient::by_id(&caller.organization, &client_id);
    context.db(&caller.organization).one(find).await?.map(Json).ok_or_else(not_found)
}

/// What changes. What is absent stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRequest {
    /// What people call it: 1 to 128 characters.
    name: Option<String>,
    /// How many requests a minute each of its tokens may make, 1 to 1000000; null for what the configuration
    /// says.
    #[serde(default, deserialize_with = "field::present")]
    #[schemars(with = "Option<u32>")]
    rate_limit: Option<Option<u32>>,
}

pub(crate) async fn change(
    context: Context,
    caller: Caller,
    Id(client_id): Id<ScimClientId>,
    Json(request): Json<ChangeRequest>,
) -> Result<Json<ListedScimClient>, ApiError> {
    let name = request.name.as_deref();
    let name = name.map(|name| field::name("/name", name, MAX_NAME_CHARACTERS)).transpose()?;
    check_limit(request.rate_limit.flatten())?;
    let organization = &caller.organization;
    let change =
        ScimClientChange { organization, client_id: &client_id, name, rate_limit: request.rate_limit };
    let mut event = context.audit_by(&caller, acts::CLIENT_UPDATE)?.on(client_id.as_str());
    if let Some(name) = name {
        event = event.detail("name", name);
    }
    if let Some(rate_limit) = request.rate_limit {
        event = event.detail("rate_limit", rate_limit);
    }
    let mut batch = Batch::new();
    let client = change.apply(event, &mut batch);
    context.db(organization).batch(batch).await?.one(client)?.map(Json).ok_or_else(not_found)
}

pub(crate) async fn revoke(
    context: Context,
    caller: Caller,
    Id(client_id): Id<ScimClientId>,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let revocation = ScimClientRevocation { organization, client_id: &client_id, now: context.now };
    let event = context.audit_by(&caller, acts::CLIENT_REVOKE)?.on(client_id.as_str());
    let mut batch = Batch::new();
    let revoked = batch.then(revocation.revoke());
    batch.extend([event.record_if_changed(), revocation.revoke_tokens()]);
    let answers = context.db(organization).batch(batch).await?;
    if answers.did(revoked)? { Ok(StatusCode::NO_CONTENT) } else { Err(not_found()) }
}
