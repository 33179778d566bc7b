//! `/health`, `/ready` and `/health/detailed`: whether the product lives, whether it can serve, and how its
//! parts do.

use std::collections::BTreeMap;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use iam_core::permission::Scope;
use iam_core::sql::Statement;
use iam_core::time::Timestamp;
use iam_service::{Access, ApiError, Area, Caller, Context, Function, Json, Route};
use schemars::JsonSchema;
use serde::Serialize;

iam_service::deploy!(function);

/// Above this a part that answers is still called degraded.
const SLOW_MS: i64 = 1_000;

/// What this function is.
#[must_use]
pub fn function() -> Function {
    let read = Access::permission("health", "read", Scope::Organization);
    Function::new("health", "Tells how the product does")
        .area(Area::Health)
        .uses_database()
        .uses_key_value()
        .route(
            Route::get("/health", Access::public(), health)
                .summary("Tells whether the product lives")
                .gives::<Health>(200, "It lives")
                .round_trips(0)
                .routine(),
        )
        .route(
            Route::get("/ready", Access::public(), ready)
                .summary("Tells whether the product can serve")
                .gives::<Readiness>(200, "It can")
                .gives::<Readiness>(503, "A part it can't do without fails")
                .round_trips(1)
                .routine(),
        )
        .route(
            Route::get("/health/detailed", read, detailed)
                .summary("Tells how every part does")
                .gives::<DetailedHealth>(200, "How every part does")
                .round_trips(2),
        )
}

/// How something does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Well.
    Healthy,
    /// It works, but not as it should; or only a part that can be done without fails.
    Degraded,
    /// It fails.
    Unhealthy,
}

/// That the product lives.
#[derive(Serialize, JsonSchema)]
pub struct Health {
    /// Always `healthy`: who answers, lives.
    pub status: Status,
    /// The product's version.
    pub version: &'static str,
    /// Now.
    pub timestamp: Timestamp,
    /// How long this instance has run.
    pub uptime_seconds: i64,
}

/// Whether the product can serve.
#[derive(Serialize, JsonSchema)]
pub struct Readiness {
    /// The worst of what it can't do without.
    pub status: Status,
    /// Now.
    pub timestamp: Timestamp,
    /// What it depends on.
    pub dependencies: BTreeMap<&'static str, Dependency>,
}

/// Something the product depends on.
#[derive(Serialize, JsonSchema)]
pub struct Dependency {
    /// How it does.
    pub status: Status,
    /// The same in words.
    pub message: &'static str,
}

/// How every part does.
#[derive(Serialize, JsonSchema)]
pub struct DetailedHealth {
    /// The worst of the parts.
    pub status: Status,
    /// The parts.
    pub components: BTreeMap<&'static str, Component>,
    /// How long this instance has run.
    pub uptime_seconds: i64,
}

/// A part.
#[derive(Serialize, JsonSchema)]
pub struct Component {
    /// How it does.
    pub status: Status,
    /// How long it took to answer. On Workers the clock stands still while code runs, so this is the part's
    /// time alone.
    pub latency_ms: i64,
}

async fn health(context: Context) -> Json<Health> {
    Json(Health {
        status: Status::Healthy,
        version: env!("CARGO_PKG_VERSION"),
        timestamp: context.now,
        uptime_seconds: uptime_seconds(&context),
    })
}

async fn ready(context: Context) -> Response {
    let database = ask_database(&context).await;
    let message = match database.status {
        Status::Healthy => "the database answers",
        Status::Degraded => "the database answers slowly",
        Status::Unhealthy => "the database does not answer",
    };
    let readiness = Readiness {
        status: database.status,
        timestamp: context.now,
        dependencies: BTreeMap::from([("database", Dependency { status: database.status, message })]),
    };
    let status =
        if database.status == Status::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(readiness)).into_response()
}

async fn detailed(context: Context, _: Caller) -> Result<Json<DetailedHealth>, ApiError> {
    let database = ask_database(&context).await;
    let cache = ask_cache(&context).await;
    // The cache can be done without.
    let status = database.status.max(cache.status.min(Status::Degraded));
    Ok(Json(DetailedHealth {
        status,
        components: BTreeMap::from([("database", database), ("key_value", cache)]),
        uptime_seconds: uptime_seconds(&context),
    }))
}

async fn ask_database(context: &Context) -> Component {
    let before = iam_edge::now();
    let answer =
        context.db(&context.configuration().organization).execute(Statement::new("SELECT 1 AS one")).await;
    component(context, "database", before, answer.map(|_| ()).map_err(|error| error.to_string()))
}

async fn ask_cache(context: &Context) -> Component {
    let before = iam_edge::now();
    let answer = context.host.kv().get("health").await;
    component(context, "key_value", before, answer.map(|_| ()).map_err(|error| error.to_string()))
}

fn component(context: &Context, name: &str, before: Timestamp, answer: Result<(), String>) -> Component {
    let latency_ms = iam_edge::now().as_millis().saturating_sub(before.as_millis());
    let status = match answer {
        Ok(()) if latency_ms > SLOW_MS => Status::Degraded,
        Ok(()) => Status::Healthy,
        Err(cause) => {
            context.log_failure(&format!("{name} failed"), &cause);
            Status::Unhealthy
        }
    };
    Component { status, latency_ms }
}

fn uptime_seconds(context: &Context) -> i64 {
    context.now.as_seconds().saturating_sub(context.instance.started_at.as_seconds())
}
