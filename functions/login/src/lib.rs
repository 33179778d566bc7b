//! `POST /api/v1/auth/login`: a user name and a password for a session, an access token and a refresh token.

use iam_core::audit::Outcome;
use iam_core::credential::{Credential, REFRESH_TOKEN_PREFIX};
use iam_core::id::{OrganizationId, SessionId, UserId};
use iam_core::password;
use iam_core::session::{NewSession, SESSION_EXISTS, SessionKind};
use iam_core::sql::Rows;
use iam_core::user::{MAX_USERNAME_BYTES, SignInUser, UserStatus};
use iam_service::{Access, ApiError, Context, Function, Json, Route, access_claims};
use iam_telemetry::Collector;
use iam_telemetry::instruments::{AUTH_ATTEMPTS, AUTH_FAILURES};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("login", "Signs people in").uses_database().uses_master_key().route(
        Route::post("/api/v1/auth/login", Access::public(), login)
            .summary("Signs in with a user name and a password")
            .description("An unknown user, a wrong password and a suspended user get the same answer after the same work.")
            .takes::<LoginRequest>()
            .gives::<LoginResponse>(200, "Signed in")
            .round_trips(4),
    )
}

/// A user name and a password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The user name, without regard to case.
    pub username: String,
    /// The password.
    pub password: String,
    /// The code of a second factor.
    pub mfa_code: Option<String>,
    /// The organization, where it is not the deployment's own.
    pub organization: Option<OrganizationId>,
}

/// Tokens, and who signed in.
#[derive(Serialize, JsonSchema)]
pub struct LoginResponse {
    /// For calls: `Authorization: Bearer`.
    pub access_token: String,
    /// For a new pair of tokens at `/api/v1/auth/refresh`; works once.
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// How long the access token lives, in seconds.
    pub expires_in: i64,
    /// Who signed in.
    pub user: SignedInUser,
}

/// Who signed in.
#[derive(Serialize, JsonSchema)]
pub struct SignedInUser {
    /// Its id.
    pub user_id: UserId,
    /// Its name.
    pub username: String,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether it has a second factor.
    pub mfa_enabled: bool,
}

/// Why a sign-in failed: for the log and the audit record, never for the caller.
#[derive(Clone, Copy)]
enum Refusal {
    UnknownUser,
    NoPassword,
    WrongPassword,
    Inactive,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::NoPassword => "no_password",
            Self::WrongPassword => "wrong_password",
            Self::Inactive => "inactive",
        }
    }
}

/// Two round trips: one reads the user and the signing keys, one begins the session or records the failure.
/// The first sign-in of an organization makes its signing key with a third.
async fn login(context: Context, Json(request): Json<LoginRequest>) -> Result<Json<LoginResponse>, ApiError> {
    if request.username.len() > MAX_USERNAME_BYTES {
        return Err(ApiError::field("/username", format!("at most {MAX_USERNAME_BYTES} bytes")));
    }
    let organization = request.organization.as_ref().unwrap_or(&context.configuration().organization).clone();
    let (user, keys) = read(&context, &organization, &request.username).await?;
    match check(&context, user.as_ref(), &request.password)? {
        Ok(user) => sign_in(&context, &organization, user, keys, &request.password).await,
        Err(refusal) => refuse(&context, &organization, user.as_ref(), refusal).await,
    }
}

async fn read(
    context: &Context,
    organization: &OrganizationId,
    username: &str,
) -> Result<(Option<SignInUser>, Option<Rows>), ApiError> {
    let mut statements = vec![SignInUser::by_username(organization, username)];
    statements.extend(context.instance.keyring.question(organization, context.now));
    let mut rows = context.db(organization).batch(statements).await?.into_iter();
    let user = rows.next().unwrap_or_default().decode_first()?;
    Ok((user, rows.next()))
}

/// Costs one password hash, whatever is found.
#[tracing::instrument(skip_all)]
fn check<'a>(
    context: &Context,
    user: Option<&'a SignInUser>,
    password: &str,
) -> Result<Result<&'a SignInUser, Refusal>, ApiError> {
    let cost = context.configuration().password.argon2;
    let Some(user) = user else {
        password::verify_nothing(password, cost)?;
        return Ok(Err(Refusal::UnknownUser));
    };
    let Some(stored) = &user.password_hash else {
        password::verify_nothing(password, cost)?;
        return Ok(Err(Refusal::NoPassword));
    };
    if !password::verify(password, stored)? {
        return Ok(Err(Refusal::WrongPassword));
    }
    Ok(if user.status == UserStatus::Active { Ok(user) } else { Err(Refusal::Inactive) })
}

