//! The tokens of a SCIM client.

use http::{HeaderMap, StatusCode};
use iam_core::id::{ScimClientId, ScimTokenId};
use iam_core::provisioning::acts;
use iam_core::provisioning::client::{
    ListedScimClient, MAX_TOKENS, NewScimToken, SCIM_TOKEN_CREATED, SCIM_TOKEN_EXISTS, ScimClientRevocation,
};
use iam_core::secret::credential::{Credential, SCIM_TOKEN_PREFIX};
use iam_core::sql::Batch;
use iam_core::time::{Duration, Timestamp};
use iam_service::Two;
use iam_service::{ApiError, Caller, Context, Created, Creation, CreationResult, Id, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clients::not_found;

/// The longest life of a token that ends.
const MAX_DAYS: u32 = 3660;

/// A token that is wanted.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRequest {
    /// In how many days it ends, 1 to 3660. Without it, when it is revoked.
    expires_in_days: Option<u32>,
}

/// A new token.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct CreatedToken {
    /// Its id.
    token_id: ScimTokenId,
    /// The token itself: shown here once, stored nowhere.
    token: String,
    /// When it was created.
    created_at: Timestamp,
    /// When it ends, where it does.
    expires_at: Option<Timestamp>,
}

/// When a token ends that lives so many days.
pub(crate) fn end_of(context: &Context, days: Option<u32>) -> Result<Option<Timestamp>, ApiError> {
    match days {
        Some(days) if days == 0 || days > MAX_DAYS => {
            Err(ApiError::field("/expires_in_days", format!("1 to {MAX_DAYS} days")))
        }
        days => Ok(days.map(|days| context.now.after(Duration::from_days(days.into())))),
    }
}

/// One round trip beside the caller's authentication; another where an `Idempotency-Key` comes again.
pub(crate) async fn create(
    context: Context,
    caller: Caller,
    Id(client_id): Id<ScimClientId>,
    headers: HeaderMap,
    Json(request): Json<CreateRequest>,
) -> Result<Created<CreatedToken>, ApiError> {
    let expires_at = end_of(&context, request.expires_in_days)?;
    let organization = &caller.organization;
    let route = format!("{}/{client_id}", crate::TOKENS);
    let creation = Creation::of(&headers, organization, caller.user_id.as_str(), &route, &request)?;
    let token_id = context.new_id(ScimTokenId::new)?;
    let token = Credential::new(SCIM_TOKEN_PREFIX, organization, &context.entropy()?);
    let new = NewScimToken {
        organization,
        client_id: &client_id,
        token_id: &token_id,
        hash: &token.hash(),
        expires_at,
        now: context.now,
    };
    let event = context
        .audit_by(&caller, acts::TOKEN_CREATE)?
        .on(client_id.as_str())
        .detail("token_id", token_id.as_str());
    let mut batch = Batch::new();
    let is_new = batch.then(new.create());
    batch.extend([new.forget_ended(), event.record_if(SCIM_TOKEN_EXISTS, &token_id)]);
    let client = batch.ask(ListedScimClient::by_id(organization, &client_id));
    let answer = CreatedToken {
        token: token.reveal().to_owned(),
        created_at: context.now,
        expires_at,
        token_id: token_id.clone(),
    };
    let created = (SCIM_TOKEN_CREATED, token_id.as_str());
    match creation.run(&context, organization, batch, created, &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(answers) if answers.did(is_new)? => Ok(Created(answer)),
        CreationResult::Ran(answers) if !answers.did(client)? => Err(not_found()),
        CreationResult::Ran(_) => Err(ApiError::conflict(
            "too_many_tokens",
            format!("a SCIM client may have {MAX_TOKENS} valid tokens; revoke one first"),
        )),
    }
}

pub(crate) async fn revoke(
    context: Context,
    caller: Caller,
    Two(client_id, token_id): Two<ScimClientId, ScimTokenId>,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let revocation = ScimClientRevocation { organization, client_id: &client_id, now: context.now };
    let event = context
        .audit_by(&caller, acts::TOKEN_REVOKE)?
        .on(client_id.as_str())
        .detail("token_id", token_id.as_str());
    let mut batch = Batch::from([revocation.revoke_token(&token_id), event.record_if_changed()]);
    let token = batch.ask(revocation.inspect_token(&token_id));
    let token = context.db(organization).batch(batch).await?.one(token)?;
    if !token.ok_or_else(|| ApiError::not_found("there is no such token"))?.is_revoked {
        let detail = "this is the client's last valid token: create another first, or revoke the client";
        return Err(ApiError::conflict("last_token", detail));
    }
    // Now, or before: revoking twice is no error.
    Ok(StatusCode::NO_CONTENT)
}
