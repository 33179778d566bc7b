//! The job `keyring-rotation`: announces successors, destroys private halves that no longer sign, and deletes
//! keys that are no longer published.
//!
//! Each batch is one transaction of statements that do nothing where another run was quicker, so the job may
//! run twice at once, die anywhere and catch up later.

use iam_core::id::{LogId, OrganizationId};
use iam_core::oauth::acts;
use iam_core::oauth::keyring::{
    DESTROYING_BATCH, DueSuccessor, RETIRED_KEYS, SIGNING_KEY_EXISTS, Timing, destroy_private_halves,
    due_to_destroy,
};
use iam_core::record::audit::AuditEvent;
use iam_service::{ApiError, Context, Job, Progress, Step, new_key};

/// What it is, its steps in order.
pub(crate) fn job() -> Job {
    let successors = |context: &Context, known: &[OrganizationId]| {
        let (timing, algorithm) =
            (Timing::of(context.configuration()), context.configuration().jwt.algorithm);
        Ok(DueSuccessor::due(algorithm, &timing, context.now, known).into())
    };
    let steps = [
        Step::new("announce", 2, successors, announce)
            .summary("Announces a successor of a key that has signed for nearly its period"),
        Step::new("destroy", 1, |context, known| Ok(vec![due_to_destroy(context.now, known)]), destroy)
            .summary("Destroys private halves that no longer sign"),
        Step::sweep("delete", &RETIRED_KEYS, |context| context.now)
            .summary("Deletes keys that are no longer published"),
    ];
    Job::new("keyring-rotation", "Rotates the keys that sign tokens", steps)
}

async fn announce(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let (timing, now) = (Timing::of(context.configuration()), context.now);
    let db = context.db(&organization);
    let find = DueSuccessor::find(&organization, context.configuration().jwt.algorithm, &timing, now);
    let Some(due) = db.one(find).await? else { return Ok(Progress::Done) };
    let key = new_key(&context, &organization, due.place(&timing, now)).await?;
    let log_id = context.new_id(LogId::new)?;
    let event = AuditEvent::by_system(&organization, log_id, acts::SIGNING_KEY_ROTATE, now)
        .on(key.key_id.as_str())
        .detail("algorithm", key.public.algorithm.as_str())
        .detail("signs_from", key.signs_from.to_string());
    db.batch([
        key.store(&organization),
        key.supersede(&organization, &timing),
        event.record_if(SIGNING_KEY_EXISTS, &key.key_id),
    ])
    .await?;
    Ok(Progress::Done)
}

async fn destroy(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let timing = Timing::of(context.configuration());
    let destroy = destroy_private_halves(&organization, &timing, context.now);
    let destroyed = context.db(&organization).all(destroy).await?;
    Ok(Progress::if_full(destroyed.len(), DESTROYING_BATCH))
}