async fn sign_in(
    context: &Context,
    organization: &OrganizationId,
    user: &SignInUser,
    keys: Option<Rows>,
    password: &str,
) -> Result<Json<LoginResponse>, ApiError> {
    let configuration = context.configuration();
    let session_id = context.new_id(SessionId::new)?;
    let refresh_token = Credential::new(REFRESH_TOKEN_PREFIX, organization, &context.entropy()?);
    let claims = access_claims(context, organization, user.user_id.clone(), session_id.clone())?;
    let access_token = context.instance.keyring.sign(context, organization, keys.as_ref(), &claims).await?;

    let address = context.client_address.map(|address| address.to_string());
    let session = NewSession {
        organization,
        session_id: &session_id,
        user_id: &user.user_id,
        kind: SessionKind::Interactive,
        client_id: None,
        scope: None,
        token_hash: None,
        life: configuration.session.timeout,
        ip_address: address.as_deref(),
        user_agent: context.user_agent.as_deref(),
        mfa_verified: false,
        now: context.now,
    };
    let refresh_until =
        context.now.after(configuration.jwt.refresh_token_expiry.min(configuration.session.timeout));
    let event = context
        .audit(organization, "login", "session", Outcome::Success)?
        .of_user(&user.user_id)
        .on(session_id.as_str());
    let batch = vec![
        session.begin(),
        session.first_refresh_token(&refresh_token.hash(), refresh_until),
        session.end_oldest(&configuration.session),
        session.note_login(),
        event.record_if(SESSION_EXISTS, &session_id),
    ];
    let rows = context.db(organization).batch(batch).await?;
    if rows.first().is_none_or(Rows::is_empty) {
        // Suspended or deleted between the two round trips.
        return Err(refused(Refusal::Inactive));
    }
    upgrade_hash(context, organization, user, password);
    count(None);
    Ok(Json(LoginResponse {
        access_token,
        refresh_token: refresh_token.reveal().to_owned(),
        token_type: "Bearer",
        expires_in: configuration.jwt.access_token_expiry.as_seconds(),
        user: SignedInUser {
            user_id: user.user_id.clone(),
            username: user.username.clone(),
            email: user.email.clone(),
            roles: user.roles.clone(),
            mfa_enabled: !user.mfa_methods.is_empty(),
        },
    }))
}

/// Records the failure before answering: an attacker who hangs up leaves the same trace.
async fn refuse(
    context: &Context,
    organization: &OrganizationId,
    user: Option<&SignInUser>,
    refusal: Refusal,
) -> Result<Json<LoginResponse>, ApiError> {
    let mut event =
        context.audit(organization, "login", "session", Outcome::Failure)?.detail("reason", refusal.as_str());
    // The name of an unknown user is not recorded: people type their password there.
    if let Some(user) = user {
        event = event.of_user(&user.user_id);
    }
    context.db(organization).run(event.record()).await?;
    Err(refused(refusal))
}

fn refused(refusal: Refusal) -> ApiError {
    count(Some(refusal));
    ApiError::unauthorized("invalid_credentials", "the user name or the password is wrong")
        .cause(refusal.as_str())
}

/// Hashes the password anew, after the answer, where the configured cost has changed since it was stored.
fn upgrade_hash(context: &Context, organization: &OrganizationId, user: &SignInUser, password: &str) {
    let cost = context.configuration().password.argon2;
    let is_outdated = user.password_hash.as_deref().is_some_and(|stored| password::is_outdated(stored, cost));
    if !is_outdated {
        return;
    }
    let upgraded = context.entropy().and_then(|salt| Ok(password::hash(password, &salt, cost)?));
    match upgraded {
        Ok(hash) => {
            context.defer_statement(organization, SignInUser::upgrade_hash(organization, user, &hash))
        }
        Err(error) => {
            let cause = error.log_cause().unwrap_or_default();
            context.instance.log_failure(context, "password hash not upgraded", cause);
        }
    }
}

fn count(refusal: Option<Refusal>) {
    let Some(telemetry) = Collector::current() else { return };
    let result = if refusal.is_none() { "success" } else { "failure" };
    telemetry.count(&AUTH_ATTEMPTS, 1, ["password".into(), result.into()]);
    if let Some(refusal) = refusal {
        telemetry.count(&AUTH_FAILURES, 1, ["password".into(), refusal.as_str().into()]);
    }
}
