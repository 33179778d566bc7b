//! The OAuth clients of a service account.

use http::{HeaderMap, StatusCode};
use iam_core::directory::service_account::{GrantedAccount, ServiceAccount};
use iam_core::id::{ClientId, ClientSecretId, UserId};
use iam_core::jose::jwk::JwkSet;
use iam_core::oauth::acts;
use iam_core::oauth::client::{
    AuthMethod, CLIENT_CREATED, CLIENT_EXISTS, ClientRevocation, ListedClient, MAX_CLIENTS,
    MAX_NAME_CHARACTERS, NewClient, NewSecret,
};
use iam_core::oauth::client_assertion::check_keys;
use iam_core::oauth::token::parse_scope;
use iam_core::permission::Grant;
use iam_core::secret::credential::{CLIENT_SECRET_PREFIX, Credential};
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::{ApiError, Caller, Context, Created, Creation, CreationResult, Id, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::path::{ClientPath, not_found};

/// A client that is wanted.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRequest {
    /// What people call it: 1 to 128 characters.
    name: String,
    /// How it proves itself.
    #[serde(default = "by_secret")]
    auth_method: AuthMethod,
    /// Its public keys, for `private_key_jwt`: 1 to 4 of ES256 or EdDSA, each with its own `kid`.
    jwks: Option<JwkSet>,
    /// What bounds its tokens: grants separated by spaces. Without it, the roles of its service account.
    scope: Option<String>,
}

fn by_secret() -> AuthMethod {
    AuthMethod::ClientSecret
}

/// A new client.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreatedClient {
    /// Its id.
    client_id: ClientId,
    /// The service account it acts as.
    user_id: UserId,
    /// What people call it.
    name: String,
    /// How it proves itself.
    auth_method: AuthMethod,
    /// What bounds its tokens.
    scope: Option<String>,
    /// The id of its first secret, for `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_id: Option<ClientSecretId>,
    /// Its first secret, for `client_secret`: shown here once, stored nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// When it was created.
    created_at: Timestamp,
}

/// A service account's clients.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListResponse {
    /// The clients.
    clients: Vec<ListedClient>,
}

/// Two round trips beside the caller's authentication: the account, and the creation; another where an
/// `Idempotency-Key` comes again.
pub(crate) async fn create(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
    headers: HeaderMap,
    Json(request): Json<CreateRequest>,
) -> Result<Created<CreatedClient>, ApiError> {
    check(&request)?;
    let organization = &caller.organization;
    let route = format!("{}/{user_id}", crate::CLIENTS);
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), &route, &request)?;
    let roles = may_act_as(&context, &caller, &user_id).await?;

    let client_id = ClientId::new(organization, context.now, context.entropy()?);
    let client = NewClient {
        organization,
        client_id: &client_id,
        user_id: &user_id,
        name: request.name.trim(),
        auth_method: request.auth_method,
        jwks: request.jwks.as_ref(),
        scope: request.scope.as_deref(),
        now: context.now,
    };
    let event = context
        .audit_by(&caller, acts::CLIENT_CREATE)?
        .on(client_id.as_str())
        .detail("service_account", user_id.as_str())
        .detail("name", client.name)
        .detail("auth_method", request.auth_method.as_str())
        .detail("roles", roles);
    let mut answer = CreatedClient {
        client_id: client_id.clone(),
        user_id: user_id.clone(),
        name: client.name.to_owned(),
        auth_method: request.auth_method,
        scope: request.scope.clone(),
        secret_id: None,
        client_secret: None,
        created_at: context.now,
    };
    let mut batch = Batch::new();
    let created = batch.then(client.create());
    batch.then(event.record_if(CLIENT_EXISTS, &client_id));
    if request.auth_method == AuthMethod::ClientSecret {
        let secret_id = context.new_id(ClientSecretId::new)?;
        let secret = Credential::new(CLIENT_SECRET_PREFIX, organization, &context.entropy()?);
        let first = NewSecret {
            organization,
            user_id: &user_id,
            client_id: &client_id,
            secret_id: &secret_id,
            hash: &secret.hash(),
            expires_at: None,
            now: context.now,
        };
        batch.then(first.create());
        answer.secret_id = Some(secret_id.clone());
        answer.client_secret = Some(secret.reveal().to_owned());
    }
    let condition = (CLIENT_CREATED, client_id.as_str());
    match creation.run(&context, organization, batch, condition, &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(answers) if answers.did(created)? => Ok(Created(answer)),
        CreationResult::Ran(_) => Err(ApiError::conflict(
            "too_many_clients",
            format!("a service account may have {MAX_CLIENTS} clients; revoke one first"),
        )),
    }
}

