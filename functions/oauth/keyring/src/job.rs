//! The job `keyring-rotation`, for all organizations: announces successors, destroys private halves that no
//! longer sign, and deletes keys that are no longer published.
//!
//! Each batch is one transaction of statements that do nothing where another run was quicker, so the job may
//! run twice at once, die anywhere and catch up later. What one run leaves over, the next one takes.

use iam_core::oauth::keyring::{
    DueSuccessor, SIGNING_KEY_EXISTS, Timing, delete_retired, destroy_private_halves,
};
use iam_core::record::audit::{Actor, Outcome};
use iam_core::sql::{Rows, Statement};
use iam_service::{ApiError, Context, new_key};

/// How many batches of successors one run announces at most: two round trips each.
const MAX_ANNOUNCEMENTS: usize = 14;

/// How many batches of keys one run clears away at most.
const MAX_CLEARINGS: usize = 10;

pub(crate) async fn run(context: Context) -> Result<(), ApiError> {
    let timing = Timing::of(context.configuration());
    announce(&context, &timing).await?;
    clear(&context, &timing).await
}

async fn announce(context: &Context, timing: &Timing) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    let algorithm = context.configuration().jwt.algorithm;
    for _ in 0..MAX_ANNOUNCEMENTS {
        let found = db.batch_of(DueSuccessor::find(algorithm, timing, context.now).into()).await?;
        let mut batch = Vec::new();
        for rows in &found {
            for due in rows.decode::<DueSuccessor>()? {
                batch.extend(announcement(context, timing, &due).await?);
            }
        }
        if batch.is_empty() {
            break;
        }
        db.batch_of(batch).await?;
    }
    Ok(())
}

async fn announcement(
    context: &Context,
    timing: &Timing,
    due: &DueSuccessor,
) -> Result<[Statement; 3], ApiError> {
    let organization = &due.organization;
    let key = new_key(context, organization, due.place(timing, context.now)).await?;
    let mut event = context
        .audit_text(organization, "signing_key.rotate", "signing_key", Outcome::Success)?
        .on(key.key_id.as_str())
        .detail("algorithm", key.public.algorithm.as_str())
        .detail("signs_from", key.signs_from.to_string());
    event.actor = Actor::System;
    Ok([
        key.store(organization),
        key.supersede(organization, timing),
        event.record_if(SIGNING_KEY_EXISTS, &key.key_id),
    ])
}

async fn clear(context: &Context, timing: &Timing) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    for _ in 0..MAX_CLEARINGS {
        let batch = vec![destroy_private_halves(timing, context.now), delete_retired(context.now)];
        if db.batch_of(batch).await?.iter().all(Rows::is_empty) {
            break;
        }
    }
    Ok(())
}
