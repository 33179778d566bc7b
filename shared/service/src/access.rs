//! Who is calling, and whether it may: every route says which [`Access`] it gives, and its handler runs only
//! after that was checked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use iam_core::directory::account::SELF_GRANTS;
use iam_core::id::{KeyId, OrganizationId, ScimClientId, ScimTokenId, SessionId, UserId};
use iam_core::keys::KeyRefusal;
use iam_core::limit::{Bearer, SessionClaim};
use iam_core::permission::{Grants, Permission, Reach, Scope};
use iam_core::provisioning::client::PresentedScimToken;
use iam_core::record::Act;
use iam_core::record::audit::{AuditEvent, Outcome};
use iam_core::secret::credential::{SCIM_TOKEN_PREFIX, SESSION_TOKEN_PREFIX};
use iam_core::sign_in::session::LiveSession;
use subtle::ConstantTimeEq;

use crate::access_token::ValidToken;
use crate::api_key::{RefusedKey, verify_key};
use crate::context::Context;
use crate::cookie;
use crate::error::{ApiError, parse_credential};
use crate::origin::check_cookie_use;
use crate::rate_limit::{Charge, RateLimits};

/// Who may call a route: a rule, and the check that enforces it. The check is a function pointer, so that a module
/// whose routes never ask for an access token does not carry the cryptography that verifies one.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    pub(crate) rule: Rule,
    pub(crate) admit: Admit,
}

/// Who may call, in words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Public,
    Permission(&'static str, &'static str, Scope),
    AccessToken,
    Scim,
    Internal,
}

/// Checks a request and notes the caller on it.
pub(crate) type Admit = for<'a> fn(Rule, &'a Context, &'a mut Request) -> Admission<'a>;
pub(crate) type Admission<'a> = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>>;

impl Access {
    /// Anybody may call.
    #[must_use]
    pub fn public() -> Self {
        Self { rule: Rule::Public, admit: |_, _, _| Box::pin(std::future::ready(Ok(()))) }
    }

    /// A person or service may call that holds this permission, with an access token, an API key or a session cookie.
    #[must_use]
    pub fn permission(resource: &'static str, action: &'static str, scope: Scope) -> Self {
        Self { rule: Rule::Permission(resource, action, scope), admit: admit_caller }
    }

    /// Whoever holds an access token that holds may call, whatever it may do.
    #[must_use]
    pub fn access_token() -> Self {
        Self { rule: Rule::AccessToken, admit: crate::access_token::admit }
    }

    /// A SCIM client may call, with its bearer token.
    #[must_use]
    pub fn scim() -> Self {
        Self { rule: Rule::Scim, admit: admit_scim_client }
    }

    /// Another function or a scheduler may call, with the host's internal token.
    #[must_use]
    pub fn internal() -> Self {
        Self { rule: Rule::Internal, admit: admit_internal }
    }
}

/// The person or service that calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// In which organization.
    pub organization: OrganizationId,
    /// Which user: itself, or the owner of the key.
    pub user_id: UserId,
    /// That user's name.
    pub username: String,
    /// What this credential lets it do.
    pub grants: Grants,
    /// With what it came.
    pub credential: CallerCredential,
}

/// What a caller came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerCredential {
    /// The access token of a session, or its cookie.
    Session(SessionId),
    /// An API key.
    ApiKey(KeyId),
}

