//! Behaviour of the product, seen over HTTP.

pub mod directory;
pub mod keys;
pub mod oauth;
pub mod operation;
pub mod provisioning;
pub mod sign_in;
pub mod webhooks;

use serde_json::{Value, json};

/// What every deployment under test is configured with: a cheap password hash, and a short tolerance for a
/// refresh token's second coming.
#[must_use]
pub fn configuration() -> Value {
    let level = if crate::hosts::is_verbose() { "INFO" } else { "ERROR" };
    json!({
        "password": {"argon2": {"memory_kib": 1024, "iterations": 1}},
        "jwt": {"refresh_reuse_tolerance": "4s"},
        "monitoring": {"logging": {"level": level}},
        "cors": {"allowed_origins": ["https://console.example.com"]},
        // Every test client says where it comes from: one test's failed sign-ins lock no other test out.
        "network": {"trusted_proxies": ["127.0.0.0/8", "::1/128"]},
        "webhooks": {"services": webhooks::intake::services()},
    })
}

/// The same with everything traced, to a collector.
#[must_use]
pub fn traced_configuration(otlp_endpoint: &str) -> Value {
    let mut configuration = configuration();
    configuration["monitoring"] = json!({"otlp_endpoint": otlp_endpoint, "tracing": {"sample_rate": 1.0}});
    configuration
}

/// Every scenario, one after the other, and every job.
pub async fn run_all(deployment: &crate::Deployment) {
    crate::each_scenario! { crate::run_scenarios, deployment }
    let declared = iam_service::catalogue::describe(&iam_catalogue::functions());
    for function in declared["functions"].as_array().unwrap() {
        for schedule in function["schedules"].as_array().unwrap() {
            let path = format!("/internal/scheduled/{}", schedule["job"].as_str().unwrap());
            deployment.internal().post(&path, &json!({})).await.expect(204);
        }
    }
}