/// Whether the caller holds all that the account's roles grant: a credential of the account is all of that.
/// Gives the account's roles.
pub(crate) async fn may_act_as(
    context: &Context,
    caller: &Caller,
    user_id: &UserId,
) -> Result<Vec<String>, ApiError> {
    let find = GrantedAccount::by_id(&caller.organization, user_id);
    let granted = context.db(&caller.organization).one(find).await?.ok_or_else(not_found)?;
    if granted.grants.given().iter().all(|grant: &Grant| caller.grants.include(grant)) {
        return Ok(granted.account.roles);
    }
    let detail = "the service account's roles grant what you don't hold yourself";
    Err(ApiError::new(StatusCode::FORBIDDEN, "grants_not_held", detail))
}

fn check(request: &CreateRequest) -> Result<(), ApiError> {
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARACTERS || name.chars().any(char::is_control) {
        return Err(ApiError::field("/name", format!("1 to {MAX_NAME_CHARACTERS} characters")));
    }
    if let Some(scope) = &request.scope {
        parse_scope(scope).map_err(|allowed| ApiError::field("/scope", allowed))?;
    }
    match (request.auth_method, &request.jwks) {
        (AuthMethod::ClientSecret, None) => Ok(()),
        (AuthMethod::ClientSecret, Some(_)) => Err(ApiError::field("/jwks", "only with `private_key_jwt`")),
        (AuthMethod::PrivateKeyJwt, None) => {
            Err(ApiError::field("/jwks", "`private_key_jwt` needs public keys"))
        }
        (AuthMethod::PrivateKeyJwt, Some(jwks)) => check_keys(jwks).map_err(|error| {
            let pointer = error.index.map_or("/jwks/keys".to_owned(), |index| format!("/jwks/keys/{index}"));
            ApiError::field(pointer, error.allowed)
        }),
    }
}

pub(crate) async fn list(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
) -> Result<Json<ListResponse>, ApiError> {
    let organization = &caller.organization;
    let mut batch = Batch::new();
    let account = batch.ask(ServiceAccount::by_id(organization, &user_id));
    let clients = batch.ask(ListedClient::all(organization, &user_id));
    let answers = context.db(organization).batch(batch).await?;
    if answers.did(account)? {
        Ok(Json(ListResponse { clients: answers.all(clients)? }))
    } else {
        Err(not_found())
    }
}

pub(crate) async fn show(
    context: Context,
    caller: Caller,
    path: ClientPath,
) -> Result<Json<ListedClient>, ApiError> {
    let find = ListedClient::by_id(&caller.organization, &path.user_id, &path.client_id);
    context.db(&caller.organization).one(find).await?.map(Json).ok_or_else(not_found)
}

pub(crate) async fn revoke(
    context: Context,
    caller: Caller,
    path: ClientPath,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let ClientPath { user_id, client_id } = &path;
    let revocation = ClientRevocation { organization, user_id, client_id, now: context.now };
    let event = context
        .audit_by(&caller, acts::CLIENT_REVOKE)?
        .on(client_id.as_str())
        .detail("service_account", user_id.as_str());
    let mut batch = Batch::new();
    let revoked = batch.then(revocation.revoke());
    batch.extend([event.record_if_changed(), revocation.revoke_secrets(), revocation.end_sessions()]);
    let answers = context.db(organization).batch(batch).await?;
    if answers.did(revoked)? { Ok(StatusCode::NO_CONTENT) } else { Err(not_found()) }
}
