//! Sessions: everybody who is signed in sees and ends their own; with a permission, those of others.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use iam_core::id::{SessionId, UserId};
use iam_core::permission::Scope;
use iam_core::sign_in::acts;
use iam_core::sign_in::session::listed::{MAX_PAGE, Session, SessionQuery, SessionStatus};
use iam_core::sign_in::session::{self, OWN_SESSION_NOT_ENDED, SESSION_NOT_ENDED};
use iam_core::sql::Batch;
use iam_service::page::{cut, page_limit};
use iam_service::{
    Access, ApiError, Caller, CallerCredential, Context, Function, Id, Json, Query, Route,
    clear_session_cookie,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

const SESSIONS: &str = "/api/v1/sessions";
const SESSION: &str = "/api/v1/sessions/{session_id}";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read = Access::permission("sessions", "read", Scope::Own);
    let delete = Access::permission("sessions", "delete", Scope::Own);
    Function::new("sessions", "Shows sessions and ends them")
        .uses_database()
        .route(
            Route::get(SESSIONS, read, list)
                .summary("Lists a user's sessions, newest first")
                .takes_query::<ListSessionsQuery>()
                .gives::<ListSessionsResponse>(200, "A page of sessions")
                .round_trips(2),
        )
        .route(
            Route::get(SESSION, read, show)
                .summary("Shows a session")
                .description("Somebody else's needs `sessions.read.organization`; without it there is none.")
                .gives::<Session>(200, "The session")
                .round_trips(2),
        )
        .route(
            Route::delete(SESSION, delete, end)
                .summary("Ends a session: its tokens and its cookie open nothing any more")
                .description(
                    "Somebody else's needs `sessions.delete.organization`. One that has ended stays ended.",
                )
                .answers(204, "It has ended")
                .round_trips(2),
        )
        .route(
            Route::delete(SESSIONS, delete, end_all)
                .summary("Ends all of a user's sessions: signs out everywhere")
                .takes_query::<EndSessionsQuery>()
                .gives::<EndSessionsResponse>(200, "They have ended")
                .round_trips(2),
        )
        .route(
            Route::post("/api/v1/auth/logout", delete, log_out)
                .summary("Ends the session that asks, and takes its cookie away")
                .answers(204, "Signed out")
                .round_trips(2),
        )
}

/// Which sessions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSessionsQuery {
    /// Whose, where not the caller's own: needs `sessions.read.organization`.
    pub user_id: Option<UserId>,
    /// `active` or `ended`; both where it is absent.
    pub status: Option<SessionStatus>,
    /// How many at most, 1 to 100.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<SessionId>,
}

/// A page of sessions.
#[derive(Serialize, JsonSchema)]
pub struct ListSessionsResponse {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<SessionId>,
}

/// Which sessions to end.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndSessionsQuery {
    /// Whose, where not the caller's own: needs `sessions.delete.organization`.
    pub user_id: Option<UserId>,
    /// Whether the session that asks goes on.
    #[serde(default)]
    pub except_current: bool,
}

/// What was ended.
#[derive(Serialize, JsonSchema)]
pub struct EndSessionsResponse {
    /// How many sessions.
    pub terminated: i64,
}

async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListSessionsQuery>,
) -> Result<Json<ListSessionsResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let user_id = whose(&caller, query.user_id.as_ref(), "read")?;
    let page = asked(&context, &caller).page(user_id, query.status, query.cursor.as_ref(), limit);
    let mut sessions = context.db(&caller.organization).all(page).await?;
    let next_cursor = cut(&mut sessions, limit, |session| session.session_id.clone());
    for session in &mut sessions {
        session.current = is_current(&caller, &session.session_id);
    }
    Ok(Json(ListSessionsResponse { sessions, next_cursor }))
}

async fn show(
    context: Context,
    caller: Caller,
    Id(session_id): Id<SessionId>,
) -> Result<Json<Session>, ApiError> {
    let found = context.db(&caller.organization).one(asked(&context, &caller).find(&session_id)).await?;
    visible(&caller, found, "read").map(Json)
}

