//! `/api/v1/flags`: switches that work without a deploy. They are the deployment's: its own organization's
//! administrators see and change them, and nobody else.

mod answer;
mod patch;

use iam_core::id::OrganizationId;
use iam_core::operation::acts;
use iam_core::operation::flags::{FLAGS_CHANGED, FlagChange, FlagsOnRecord};
use iam_core::permission::Scope;
use iam_core::sql::Batch;
use iam_service::{Access, ApiError, Caller, Context, Function, Json, Route};

use answer::FlagsAnswer;
use patch::PatchFlagsRequest;

iam_service::deploy!(function);

const PATH: &str = "/api/v1/flags";

/// How often a change is tried that others come before.
const TRIES: u32 = 3;

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read = Access::permission("flags", "read", Scope::All);
    let manage = Access::permission("flags", "manage", Scope::All);
    Function::new("flags", "Shows and changes the switches that work without a deploy")
        // Whoever began a maintenance has to be able to end it.
        .always_open()
        .uses_database()
        .route(
            Route::get(PATH, read, show)
                .summary("Shows the deployment's switches")
                .description(
                    "For members of the deployment's own organization, whatever another one's roles \
                     grant.",
                )
                .gives::<FlagsAnswer>(200, "Each switch, and where its value comes from")
                .round_trips(2),
        )
        .route(
            Route::patch(PATH, manage, change)
                .summary("Changes switches")
                .description(
                    "A JSON merge patch (RFC 7396): what is absent stays, `null` returns a switch to the \
                     configuration's value. It is seen everywhere within `seen_everywhere_within_seconds`. \
                     For members of the deployment's own organization, whatever another one's roles grant.",
                )
                .takes::<PatchFlagsRequest>()
                .gives::<FlagsAnswer>(200, "The switches as they are now")
                .round_trips(2 + TRIES),
        )
}

/// One round trip beside the caller's authentication.
async fn show(context: Context, caller: Caller) -> Result<Json<FlagsAnswer>, ApiError> {
    context.check_operator(&caller, "flags", "read")?;
    let deployment = &context.configuration().organization;
    let found = find(&context, deployment).await?;
    Ok(Json(FlagsAnswer::new(context.configuration(), &found)))
}

/// Two round trips beside the caller's authentication, and one for each other change that comes first.
async fn change(
    context: Context,
    caller: Caller,
    Json(request): Json<PatchFlagsRequest>,
) -> Result<Json<FlagsAnswer>, ApiError> {
    context.check_operator(&caller, "flags", "manage")?;
    let patch = request.checked()?;
    let deployment = &context.configuration().organization;
    let mut found = find(&context, deployment).await?;
    for _ in 0..TRIES {
        let settings = patch.apply(found.settings.clone());
        let changes = patch::differences(&found.settings, &settings)?;
        if changes.is_empty() {
            return Ok(Json(FlagsAnswer::new(context.configuration(), &found)));
        }
        let event = context.audit_by(&caller, acts::FLAGS_CHANGE)?.on(deployment.as_str());
        let (log_id, names) = (event.log_id.clone(), changes.keys().map(String::as_str).collect::<Vec<_>>());
        let change = FlagChange {
            deployment,
            from: &found,
            settings: &settings,
            changed: &names,
            by: &caller.user_id,
            now: context.now,
            log_id: &log_id,
        };
        let store = change.store()?;
        let event = event.detail("changes", changes);
        let batch = [store, event.record_if(FLAGS_CHANGED, &log_id)];
        found = try_once(&context, deployment, batch.into()).await?;
    }
    // What it is now may be what was wanted: the last try's.
    if patch.apply(found.settings.clone()) == found.settings {
        return Ok(Json(FlagsAnswer::new(context.configuration(), &found)));
    }
    Err(ApiError::conflict("flags_changed_meanwhile", "others change the switches at once; try again"))
}

/// Stores a change, and gives what holds then: that change, or another that came first.
async fn try_once(
    context: &Context,
    deployment: &OrganizationId,
    mut batch: Batch,
) -> Result<FlagsOnRecord, ApiError> {
    let found = batch.ask(FlagsOnRecord::find(deployment));
    let answers = context.db_of_deployment().batch(batch).await?;
    Ok(answers.one(found)?.unwrap_or_default())
}

/// What was set; nothing, where nobody ever set anything.
async fn find(context: &Context, deployment: &OrganizationId) -> Result<FlagsOnRecord, ApiError> {
    Ok(context.db_of_deployment().one(FlagsOnRecord::find(deployment)).await?.unwrap_or_default())
}
