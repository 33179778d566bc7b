//! What belongs to a session, and whether that holds.

use iam_core::directory::account::SELF_GRANTS;
use iam_core::id::OrganizationId;
use iam_core::permission::Grants;
use iam_core::sign_in::session::LiveSession;

use super::caller::{Caller, CallerCredential};
use crate::context::Context;
use crate::request::error::ApiError;

/// The session, if it holds.
pub(super) fn live(context: &Context, session: Option<LiveSession>) -> Result<LiveSession, ApiError> {
    let session = session.ok_or_else(|| ApiError::invalid_token("no session"))?;
    if !session.is_alive(&context.configuration().session, context.now) {
        return Err(ApiError::invalid_token("session ended"));
    }
    Ok(session)
}

/// The caller of a session that holds, its use noted.
pub(super) fn caller_of(context: &Context, organization: &OrganizationId, session: LiveSession) -> Caller {
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
pub(super) fn note_use(context: &Context, organization: &OrganizationId, session: &LiveSession) {
    if session.is_activity_due(context.now) {
        let note = LiveSession::note_activity(organization, &session.session_id, context.now);
        context.defer_statement(organization, note);
    }
}