/// One batch: the record of what is about to end, its end, and whose it is.
async fn end(
    context: Context,
    caller: Caller,
    Id(session_id): Id<SessionId>,
) -> Result<StatusCode, ApiError> {
    let reach = caller.decide("delete", "sessions");
    let condition = if reach.is_wide() { SESSION_NOT_ENDED } else { OWN_SESSION_NOT_ENDED };
    let event = context.audit_by(&caller, acts::SESSION_TERMINATE)?.on(session_id.as_str());
    let organization = &caller.organization;
    let mut batch = Batch::new();
    batch.then(event.record_if(condition, &session_id));
    batch.then(session::end_owned(organization, &session_id, reach.owner(), "terminated", context.now));
    let ended = batch.ask(asked(&context, &caller).find(&session_id));
    let answers = context.db(organization).batch(batch).await?;
    visible(&caller, answers.one(ended)?, "delete")?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_all(
    context: Context,
    caller: Caller,
    Query(query): Query<EndSessionsQuery>,
) -> Result<Json<EndSessionsResponse>, ApiError> {
    let user_id = whose(&caller, query.user_id.as_ref(), "delete")?;
    let except = match &caller.credential {
        CallerCredential::Session(session_id) if query.except_current => Some(session_id),
        CallerCredential::Session(_) | CallerCredential::ApiKey(_) => None,
    };
    let event = context.audit_by(&caller, acts::SESSION_TERMINATE_ALL)?.on(user_id.as_str());
    let organization = &caller.organization;
    let mut batch = Batch::new();
    let counted = batch.ask(session::count_of(organization, user_id, except));
    batch.then(session::end_all_but(organization, user_id, except, "terminated", context.now));
    batch.then(event.record());
    let answers = context.db(organization).batch(batch).await?;
    let counted = answers.one(counted)?.ok_or_else(|| ApiError::internal("nothing was counted"))?;
    Ok(Json(EndSessionsResponse { terminated: counted.0 }))
}

async fn log_out(context: Context, caller: Caller) -> Result<Response, ApiError> {
    let CallerCredential::Session(session_id) = &caller.credential else {
        return Err(ApiError::bad_request("no_session", "an API key has no session to end"));
    };
    let event = context.audit_by(&caller, acts::LOGOUT)?.on(session_id.as_str());
    let organization = &caller.organization;
    let owner = Some(caller.user_id.as_str());
    let batch = [
        event.record_if(OWN_SESSION_NOT_ENDED, session_id),
        session::end_owned(organization, session_id, owner, "logout", context.now),
    ];
    context.db(organization).batch(batch).await?;
    let cookie = clear_session_cookie(&context.configuration().session)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

fn asked<'a>(context: &'a Context, caller: &'a Caller) -> SessionQuery<'a> {
    SessionQuery {
        organization: &caller.organization,
        configuration: &context.configuration().session,
        now: context.now,
    }
}

/// The user whose sessions are meant: the caller, or another one where the caller may.
fn whose<'a>(
    caller: &'a Caller,
    user_id: Option<&'a UserId>,
    action: &'static str,
) -> Result<&'a UserId, ApiError> {
    let user_id = user_id.unwrap_or(&caller.user_id);
    if *user_id != caller.user_id {
        caller.check_wide(action, "sessions")?;
    }
    Ok(user_id)
}

/// The session that was found, where it is for the caller's eyes.
fn visible(caller: &Caller, found: Option<Session>, action: &'static str) -> Result<Session, ApiError> {
    let reach = caller.decide(action, "sessions");
    let found = found.filter(|session| reach.includes(&session.user_id));
    let mut session = found.ok_or_else(|| ApiError::not_found("there is no such session"))?;
    session.current = is_current(caller, &session.session_id);
    Ok(session)
}

fn is_current(caller: &Caller, session_id: &SessionId) -> bool {
    matches!(&caller.credential, CallerCredential::Session(own) if own == session_id)
}
