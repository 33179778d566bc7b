//! Sign-in with a user name and a password: `POST /api/v1/auth/login` for a program, which gets tokens, and
//! `POST /api/v1/sessions` for a browser, which gets a cookie.

mod beginning;
mod proof;

use axum::response::{IntoResponse as _, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, Uri};
use iam_core::directory::account::SignInUser;
use iam_core::id::{OrganizationId, SessionId, UserId};
use iam_core::secret::credential::{Credential, REFRESH_TOKEN_PREFIX, SESSION_TOKEN_PREFIX};
use iam_core::sign_in::session::listed::Session;
use iam_service::{
    Access, ApiError, Area, Context, Created, Function, Json, Route, access_claims, check_origin,
    session_cookie,
};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use beginning::{Use, begin};
use proof::prove;

iam_service::deploy!(function);

/// The longest id of a device, in characters.
const MAX_DEVICE_ID_CHARACTERS: usize = 128;

/// What this function is.
#[must_use]
pub fn function() -> Function {
    const ONE_ANSWER: &str = "An unknown user, a wrong password and a suspended user get the same answer \
                              after the same work. After too many failures nothing is looked at for a while: \
                              429 with `Retry-After`.";
    Function::new("login", "Signs people in")
        .area(Area::Admin)
        .uses_database()
        .uses_master_key()
        .route(
            Route::post("/api/v1/auth/login", Access::public(), login)
                .summary("Signs in with a user name and a password")
                .description(ONE_ANSWER)
                .takes::<LoginRequest>()
                .gives::<LoginResponse>(200, "Signed in")
                // The first sign-in of an organization makes its signing key with the third.
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/sessions", Access::public(), begin_browser_session)
                .summary("Signs a browser in: the session's credential comes in a cookie alone")
                .description(ONE_ANSWER)
                .takes::<LoginRequest>()
                .gives::<BeginSessionResponse>(201, "Signed in, with `Set-Cookie`")
                .round_trips(2),
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
    /// The code of a second factor. Nobody reads it yet, so it is refused: whoever sends one believes that it
    /// counts.
    #[schemars(skip)]
    pub mfa_code: Option<IgnoredAny>,
    /// The organization, where it is not the deployment's own.
    pub organization: Option<OrganizationId>,
    /// The device's own id, to tell its sessions apart: at most 128 characters.
    pub device_id: Option<String>,
}

impl LoginRequest {
    fn check(&self) -> Result<(), ApiError> {
        if self.mfa_code.is_some() {
            return Err(ApiError::field("/mfa_code", "must be absent: second factors are not supported yet"));
        }
        let fits = |id: &String| {
            id.chars().count() <= MAX_DEVICE_ID_CHARACTERS
                && !id.chars().any(char::is_control)
                && !id.is_empty()
        };
        if self.device_id.iter().all(fits) {
            return Ok(());
        }
        let allowed = format!("1 to {MAX_DEVICE_ID_CHARACTERS} characters, no control characters");
        Err(ApiError::field("/device_id", allowed))
    }
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

/// A browser's session, and who signed in. The credential is in the cookie alone.
#[derive(Serialize, JsonSchema)]
pub struct BeginSessionResponse {
    /// The session.
    pub session: Session,
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

impl From<SignInUser> for SignedInUser {
    fn from(user: SignInUser) -> Self {
        Self {
            user_id: user.user_id,
            username: user.username,
            email: user.email,
            roles: user.roles,
            mfa_enabled: !user.mfa_methods.is_empty(),
        }
    }
}

/// Two round trips: one reserves the try and reads the user and the signing keys, one begins the session or
/// records the failure. The first sign-in of an organization makes its signing key with a third.
async fn login(context: Context, Json(request): Json<LoginRequest>) -> Result<Json<LoginResponse>, ApiError> {
    request.check()?;
    let mut proof = prove(&context, &request, true).await?;
    let session_id = context.new_id(SessionId::new)?;
    let refresh_token = Credential::new(REFRESH_TOKEN_PREFIX, &proof.organization, &context.entropy()?);
    let claims =
        access_claims(&context, &proof.organization, proof.user.user_id.clone(), session_id.clone())?;
    let access_token = context.sign(&proof.organization, proof.keys.take(), &claims).await?;
    let configuration = context.configuration();
    let refresh_life = configuration.jwt.refresh_token_expiry.min(configuration.session.timeout);
    let with = Use::Tokens(&refresh_token.hash(), context.now.after(refresh_life));
    let (user, _) = begin(&context, &request, proof, &session_id, with).await?;
    Ok(Json(LoginResponse {
        access_token,
        refresh_token: refresh_token.reveal().to_owned(),
        token_type: "Bearer",
        expires_in: configuration.jwt.access_token_expiry.as_seconds(),
        user: user.into(),
    }))
}

async fn begin_browser_session(
    context: Context,
    uri: Uri,
    headers: HeaderMap,
    Json(request): Json<LoginRequest>,
) -> Result<Response, ApiError> {
    request.check()?;
    check_origin(&uri, &headers, context.configuration())?;
    let proof = prove(&context, &request, false).await?;
    let session_id = context.new_id(SessionId::new)?;
    let credential = Credential::new(SESSION_TOKEN_PREFIX, &proof.organization, &context.entropy()?);
    let with = Use::Cookie(&credential.hash());
    let (user, session) = begin(&context, &request, proof, &session_id, with).await?;
    let session = session.ok_or_else(|| ApiError::internal("a session that began is not there"))?;
    let cookie = session_cookie(&context.configuration().session, &credential)?;
    let answer = BeginSessionResponse { session, user: user.into() };
    Ok(([(SET_COOKIE, cookie)], Created(answer)).into_response())
}
