//! `POST /api/v1/auth/password/reset` and `POST /api/v1/users/{user_id}/password-reset`.

use axum::response::IntoResponse;
use http::StatusCode;
use iam_core::audit::Outcome;
use iam_core::credential::{Credential, RESET_TOKEN_PREFIX};
use iam_core::id::{OrganizationId, UserId};
use iam_core::password::reset::{
    RESET_TOKEN_EXISTS, RESET_TOKEN_MISSING, Recipient, ResetSubject, ResetTarget, ResetToken,
};
use iam_core::sql::Rows;
use iam_core::time::Timestamp;
use iam_core::user::MAX_USERNAME_BYTES;
use iam_service::{ApiError, Caller, Context, Created, Id, Json, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who wants a new password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetRequest {
    /// The user name, without regard to case.
    username: String,
    /// The organization, where it is not the deployment's own.
    organization: Option<OrganizationId>,
}

/// The same for everybody.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ResetResponse {
    /// What happens now.
    message: &'static str,
}

/// One round trip, the same statements whoever is meant: they find out themselves whether there is such a person. What
/// takes longer comes after the answer.
pub(crate) async fn request(
    context: Context,
    Json(request): Json<ResetRequest>,
) -> Result<impl IntoResponse, ApiError> {
    if request.username.len() > MAX_USERNAME_BYTES {
        return Err(ApiError::field("/username", format!("at most {MAX_USERNAME_BYTES} bytes")));
    }
    let organization = request.organization.as_ref().unwrap_or(&context.configuration().organization);
    let token = Credential::new(RESET_TOKEN_PREFIX, organization, &context.entropy()?);
    let hash = token.hash();
    let reset = ResetToken {
        organization,
        hash: &hash,
        subject: ResetSubject::Username(&request.username),
        life: context.configuration().password.reset_expiry,
        now: context.now,
    };
    let event = |outcome| context.audit(organization, "password.reset_request", "user", outcome);
    let mut batch = Vec::from(reset.issue());
    batch.push(event(Outcome::Success)?.record_if(RESET_TOKEN_EXISTS, &hash));
    batch.push(event(Outcome::Failure)?.record_if(RESET_TOKEN_MISSING, &hash));
    batch.push(Recipient::of(organization, &hash));
    let rows = context.db(organization).batch(batch).await?;
    let recipient = rows.last().map(Rows::decode_first::<Recipient>).transpose()?.flatten();
    if let Some(recipient) = recipient {
        context.send_reset_token(organization, &recipient, &token, reset.expires_at());
    }
    let message = "if there is such a user, a message is on its way";
    Ok((StatusCode::ACCEPTED, Json(ResetResponse { message })))
}

/// What becomes of the token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForUserQuery {
    /// Whether it is sent to the user, and not shown.
    #[serde(default)]
    notify: bool,
}

/// The token, or that it was sent.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ForUserResponse {
    /// The token: shown here once, stored nowhere. Absent where it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_token: Option<String>,
    /// Until when it works.
    expires_at: Timestamp,
}

/// Beside the caller's authentication, one round trip reads what the user may do and one makes the token.
pub(crate) async fn for_user(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
    Query(query): Query<ForUserQuery>,
) -> Result<Created<ForUserResponse>, ApiError> {
    let organization = &caller.organization;
    let not_found = || ApiError::not_found("there is no such active person");
    let rows = context.db(organization).run(ResetTarget::find(organization, &user_id)).await?;
    let target: ResetTarget = rows.decode_first()?.ok_or_else(not_found)?;
    if !target.grants.iter().all(|grant| caller.grants.include(grant)) {
        let detail = "this user may do what you may not";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "permission_denied", detail));
    }
    if query.notify {
        check_deliverable(&context, &target)?;
    }
    let token = Credential::new(RESET_TOKEN_PREFIX, organization, &context.entropy()?);
    let hash = token.hash();
    let reset = ResetToken {
        organization,
        hash: &hash,
        subject: ResetSubject::User(&user_id),
        life: context.configuration().password.reset_expiry,
        now: context.now,
    };
    let event = context
        .audit_by(&caller, "password.reset_issue", "user")?
        .on(user_id.as_str())
        .detail("sent", query.notify);
    let mut batch = Vec::from(reset.issue());
    batch.push(event.record_if(RESET_TOKEN_EXISTS, &hash));
    batch.push(Recipient::of(organization, &hash));
    let rows = context.db(organization).batch(batch).await?;
    let recipient = rows.last().map(Rows::decode_first::<Recipient>).transpose()?.flatten();
    let recipient = recipient.ok_or_else(not_found)?;
    if query.notify {
        context.send_reset_token(organization, &recipient, &token, reset.expires_at());
    }
    let reset_token = (!query.notify).then(|| token.reveal().to_owned());
    Ok(Created(ForUserResponse { reset_token, expires_at: reset.expires_at() }))
}

fn check_deliverable(context: &Context, target: &ResetTarget) -> Result<(), ApiError> {
    if context.configuration().notification.endpoint.is_none() {
        return Err(ApiError::conflict("no_notification_endpoint", "no `notification.endpoint` is configured"));
    }
    if target.email.is_none() {
        return Err(ApiError::conflict("no_address", "the user has no e-mail address"));
    }
    Ok(())
}
