//! `POST /api/v1/auth/break-glass`: the envelope is opened.

use iam_core::id::{OrganizationId, SessionId};
use iam_core::oauth::keyring::StoredKey;
use iam_core::record::audit::Outcome;
use iam_core::secret::credential::{BREAK_GLASS_PREFIX, Credential};
use iam_core::sign_in::acts;
use iam_core::sign_in::break_glass::{MAX_REASON_CHARACTERS, MIN_REASON_CHARACTERS, UsableCredential, Use};
use iam_core::sign_in::session::SESSION_EXISTS;
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::{ApiError, Context, Json, Notification, NotificationUser, Template, access_claims};
use iam_telemetry::Collector;
use iam_telemetry::instruments::{AUTH_ATTEMPTS, AUTH_FAILURES, SECURITY_EVENTS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The credential, and why it is used.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnsealRequest {
    /// The credential as it was sealed.
    credential: String,
    /// Why it is used: 10 to 500 characters. It is recorded and sent to whoever is told.
    reason: String,
}

/// A token that lasts as long as its session.
#[derive(Serialize, JsonSchema)]
pub(crate) struct UnsealResponse {
    /// For calls: `Authorization: Bearer`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long it lives, in seconds.
    expires_in: i64,
    /// The session that began.
    session_id: SessionId,
    /// When both end.
    expires_at: Timestamp,
}

/// Two round trips: one reads the credential and the signing keys, one uses it and begins the session. The
/// token is signed in between, so that a failure there leaves the credential sealed. An organization's first
/// token of all makes its signing key with a third.
pub(crate) async fn unseal(
    context: Context,
    Json(request): Json<UnsealRequest>,
) -> Result<Json<UnsealResponse>, ApiError> {
    let reason = request.reason.trim();
    if !(MIN_REASON_CHARACTERS..=MAX_REASON_CHARACTERS).contains(&reason.chars().count()) {
        let allowed = format!("{MIN_REASON_CHARACTERS} to {MAX_REASON_CHARACTERS} characters");
        return Err(ApiError::field("/reason", allowed));
    }
    let given = request.credential.trim();
    let secret =
        Credential::parse(BREAK_GLASS_PREFIX, given).ok_or_else(|| refused("malformed credential"))?;
    let organization = secret.organization();
    let (credential, keys) = read(&context, &secret).await?;
    let Some(credential) = credential else { return Err(refuse(&context, organization).await?) };

    let life = context.configuration().break_glass.session_timeout;
    let session_id = context.new_id(SessionId::new)?;
    let mut claims = access_claims(&context, organization, credential.user_id.clone(), session_id.clone())?;
    claims.exp = context.now.after(life).as_seconds();
    let access_token = context.sign(organization, keys, &claims).await?;

    let address = context.client_address.map(|address| address.to_string());
    let using = Use {
        organization,
        credential: &credential,
        reason,
        session_id: &session_id,
        life,
        ip_address: address.as_deref(),
        user_agent: context.user_agent.as_deref(),
        now: context.now,
    };
    let event = context
        .audit(organization, acts::BREAK_GLASS_USE, Outcome::Success)?
        .of_user(&credential.user_id)
        .on(credential.credential_id.as_str())
        .detail("reason", reason)
        .detail("session_id", session_id.as_str());
    let mut batch = Batch::new();
    let used = using.ask(&mut batch);
    batch.then(event.record_if(SESSION_EXISTS, &session_id));
    if !context.db(organization).batch(batch).await?.did(used)? {
        return Err(refuse(&context, organization).await?);
    }
    raise_alarm(&context, organization, &credential, reason, address);
    Ok(Json(UnsealResponse {
        access_token,
        token_type: "Bearer",
        expires_in: life.as_seconds(),
        session_id,
        expires_at: context.now.after(life),
    }))
}

async fn read(
    context: &Context,
    secret: &Credential,
) -> Result<(Option<UsableCredential>, Option<Vec<StoredKey>>), ApiError> {
    let organization = secret.organization();
    let mut batch = Batch::new();
    let credential = batch.ask(UsableCredential::find(organization, &secret.hash(), context.now));
    let keys = context.ask_signing_keys(organization, &mut batch);
    let answers = context.db(organization).batch(batch).await?;
    Ok((answers.one(credential)?, keys.map(|keys| answers.all(keys)).transpose()?))
}

/// Everybody who should know is told: the operator's log and metrics at once, people by message after the
/// answer.
fn raise_alarm(
    context: &Context,
    organization: &OrganizationId,
    credential: &UsableCredential,
    reason: &str,
    address: Option<String>,
) {
    let cause = format!("{} was used in {organization}", credential.credential_id);
    context.log_failure("emergency credential used", &cause);
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&SECURITY_EVENTS, 1, ["break_glass_used".into(), "critical".into()]);
        telemetry.count(&AUTH_ATTEMPTS, 1, ["break_glass".into(), "success".into()]);
    }
    context.notify(Notification {
        to: None,
        template: Template::BreakGlassUsed,
        organization: organization.clone(),
        user: NotificationUser {
            user_id: credential.user_id.clone(),
            username: None,
            display_name: credential.label.clone(),
        },
        link: None,
        code: None,
        expires_at: None,
        reason: Some(reason.to_owned()),
        ip_address: address,
    });
}

/// Records that a credential came which was never made, or is used, revoked or past its time, and gives the
/// answer.
async fn refuse(context: &Context, organization: &OrganizationId) -> Result<ApiError, ApiError> {
    let event = context.audit(organization, acts::BREAK_GLASS_USE, Outcome::Failure)?;
    context.db(organization).execute(event.record()).await?;
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&SECURITY_EVENTS, 1, ["break_glass_refused".into(), "high".into()]);
    }
    Ok(refused("unknown, used, revoked or expired"))
}

fn refused(reason: &'static str) -> ApiError {
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&AUTH_ATTEMPTS, 1, ["break_glass".into(), "failure".into()]);
        telemetry.count(&AUTH_FAILURES, 1, ["break_glass".into(), "invalid".into()]);
    }
    let detail = "the emergency credential is unknown, used, revoked or expired";
    ApiError::unauthorized("invalid_credential", detail).cause(reason)
}
