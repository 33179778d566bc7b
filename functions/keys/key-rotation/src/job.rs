//! The job `key-rotation`, for all organizations: holds the old keys of deliveries that are open, expires
//! keys past their date, replaces keys whose time has come, delivers, and has the signing keys turned.
//!
//! Each batch is one transaction of statements that do nothing where another run was quicker, so the job may
//! run twice at once, die anywhere and catch up later. What one run leaves over, the next one takes. What
//! fails keeps the steps after it from nothing.

use futures_util::future::join_all;
use iam_core::id::{KeyDeliveryId, KeyId, LogId};
use iam_core::keys::{
    DELIVERY_ARRIVES, DELIVERY_DIED_NOW, DueDelivery, DueKey, DueRotation, KeyUsage, OpenDelivery, Turn,
    delivery_purpose, due_to_expire, expire, forget_windows,
};
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_core::record::idempotency::forget_old;
use iam_core::sql::Statement;
use iam_core::time::Timestamp;
use iam_service::{ApiError, Context};
use serde_json::json;

use crate::send::send;

/// How many batches of each kind one run takes at most; with two round trips a batch, three of deliveries.
const MAX_KEEPING: usize = 3;
const MAX_EXPIRIES: usize = 6;
const MAX_TURNS: usize = 6;
const MAX_DELIVERIES: usize = 10;

pub(crate) async fn run(context: Context) -> Result<(), ApiError> {
    let results = [
        keep(&context).await,
        expire_keys(&context).await,
        turn(&context).await,
        deliver(&context).await,
        turn_signing_keys(&context).await,
    ];
    let mut first = Ok(());
    for result in results {
        if let Err(error) = &result {
            let cause = error.log_cause().unwrap_or_else(|| error.code());
            context.log_failure("a step of key-rotation failed", cause);
        }
        first = first.and(result);
    }
    first
}

/// Before anything expires: a run that comes late must find the old keys of open deliveries held.
async fn keep(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    for _ in 0..MAX_KEEPING {
        let rows = db.run(OpenDelivery::find(context.now)).await?;
        let mut open = Vec::new();
        for row in &rows {
            open.push(OpenDelivery::read(row, context.new_id(LogId::new)?)?);
        }
        if open.is_empty() {
            break;
        }
        db.batch_of(OpenDelivery::keep(&open, context.now)).await?;
    }
    Ok(())
}

async fn expire_keys(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    for _ in 0..MAX_EXPIRIES {
        let batch = vec![
            due_to_expire(context.now),
            forget_old(context.now),
            forget_windows(context.now),
            KeyUsage::forget_old(context.now),
        ];
        let mut rows = db.batch_of(batch).await?.into_iter();
        let mut due = Vec::new();
        for row in &rows.next().unwrap_or_default() {
            due.push(DueKey::read(row, context.new_id(LogId::new)?)?);
        }
        if due.is_empty() {
            break;
        }
        db.batch_of(expire(&due, context.now).into()).await?;
    }
    Ok(())
}

async fn turn(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    for _ in 0..MAX_TURNS {
        let due: Vec<DueRotation> = db.run(DueRotation::find(context.now)).await?.decode()?;
        if due.is_empty() {
            break;
        }
        let turns = due.into_iter().map(|due| successor(context, due)).collect::<Result<Vec<_>, _>>()?;
        db.batch_of(Turn::batch(&turns, context.now)).await?;
    }
    Ok(())
}

fn successor(context: &Context, due: DueRotation) -> Result<Turn, ApiError> {
    let key = context.new_api_key(&due.organization)?;
    let delivery_id = context.new_id(KeyDeliveryId::new)?;
    let purpose = delivery_purpose(&due.organization, &delivery_id);
    let sealed =
        context.instance.master_key()?.seal(&purpose, key.reveal().as_bytes(), context.entropy()?)?;
    let (key_id, log_id) = (context.new_id(KeyId::new)?, context.new_id(LogId::new)?);
    Ok(Turn::new(due, key_id, &key.hash(), delivery_id, sealed, log_id))
}

/// The tries of a batch at once: a receiver that hangs holds up its batch for ten seconds, not for each of
/// its keys. What can't be tried keeps nothing of what was sent from being noted.
async fn deliver(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    let mut first = Ok(());
    for _ in 0..MAX_DELIVERIES {
        // A batch may take a while: claims are made by the clock, not by when the run began.
        let now = iam_edge::now();
        let due: Vec<DueDelivery> = db.run(DueDelivery::find(now)).await?.decode()?;
        if due.is_empty() {
            break;
        }
        let batch = db.batch_of(DueDelivery::claim(&due, now).into()).await?;
        let claimed = batch.into_iter().next().unwrap_or_default();
        let ids: Vec<KeyDeliveryId> = claimed
            .iter()
            .map(|row| KeyDeliveryId::from_column(row, "delivery_id"))
            .collect::<Result<_, _>>()?;
        let ours = due.iter().filter(|due| ids.contains(&due.delivery_id));
        let mut batch = Vec::new();
        for tried in join_all(ours.map(|due| attempt(context, due))).await {
            match tried {
                Ok(statements) => batch.extend(statements),
                Err(error) => first = first.and(Err(error)),
            }
        }
        if !batch.is_empty() {
            db.batch_of(batch).await?;
        }
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
            let delivered = event(context, due, "api_key.delivered", Outcome::Success, now)?;
            Ok(vec![delivered.record_if(DELIVERY_ARRIVES, &due.delivery_id), release, finish])
        }
        Err(error) => {
            let [jitter] = context.entropy()?;
            let dead = event(context, due, "api_key.delivery_dead", Outcome::Failure, now)?
                .detail("reason", error.as_str());
            Ok(vec![due.fail(&error, jitter, now), dead.record_if(DELIVERY_DIED_NOW, &due.delivery_id)])
        }
    }
}

fn event(
    context: &Context,
    due: &DueDelivery,
    action: &'static str,
    outcome: Outcome,
    now: Timestamp,
) -> Result<AuditEvent, ApiError> {
    let mut event = context
        .audit_text(&due.organization, action, "api_key", outcome)?
        .on(due.key_id.as_str())
        .of_user(&due.owner_id)
        .detail("delivery_id", due.delivery_id.as_str())
        .detail("old_key_id", due.old_key_id.as_str());
    (event.actor, event.timestamp) = (Actor::System, now);
    Ok(event)
}

/// The keyring has no clock of its own.
async fn turn_signing_keys(context: &Context) -> Result<(), ApiError> {
    let answer = context.call("keyring", "/internal/scheduled/keyring-rotation", &json!({})).await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(ApiError::internal(format!("keyring answered {}", answer.status().as_u16()))),
        Err(cause) => Err(ApiError::internal(format!("keyring was not reached: {cause}"))),
    }
}
