//! The secrets of an OAuth client.

use http::{HeaderMap, StatusCode};
use iam_core::id::ClientSecretId;
use iam_core::oauth::acts;
use iam_core::oauth::client::{
    AuthMethod, ClientRevocation, ListedClient, MAX_SECRETS, NewSecret, SECRET_CREATED, SECRET_EXISTS,
};
use iam_core::secret::credential::{CLIENT_SECRET_PREFIX, Credential};
use iam_core::sql::Batch;
use iam_core::time::{Duration, Timestamp};
use iam_service::{ApiError, Caller, Context, Created, Creation, CreationResult, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clients::may_act_as;
use crate::path::{ClientPath, SecretPath, not_found};

/// The longest life of a secret that ends.
const MAX_DAYS: u32 = 3660;

/// A secret that is wanted.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRequest {
    /// In how many days it ends, 1 to 3660. Without it, when it is revoked.
    expires_in_days: Option<u32>,
}

/// A new secret.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreatedSecret {
    /// Its id.
    secret_id: ClientSecretId,
    /// The secret itself: shown here once, stored nowhere.
    client_secret: String,
    /// When it was created.
    created_at: Timestamp,
    /// When it ends, where it does.
    expires_at: Option<Timestamp>,
}

/// Two round trips beside the caller's authentication: the account, and the creation; another where an
/// `Idempotency-Key` comes again.
pub(crate) async fn create(
    context: Context,
    caller: Caller,
    ClientPath { user_id, client_id }: ClientPath,
    headers: HeaderMap,
    Json(request): Json<CreateRequest>,
) -> Result<Created<CreatedSecret>, ApiError> {
    if request.expires_in_days.is_some_and(|days| days == 0 || days > MAX_DAYS) {
        return Err(ApiError::field("/expires_in_days", format!("1 to {MAX_DAYS} days")));
    }
    let organization = &caller.organization;
    let route = format!("{}/{user_id}/{client_id}", crate::SECRETS);
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), &route, &request)?;
    may_act_as(&context, &caller, &user_id).await?;

    let secret_id = context.new_id(ClientSecretId::new)?;
    let secret = Credential::new(CLIENT_SECRET_PREFIX, organization, &context.entropy()?);
    let days = request.expires_in_days.map(|days| Duration::from_days(days.into()));
    let new = NewSecret {
        organization,
        user_id: &user_id,
        client_id: &client_id,
        secret_id: &secret_id,
        hash: &secret.hash(),
        expires_at: days.map(|life| context.now.after(life)),
        now: context.now,
    };
    let event = context
        .audit_by(&caller, acts::CLIENT_SECRET_CREATE)?
        .on(client_id.as_str())
        .detail("secret_id", secret_id.as_str());
    let mut batch = Batch::new();
    let created = batch.then(new.create());
    batch.then(new.close_expired());
    batch.then(event.record_if(SECRET_EXISTS, &secret_id));
    let client = batch.ask(ListedClient::by_id(organization, &user_id, &client_id));
    let answer = CreatedSecret {
        client_secret: secret.reveal().to_owned(),
        created_at: context.now,
        expires_at: new.expires_at,
        secret_id: secret_id.clone(),
    };
    let condition = (SECRET_CREATED, secret_id.as_str());
    match creation.run(&context, organization, batch, condition, &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(answers) if answers.did(created)? => Ok(Created(answer)),
        CreationResult::Ran(answers) => Err(refusal(answers.one(client)?.as_ref())),
    }
}

/// Why no secret was made, from the client as it is.
fn refusal(client: Option<&ListedClient>) -> ApiError {
    match client.map(|client| client.auth_method) {
        None => not_found(),
        Some(AuthMethod::PrivateKeyJwt) => {
            ApiError::conflict("no_secrets", "this client proves itself by assertions, not by secrets")
        }
        Some(AuthMethod::ClientSecret) => ApiError::conflict(
            "too_many_secrets",
            format!("a client may have {MAX_SECRETS} valid secrets; revoke one first"),
        ),
    }
}

pub(crate) async fn revoke(
    context: Context,
    caller: Caller,
    path: SecretPath,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let SecretPath { client: ClientPath { user_id, client_id }, secret_id } = &path;
    let revocation = ClientRevocation { organization, user_id, client_id, now: context.now };
    let event = context
        .audit_by(&caller, acts::CLIENT_SECRET_REVOKE)?
        .on(client_id.as_str())
        .detail("secret_id", secret_id.as_str());
    let mut batch = Batch::from([revocation.revoke_secret(secret_id), event.record_if_changed()]);
    let secret = batch.ask(revocation.inspect_secret(secret_id));
    let secret = context.db(organization).batch(batch).await?.one(secret)?.ok_or_else(not_found)?;
    if !secret.is_revoked {
        let detail = "this is the client's last valid secret: create another first, or revoke the client";
        return Err(ApiError::conflict("last_secret", detail));
    }
    // Now, or before: revoking twice is no error.
    Ok(StatusCode::NO_CONTENT)
}
