//! Behaviour of the product, seen over HTTP.

pub mod algorithms;
pub mod api_keys;
pub mod break_glass;
pub mod directory;
pub mod flags;
pub mod health;
pub mod hostile;
pub mod key_rights;
pub mod key_rotation;
pub mod keyring;
pub mod limits;
pub mod lockout;
pub mod oauth;
pub mod organizations;
pub mod passwords;
pub mod refresh;
pub mod scim;
pub mod scim_clients;
pub mod scim_providers;
pub mod secrets;
pub mod service_accounts;
pub mod sessions;
pub mod sign_in;
pub mod telemetry;
pub mod users;
pub mod vault;
pub mod webhook_forwarding;
pub mod webhooks;
pub mod well_known;

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
        "webhooks": {"services": webhooks::services()},
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
    lockout::parallel_guesses_get_five_tries(deployment).await;
    sessions::a_browser_signs_in_with_a_cookie(deployment).await;
    sessions::are_listed_and_ended(deployment).await;
    sessions::end_everywhere(deployment).await;
    refresh::rotates(deployment).await;
    refresh::a_reused_token_ends_the_session(deployment).await;
    keyring::of_many_rotations_one_waits(deployment).await;
    well_known::keys_verify_tokens(deployment).await;
    api_keys::live_and_die(deployment).await;
    api_keys::are_listed_in_pages(deployment).await;
    api_keys::are_created_once(deployment).await;
    api_keys::expire_by_schedule(deployment).await;
    api_keys::a_key_is_a_credential(deployment).await;
    api_keys::carry_ranges_and_notes(deployment).await;
    api_keys::are_found_by_filters(deployment).await;
    limits::a_key_is_bound_to_addresses(deployment).await;
    key_rights::nobody_gets_a_key_above_itself(deployment).await;
    key_rights::a_wider_key_stops_its_schedule(deployment).await;
    key_rights::follow_their_owner(deployment).await;
    key_rights::rest_with_their_owner(deployment).await;
    key_rights::are_bounded(deployment).await;
    key_rights::are_replaced_once(deployment).await;
    key_rotation::schedules_are_set(deployment).await;
    passwords::are_changed(deployment).await;
    passwords::are_not_used_again(deployment).await;
    passwords::are_reset_by_an_administrator(deployment).await;
    passwords::a_reset_is_asked_for_without_telling(deployment).await;
    break_glass::opens_once(deployment).await;
    break_glass::is_listed_and_revoked(deployment).await;
    break_glass::refuses_what_is_no_credential(deployment).await;
    flags::are_set_and_taken_back(deployment).await;
    health::details_need_a_permission(deployment).await;
    scim::a_user_is_provisioned(deployment).await;
    scim::a_deactivated_user_is_out(deployment).await;
    scim_clients::are_administered(deployment).await;
    scim_clients::tokens_turn(deployment).await;
    scim_providers::entra_provisions_groups(deployment).await;
    scim_providers::entra_provisions_users(deployment).await;
    scim_providers::okta_pushes_groups(deployment).await;
    scim_providers::okta_provisions_users(deployment).await;
    scim_providers::okta_provisions_users_by_put(deployment).await;
    service_accounts::are_administered(deployment).await;
    service_accounts::are_not_people(deployment).await;
    service_accounts::are_listed_in_pages(deployment).await;
    service_accounts::are_created_once(deployment).await;
    service_accounts::secrets_turn(deployment).await;
    oauth::a_client_gets_tokens(deployment).await;
    oauth::tokens_end_with_their_client(deployment).await;
    oauth::assertions_work_once(deployment).await;
    oauth::introspection_tells(deployment).await;
    oauth::revocation_ends_the_session(deployment).await;
    directory::roles_inherit(deployment).await;
    directory::roles_never_go_round(deployment).await;
    directory::nobody_grants_what_it_lacks(deployment).await;
    directory::roles_are_administered(deployment).await;
    directory::roles_are_bounded(deployment).await;
    directory::roles_in_use_stay(deployment).await;
    directory::an_administrator_remains(deployment).await;
    directory::groups_live(deployment).await;
    directory::groups_have_members(deployment).await;
    organizations::are_administered(deployment).await;
    organizations::are_apart(deployment).await;
    users::are_administered(deployment).await;
    users::come_and_go(deployment).await;
    users::are_created_once(deployment).await;
    users::are_found_by_every_filter(deployment).await;
    users::nobody_reaches_above_itself(deployment).await;
    users::are_imported(deployment).await;
    users::are_exported(deployment).await;
    webhooks::every_scheme_is_taken(deployment).await;
    webhooks::others_are_refused(deployment).await;
    webhooks::a_challenge_is_answered(deployment).await;
    webhooks::messages_are_fetched(deployment).await;
    webhooks::are_listed(deployment).await;
    deployment.internal().post("/internal/scheduled/directory-purge", &json!({})).await.expect(204);
    deployment.internal().post("/internal/scheduled/scim-roles", &json!({})).await.expect(204);
}