impl Caller {
    /// Of whose things the caller may do this: the one place where that is decided.
    #[must_use]
    pub fn decide(&self, action: &'static str, resource: &'static str) -> Reach<'_> {
        Reach::of(&self.grants, &self.user_id, action, resource)
    }

    /// Refuses a caller who may not do this with everybody's things in the organization.
    ///
    /// # Errors
    /// 403 that names the permission.
    pub fn check_wide(&self, action: &'static str, resource: &'static str) -> Result<(), ApiError> {
        if self.decide(action, resource).is_wide() {
            return Ok(());
        }
        let permission = Permission::new(resource, action, Scope::Organization);
        let cause = format!("user {} lacks {permission}", self.user_id);
        Err(ApiError::forbidden(&permission).cause(cause))
    }

    /// Whether the caller holds a permission that somebody named: what it may give away.
    #[must_use]
    pub fn holds(&self, permission: &Permission) -> bool {
        self.grants.allow(permission)
    }

    /// Whether it may do this too, beyond what the route asks.
    #[must_use]
    pub fn may(&self, resource: &'static str, action: &'static str, scope: Scope) -> bool {
        self.grants.allow(&Permission::new(resource, action, scope))
    }
}

impl Context {
    /// Refuses a caller who is not of the deployment's own organization: `all` means all of one's own everywhere else.
    ///
    /// # Errors
    /// 403.
    pub fn check_operator(
        &self,
        caller: &Caller,
        resource: &'static str,
        action: &'static str,
    ) -> Result<(), ApiError> {
        if caller.organization == self.configuration().organization {
            return Ok(());
        }
        let cause = format!("user {} is not of the deployment's own organization", caller.user_id);
        Err(ApiError::forbidden(&Permission::new(resource, action, Scope::All)).cause(cause))
    }

    /// Begins the record of what a caller did: who, and with which session or key.
    ///
    /// # Errors
    /// When the host has no randomness to give.
    pub fn audit_by(&self, caller: &Caller, act: Act) -> Result<AuditEvent, ApiError> {
        let event = self.audit(&caller.organization, act, Outcome::Success)?;
        let (kind, id) = match &caller.credential {
            CallerCredential::Session(session_id) => ("by_session", session_id.as_str()),
            CallerCredential::ApiKey(key_id) => ("by_key", key_id.as_str()),
        };
        Ok(event.of_user(&caller.user_id).detail(kind, id))
    }

    /// To be replaced.
    pub fn audit_by_text(
        &self,
        caller: &Caller,
        name: &'static str,
        resource: &'static str,
    ) -> Result<AuditEvent, ApiError> {
        let (severity, personal_data) =
            (iam_core::record::Severity::Routine, iam_core::record::PersonalData::None);
        self.audit_by(caller, Act { name, resource, severity, personal_data })
    }
}

/// The SCIM client that calls.
#[derive(Clone, Debug)]
pub struct ScimClient {
    /// In which organization.
    pub organization: OrganizationId,
    /// Which one.
    pub client_id: ScimClientId,
    /// With which of its tokens.
    pub token_id: ScimTokenId,
    /// What people call it.
    pub name: String,
}

fn admit_caller<'a>(rule: Rule, context: &'a Context, request: &'a mut Request) -> Admission<'a> {
    Box::pin(async move {
        let Rule::Permission(resource, action, scope) = rule else {
            return Err(ApiError::internal("a route that asks for no permission"));
        };
        let (caller, limits) = identify(context, request.method(), request.uri(), request.headers()).await?;
        let permission = Permission::new(resource, action, scope);
        if !caller.grants.allow(&permission) {
            let cause = format!("user {} lacks {permission}", caller.user_id);
            return Err(ApiError::forbidden(&permission).cause(cause));
        }
        request.extensions_mut().insert(Arc::new(caller));
        request.extensions_mut().insert(limits);
        Ok(())
    })
}

fn admit_scim_client<'a>(_: Rule, context: &'a Context, request: &'a mut Request) -> Admission<'a> {
    Box::pin(async move {
        let (client, limits) = authenticate_scim(context, request.headers()).await?;
        request.extensions_mut().insert(Arc::new(client));
        request.extensions_mut().insert(limits);
        Ok(())
    })
}

fn admit_internal<'a>(_: Rule, context: &'a Context, request: &'a mut Request) -> Admission<'a> {
    Box::pin(async move {
        let given = bearer(request.headers())?.unwrap_or_default();
        if context.instance.is_internal_token(given) {
            Ok(())
        } else {
            Err(ApiError::invalid_token("not the internal token"))
        }
    })
}

