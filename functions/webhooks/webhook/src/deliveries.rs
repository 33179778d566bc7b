//! Webhooks that were taken in: listed, shown, asked for again.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iam_core::id::{OrganizationId, WebhookDeliveryId};
use iam_core::secret::seal::MasterKeys;
use iam_core::sql::Batch;
use iam_core::webhooks::{KeptMessage, ListedWebhook, WEBHOOK_DEAD, WebhookState, acts, message_purpose};
use iam_service::page::{cut, page_limit};
use iam_service::{ApiError, Caller, Context, Id, Json, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many deliveries a page holds at most.
const MAX_PAGE: u32 = 100;

/// The longest name of a service, in bytes.
const MAX_SERVICE_BYTES: usize = 64;

/// Which deliveries.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListWebhooksQuery {
    /// Of which service.
    service: Option<String>,
    /// In which state.
    state: Option<WebhookState>,
    /// How many at most, 1 to 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<WebhookDeliveryId>,
}

/// A page of deliveries.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListWebhooksResponse {
    /// The deliveries.
    deliveries: Vec<ListedWebhook>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<WebhookDeliveryId>,
}

/// A delivery with its message.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WebhookAnswer {
    /// The delivery.
    #[serde(flatten)]
    pub(crate) delivery: ListedWebhook,
    /// The message; absent once it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<MessageAnswer>,
}

/// A message.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MessageAnswer {
    /// The headers that were kept.
    headers: BTreeMap<String, String>,
    /// The body, where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// The body in base64, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl MessageAnswer {
    /// The message of a delivery, opened; `None` once it is gone.
    ///
    /// # Errors
    /// Why it does not open.
    pub(crate) fn open(
        master: &MasterKeys,
        organization: &OrganizationId,
        delivery: &ListedWebhook,
    ) -> Result<Option<Self>, String> {
        let Some(sealed) = &delivery.sealed_message else { return Ok(None) };
        let purpose = message_purpose(organization, &delivery.delivery_id);
        let opened = master.open(&purpose, sealed).map_err(|error| error.to_string())?;
        let kept = KeptMessage::decode(&opened).ok_or("a kept webhook can't be read")?;
        Ok(Some(kept.into()))
    }
}

impl From<KeptMessage> for MessageAnswer {
    fn from(message: KeptMessage) -> Self {
        let headers = message.headers.into_iter().collect();
        match String::from_utf8(message.body) {
            Ok(body) => Self { headers, body: Some(body), body_base64: None },
            Err(error) => Self { headers, body: None, body_base64: Some(STANDARD.encode(error.as_bytes())) },
        }
    }
}

/// One round trip beside the caller's authentication.
pub(crate) async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListWebhooksQuery>,
) -> Result<Json<ListWebhooksResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let service = query.service.as_deref();
    if service.is_some_and(|service| service.len() > MAX_SERVICE_BYTES) {
        return Err(ApiError::bad_request("invalid_query", "`service` is at most 64 characters long"));
    }
    let page = ListedWebhook::page(&caller.organization, service, query.state, query.cursor.as_ref(), limit);
    let mut batch = Batch::new();
    let page = batch.ask(page);
    batch.then(context.audit_by(&caller, acts::LIST)?.record());
    let mut deliveries = context.db(&caller.organization).batch(batch).await?.all(page)?;
    let next_cursor = cut(&mut deliveries, limit, |delivery| delivery.delivery_id.clone());
    Ok(Json(ListWebhooksResponse { deliveries, next_cursor }))
}

/// One round trip beside the caller's authentication.
pub(crate) async fn show(
    context: Context,
    caller: Caller,
    Id(delivery_id): Id<WebhookDeliveryId>,
) -> Result<Json<WebhookAnswer>, ApiError> {
    let event = context.audit_by(&caller, acts::READ)?.on(delivery_id.as_str());
    let mut batch = Batch::new();
    let found = batch.ask(ListedWebhook::find(&caller.organization, &delivery_id));
    batch.then(event.record());
    let delivery = context.db(&caller.organization).batch(batch).await?.one(found)?.ok_or_else(not_found)?;
    let master = context.instance.master_key()?;
    let message = MessageAnswer::open(&master, &caller.organization, &delivery);
    Ok(Json(WebhookAnswer { delivery, message: message.map_err(ApiError::internal)? }))
}

/// One round trip beside the caller's authentication; another where it is refused.
pub(crate) async fn retry(
    context: Context,
    caller: Caller,
    Id(delivery_id): Id<WebhookDeliveryId>,
) -> Result<Json<ListedWebhook>, ApiError> {
    // Where a message goes is the configuration's business today, whatever it was when the message came. The
    // statement does not know the service before it reads it, so the services with a target are told.
    let services = &context.configuration().webhooks.services;
    let forwarded: Vec<&String> =
        services.iter().filter(|(_, service)| service.target.is_some()).map(|(name, _)| name).collect();
    let retry = ListedWebhook::retry(
        &caller.organization,
        &delivery_id,
        &serde_json::to_string(&forwarded)?,
        context.now,
    );
    let event = context.audit_by(&caller, acts::RETRY)?.on(delivery_id.as_str());
    let mut batch = Batch::from([event.record_if(WEBHOOK_DEAD, &delivery_id)]);
    let retry = batch.ask(retry);
    let delivery = context.db(&caller.organization).batch(batch).await?.one(retry)?;
    delivery.map(Json).ok_or_else(|| ApiError::not_found("there is no such delivery that was given up"))
}

pub(crate) fn not_found() -> ApiError {
    ApiError::not_found("there is no such delivery")
}
