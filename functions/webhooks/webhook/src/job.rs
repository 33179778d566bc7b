//! The job `webhook-outbox`: gives up what nobody fetched, records how many refusals have no record, forgets
//! what is old, and forwards what is due.
//!
//! It may run twice at once, die anywhere and catch up later.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use iam_core::id::{LogId, OrganizationId};
use iam_core::sql::Batch;
use iam_core::time::{Duration, Timestamp};
use iam_core::webhooks::{
    DueService, DueWebhook, FINISHED_WEBHOOKS, OLD_RECEIPTS, UNFETCHED_BATCH, UNRECORDED_BATCH, Unfetched,
    Unrecorded,
};
use iam_service::{ApiError, Budget, Context, Job, Progress, Step};

use crate::forward::attempt;

/// How many services are served at once, and how many messages are on their way: as many connections as
/// Workers opens.
const LANES: usize = 5;

/// A service whose tries take longer than this is left to the next run: its target may be dead.
const SLOW: Duration = Duration::from_seconds(3);

/// How many round trips some tries of a service take: they are claimed, and what came of them is noted.
const TRY_ROUND_TRIPS: u32 = 2;

/// How many round trips one run takes at most: with the tries between them within what Workers allows a run.
const ROUND_TRIPS: u32 = 400;

/// What it is. What takes long is last: it has what the steps before it left.
pub(crate) fn job() -> Job {
    let unfetched =
        |context: &Context, known: &[OrganizationId]| Ok(vec![Unfetched::due(kept_until(context), known)]);
    let steps = [
        Step::new("give-up", 2, unfetched, give_up)
            .summary("Gives up what nobody fetched within `webhooks.retention`"),
        Step::new("refusals", 2, |_, known| Ok(vec![Unrecorded::due(known)]), record_refusals)
            .summary("Records how many refusals have no record of their own"),
        Step::sweep("receipts", &OLD_RECEIPTS, |context| context.now)
            .summary("Deletes receipts past `webhooks.replay_window`"),
        Step::sweep("finished", &FINISHED_WEBHOOKS, kept_until)
            .summary("Deletes deliveries that were finished longer ago than `webhooks.retention`"),
        Step::within(
            "deliver",
            1 + TRY_ROUND_TRIPS * 5,
            |_, known| Ok(vec![DueWebhook::due(iam_edge::now(), known)]),
            deliver,
        )
        .summary("Forwards messages that are due, several services at once"),
    ];
    Job::new("webhook-outbox", "Forwards webhooks, and forgets old ones", steps).round_trips(ROUND_TRIPS)
}

fn kept_until(context: &Context) -> Timestamp {
    context.now.before(context.configuration().webhooks.retention)
}

/// What is left to be done for an organization in a run.
struct Queue {
    services: Mutex<VecDeque<String>>,
    /// For the tries of all lanes.
    round_trips: u32,
    budget: Budget,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A service whose turn it is, while there is time and room for what all lanes do at once.
    fn next(&self, context: &Context) -> Option<String> {
        if self.budget.has_left(context, self.round_trips) { self.lock().pop_front() } else { None }
    }
}

/// Services take turns, several at once: a target that hangs holds up nobody else's messages.
async fn deliver(
    context: Context,
    organization: OrganizationId,
    budget: Budget,
) -> Result<Progress, ApiError> {
    let due = context.db(&organization).all(DueService::find(&organization, iam_edge::now())).await?;
    let services: VecDeque<String> = due.into_iter().map(|service| service.0).collect();
    let lanes = services.len().min(LANES);
    let share = u32::try_from(LANES / lanes.max(1)).unwrap_or(1);
    let round_trips = TRY_ROUND_TRIPS.saturating_mul(u32::try_from(lanes).unwrap_or(1));
    let queue = Queue { services: Mutex::new(services), round_trips, budget };
    let done = join_all((0..lanes).map(|_| lane(&context, &organization, &queue, share))).await;
    done.into_iter().try_fold(Progress::Done, |done, lane| lane.map(|()| done))
}

async fn lane(
    context: &Context,
    organization: &OrganizationId,
    queue: &Queue,
    share: u32,
) -> Result<(), ApiError> {
    let mut first = Ok(());
    while let Some(service) = queue.next(context) {
        let began = iam_edge::now();
        let tried = deliver_some(context, organization, &service, share).await;
        let is_slow = iam_edge::now() >= began.after(SLOW);
        match tried {
            Ok(Progress::More) if !is_slow => queue.lock().push_back(service),
            Ok(_) => {}
            Err(error) => first = first.and(Err(error)),
        }
    }
    first
}

/// Tries some messages of a service, at once. What can't be tried keeps nothing of what was sent from being
/// noted.
async fn deliver_some(
    context: &Context,
    organization: &OrganizationId,
    service: &str,
    share: u32,
) -> Result<Progress, ApiError> {
    let db = context.db(organization);
    // A run takes a while: claims are made by the clock, not by when it began.
    let ours = db.all(DueWebhook::claim(organization, service, share, iam_edge::now())).await?;
    let (mut batch, mut first) = (Batch::new(), Ok(Progress::if_full(ours.len(), share)));
    for tried in join_all(ours.iter().map(|due| attempt(context, due))).await {
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

async fn give_up(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let db = context.db(&organization);
    let before = kept_until(&context);
    let unfetched = db.all(Unfetched::find(&organization, before)).await?;
    let mut batch = Batch::new();
    for delivery in &unfetched {
        let log_id = context.new_id(LogId::new)?;
        batch.extend(delivery.give_up(&organization, log_id, before, context.now));
    }
    if !batch.is_empty() {
        db.batch(batch).await?;
    }
    Ok(Progress::if_full(unfetched.len(), UNFETCHED_BATCH))
}

async fn record_refusals(context: Context, organization: OrganizationId) -> Result<Progress, ApiError> {
    let db = context.db(&organization);
    let unrecorded = db.all(Unrecorded::find(&organization)).await?;
    let mut batch = Batch::new();
    for refusals in &unrecorded {
        batch.extend(refusals.record(&organization, context.new_id(LogId::new)?, context.now));
    }
    if !batch.is_empty() {
        db.batch(batch).await?;
    }
    Ok(Progress::if_full(unrecorded.len(), UNRECORDED_BATCH))
}
