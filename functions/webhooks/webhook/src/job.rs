//! The job `webhook-outbox`, for all organizations: forwards what is due, gives up what nobody fetched,
//! records how many refusals have no record, and forgets what is old.
//!
//! It may run twice at once, die anywhere and catch up later. What fails keeps the steps after it from
//! nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use iam_core::id::{OrganizationId, WebhookDeliveryId};
use iam_core::record::audit::{Actor, Outcome};
use iam_core::sql::Rows;
use iam_core::time::{Duration, Timestamp};
use iam_core::webhooks::{
    DueWebhook, NOBODY_FETCHED_IT, Receipt, SWEEP_BATCH, UNRECORDED, Unrecorded, WEBHOOK_DIED_NOW,
    find_unfetched, give_up_unfetched, sweep_finished,
};
use iam_service::{ApiError, Context};

use crate::forward::attempt;

/// How many services are served at once, and how many messages are on their way: as many connections as
/// Workers opens.
const LANES: usize = 5;

/// For how long a run takes up new tries: with one that hangs it ends before whoever called it gives up.
const BUDGET: Duration = Duration::from_seconds(15);

/// A service whose tries take longer than this is left to the next run: its target may be dead.
const SLOW: Duration = Duration::from_seconds(3);

/// How many tries one run makes at most: with their round trips within what Workers allows a run.
const MAX_TRIES: u32 = 400;

/// How many batches of the other kinds one run takes at most, with two round trips each.
const MAX_UNFETCHED: usize = 4;
const MAX_SWEEPS: usize = 20;

pub(crate) async fn run(context: Context) -> Result<(), ApiError> {
    let results = [
        deliver(&context).await,
        give_up(&context).await,
        record_refusals(&context).await,
        sweep(&context).await,
    ];
    let mut first = Ok(());
    for result in results {
        if let Err(error) = &result {
            let cause = error.log_cause().unwrap_or_else(|| error.code());
            context.log_failure("a step of webhook-outbox failed", cause);
        }
        first = first.and(result);
    }
    first
}

/// What is left to be done in a run.
struct Queue {
    services: Mutex<VecDeque<String>>,
    tries: AtomicU32,
    until: Timestamp,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A service whose turn it is, while there is time and a try left.
    fn next(&self) -> Option<String> {
        let is_open = iam_edge::now() < self.until && self.tries.load(Ordering::Relaxed) < MAX_TRIES;
        if is_open { self.lock().pop_front() } else { None }
    }
}

/// Services take turns, several at once: a target that hangs holds up nobody else's messages.
async fn deliver(context: &Context) -> Result<(), ApiError> {
    let now = iam_edge::now();
    let rows = context.db(&context.configuration().organization).run(DueWebhook::services(now)).await?;
    let services: VecDeque<String> =
        rows.iter().map(|row| row.text("service").map(str::to_owned)).collect::<Result<_, _>>()?;
    let lanes = services.len().min(LANES);
    let share = u32::try_from(LANES / lanes.max(1)).unwrap_or(1);
    let queue = Queue { services: Mutex::new(services), tries: AtomicU32::new(0), until: now.after(BUDGET) };
    let done = join_all((0..lanes).map(|_| lane(context, &queue, share))).await;
    done.into_iter().fold(Ok(()), Result::and)
}

async fn lane(context: &Context, queue: &Queue, share: u32) -> Result<(), ApiError> {
    let mut first = Ok(());
    while let Some(service) = queue.next() {
        let began = iam_edge::now();
        let tried = deliver_some(context, &service, share).await;
        let is_slow = iam_edge::now() >= began.after(SLOW);
        match tried {
            Ok(tried) => {
                queue.tries.fetch_add(tried, Ordering::Relaxed);
                if tried >= share && !is_slow {
                    queue.lock().push_back(service);
                }
            }
            Err(error) => first = first.and(Err(error)),
        }
    }
    first
}

/// Tries some messages of a service, at once; how many were due. What can't be tried keeps nothing of what
/// was sent from being noted.
async fn deliver_some(context: &Context, service: &str, share: u32) -> Result<u32, ApiError> {
    let db = context.db(&context.configuration().organization);
    // A run takes a while: claims are made by the clock, not by when it began.
    let now = iam_edge::now();
    let due: Vec<DueWebhook> = db.run(DueWebhook::find(service, share, now)).await?.decode()?;
    if due.is_empty() {
        return Ok(0);
    }
    let claimed = db.run(DueWebhook::claim(&due, now)).await?;
    let ids: Vec<WebhookDeliveryId> = claimed
        .iter()
        .map(|row| WebhookDeliveryId::from_column(row, "delivery_id"))
        .collect::<Result<_, _>>()?;
    let ours = due.iter().filter(|due| ids.contains(&due.delivery_id));
    let (mut batch, mut first) = (Vec::new(), Ok(()));
    for tried in join_all(ours.map(|due| attempt(context, due))).await {
        match tried {
            Ok(statements) => batch.extend(statements),
            Err(error) => first = first.and(Err(error)),
        }
    }
    if !batch.is_empty() {
        db.batch_of(batch).await?;
    }
    first.map(|()| u32::try_from(due.len()).unwrap_or(share))
}

async fn give_up(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    for _ in 0..MAX_UNFETCHED {
        let before = context.now.before(context.configuration().webhooks.retention);
        let rows = db.run(find_unfetched(before)).await?;
        let mut batch = Vec::new();
        for row in &rows {
            let organization = OrganizationId::from_column(row, "org_id")?;
            let delivery_id = WebhookDeliveryId::from_column(row, "delivery_id")?;
            let mut event = context
                .audit_text(&organization, "webhook.dead", "webhook", Outcome::Failure)?
                .on(delivery_id.as_str())
                .detail("service", row.text("service")?)
                .detail("reason", NOBODY_FETCHED_IT);
            event.actor = Actor::System;
            batch.push(give_up_unfetched(&organization, &delivery_id, before, context.now));
            batch.push(event.record_if(WEBHOOK_DIED_NOW, &delivery_id));
        }
        if batch.is_empty() {
            break;
        }
        db.batch_of(batch).await?;
    }
    Ok(())
}

async fn record_refusals(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    let unrecorded: Vec<Unrecorded> = db.run(Unrecorded::find()).await?.decode()?;
    let mut batch = Vec::new();
    for refusals in &unrecorded {
        let mut event = context
            .audit_text(&refusals.organization, "webhook.refused", "webhook", Outcome::Failure)?
            .detail("service", refusals.service.as_str())
            .detail("reason", refusals.reason.as_str())
            .detail("count", refusals.count);
        event.actor = Actor::System;
        batch.push(event.record_if(UNRECORDED, refusals.count));
        batch.push(refusals.recorded());
    }
    if !batch.is_empty() {
        db.batch_of(batch).await?;
    }
    Ok(())
}

async fn sweep(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    let before = context.now.before(context.configuration().webhooks.retention);
    for _ in 0..MAX_SWEEPS {
        let swept = db.batch_of(vec![Receipt::sweep(context.now), sweep_finished(before)]).await?;
        let is_full = |rows: &Rows| u32::try_from(rows.len()).is_ok_and(|count| count >= SWEEP_BATCH);
        if !swept.iter().any(is_full) {
            break;
        }
    }
    Ok(())
}
