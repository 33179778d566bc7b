//! The proof that a person is who it says: a user name and its password.
//!
//! Whatever is wrong gets the same answer after the same work: one batch that reserves the try and reads the
//! user, one password hash at the configured cost, one batch that records the failure.

use iam_core::config::PasswordConfiguration;
use iam_core::directory::account::{MAX_USERNAME_BYTES, SignInUser, UserStatus};
use iam_core::directory::managed::passwords_are_editable;
use iam_core::id::OrganizationId;
use iam_core::oauth::keyring::StoredKey;
use iam_core::record::audit::Outcome;
use iam_core::secret::credential::{Credential, RESET_TOKEN_PREFIX};
use iam_core::secret::password;
use iam_core::sign_in::acts;
use iam_core::sign_in::lockout::{Attempt, Reservation, Verdict};
use iam_core::sign_in::password::reset::{ResetSubject, ResetToken};
use iam_core::sql::{Batch, Statement};
use iam_core::time::{Duration, Timestamp};
use iam_service::{ApiError, Context};
use iam_telemetry::Collector;
use iam_telemetry::instruments::{AUTH_ATTEMPTS, AUTH_FAILURES};

use crate::LoginRequest;

/// Who signs in, its password found right.
pub(crate) struct Proof {
    /// In which organization.
    pub(crate) organization: OrganizationId,
    /// Who.
    pub(crate) user: SignInUser,
    /// The signing keys, where they were asked for and not at hand.
    pub(crate) keys: Option<Vec<StoredKey>>,
    /// What a right password is owed by the lockout: to run when the session begins.
    pub(crate) forgiveness: Vec<Statement>,
}

/// Why a sign-in failed: for the log and the audit record, never for the caller.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    UnknownUser,
    NoPassword,
    UnusablePassword,
    WrongPassword,
    Inactive,
    PasswordExpired,
    Locked,
}

impl Refusal {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::NoPassword => "no_password",
            Self::UnusablePassword => "unusable_password",
            Self::WrongPassword => "wrong_password",
            Self::Inactive => "inactive",
            Self::PasswordExpired => "password_expired",
            Self::Locked => "locked",
        }
    }
}

/// Proves a sign-in: one round trip, and another where it fails.
pub(crate) async fn prove(
    context: &Context,
    request: &LoginRequest,
    asks_for_keys: bool,
) -> Result<Proof, ApiError> {
    if request.username.len() > MAX_USERNAME_BYTES {
        return Err(ApiError::field("/username", format!("at most {MAX_USERNAME_BYTES} bytes")));
    }
    let organization = request.organization.as_ref().unwrap_or(&context.configuration().organization).clone();
    let attempt = Attempt {
        organization: &organization,
        username: &request.username,
        address: context.client_address,
        limits: &context.configuration().password,
        now: context.now,
    };
    let (verdict, user, keys) = read(context, &attempt, asks_for_keys).await?;
    let reservation = match verdict {
        Verdict::Granted(reservation) => reservation,
        Verdict::Locked { until } => {
            count(Some(Refusal::Locked));
            return Err(ApiError::too_many_attempts(until, context.now).cause("locked"));
        }
    };
    let user = match check(context, user, &request.password)? {
        Ok(user) => user,
        Err((refusal, user)) => {
            return Err(refuse(context, &attempt, &reservation, user.as_ref(), refusal).await?);
        }
    };
    let forgiveness = attempt.forgive(&reservation, &user.user_id);
    if is_expired(user.password_changed_at, &context.configuration().password, context.now) {
        return Err(expired(context, &organization, &user, forgiveness).await?);
    }
    Ok(Proof { user, keys, forgiveness, organization })
}

async fn read(
    context: &Context,
    attempt: &Attempt<'_>,
    asks_for_keys: bool,
) -> Result<(Verdict, Option<SignInUser>, Option<Vec<StoredKey>>), ApiError> {
    let organization = attempt.organization;
    let mut batch = Batch::new();
    let asked = attempt.reserve(&mut batch);
    let user = batch.ask(SignInUser::by_username(organization, attempt.username));
    let keys = if asks_for_keys { context.ask_signing_keys(organization, &mut batch) } else { None };
    let answers = context.db(organization).batch(batch).await?;
    let keys = keys.map(|keys| answers.all(keys)).transpose()?;
    Ok((asked.verdict(&answers)?, answers.one(user)?, keys))
}