/// Tells who calls, from `Authorization: Bearer`, `X-API-Key` or, without either, the session cookie. One round trip.
async fn identify(
    context: &Context,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(Caller, RateLimits), ApiError> {
    match by_header(context, headers).await? {
        Some(caller) => Ok(caller),
        None => by_cookie(context, method, uri, headers).await,
    }
}

/// Tells who calls, from `Authorization: Bearer` or `X-API-Key` alone, for a handler of a public route that has more
/// than one way in. One round trip.
///
/// # Errors
/// 401 where there is no credential, or none that holds.
pub async fn authenticate(context: &Context, headers: &HeaderMap) -> Result<Caller, ApiError> {
    by_header(context, headers).await?.map(|(caller, _)| caller).ok_or_else(credential_missing)
}

fn credential_missing() -> ApiError {
    ApiError::unauthorized("credential_missing", "send an access token or an API key")
}

async fn by_header(context: &Context, headers: &HeaderMap) -> Result<Option<(Caller, RateLimits)>, ApiError> {
    let api_key = headers.get("x-api-key").map(|value| value.to_str().unwrap_or_default());
    match (bearer(headers)?, api_key) {
        (Some(_), Some(_)) => {
            let detail = "send `Authorization` or `X-API-Key`, not both";
            Err(ApiError::bad_request("two_credentials", detail))
        }
        (None, None) => Ok(None),
        (Some(text), None) if !text.starts_with(&context.configuration().api_keys.prefix) => {
            by_access_token(context, text).await.map(Some)
        }
        (Some(text), None) | (None, Some(text)) => by_api_key(context, text).await.map(Some),
    }
}

async fn by_access_token(context: &Context, text: &str) -> Result<(Caller, RateLimits), ApiError> {
    let token = ValidToken::of_bearer(context, text).await?;
    Ok((caller_of(context, &token.claims.org, token.session), token.limits))
}

async fn by_cookie(
    context: &Context,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(Caller, RateLimits), ApiError> {
    let value = cookie::find(headers, &context.configuration().session.cookie_name)?;
    let value = value.ok_or_else(credential_missing)?;
    check_cookie_use(method, uri, headers, context.configuration())?;
    let credential = parse_credential(SESSION_TOKEN_PREFIX, value)?;
    let organization = credential.organization();
    let hash = credential.hash();
    let charge = Charge::of_session(context, organization, SessionClaim::Cookie(&hash));
    let mut questions = vec![LiveSession::find_by_cookie(organization, &hash)];
    questions.extend(charge.statements());
    let mut rows = context.db(organization).batch_of(questions).await?.into_iter();
    let session = live(context, rows.next().unwrap_or_default().decode_first()?)
        .inspect_err(|_| charge.give_back_unsettled())?;
    let limits = charge.settle(0, rows)??;
    Ok((caller_of(context, organization, session), limits))
}

/// The session, if it holds.
pub(crate) fn live(context: &Context, session: Option<LiveSession>) -> Result<LiveSession, ApiError> {
    let session = session.ok_or_else(|| ApiError::invalid_token("no session"))?;
    if !session.is_alive(&context.configuration().session, context.now) {
        return Err(ApiError::invalid_token("session ended"));
    }
    Ok(session)
}

/// The caller of a session that holds, its use noted.
fn caller_of(context: &Context, organization: &OrganizationId, session: LiveSession) -> Caller {
    note_use(context, organization, &session);
    Caller {
        organization: organization.clone(),
        user_id: session.user_id,
        username: session.username,
        grants: session.grants.and(Grants::from_texts(SELF_GRANTS)),
        credential: CallerCredential::Session(session.session_id),
    }
}

/// Writes a session's use down after the answer, where it is worth it.
pub(crate) fn note_use(context: &Context, organization: &OrganizationId, session: &LiveSession) {
    if session.is_activity_due(context.now) {
        let note = LiveSession::note_activity(organization, &session.session_id, context.now);
        context.defer_statement(organization, note);
    }
}

async fn by_api_key(context: &Context, text: &str) -> Result<(Caller, RateLimits), ApiError> {
    let credential = parse_credential(&context.configuration().api_key_prefix(), text)?;
    let verification = match verify_key(context, &credential, context.client_address).await? {
        Ok(verification) => verification,
        Err(refused) => return Err(key_refused(refused)),
    };
    let key = verification.key;
    let caller = Caller {
        organization: credential.organization().clone(),
        grants: Grants::from_permissions(&key.permissions()),
        user_id: key.owner_id.clone(),
        username: key.owner_username.clone(),
        credential: CallerCredential::ApiKey(key.key_id.clone()),
    };
    Ok((caller, verification.limits))
}

fn key_refused(refused: RefusedKey) -> ApiError {
    match (refused.reason, refused.limited) {
        (_, Some(limited)) => limited.into(),
        (KeyRefusal::AddressNotAllowed, None) => {
            let detail = "this API key may not be used from this address";
            ApiError::new(StatusCode::FORBIDDEN, "address_not_allowed", detail)
        }
        (reason, None) => ApiError::invalid_token(reason.as_str()),
    }
}

/// Tells which SCIM client calls, and whether it is within the limits of its token and its organization. One round trip.
async fn authenticate_scim(
    context: &Context,
    headers: &HeaderMap,
) -> Result<(ScimClient, RateLimits), ApiError> {
    let missing = || ApiError::unauthorized("credential_missing", "send the SCIM client's bearer token");
    let credential = parse_credential(SCIM_TOKEN_PREFIX, bearer(headers)?.ok_or_else(missing)?)?;
    let (organization, hash) = (credential.organization(), credential.hash());
    let default_limit = context.configuration().scim.rate_limit_per_minute;
    let charge = Charge::plan(context, organization, Some(Bearer::ScimToken { hash: &hash, default_limit }));
    let mut questions = vec![PresentedScimToken::find(organization, &hash).into_statement()];
    questions.extend(charge.statements());
    let mut rows = context.db(organization).batch_of(questions).await?.into_iter();
    let token = working_token(context, rows.next().unwrap_or_default().decode_first()?)
        .inspect_err(|_| charge.give_back_unsettled())?;
    let limits = charge.settle(token.rate_limit.unwrap_or(default_limit), rows)??;
    if token.is_use_due(context.now) {
        let note = PresentedScimToken::note_use(organization, &token.token_id, context.now);
        context.defer_statement(organization, note);
    }
    let PresentedScimToken { client_id, token_id, name, .. } = token;
    Ok((ScimClient { organization: organization.clone(), client_id, token_id, name }, limits))
}

/// The token, if it works.
fn working_token(
    context: &Context,
    token: Option<PresentedScimToken>,
) -> Result<PresentedScimToken, ApiError> {
    let token = token.ok_or_else(|| ApiError::invalid_token("unknown SCIM token"))?;
    if !token.is_valid(context.now) {
        return Err(ApiError::invalid_token("SCIM token expired or revoked"));
    }
    Ok(token)
}

/// The token of `Authorization: Bearer`; `None` without the header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => {
            Err(ApiError::unauthorized("credential_missing", "`Authorization` must be `Bearer` and a token"))
        }
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub(crate) fn is_same_secret(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

macro_rules! admitted {
    ($caller:ty, $missing:literal) => {
        impl<S: Send + Sync> FromRequestParts<S> for $caller {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
                let caller = parts.extensions.get::<Arc<Self>>();
                caller.map(|caller| Self::clone(caller)).ok_or_else(|| ApiError::internal($missing))
            }
        }
    };
}

admitted!(Caller, "the handler takes a caller, but its route admits anybody");
admitted!(ScimClient, "the handler takes a SCIM client, but its route admits anybody");
