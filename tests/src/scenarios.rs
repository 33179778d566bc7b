//! Behaviour of the product, seen over HTTP.

pub mod algorithms;
pub mod api_keys;
pub mod health;
pub mod hostile;
pub mod refresh;
pub mod scim;
pub mod sign_in;
pub mod telemetry;

use serde_json::{Value, json};

/// What every deployment under test is configured with: a cheap password hash, and a short tolerance for a
/// refresh token's second coming.
#[must_use]
pub fn configuration() -> Value {
    json!({
        "password": {"argon2": {"memory_kib": 1024, "iterations": 1}},
        "jwt": {"refresh_reuse_tolerance": "2s"},
        "monitoring": {"logging": {"level": "ERROR"}},
        "cors": {"allowed_origins": ["https://console.example.com"]},
    })
}

/// The same with everything traced, to a collector.
#[must_use]
pub fn traced_configuration(otlp_endpoint: &str) -> Value {
    let mut configuration = configuration();
    configuration["monitoring"] = json!({"otlp_endpoint": otlp_endpoint, "tracing": {"sample_rate": 1.0}});
    configuration
}
