//! API keys that are rotated by themselves: `/api/v1/auth/keys/{key_id}/rotation` says when a key is replaced
//! and where its successor goes, `/api/v1/auth/keys/deliveries` shows successors that did not arrive yet, and
//! the job `key-rotation` replaces, delivers, expires and forgets.

mod deliveries;
mod job;
mod schedules;
mod send;
mod target;

use iam_core::permission::Scope;
use iam_service::{Access, Function, Route};

use deliveries::{ListDeliveriesQuery, ListDeliveriesResponse};
use schedules::{ScheduleAnswer, ScheduleRequest};

iam_service::deploy!(function, scheduled);

const ROTATION: &str = "/api/v1/auth/keys/{key_id}/rotation";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read = || Access::permission("api_keys", "read", Scope::Own);
    let write = || Access::permission("api_keys", "write", Scope::Own);
    Function::new("key-rotation", "Rotates API keys by schedule and delivers the new ones")
        .uses_database()
        .uses_master_key()
        .connects_to(&["http://*:*", "https://*:*"])
        .calls_only(CALLS)
        .route(
            Route::put(ROTATION, write(), schedules::set)
                .summary("Sets when an API key is replaced, and where the new key goes")
                .description(
                    "The key is replaced when it is `period_days` old, or a day before its own end. The old \
                     key works until the new one was delivered, and `overlap_hours` from then. Whoever holds \
                     `api_keys.write.organization` may set it for anybody's key. Either must hold all that \
                     the key may do, since new keys go where the schedule says. Setting another target \
                     applies to a key on its way, too.",
                )
                .takes::<ScheduleRequest>()
                .gives::<ScheduleAnswer>(200, "Set")
                .round_trips(3),
        )
        .route(
            Route::get(ROTATION, read(), schedules::show)
                .summary("Shows when an API key is replaced")
                .gives::<ScheduleAnswer>(200, "The schedule")
                .round_trips(2),
        )
        .route(
            Route::delete(ROTATION, write(), schedules::end)
                .summary("Ends an API key's schedule")
                .description("A new key that is on its way is delivered nevertheless.")
                .answers(204, "Ended")
                .round_trips(2),
        )
        .route(
            Route::get("/api/v1/auth/keys/deliveries", read(), deliveries::list)
                .summary("Lists new keys that did not arrive yet, oldest first")
                .description(
                    "The caller's own, or with `api_keys.read.organization` everybody's. Those that are \
                     `dead` are not tried again by themselves.",
                )
                .takes_query::<ListDeliveriesQuery>()
                .gives::<ListDeliveriesResponse>(200, "A page of deliveries")
                .round_trips(2),
        )
        .route(
            Route::post("/api/v1/auth/keys/deliveries/{delivery_id}/retry", write(), deliveries::retry)
                .summary("Asks for a delivery again")
                .description("It is tried with the next run of the job, and has all its tries again.")
                .gives::<iam_core::keys::ListedDelivery>(200, "It is tried again")
                .round_trips(2),
        )
        .schedule("key-rotation", "/internal/scheduled/key-rotation", "*/5 * * * *", job::run)
}

/// Which functions it calls.
const CALLS: &[&str] = &["metrics-push", "keyring", "secrets"];
