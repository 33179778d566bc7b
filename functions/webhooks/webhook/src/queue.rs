//! Services without a target: their messages are fetched and acknowledged.

use iam_core::id::{OrganizationId, WebhookDeliveryId};
use iam_core::record::audit::{Actor, Outcome};
use iam_core::sql::{Batch, Statement};
use iam_core::time::Duration;
use iam_core::webhooks::{ListedWebhook, WEBHOOK_DIED_NOW, WEBHOOK_QUEUED, WebhookState, acts};
use iam_service::{ApiError, Caller, Context, Id, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deliveries::{MessageAnswer, WebhookAnswer, not_found};

/// How many messages are handed out at once at most.
const MAX_MESSAGES: u32 = 10;

/// How long messages are hidden where the caller does not say, in seconds.
const HIDDEN_SECONDS: u32 = 60;

/// How long messages are hidden at most, in seconds.
const MAX_HIDDEN_SECONDS: u32 = 43_200;

/// How large an answer gets, in bytes: well within what hosts pass on. One message alone always fits.
const MAX_ANSWER_BYTES: usize = 4 << 20;

const UNOPENABLE: &str = "the message can't be opened";
const NEVER_ACKNOWLEDGED: &str = "it was fetched as often as the service allows, and never acknowledged";

/// How many messages.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FetchRequest {
    /// How many at most, 1 to 10; 10 where absent.
    limit: Option<u32>,
    /// For how long nobody else gets them, 1 to 43200; 60 where absent.
    hidden_seconds: Option<u32>,
}

/// Messages to be acknowledged.
#[derive(Serialize, JsonSchema)]
pub(crate) struct FetchResponse {
    /// The messages, oldest first.
    deliveries: Vec<WebhookAnswer>,
}

/// One round trip beside the caller's authentication, and one for the record.
pub(crate) async fn fetch(
    context: Context,
    caller: Caller,
    Id(service): Id<String>,
    Json(request): Json<FetchRequest>,
) -> Result<Json<FetchResponse>, ApiError> {
    let limit = between("/limit", request.limit.unwrap_or(MAX_MESSAGES), MAX_MESSAGES)?;
    let hidden =
        between("/hidden_seconds", request.hidden_seconds.unwrap_or(HIDDEN_SECONDS), MAX_HIDDEN_SECONDS)?;
    let rules = context.configuration().webhooks.service(&service);
    let most = rules.ok_or_else(|| ApiError::not_found("there is no such service"))?.max_attempts;
    // Without one no message opens, and none is to blame.
    let master = context.instance.master_key()?;
    let hidden_until = context.now.after(Duration::from_seconds(hidden.into()));
    let organization = &caller.organization;
    let db = context.db(organization);
    let fetch = ListedWebhook::fetch(organization, &service, limit, hidden_until, context.now);
    let mut fetched = db.all(fetch).await?;
    fetched.sort_by(|one, other| one.delivery_id.cmp(&other.delivery_id));
    let (mut deliveries, mut batch, mut bytes) = (Vec::new(), Batch::new(), 0_usize);
    for delivery in fetched {
        if delivery.attempts > most {
            batch.extend(give_up(&context, organization, &delivery, NEVER_ACKNOWLEDGED)?);
            continue;
        }
        let message = match MessageAnswer::open(&master, organization, &delivery) {
            Ok(message) => message,
            Err(cause) => {
                context.log_failure("a webhook's message can't be opened", &cause);
                batch.extend(give_up(&context, organization, &delivery, UNOPENABLE)?);
                continue;
            }
        };
        let opened = WebhookAnswer { delivery, message };
        bytes = bytes.saturating_add(serde_json::to_vec(&opened)?.len());
        if bytes > MAX_ANSWER_BYTES && !deliveries.is_empty() {
            batch.then(opened.delivery.hand_back(organization, context.now));
            continue;
        }
        let event = context.audit_by(&caller, acts::FETCH)?;
        let event = event.on(opened.delivery.delivery_id.as_str()).detail("service", service.as_str());
        batch.then(event.record());
        deliveries.push(opened);
    }
    if !batch.is_empty() {
        // Before anybody sees them.
        db.batch(batch).await?;
    }
    Ok(Json(FetchResponse { deliveries }))
}

fn give_up(
    context: &Context,
    organization: &OrganizationId,
    delivery: &ListedWebhook,
    reason: &'static str,
) -> Result<[Statement; 2], ApiError> {
    let mut event = context
        .audit(organization, acts::DEAD, Outcome::Failure)?
        .on(delivery.delivery_id.as_str())
        .detail("service", delivery.service.as_str())
        .detail("reason", reason);
    event.actor = Actor::System;
    let give_up = delivery.give_up(organization, reason, context.now);
    Ok([give_up, event.record_if(WEBHOOK_DIED_NOW, &delivery.delivery_id)])
}

fn between(pointer: &str, value: u32, most: u32) -> Result<u32, ApiError> {
    if (1..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ApiError::field(pointer, format!("1 to {most}")))
    }
}

/// One round trip beside the caller's authentication.
pub(crate) async fn acknowledge(
    context: Context,
    caller: Caller,
    Id(delivery_id): Id<WebhookDeliveryId>,
) -> Result<http::StatusCode, ApiError> {
    let organization = &caller.organization;
    let event = context.audit_by(&caller, acts::ACKNOWLEDGE)?.on(delivery_id.as_str());
    let mut batch = Batch::new();
    batch.then(event.record_if(WEBHOOK_QUEUED, &delivery_id));
    batch.then(ListedWebhook::acknowledge(organization, &delivery_id, context.now));
    let found = batch.ask(ListedWebhook::find(organization, &delivery_id));
    let delivery = context.db(organization).batch(batch).await?.one(found)?;
    match delivery.ok_or_else(not_found)?.state {
        WebhookState::Delivered => Ok(http::StatusCode::NO_CONTENT),
        WebhookState::Pending | WebhookState::Queued | WebhookState::Dead => {
            Err(ApiError::conflict("not_queued", "this delivery does not wait to be fetched"))
        }
    }
}
