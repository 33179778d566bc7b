//! `POST /api/v1/auth/password/change`: one's own password.

use http::StatusCode;
use iam_core::directory::ManagedBy;
use iam_core::directory::managed::passwords_are_editable;
use iam_core::permission::Scope;
use iam_core::record::audit::Outcome;
use iam_core::secret::password::verify_argon2;
use iam_core::sign_in::acts;
use iam_core::sign_in::lockout::{Attempt, Reservation, Verdict};
use iam_core::sign_in::password::change::{PASSWORD_REPLACED, PasswordChange, PasswordOwner};
use iam_core::sql::Batch;
use iam_service::managed::fields_are_managed;
use iam_service::password::hash_new_password;
use iam_service::{Access, ApiError, Caller, CallerCredential, Context, Function, Json, Route};
use iam_telemetry::Collector;
use iam_telemetry::instruments::SECURITY_EVENTS;
use schemars::JsonSchema;
use serde::Deserialize;

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let change_own = Access::permission("profile", "write", Scope::Own);
    Function::new("password", "Changes passwords").uses_database().route(
        Route::post("/api/v1/auth/password/change", change_own, change)
            .summary("Changes one's own password")
            .description(
                "All other sessions of the user end. All rules that the new password violates are named at \
                 once. 409 with code `managed_by_scim` for a user that is managed over SCIM, unless \
                 `scim.locally_editable` has `password`.",
            )
            .takes::<ChangeRequest>()
            .answers(204, "Changed")
            .round_trips(3),
    )
}

/// The password, and what it is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeRequest {
    /// The password as it is.
    current_password: String,
    /// The password as it is to be.
    new_password: String,
}

/// Beside the caller's authentication, one round trip reads the user and one replaces the password or records
/// the failure.
async fn change(
    context: Context,
    caller: Caller,
    Json(request): Json<ChangeRequest>,
) -> Result<StatusCode, ApiError> {
    let organization = &caller.organization;
    let history_size = context.configuration().password.history_size;
    let attempt = Attempt {
        organization,
        username: &caller.username,
        address: context.client_address,
        limits: &context.configuration().password,
        now: context.now,
    };
    let (owner, reservation) = reserve(&context, &caller, &attempt).await?;
    check_current(&context, &caller, &owner, (&attempt, &reservation), &request.current_password).await?;
    let forgiveness = attempt.forgive(&reservation, &caller.user_id);
    let new_hash = match new_hash(&context, &owner, &request.new_password) {
        Ok(new_hash) => new_hash,
        Err(refusal) => {
            // The current password was right: what is wrong with the new one is no guess.
            context.db(organization).batch(forgiveness).await?;
            return Err(refusal);
        }
    };
    let change = PasswordChange {
        organization,
        owner: &owner,
        new_hash: &new_hash,
        token: None,
        history_size,
        now: context.now,
    };
    let kept = match &caller.credential {
        CallerCredential::Session(session_id) => Some(session_id),
        CallerCredential::ApiKey(_) => None,
    };
    let event = context.audit_by(&caller, acts::PASSWORD_CHANGE)?.on(caller.user_id.as_str());
    let mut batch = Batch::new();
    let replaced = change.replace(&mut batch);
    batch.extend(forgiveness);
    batch.then(change.end_sessions(kept, "password_changed"));
    batch.then(event.record_if(PASSWORD_REPLACED, change.replaced()));
    if !context.db(organization).batch(batch).await?.did(replaced)? {
        let detail = "the password was changed meanwhile by another request";
        return Err(ApiError::conflict("password_changed_meanwhile", detail));
    }
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&SECURITY_EVENTS, 1, ["password_change".into(), "low".into()]);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The hash of the new password, if the user may have it.
fn new_hash(context: &Context, owner: &PasswordOwner, password: &str) -> Result<String, ApiError> {
    if owner.managed_by == ManagedBy::Scim && !passwords_are_editable(&context.configuration().scim) {
        return Err(fields_are_managed(["/new_password"]));
    }
    hash_new_password(context, owner, password, "/new_password", verify_argon2)
}

/// Takes a try before the password is looked at, as sign-in does, and reads the user.
async fn reserve(
    context: &Context,
    caller: &Caller,
    attempt: &Attempt<'_>,
) -> Result<(PasswordOwner, Reservation), ApiError> {
    let history_size = context.configuration().password.history_size;
    let mut batch = Batch::new();
    let asked = attempt.reserve(&mut batch);
    let owner = batch.ask(PasswordOwner::by_id(&caller.organization, &caller.user_id, history_size));
    let answers = context.db(&caller.organization).batch(batch).await?;
    match asked.verdict(&answers)? {
        Verdict::Granted(reservation) => {
            let owner = answers.one(owner)?.ok_or_else(|| ApiError::not_found("the user was deleted"))?;
            Ok((owner, reservation))
        }
        Verdict::Locked { until } => Err(ApiError::too_many_attempts(until, context.now).cause("locked")),
    }
}

/// Refuses whoever does not know the current password: a stolen session must not become a stolen account.
async fn check_current(
    context: &Context,
    caller: &Caller,
    owner: &PasswordOwner,
    (attempt, reservation): (&Attempt<'_>, &Reservation),
    password: &str,
) -> Result<(), ApiError> {
    let Some(stored) = &owner.password_hash else {
        let detail = "you have no password; you sign in another way";
        return Err(ApiError::conflict("no_password", detail));
    };
    let Ok(is_right) = verify_argon2(password, stored) else {
        let detail = "your password is still kept as another software kept it: sign in with it once";
        return Err(ApiError::conflict("password_not_migrated", detail));
    };
    if is_right {
        return Ok(());
    }
    let mut event = context.audit_by(caller, acts::PASSWORD_CHANGE)?;
    event.outcome = Outcome::Failure;
    let event = event.on(caller.user_id.as_str()).detail("reason", "wrong_password");
    let batch = context.record_failed_attempt(attempt, reservation, Some(&caller.user_id), event)?;
    context.db(&caller.organization).batch(batch).await?;
    Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_password", "the current password is wrong")
        .and_field("/current_password", "the password as it is"))
}
