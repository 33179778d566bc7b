//! A function for tests alone: `POST /conformance` runs the host layer's suite and answers what held.
//! `GET /bare` and `GET /select` are what the benchmarks measure a function against.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{Request, StatusCode, header};
use iam_core::sql::Statement;
use iam_edge::{Host, conformance};
use tower::ServiceExt;

iam_edge::serve!(handle);

/// The function.
pub async fn handle(host: Host, request: Request<Body>) -> Response {
    if request.uri().path() == "/echo" {
        return conformance::echo(host, request).await;
    }
    let router = Router::new()
        .route("/conformance", post(run_suite))
        .route("/bare", get(bare))
        .route("/select", get(select))
        .with_state(host);
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn run_suite(State(host): State<Host>) -> Response {
    let results: Vec<_> = conformance::run(&host)
        .await
        .into_iter()
        .map(|result| {
            serde_json::json!({"name": result.name, "passed": result.passed, "detail": result.detail})
        })
        .collect();
    json(&serde_json::json!({ "host": host.kind().as_str(), "results": results }))
}

async fn bare() -> Response {
    json(&serde_json::json!({ "status": "ok" }))
}

async fn select(State(host): State<Host>) -> Response {
    let statement = Statement::new("SELECT name, rootpage FROM sqlite_schema LIMIT 1");
    match host.db("conformance").run(statement).await {
        Ok(rows) => json(&serde_json::json!({ "rows": rows.len() })),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn json(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
