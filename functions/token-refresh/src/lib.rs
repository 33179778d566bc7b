//! `POST /api/v1/auth/refresh`: a refresh token for a new access token and a new refresh token.
//!
//! The whole decision is one transaction: the token that came is spent if nobody else spent it, and only then is
//! its successor stored. Of any number of refreshes at the same instant exactly one wins.

use iam_core::audit::Outcome;
use iam_core::credential::{Credential, REFRESH_TOKEN_PREFIX};
use iam_core::session::{InspectedRefreshToken, REFRESH_TOKEN_EXISTS, Refresh, RefreshVerdict, end};
use iam_core::sql::Rows;
use iam_service::{Access, ApiError, Context, Function, Json, Route, access_claims};
use iam_telemetry::Collector;
use iam_telemetry::instruments::{AUTH_ATTEMPTS, AUTH_FAILURES, SECURITY_EVENTS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("token-refresh", "Exchanges refresh tokens").uses_database().uses_master_key().route(
        Route::post("/api/v1/auth/refresh", Access::public(), refresh)
            .summary("Exchanges a refresh token for a new pair of tokens")
            .description(
                "A refresh token works once. One that was spent a moment ago is refused; one that was spent \
                 longer ago ends its session, because two parties hold it.",
            )
            .takes::<RefreshRequest>()
            .gives::<RefreshResponse>(200, "Exchanged")
            .round_trips(3),
    )
}

/// A refresh token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token of the last answer.
    pub refresh_token: String,
}

/// A new pair of tokens.
#[derive(Serialize, JsonSchema)]
pub struct RefreshResponse {
    /// For calls: `Authorization: Bearer`.
    pub access_token: String,
    /// The next refresh token; works once.
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// How long the access token lives, in seconds.
    pub expires_in: i64,
}

/// One round trip where the token is good; another where it must be recorded why it is not.
async fn refresh(
    context: Context,
    Json(request): Json<RefreshRequest>,
) -> Result<Json<RefreshResponse>, ApiError> {
    let Some(presented) = Credential::parse(REFRESH_TOKEN_PREFIX, &request.refresh_token) else {
        return Err(refused("malformed"));
    };
    let organization = presented.organization();
    let successor = Credential::new(REFRESH_TOKEN_PREFIX, organization, &context.entropy()?);
    let (presented_hash, successor_hash) = (presented.hash(), successor.hash());
    let exchange =
        Refresh { organization, presented: &presented_hash, successor: &successor_hash, now: context.now };
    let (token, keys) = attempt(&context, &exchange).await?;
    let Some(token) = token else { return Err(refused("unknown")) };
    match token.verdict(&exchange, context.configuration().jwt.refresh_reuse_tolerance) {
        RefreshVerdict::Granted => {
            let claims = access_claims(&context, organization, token.user_id, token.session_id)?;
            let access_token =
                context.instance.keyring.sign(&context, organization, keys.as_ref(), &claims).await?;
            count("success", None);
            Ok(Json(RefreshResponse {
                access_token,
                refresh_token: successor.reveal().to_owned(),
                token_type: "Bearer",
                expires_in: context.configuration().jwt.access_token_expiry.as_seconds(),
            }))
        }
        RefreshVerdict::AlreadySpent => Err(refused("already_spent")),
        RefreshVerdict::Ended => Err(refused("ended")),
        RefreshVerdict::Reused => end_session(&context, &exchange, &token).await,
    }
}

/// Spends the token, stores its successor, records it, and reads what became of the token: one transaction.
async fn attempt(
    context: &Context,
    exchange: &Refresh<'_>,
) -> Result<(Option<InspectedRefreshToken>, Option<Rows>), ApiError> {
    let configuration = context.configuration();
    let organization = exchange.organization;
    let event = context
        .audit(organization, "token.refresh", "session", Outcome::Success)?
        .record_if(REFRESH_TOKEN_EXISTS, exchange.successor);
    let mut batch = vec![
        exchange.spend(&configuration.session),
        exchange.store_successor(context.now.after(configuration.jwt.refresh_token_expiry)),
        exchange.note_activity(),
        event,
        exchange.inspect(),
    ];
    batch.extend(context.instance.keyring.question(organization, context.now));
    let mut rows = context.db(organization).batch(batch).await?.into_iter().skip(4);
    let token = rows.next().unwrap_or_default().decode_first()?;
    Ok((token, rows.next()))
}

/// Somebody holds a copy of a token that was spent: nobody may go on with this session.
async fn end_session(
    context: &Context,
    exchange: &Refresh<'_>,
    token: &InspectedRefreshToken,
) -> Result<Json<RefreshResponse>, ApiError> {
    let event = context
        .audit(exchange.organization, "token.reuse", "session", Outcome::Failure)?
        .of_user(&token.user_id)
        .on(token.session_id.as_str());
    let batch = vec![
        end(exchange.organization, &token.session_id, "refresh_token_reused", context.now),
        event.record(),
    ];
    context.db(exchange.organization).batch(batch).await?;
    if let Some(telemetry) = Collector::current() {
        telemetry.count(&SECURITY_EVENTS, 1, ["refresh_token_reused".into(), "high".into()]);
    }
    Err(refused("reused"))
}

fn refused(reason: &'static str) -> ApiError {
    count("failure", Some(reason));
    let detail = "the refresh token is unknown, spent or expired";
    ApiError::unauthorized("invalid_refresh_token", detail).cause(reason)
}

fn count(result: &'static str, reason: Option<&'static str>) {
    let Some(telemetry) = Collector::current() else { return };
    telemetry.count(&AUTH_ATTEMPTS, 1, ["refresh_token".into(), result.into()]);
    if let Some(reason) = reason {
        telemetry.count(&AUTH_FAILURES, 1, ["refresh_token".into(), reason.into()]);
    }
}
