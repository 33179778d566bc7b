//! Making, listing and revoking emergency credentials.

use http::StatusCode;
use iam_core::id::{BreakGlassId, UserId};
use iam_core::secret::credential::{BREAK_GLASS_PREFIX, Credential};
use iam_core::sign_in::acts;
use iam_core::sign_in::break_glass::{
    self, CAN_BE_REVOKED, ListedCredential, MAX_LABEL_CHARACTERS, MAX_PAGE, MAX_REASON_CHARACTERS,
    NewCredential,
};
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::page::{cut, page_limit};
use iam_service::{ApiError, Caller, Context, Created, Id, Json, Query};
use iam_telemetry::Collector;
use iam_telemetry::instruments::SECURITY_EVENTS;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ListResponse;

/// What the credential is for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealRequest {
    /// Why it is made: 1 to 500 characters.
    reason: String,
    /// What is written on the envelope: up to 128 characters.
    label: Option<String>,
}

/// The credential, and what it is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SealResponse {
    /// Its id.
    credential_id: BreakGlassId,
    /// The credential itself: shown here once, stored nowhere.
    credential: String,
    /// What is written on the envelope.
    label: Option<String>,
    /// When it was made.
    created_at: Timestamp,
    /// When it ends.
    expires_at: Timestamp,
}

/// One round trip beside the caller's authentication.
pub(crate) async fn seal(
    context: Context,
    caller: Caller,
    Json(request): Json<SealRequest>,
) -> Result<Created<SealResponse>, ApiError> {
    let reason = request.reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON_CHARACTERS {
        return Err(ApiError::field("/reason", format!("1 to {MAX_REASON_CHARACTERS} characters")));
    }
    let label = request.label.as_deref().map(str::trim).filter(|label| !label.is_empty());
    if label.is_some_and(|label| label.chars().count() > MAX_LABEL_CHARACTERS) {
        return Err(ApiError::field("/label", format!("at most {MAX_LABEL_CHARACTERS} characters")));
    }
    let organization = &caller.organization;
    let secret = Credential::new(BREAK_GLASS_PREFIX, organization, &context.entropy()?);
    let (credential_id, hash) = (context.new_id(BreakGlassId::new)?, secret.hash());
    let credential = NewCredential {
        organization,
        credential_id: &credential_id,
        hash: &hash,
        label,
        reason,
        created_by: &caller.user_id,
        administrator_id: &context.new_id(UserId::new)?,
        life: context.configuration().break_glass.credential_expiry,
        now: context.now,
    };
    let event = context
        .audit_by(&caller, acts::BREAK_GLASS_CREATE)?
        .on(credential_id.as_str())
        .detail("reason", reason);
    let mut batch = Batch::from(credential.seal());
    batch.then(event.record());
    context.db(organization).batch(batch).await?;
    count("break_glass_created", "high");
    Ok(Created(SealResponse {
        credential: secret.reveal().to_owned(),
        label: label.map(str::to_owned),
        created_at: context.now,
        expires_at: credential.expires_at(),
        credential_id,
    }))
}

/// Which credentials.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// How many at most, 1 to 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<BreakGlassId>,
}

pub(crate) async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<ListResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    // One more than asked for tells whether there is a next page.
    let page = ListedCredential::page(
        &caller.organization,
        query.cursor.as_ref(),
        limit.saturating_add(1),
        context.now,
    );
    let mut credentials = context.db(&caller.organization).all(page).await?;
    let next_cursor = cut(&mut credentials, limit, |last| last.credential_id.to_string());
    Ok(Json(ListResponse { credentials, next_cursor }))
}

pub(crate) async fn revoke(
    context: Context,
    caller: Caller,
    Id(credential_id): Id<BreakGlassId>,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let event = context.audit_by(&caller, acts::BREAK_GLASS_REVOKE)?.on(credential_id.as_str());
    let mut batch = Batch::new();
    batch.then(event.record_if(CAN_BE_REVOKED, &credential_id));
    let revoked = batch.then(break_glass::revoke(organization, &credential_id, context.now));
    if !context.db(organization).batch(batch).await?.did(revoked)? {
        return Err(ApiError::not_found("there is no such credential that could still be used"));
    }
    count("break_glass_revoked", "medium");
    Ok(StatusCode::NO_CONTENT)
}

fn count(kind: &'static str, severity: &'static str) {
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&SECURITY_EVENTS, 1, [kind.into(), severity.into()]);
    }
}
