//! The job `key-rotation`: holds the old keys of deliveries that are open, expires keys past their date,
//! replaces keys whose time has come, and delivers.
//!
//! Each batch is one transaction of statements that do nothing where another run was quicker, so the job may
//! run twice at once, die anywhere and catch up later.

use futures_util::future::join_all;
use iam_core::id::{KeyDeliveryId, KeyId, LogId, OrganizationId};
use iam_core::keys::{
    ClaimedDelivery, DELIVERY_ARRIVES, DELIVERY_DIED_NOW, DueDelivery, DueKey, DueRotation, EXPIRY_BATCH,
    HOLDING_BATCH, OpenDelivery, ROTATION_BATCH, ScheduledRotation, acts, delivery_purpose, expire,
};
use iam_core::record::Act;
use iam_core::record::audit::{AuditEvent, Outcome};
use iam_core::sql::{Batch, Statement};
use iam_core::time::Timestamp;
use iam_service::{ApiError, Context, Job, Progress, Step};

use crate::send::send;

/// What it is, its steps in order: before anything expires, a run that comes late must find the old keys of
/// open deliveries held.
pub(crate) fn job() -> Job {
    let steps = [
        Step::new("hold", 2, |context, known| Ok(vec![OpenDelivery::due(context.now, known)]), hold)
            .summary("Holds the old keys of open deliveries, and closes those whose new key ended"),
        Step::new("expire", 2, |context, known| Ok(vec![DueKey::due(context.now, known)]), expire_keys)
            .summary("Marks keys past their date, and forgets what was taken of their limits"),
        Step::new("rotate", 2, |context, known| Ok(vec![DueRotation::due(context.now, known)]), rotate)
            .summary("Replaces keys whose time has come"),
        Step::new("deliver", 3, |_, known| Ok(vec![DueDelivery::due(iam_edge::now(), known)]), deliver)
            .summary("Tries deliveries that are due"),
    ];
    Job::new("key-rotation", "Rotates API keys by schedule and delivers the new ones", steps)
}

async fn hold(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let db = context.db(&organization);
    let mut open = Vec::new();
    for row in db.all(OpenDelivery::find(&organization, context.now)).await? {
        open.push(OpenDelivery::read(&organization, &row, context.new_id(LogId::new)?)?);
    }
    if !open.is_empty() {
        db.batch(OpenDelivery::keep(&open, context.now)).await?;
    }
    Ok(Progress::if_full(open.len(), HOLDING_BATCH))
}

async fn expire_keys(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let db = context.db(&organization);
    let mut due = Vec::new();
    for row in db.all(DueKey::find(&organization, context.now)).await? {
        due.push(DueKey::read(&organization, &row, context.new_id(LogId::new)?)?);
    }
    if !due.is_empty() {
        db.batch(expire(&due, context.now)).await?;
    }
    Ok(Progress::if_full(due.len(), EXPIRY_BATCH))
}

async fn rotate(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let db = context.db(&organization);
    let due = db.all(DueRotation::find(&organization, context.now)).await?;
    let rotations = due.into_iter().map(|due| successor(&context, due)).collect::<Result<Vec<_>, _>>()?;
    if !rotations.is_empty() {
        db.batch(ScheduledRotation::batch(&rotations, context.now)).await?;
    }
    Ok(Progress::if_full(rotations.len(), ROTATION_BATCH))
}

fn successor(context: &Context, due: DueRotation) -> Result<ScheduledRotation, ApiError> {
    let key = context.new_api_key(&due.organization)?;
    let delivery_id = context.new_id(KeyDeliveryId::new)?;
    let purpose = delivery_purpose(&due.organization, &delivery_id);
    let sealed =
        context.instance.master_key()?.seal(&purpose, key.reveal().as_bytes(), context.entropy()?)?;
    let (key_id, log_id) = (context.new_id(KeyId::new)?, context.new_id(LogId::new)?);
    Ok(ScheduledRotation::new(due, key_id, &key.hash(), delivery_id, sealed, log_id))
}

/// The tries of a batch at once: a receiver that hangs holds up its batch for ten seconds, not for each of
/// its keys. What can't be tried keeps nothing of what was sent from being noted.
async fn deliver(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let db = context.db(&organization);
    // A run may take a while: claims are made by the clock, not by when it began.
    let now = iam_edge::now();
    let due = db.all(DueDelivery::find(&organization, now)).await?;
    if due.is_empty() {
        return Ok(Progress::Done);
    }
    let mut batch = Batch::new();
    let (claim, hold) = DueDelivery::claim(&due, now);
    let claimed = batch.ask(claim);
    batch.then(hold);
    let claimed: Vec<ClaimedDelivery> = db.batch(batch).await?.all(claimed)?;
    let is_ours = |due: &&DueDelivery| claimed.iter().any(|claimed| claimed.0 == due.delivery_id);
    let (mut batch, mut first) = (Batch::new(), Ok(Progress::More));
    for tried in join_all(due.iter().filter(is_ours).map(|due| attempt(&context, due))).await {
        match tried {
            Ok(statements) => batch.extend(statements),
            Err(error) => first = first.and(Err(error)),
        }
    }
    if !batch.is_empty() {
        db.batch(batch).await?;
    }
    first
}

/// Tries a delivery that was claimed; what is to be noted.
async fn attempt(context: &Context, due: &DueDelivery) -> Result<Vec<Statement>, ApiError> {
    if !due.works {
        let log_id = context.new_id(LogId::new)?;
        let open = OpenDelivery::new(due.organization.clone(), due.delivery_id.clone(), log_id);
        return Ok(OpenDelivery::keep(&[open], iam_edge::now()));
    }
    let sent = send(context, due).await;
    let now = iam_edge::now();
    match sent {
        Ok(()) => {
            let [release, finish] = due.confirm(now);
            let delivered = event(context, due, acts::DELIVERED, now)?;
            Ok(vec![delivered.record_if(DELIVERY_ARRIVES, &due.delivery_id), release, finish])
        }
        Err(error) => {
            let [jitter] = context.entropy()?;
            let mut dead = event(context, due, acts::DELIVERY_DEAD, now)?.detail("reason", error.as_str());
            dead.outcome = Outcome::Failure;
            Ok(vec![due.fail(&error, jitter, now), dead.record_if(DELIVERY_DIED_NOW, &due.delivery_id)])
        }
    }
}

fn event(context: &Context, due: &DueDelivery, act: Act, now: Timestamp) -> Result<AuditEvent, ApiError> {
    Ok(AuditEvent::by_system(&due.organization, context.new_id(LogId::new)?, act, now)
        .on(due.key_id.as_str())
        .of_user(&due.owner_id)
        .detail("delivery_id", due.delivery_id.as_str())
        .detail("old_key_id", due.old_key_id.as_str()))
}
