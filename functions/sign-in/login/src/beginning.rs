//! The beginning of a session, once it is proved who signs in.

use iam_core::directory::account::SignInUser;
use iam_core::id::{OrganizationId, SessionId};
use iam_core::record::audit::Outcome;
use iam_core::secret::credential::CredentialHash;
use iam_core::secret::password;
use iam_core::sign_in::acts;
use iam_core::sign_in::session::listed::{Session, SessionQuery};
use iam_core::sign_in::session::{NewSession, SESSION_EXISTS, SessionKind};
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::{ApiError, Context};

use crate::LoginRequest;
use crate::proof::{Proof, Refusal, count, refused};

/// With what a session is used.
pub(crate) enum Use<'a> {
    /// Tokens; the refresh token's hash and its end.
    Tokens(&'a CredentialHash, Timestamp),
    /// A cookie; its hash.
    Cookie(&'a CredentialHash),
}

/// Begins the session in one round trip, with everything that belongs to it. A browser gets to see it.
pub(crate) async fn begin(
    context: &Context,
    request: &LoginRequest,
    proof: Proof,
    session_id: &SessionId,
    with: Use<'_>,
) -> Result<(SignInUser, Option<Session>), ApiError> {
    let Proof { organization, user, forgiveness, .. } = proof;
    let configuration = context.configuration();
    let address = context.client_address.map(|address| address.to_string());
    let session = NewSession {
        organization: &organization,
        session_id,
        user_id: &user.user_id,
        kind: SessionKind::Interactive,
        client_id: None,
        scope: None,
        token_hash: match &with {
            Use::Cookie(hash) => Some(hash),
            Use::Tokens(..) => None,
        },
        life: configuration.session.timeout,
        ip_address: address.as_deref(),
        user_agent: context.user_agent.as_deref(),
        mfa_verified: false,
        now: context.now,
    };
    let event = context
        .audit(&organization, acts::LOGIN, Outcome::Success)?
        .of_user(&user.user_id)
        .on(session_id.as_str());
    let mut batch = Batch::new();
    let begun = batch.then(session.begin_on(request.device_id.as_deref()));
    batch.then(session.end_oldest(&configuration.session));
    batch.then(session.note_login());
    batch.then(event.record_if(SESSION_EXISTS, session_id));
    batch.extend(forgiveness);
    let shown = match with {
        Use::Tokens(hash, until) => {
            batch.then(session.first_refresh_token(hash, until));
            None
        }
        Use::Cookie(_) => {
            let (configuration, now) = (&configuration.session, context.now);
            let query = SessionQuery { organization: &organization, configuration, now };
            Some(batch.ask(query.find(session_id)))
        }
    };
    let answers = context.db(&organization).batch(batch).await?;
    if !answers.did(begun)? {
        // Suspended or deleted between the two round trips.
        return Err(refused(Refusal::Inactive));
    }
    upgrade_hash(context, &organization, &user, &request.password);
    count(None);
    let shown = shown.map(|shown| answers.one(shown)).transpose()?.flatten();
    Ok((user, shown.map(|session| Session { current: true, ..session })))
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
            context.log_failure("password hash not upgraded", cause);
        }
    }
}
