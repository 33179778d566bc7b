//! Traces, metrics and logs, as a real collector decodes them.

use reqwest::Method;
use serde_json::json;

use crate::Deployment;
use crate::collector::Collector;

/// A request's trace continues its caller's; metrics and logs come too; no secret comes.
pub async fn arrives(deployment: &Deployment, collector: &Collector) {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let client = deployment.client();
    let setup = &deployment.setup;
    let login = client
        .request(Method::POST, "/api/v1/auth/login")
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .json(&json!({"username": setup.username, "password": setup.password}));
    let answer = client.send(login).await.expect(200);
    let wanted = [
        TRACE,
        "POST /api/v1/auth/login",
        "cronos_requests_total",
        "cronos_request_duration_seconds",
        "cronos_auth_attempts_total",
        "http.server.request.duration",
        "service.name",
        "db.round_trips",
    ];
    collector.wait_for(&wanted).await;
    let printed = collector.printed();
    for secret in [setup.password.as_str(), answer.text_at("/access_token"), answer.text_at("/refresh_token")]
    {
        assert!(!printed.contains(secret), "a secret reached the collector");
    }
}
