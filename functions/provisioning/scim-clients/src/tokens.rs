//! The tokens of a SCIM client.

use http::{HeaderMap, StatusCode};
use iam_core::id::{ScimClientId, ScimTokenId};
use iam_core::provisioning::client::{
    ListedScimClient, MAX_TOKENS, NewScimToken, SCIM_TOKEN_CREATED, SCIM_TOKEN_EXISTS, ScimClientRevocation,
};
use iam_core::secret::credential::{Credential, SCIM_TOKEN_PREFIX};
use iam_core::sql::Rows;
use iam_core::time::{Duration, Timestamp};
use iam_service::page::Two;
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
        .audit_by_text(&caller, "scim_client.token.create", "scim_client")?
        .on(client_id.as_str())
        .detail("token_id", token_id.as_str());
    let batch = vec![
        new.create(),
        new.forget_ended(),
        event.record_if(SCIM_TOKEN_EXISTS, &token_id),
        ListedScimClient::by_id(organization, &client_id),
    ];
    let answer = CreatedToken {
        token: token.reveal().to_owned(),
        created_at: context.now,
        expires_at,
        token_id: token_id.clone(),
    };
    let created = (SCIM_TOKEN_CREATED, token_id.as_str());
    match creation.run_of(&context, organization, batch, created, &answer).await? {
        CreationResult::Replayed(first) => Ok(Created(first)),
        CreationResult::Ran(rows) if rows.first().is_some_and(|rows| !rows.is_empty()) => Ok(Created(answer)),
        CreationResult::Ran(rows) if rows.get(3).is_none_or(Rows::is_empty) => Err(not_found()),
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
        .audit_by_text(&caller, "scim_client.token.revoke", "scim_client")?
        .on(client_id.as_str())
        .detail("token_id", token_id.as_str());
    let batch = vec![
        revocation.revoke_token(&token_id),
        event.record_if_changed(),
        revocation.inspect_token(&token_id),
    ];
    let rows = context.db(organization).batch_of(batch).await?.pop().unwrap_or_default();
    let row = rows.first().ok_or_else(|| ApiError::not_found("there is no such token"))?;
    if row.optional_integer("revoked_at")?.is_none() {
        let detail = "this is the client's last valid token: create another first, or revoke the client";
        return Err(ApiError::conflict("last_token", detail));
    }
    // Now, or before: revoking twice is no error.
    Ok(StatusCode::NO_CONTENT)
}
