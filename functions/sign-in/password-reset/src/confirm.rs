//! `POST /api/v1/auth/password/reset/confirm`.

use http::StatusCode;
use iam_core::directory::ManagedBy;
use iam_core::directory::managed::passwords_are_editable;
use iam_core::record::audit::Outcome;
use iam_core::secret::credential::{Credential, RESET_TOKEN_PREFIX};
use iam_core::secret::password::verify;
use iam_core::sign_in::acts;
use iam_core::sign_in::password::change::{PASSWORD_REPLACED, PasswordChange, PasswordOwner};
use iam_core::sign_in::password::reset;
use iam_core::sql::Batch;
use iam_service::{ApiError, Context, Json, password::hash_new_password};
use iam_telemetry::Collector;
use iam_telemetry::instruments::SECURITY_EVENTS;
use schemars::JsonSchema;
use serde::Deserialize;

/// A reset token, and what the password is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmRequest {
    /// The token that was sent.
    token: String,
    /// The password as it is to be.
    new_password: String,
}

/// One round trip reads the token's user, one spends the token and sets the password. The policy is asked in
/// between, so that a password it refuses does not cost the token.
pub(crate) async fn confirm(
    context: Context,
    Json(request): Json<ConfirmRequest>,
) -> Result<StatusCode, ApiError> {
    let token =
        Credential::parse(RESET_TOKEN_PREFIX, &request.token).ok_or_else(|| refused("malformed token"))?;
    let (organization, hash) = (token.organization(), token.hash());
    let history_size = context.configuration().password.history_size;
    let find = PasswordOwner::by_reset_token(organization, &hash, history_size, context.now);
    let owner = context.db(organization).one(find).await?;
    let owner = owner.ok_or_else(|| refused("unknown, used or expired"))?;
    if owner.managed_by == ManagedBy::Scim && !passwords_are_editable(&context.configuration().scim) {
        return Err(refused("managed over SCIM by now"));
    }
    let new_hash = hash_new_password(&context, &owner, &request.new_password, "/new_password", verify)?;
    let change = PasswordChange {
        organization,
        owner: &owner,
        new_hash: &new_hash,
        token: Some(&hash),
        history_size,
        now: context.now,
    };
    let event = context
        .audit(organization, acts::PASSWORD_RESET, Outcome::Success)?
        .of_user(&owner.user_id)
        .on(owner.user_id.as_str());
    let mut batch = Batch::new();
    let spent = batch.then(reset::spend(organization, &hash, owner.password_hash.as_deref(), context.now));
    let replaced = change.replace(&mut batch);
    batch.then(change.end_sessions(None, "password_reset"));
    batch.then(change.unlock());
    batch.extend(context.client_address.map(|address| change.know_address(address)));
    batch.then(event.record_if(PASSWORD_REPLACED, change.replaced()));
    let answers = context.db(organization).batch(batch).await?;
    if !answers.did(spent)? || !answers.did(replaced)? {
        return Err(refused("another request was quicker"));
    }
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&SECURITY_EVENTS, 1, ["password_reset".into(), "medium".into()]);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn refused(cause: &'static str) -> ApiError {
    let detail = "the reset token is unknown, used or expired";
    ApiError::unauthorized("invalid_reset_token", detail).cause(cause)
}
