//! A refresh token for a new access token and the next refresh token.
//!
//! The next token follows from the one that came, under the host's master key. So of any number of refreshes
//! with one token, at the same instant or as a retry of an answer that got lost, one makes the successor and
//! all get it, as long as they come within the tolerance and nobody has used the successor. After the
//! tolerance a spent token means that two parties hold it, and ends the session. Spending, storing and
//! recording are one transaction.

use iam_core::oauth::keyring::StoredKey;
use iam_core::record::audit::Outcome;
use iam_core::secret::credential::{Credential, CredentialHash, REFRESH_TOKEN_PREFIX};
use iam_core::sign_in::acts;
use iam_core::sign_in::session::{
    InspectedRefreshToken, REFRESH_TOKEN_SPENT, Refresh, RefreshVerdict, SESSION_NOT_ENDED, end,
};
use iam_core::sql::Batch;
use iam_telemetry::Collector;
use iam_telemetry::instruments::{AUTH_ATTEMPTS, AUTH_FAILURES, SECURITY_EVENTS};

use crate::context::Context;
use crate::oauth::signing::access_claims;
use crate::request::error::ApiError;

/// What a refresh gives.
#[derive(Debug)]
pub struct Refreshed {
    /// A new access token.
    pub access_token: String,
    /// The next refresh token.
    pub refresh_token: Credential,
    /// What the session is narrowed to.
    pub scope: Option<String>,
}

/// Why a refresh gives nothing. Callers learn only that it does; logs and metrics learn this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// No refresh token.
    Malformed,
    /// No token that we gave.
    Unknown,
    /// Spent a moment ago, and its successor too.
    AlreadySpent,
    /// Past its time, or its session no longer holds.
    Ended,
    /// Spent long ago. Its session has been ended.
    Reused,
}

impl RefreshRefusal {
    /// A word for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::AlreadySpent => "already_spent",
            Self::Ended => "ended",
            Self::Reused => "reused",
        }
    }
}

/// Exchanges a refresh token, or says why not. One round trip; another where a reuse ends the session.
///
/// # Errors
/// 500 when the database or the keyring fails.
pub async fn exchange_refresh_token(
    context: &Context,
    presented: &str,
) -> Result<Result<Refreshed, RefreshRefusal>, ApiError> {
    let exchanged = exchange(context, presented).await?;
    if let Some(telemetry) = Collector::current() {
        let result = if exchanged.is_ok() { "success" } else { "failure" };
        telemetry.count(&AUTH_ATTEMPTS, 1, ["refresh_token".into(), result.into()]);
        if let Err(refusal) = &exchanged {
            telemetry.count(&AUTH_FAILURES, 1, ["refresh_token".into(), refusal.as_str().into()]);
        }
    }
    Ok(exchanged)
}

async fn exchange(context: &Context, presented: &str) -> Result<Result<Refreshed, RefreshRefusal>, ApiError> {
    let Some(presented) = Credential::parse(REFRESH_TOKEN_PREFIX, presented) else {
        return Ok(Err(RefreshRefusal::Malformed));
    };
    let organization = presented.organization();
    let mut successors: Vec<Credential> = Vec::with_capacity(2);
    for secret in context.instance.master_key()?.derive(presented.reveal()) {
        successors.push(Credential::new(REFRESH_TOKEN_PREFIX, organization, &secret));
    }
    let hashes: Vec<CredentialHash> = successors.iter().map(Credential::hash).collect();
    let successor = hashes.first().ok_or_else(|| ApiError::internal("no master key"))?;
    let event = context.audit(organization, acts::TOKEN_REFRESH, Outcome::Success)?;
    let (record, presented) = (event.log_id.clone(), presented.hash());
    let refresh =
        Refresh { organization, presented: &presented, successor, record: &record, now: context.now };
    let (token, keys) = attempt(context, &refresh, event.record_if(REFRESH_TOKEN_SPENT, &presented)).await?;
    let Some(token) = token else { return Ok(Err(RefreshRefusal::Unknown)) };
    let position = match token.verdict(&refresh, &hashes, context.configuration().jwt.refresh_reuse_tolerance)
    {
        RefreshVerdict::Granted => 0,
        RefreshVerdict::Repeated(position) => position,
        RefreshVerdict::AlreadySpent => return Ok(Err(RefreshRefusal::AlreadySpent)),
        RefreshVerdict::Ended => return Ok(Err(RefreshRefusal::Ended)),
        RefreshVerdict::Reused => {
            end_session(context, &refresh, &token).await?;
            return Ok(Err(RefreshRefusal::Reused));
        }
    };
    let mut claims = access_claims(context, organization, token.user_id, token.session_id)?;
    (claims.client_id, claims.scope) = (token.client_id, token.scope.clone());
    let access_token = context.sign(organization, keys, &claims).await?;
    let refresh_token = successors.into_iter().nth(position);
    let refresh_token = refresh_token.ok_or_else(|| ApiError::internal("no such successor"))?;
    Ok(Ok(Refreshed { access_token, refresh_token, scope: token.scope }))
}

/// Spends the token, stores its successor, records it, and reads what became of the token: one transaction.
async fn attempt(
    context: &Context,
    refresh: &Refresh<'_>,
    record: iam_core::sql::Statement,
) -> Result<(Option<InspectedRefreshToken>, Option<Vec<StoredKey>>), ApiError> {
    let configuration = context.configuration();
    let mut batch = Batch::new();
    batch.then(refresh.spend(&configuration.session));
    batch.then(refresh.store_successor(context.now.after(configuration.jwt.refresh_token_expiry)));
    batch.then(refresh.note_activity());
    batch.then(record);
    let token = batch.ask(refresh.inspect(&configuration.session));
    let keys = context.ask_signing_keys(refresh.organization, &mut batch);
    let answers = context.db(refresh.organization).batch(batch).await?;
    Ok((answers.one(token)?, keys.map(|keys| answers.all(keys)).transpose()?))
}

/// Somebody holds a copy of a token that was spent: nobody may go on with this session.
async fn end_session(
    context: &Context,
    refresh: &Refresh<'_>,
    token: &InspectedRefreshToken,
) -> Result<(), ApiError> {
    let event = context
        .audit(refresh.organization, acts::TOKEN_REUSE, Outcome::Failure)?
        .of_user(&token.user_id)
        .on(token.session_id.as_str());
    let batch = [
        event.record_if(SESSION_NOT_ENDED, &token.session_id),
        end(refresh.organization, &token.session_id, "refresh_token_reused", context.now),
    ];
    context.db(refresh.organization).batch(batch).await?;
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&SECURITY_EVENTS, 1, ["refresh_token_reused".into(), "high".into()]);
    }
    Ok(())
}
