//! `POST /api/v1/auth/password/reset`.

use axum::response::IntoResponse;
use http::StatusCode;
use iam_core::directory::account::MAX_USERNAME_BYTES;
use iam_core::directory::managed::passwords_are_editable;
use iam_core::id::OrganizationId;
use iam_core::record::audit::Outcome;
use iam_core::secret::credential::{Credential, RESET_TOKEN_PREFIX};
use iam_core::sign_in::acts;
use iam_core::sign_in::password::reset::{
    RESET_TOKEN_EXISTS, RESET_TOKEN_MISSING, Recipient, ResetSubject, ResetToken,
};
use iam_core::sql::Batch;
use iam_service::{ApiError, Context, Json};
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

/// One round trip, the same statements whoever is meant: they find out themselves whether there is such a
/// person. What takes longer comes after the answer.
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
        includes_managed: passwords_are_editable(&context.configuration().scim),
        life: context.configuration().password.reset_expiry,
        now: context.now,
    };
    let event = |outcome| context.audit(organization, acts::PASSWORD_RESET_REQUEST, outcome);
    let mut batch = Batch::from(reset.issue());
    batch.then(event(Outcome::Success)?.record_if(RESET_TOKEN_EXISTS, &hash));
    batch.then(event(Outcome::Failure)?.record_if(RESET_TOKEN_MISSING, &hash));
    let recipient = batch.ask(Recipient::of(organization, &hash));
    let answers = context.db(organization).batch(batch).await?;
    if let Some(recipient) = answers.one(recipient)? {
        context.send_reset_token(organization, &recipient, &token, reset.expires_at());
    }
    let message = "if there is such a user, a message is on its way";
    Ok((StatusCode::ACCEPTED, Json(ResetResponse { message })))
}
