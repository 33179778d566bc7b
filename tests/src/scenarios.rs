//! Behaviour of the product, seen over HTTP.

pub mod algorithms;
pub mod api_keys;
pub mod health;
pub mod hostile;
pub mod refresh;
pub mod scim;
pub mod sign_in;
pub mod telemetry;
pub mod users;

use serde_json::{Value, json};

/// What every deployment under test is configured with: a cheap password hash, and a short tolerance for a
/// refresh token's second coming.
#[must_use]
pub fn configuration() -> Value {
    json!({
        "password": {"argon2": {"memory_kib": 1024, "iterations": 1}},
        "jwt": {"refresh_reuse_tolerance": "4s"},
        "monitoring": {"logging": {"level": "ERROR"}},
        "cors": {"allowed_origins": ["https://console.example.com"]},
        // Every test client says where it comes from: one test's failed sign-ins lock no other test out.
        "network": {"trusted_proxies": ["127.0.0.0/8", "::1/128"]},
    })
}

/// The same with everything traced, to a collector.
#[must_use]
pub fn traced_configuration(otlp_endpoint: &str) -> Value {
    let mut configuration = configuration();
    configuration["monitoring"] = json!({"otlp_endpoint": otlp_endpoint, "tracing": {"sample_rate": 1.0}});
    configuration
}

/// Every scenario that changes something, one after the other.
pub async fn run_all(deployment: &crate::Deployment) {
    sign_in::signs_in(deployment).await;
    sign_in::wrong_credentials_look_alike(deployment).await;
    sign_in::a_token_opens_the_profile(deployment).await;
    sign_in::sessions_are_limited(deployment).await;
    refresh::rotates(deployment).await;
    refresh::a_reused_token_ends_the_session(deployment).await;
    api_keys::live_and_die(deployment).await;
    api_keys::are_listed_in_pages(deployment).await;
    api_keys::are_created_once(deployment).await;
    api_keys::expire_by_schedule(deployment).await;
    api_keys::a_key_is_a_credential(deployment).await;
    health::details_need_a_permission(deployment).await;
    scim::a_user_is_provisioned(deployment).await;
    scim::a_deactivated_user_is_out(deployment).await;
    users::are_administered(deployment).await;
    users::come_and_go(deployment).await;
    users::are_created_once(deployment).await;
    users::are_found_by_every_filter(deployment).await;
    users::nobody_reaches_above_itself(deployment).await;
    users::are_imported(deployment).await;
    users::are_exported(deployment).await;
    deployment.internal().post("/internal/scheduled/directory-purge", &json!({})).await.expect(204);
}