/// Costs one password hash, whatever is found.
#[tracing::instrument(skip_all)]
fn check(
    context: &Context,
    user: Option<SignInUser>,
    password: &str,
) -> Result<Result<SignInUser, (Refusal, Option<SignInUser>)>, ApiError> {
    let cost = context.configuration().password.argon2;
    let verified = user.as_ref().map(|user| {
        user.password_hash.as_deref().map(|stored| {
            // What can't be verified is no reason to answer otherwise.
            password::verify(password, stored).map_err(|error| {
                context.log_failure("stored password hash is unusable", &error.to_string());
            })
        })
    });
    let refusal = match verified {
        Some(Some(Ok(true))) => None,
        Some(Some(Ok(false))) => Some(Refusal::WrongPassword),
        other => {
            password::verify_nothing(password, cost)?;
            Some(match other {
                Some(Some(_)) => Refusal::UnusablePassword,
                Some(None) => Refusal::NoPassword,
                None => Refusal::UnknownUser,
            })
        }
    };
    Ok(match (refusal, user) {
        (None, Some(user)) if user.status == UserStatus::Active => Ok(user),
        (refusal, user) => Err((refusal.unwrap_or(Refusal::Inactive), user)),
    })
}

/// Records the failure before answering: an attacker who hangs up leaves the same trace.
async fn refuse(
    context: &Context,
    attempt: &Attempt<'_>,
    reservation: &Reservation,
    user: Option<&SignInUser>,
    refusal: Refusal,
) -> Result<ApiError, ApiError> {
    let mut event = context
        .audit(attempt.organization, acts::LOGIN, Outcome::Failure)?
        .detail("reason", refusal.as_str());
    // The name of an unknown user is not recorded: people type their password there.
    event.user_id = user.map(|user| user.user_id.clone());
    let user_id = user.map(|user| &user.user_id);
    let batch = context.record_failed_attempt(attempt, reservation, user_id, event)?;
    context.db(attempt.organization).batch(batch).await?;
    Ok(refused(refusal))
}

pub(crate) fn refused(refusal: Refusal) -> ApiError {
    count(Some(refusal));
    ApiError::unauthorized("invalid_credentials", "the user name or the password is wrong")
        .cause(refusal.as_str())
}

/// An imported password, of which nobody knows how old it is, does not expire.
fn is_expired(changed_at: Option<Timestamp>, limits: &PasswordConfiguration, now: Timestamp) -> bool {
    let never = Duration::from_seconds(0);
    limits.max_age > never && changed_at.is_some_and(|changed_at| now >= changed_at.after(limits.max_age))
}

/// The password is right, but so old that it has to be changed first: with the token that is handed out here.
async fn expired(
    context: &Context,
    organization: &OrganizationId,
    user: &SignInUser,
    mut batch: Vec<Statement>,
) -> Result<ApiError, ApiError> {
    let refusal = Refusal::PasswordExpired;
    let event = context
        .audit(organization, acts::LOGIN, Outcome::Failure)?
        .of_user(&user.user_id)
        .detail("reason", refusal.as_str());
    batch.push(event.record());
    let token = Credential::new(RESET_TOKEN_PREFIX, organization, &context.entropy()?);
    let reset = ResetToken {
        organization,
        hash: &token.hash(),
        subject: ResetSubject::User(&user.user_id),
        includes_managed: passwords_are_editable(&context.configuration().scim),
        life: context.configuration().password.reset_expiry,
        now: context.now,
    };
    batch.extend(reset.issue());
    context.db(organization).batch(batch).await?;
    count(Some(refusal));
    let detail = "the password is right, but too old: set a new one with the reset token";
    let error = ApiError::new(http::StatusCode::FORBIDDEN, "password_expired", detail);
    Ok(error.cause(refusal.as_str()).extension("reset_token", token.reveal()))
}

pub(crate) fn count(refusal: Option<Refusal>) {
    let Some(telemetry) = Collector::current() else { return };
    let result = if refusal.is_none() { "success" } else { "failure" };
    telemetry.count(&AUTH_ATTEMPTS, 1, ["password".into(), result.into()]);
    if let Some(refusal) = refusal {
        telemetry.count(&AUTH_FAILURES, 1, ["password".into(), refusal.as_str().into()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_expires_at_its_age() {
        let limits = PasswordConfiguration { max_age: Duration::from_days(90), ..Default::default() };
        let now = Timestamp::from_seconds(1_800_000_000);
        let set = |days: i64| Some(now.before(Duration::from_days(days)));
        assert!(!is_expired(set(89), &limits, now) && is_expired(set(90), &limits, now));
        assert!(!is_expired(None, &limits, now));
        let never = PasswordConfiguration { max_age: Duration::from_seconds(0), ..Default::default() };
        assert!(!is_expired(set(9000), &never, now));
    }
}
