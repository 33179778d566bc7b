//! Webhooks: `/webhook/{service}` takes them in, the job `webhook-outbox` forwards what could not be
//! forwarded at once, and `/api/v1/webhooks` shows them, hands out those that wait to be fetched, and asks
//! for dead ones again.

mod address;
mod deliveries;
mod forward;
mod intake;
mod job;
mod queue;
mod refusals;
mod secrets;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use iam_core::permission::Scope;
use iam_core::webhooks::ListedWebhook;
use iam_service::{Access, Area, Context, Function, Id, Route, WEBHOOK_SECRETS};

use deliveries::{ListWebhooksQuery, ListWebhooksResponse, WebhookAnswer};
use intake::IntakeAnswer;
use queue::{FetchRequest, FetchResponse};
use refusals::Refusals;

iam_service::deploy!(function);

const INTAKE: &str = "/webhook/{service}";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    administration(receiving(
        Function::new("webhook", "Takes webhooks in, forwards them, and has them fetched")
            .uses_database()
            .uses_master_key()
            .uses_secret(WEBHOOK_SECRETS)
            .connects_to(&["http://*:*", "https://*:*"]),
    ))
    .jobs([job::job()])
}

fn receiving(function: Function) -> Function {
    let refusals = Arc::new(Refusals::default());
    let probed = Arc::clone(&refusals);
    let probe =
        move |context: Context, service: Id<String>| intake::probe(Arc::clone(&probed), context, service);
    let take = move |context: Context, service: Id<String>, uri: Uri, headers: HeaderMap, body: Bytes| {
        intake::take(Arc::clone(&refusals), context, service, uri, headers, body)
    };
    function
        .area(Area::Webhooks)
        .route(
            Route::get(INTAKE, Access::public(), probe)
                .summary("Tells that a service takes webhooks")
                .description("For senders that ask with GET or HEAD before they send, as Trello does.")
                .answers(200, "There is such a service")
                .webhook_errors()
                .round_trips(1),
        )
        // Not by what an instance knows alone: the statement that takes a message reads the switch, and who
        // was told 503 may rely on it.
        .always_open()
        .route(
            Route::post(INTAKE, Access::public(), take)
                .summary("Takes a webhook in")
                .description(
                    "The address, the service, the size, the signature, its moment and that it is new are \
                     checked in this order (`webhooks.services`). A message that is taken is in the outbox \
                     before the answer. The very same message again is refused with 409; a retry that was \
                     signed anew under the same id gets the first delivery's id and `duplicate`. Slack's \
                     `url_verification` is answered with its challenge.",
                )
                .gives::<IntakeAnswer>(202, "Taken")
                .gives::<IntakeAnswer>(200, "A retry of what was taken before")
                .webhook_errors()
                .round_trips(2),
        )
}

fn administration(function: Function) -> Function {
    let read = || Access::permission("webhooks", "read", Scope::Organization);
    let write = || Access::permission("webhooks", "write", Scope::Organization);
    function
        .area(Area::Admin)
        .route(
            Route::get("/api/v1/webhooks/deliveries", read(), deliveries::list)
                .summary("Lists webhooks that were taken in, oldest first")
                .takes_query::<ListWebhooksQuery>()
                .gives::<ListWebhooksResponse>(200, "A page of deliveries")
                .round_trips(2),
        )
        .route(
            Route::get("/api/v1/webhooks/deliveries/{delivery_id}", read(), deliveries::show)
                .summary("Shows a webhook with its message")
                .description("The message is gone once its target has it, or once it was acknowledged.")
                .gives::<WebhookAnswer>(200, "The delivery")
                .round_trips(2),
        )
        .route(
            Route::post("/api/v1/webhooks/deliveries/{delivery_id}/retry", write(), deliveries::retry)
                .summary("Asks for a dead delivery again")
                .description(
                    "It is forwarded with the next run of the job, or waits to be fetched, with all \
                              its tries again.",
                )
                .gives::<ListedWebhook>(200, "It is tried again")
                .round_trips(2),
        )
        .route(
            Route::post("/api/v1/webhooks/services/{service}/fetch", write(), queue::fetch)
                .summary("Fetches messages of a service without a target, oldest first")
                .description(
                    "What is handed out is hidden from others for `hidden_seconds`. Who has done with a \
                     message acknowledges it; what is not acknowledged until then is handed out again, up to \
                     the service's `max_attempts`. What can't be opened is given up. Large messages come a \
                     few at a time.",
                )
                .takes::<FetchRequest>()
                .gives::<FetchResponse>(200, "Some messages, or none")
                .round_trips(3),
        )
        .route(
            Route::post("/api/v1/webhooks/deliveries/{delivery_id}/acknowledge", write(), queue::acknowledge)
                .summary("Acknowledges a message that was fetched")
                .description("It is not handed out again. Acknowledging it twice does no harm.")
                .answers(204, "Acknowledged")
                .round_trips(2),
        )
}
