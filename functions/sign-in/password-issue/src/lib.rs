//! `POST /api/v1/users/{user_id}/password-reset`: a reset token for a user, made by an administrator. Using
//! it is the function `password-reset`'s.

use http::StatusCode;
use iam_core::directory::ManagedBy;
use iam_core::directory::managed::passwords_are_editable;
use iam_core::id::UserId;
use iam_core::permission::Scope;
use iam_core::secret::credential::{Credential, RESET_TOKEN_PREFIX};
use iam_core::sign_in::acts;
use iam_core::sign_in::password::reset::{
    RESET_TOKEN_EXISTS, Recipient, ResetSubject, ResetTarget, ResetToken,
};
use iam_core::sql::Batch;
use iam_core::time::Timestamp;
use iam_service::managed::fields_are_managed;
use iam_service::{Access, ApiError, Caller, Context, Created, Function, Id, Query, Route};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

iam_service::deploy!(function);

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let write_users = Access::permission("users", "write", Scope::Organization);
    Function::new("password-issue", "Makes reset tokens for users")
        .uses_database()
        .uses_notifications()
        .route(
        Route::post("/api/v1/users/{user_id}/password-reset", write_users, issue)
            .summary("Makes a reset token for a user")
            .description(
                "It is in this answer and nowhere else; with `notify=true` it is sent to the user instead. \
                 The caller must hold all that the user's roles grant. 409 with code `managed_by_scim` for a \
                 user that is managed over SCIM, unless `scim.locally_editable` has `password`.",
            )
            .takes_query::<IssueQuery>()
            .gives::<IssueResponse>(201, "Made")
            .round_trips(3),
    )
}

/// What becomes of the token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IssueQuery {
    /// Whether it is sent to the user, and not shown.
    #[serde(default)]
    notify: bool,
}

/// The token, or that it was sent.
#[derive(Serialize, JsonSchema)]
struct IssueResponse {
    /// The token: shown here once, stored nowhere. Absent where it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_token: Option<String>,
    /// Until when it works.
    expires_at: Timestamp,
}

/// Beside the caller's authentication, one round trip reads what the user may do and one makes the token.
async fn issue(
    context: Context,
    caller: Caller,
    Id(user_id): Id<UserId>,
    Query(query): Query<IssueQuery>,
) -> Result<Created<IssueResponse>, ApiError> {
    let organization = &caller.organization;
    let not_found = || ApiError::not_found("there is no such active person");
    let find = ResetTarget::find(organization, &user_id);
    let target = context.db(organization).one(find).await?.ok_or_else(not_found)?;
    if !target.grants.iter().all(|grant| caller.grants.include(grant)) {
        let detail = "this user may do what you may not";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "permission_denied", detail));
    }
    if target.managed_by == ManagedBy::Scim && !passwords_are_editable(&context.configuration().scim) {
        return Err(fields_are_managed([]));
    }
    if query.notify {
        check_deliverable(&context, &target)?;
    }
    let token = Credential::new(RESET_TOKEN_PREFIX, organization, &context.entropy()?);
    let hash = token.hash();
    let reset = ResetToken {
        organization,
        hash: &hash,
        subject: ResetSubject::User(&user_id),
        includes_managed: passwords_are_editable(&context.configuration().scim),
        life: context.configuration().password.reset_expiry,
        now: context.now,
    };
    let event = context
        .audit_by(&caller, acts::PASSWORD_RESET_ISSUE)?
        .on(user_id.as_str())
        .detail("sent", query.notify);
    let mut batch = Batch::from(reset.issue());
    batch.then(event.record_if(RESET_TOKEN_EXISTS, &hash));
    let recipient = batch.ask(Recipient::of(organization, &hash));
    let answers = context.db(organization).batch(batch).await?;
    let recipient = answers.one(recipient)?.ok_or_else(not_found)?;
    if query.notify {
        context.send_reset_token(organization, &recipient, &token, reset.expires_at());
    }
    let reset_token = (!query.notify).then(|| token.reveal().to_owned());
    Ok(Created(IssueResponse { reset_token, expires_at: reset.expires_at() }))
}

fn check_deliverable(context: &Context, target: &ResetTarget) -> Result<(), ApiError> {
    if context.configuration().notification.endpoint.is_none() {
        return Err(ApiError::conflict(
            "no_notification_endpoint",
            "no `notification.endpoint` is configured",
        ));
    }
    if target.email.is_none() {
        return Err(ApiError::conflict("no_address", "the user has no e-mail address"));
    }
    Ok(())
}
