//! What the benchmarks measure functions against: the same crates and the same host, without our layers.
//!
//! `GET /bare` answers, `GET /select` reads one row by its primary key first, `POST /argon2id` verifies one
//! password at the default cost.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{Request, StatusCode, header};
use iam_core::config::FIRST_ORGANIZATION;
use iam_core::secret::password::{self, PasswordCost, PasswordError, SALT_BYTES};
use iam_core::sql::Statement;
use iam_edge::Host;
use tower::ServiceExt;

iam_edge::serve!(handle);

/// Made once, as the functions' own is.
static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    Router::new().route("/bare", get(bare)).route("/select", get(select)).route("/argon2id", post(argon2id))
});

const PASSWORD: &str = "correct horse battery staple";

static STORED: LazyLock<Result<String, PasswordError>> =
    LazyLock::new(|| password::hash(PASSWORD, &[7; SALT_BYTES], PasswordCost::default()));

/// The function.
pub async fn handle(host: Host, mut request: Request<Body>) -> Response {
    request.extensions_mut().insert(host);
    match ROUTER.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn bare() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#).into_response()
}

async fn select(Extension(host): Extension<Host>) -> Response {
    let statement =
        Statement::new("SELECT name FROM organizations WHERE org_id = ?1").bind(FIRST_ORGANIZATION);
    match host.db(FIRST_ORGANIZATION).run(statement).await {
        Ok(rows) if rows.len() == 1 => bare().await,
        Ok(_) => failed("the row is missing"),
        Err(error) => failed(&error.to_string()),
    }
}

async fn argon2id() -> Response {
    let verified = STORED.as_deref().map(|stored| password::verify(PASSWORD, stored));
    match verified {
        Ok(Ok(true)) => bare().await,
        Ok(Ok(false)) => failed("the password is another"),
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(cause: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, cause.to_owned()).into_response()
}
