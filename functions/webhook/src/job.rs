//! The job `webhook-outbox`, for all organizations: forwards what is due, gives up what nobody fetched, records how many
//! refusals have no record, forgets what is old, and seals anew what is under the previous master key.
//!
//! It may run twice at once, die anywhere and catch up later. What fails keeps the steps after it from nothing.

use futures_util::future::join_all;
use iam_core::audit::{Actor, Outcome};
use iam_core::id::{OrganizationId, WebhookDeliveryId};
use iam_core::webhook::{
    DueWebhook, Receipt, SealedMessage, UNRECORDED, Unrecorded, WEBHOOK_DIED_NOW, find_unfetched,
    give_up_unfetched, sweep_finished,
};
use iam_service::{ApiError, Context};

use crate::forward::attempt;

/// How many batches of each kind one run takes at most: with three round trips a batch of deliveries, and two of the others.
const MAX_DELIVERIES: usize = 10;
const MAX_UNFETCHED: usize = 4;
const MAX_SWEEPS: usize = 4;
const MAX_SEALINGS: usize = 6;

pub(crate) async fn run(context: Context) -> Result<(), ApiError> {
    let results = [
        deliver(&context).await,
        give_up(&context).await,
        record_refusals(&context).await,
        sweep(&context).await,
        seal_anew(&context).await,
    ];
    let mut first = Ok(());
    for result in results {
        if let Err(error) = &result {
            let cause = error.log_cause().unwrap_or_else(|| error.code());
            context.instance.log_failure(&context, "a step of webhook-outbox failed", cause);
        }
        first = first.and(result);
    }
    first
}

/// The tries of a batch at once: one target that hangs holds up its batch for ten seconds, not for each of its messages.
async fn deliver(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    for _ in 0..MAX_DELIVERIES {
        // A batch may take a while: claims are made by the clock, not by when the run began.
        let now = iam_edge::now();
        let due: Vec<DueWebhook> = db.run(DueWebhook::find(now)).await?.decode()?;
        if due.is_empty() {
            break;
        }
        let claimed = db.run(DueWebhook::claim(&due, now)).await?;
        let ids: Vec<WebhookDeliveryId> = claimed
            .iter()
            .map(|row| WebhookDeliveryId::from_column(row, "delivery_id"))
            .collect::<Result<_, _>>()?;
        let ours = due.iter().filter(|due| ids.contains(&due.delivery_id));
        let mut batch = Vec::new();
        for statements in join_all(ours.map(|due| attempt(context, due))).await {
            batch.extend(statements?);
        }
        if !batch.is_empty() {
            db.batch(batch).await?;
        }
    }
    Ok(())
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
                .audit(&organization, "webhook.dead", "webhook", Outcome::Failure)?
                .on(delivery_id.as_str())
                .detail("service", row.text("service")?);
            event.actor = Actor::System;
            batch.push(give_up_unfetched(&organization, &delivery_id, before, context.now));
            batch.push(event.record_if(WEBHOOK_DIED_NOW, &delivery_id));
        }
        if batch.is_empty() {
            break;
        }
        db.batch(batch).await?;
    }
    Ok(())
}

async fn record_refusals(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    let unrecorded: Vec<Unrecorded> = db.run(Unrecorded::find()).await?.decode()?;
    let mut batch = Vec::new();
    for refusals in &unrecorded {
        let mut event = context
            .audit(&refusals.organization, "webhook.refused", "webhook", Outcome::Failure)?
            .detail("service", refusals.service.as_str())
            .detail("reason", refusals.reason.as_str())
            .detail("count", refusals.count);
        event.actor = Actor::System;
        batch.push(event.record_if(UNRECORDED, refusals.count));
        batch.push(refusals.recorded());
    }
    if !batch.is_empty() {
        db.batch(batch).await?;
    }
    Ok(())
}

async fn sweep(context: &Context) -> Result<(), ApiError> {
    let db = context.db(&context.configuration().organization);
    let before = context.now.before(context.configuration().webhooks.retention);
    for _ in 0..MAX_SWEEPS {
        db.batch(vec![Receipt::sweep(context.now), sweep_finished(before)]).await?;
    }
    Ok(())
}

async fn seal_anew(context: &Context) -> Result<(), ApiError> {
    let master = context.instance.master_key()?;
    let Some(previous) = master.previous_id() else { return Ok(()) };
    let db = context.db(&context.configuration().organization);
    for _ in 0..MAX_SEALINGS {
        let sealed: Vec<SealedMessage> = db.run(SealedMessage::find(previous)).await?.decode()?;
        let mut batch = Vec::new();
        for message in &sealed {
            match message.seal_anew(&master, context.entropy()?) {
                Ok(statement) => batch.push(statement),
                // One that does not open keeps nobody else's from being sealed.
                Err(error) => {
                    let text = "a webhook's message can't be sealed anew";
                    context.instance.log_failure(context, text, &error.to_string());
                }
            }
        }
        if batch.is_empty() {
            break;
        }
        db.batch(batch).await?;
    }
    Ok(())
}
