//! New keys that did not arrive yet: listed, asked for again.

use iam_core::id::KeyDeliveryId;
use iam_core::keys::{DELIVERY_OPEN, ListedDelivery, OWN_DELIVERY_OPEN, acts};
use iam_core::sql::Batch;
use iam_service::page::{cut, page_limit};
use iam_service::{ApiError, Caller, Context, Id, Json, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many deliveries a page holds at most.
const MAX_PAGE: u32 = 100;

/// Which deliveries.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListDeliveriesQuery {
    /// How many at most, 1 to 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<KeyDeliveryId>,
}

/// A page of deliveries.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListDeliveriesResponse {
    /// The deliveries that are open.
    deliveries: Vec<ListedDelivery>,
    /// For the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<KeyDeliveryId>,
}

/// One round trip beside the caller's authentication.
pub(crate) async fn list(
    context: Context,
    caller: Caller,
    Query(query): Query<ListDeliveriesQuery>,
) -> Result<Json<ListDeliveriesResponse>, ApiError> {
    let limit = page_limit(query.limit, MAX_PAGE)?;
    let reach = caller.decide("read", "api_keys");
    let page = ListedDelivery::page(&caller.organization, reach, query.cursor.as_ref(), limit);
    let mut deliveries = context.db(&caller.organization).all(page).await?;
    let next_cursor = cut(&mut deliveries, limit, |delivery| delivery.delivery_id.clone());
    Ok(Json(ListDeliveriesResponse { deliveries, next_cursor }))
}

/// One round trip beside the caller's authentication.
pub(crate) async fn retry(
    context: Context,
    caller: Caller,
    Id(delivery_id): Id<KeyDeliveryId>,
) -> Result<Json<ListedDelivery>, ApiError> {
    let reach = caller.decide("write", "api_keys");
    let condition = if reach.is_wide() { DELIVERY_OPEN } else { OWN_DELIVERY_OPEN };
    let event = context.audit_by(&caller, acts::DELIVERY_RETRY)?.on(delivery_id.as_str());
    let mut batch = Batch::new();
    let retry = batch.ask(ListedDelivery::retry(&caller.organization, reach, &delivery_id, context.now));
    batch.then(event.record_if(condition, &delivery_id));
    let delivery = context.db(&caller.organization).batch(batch).await?.one(retry)?;
    delivery.map(Json).ok_or_else(|| ApiError::not_found("there is no such delivery that is open"))
}
