//! A deployment whose secrets a real Vault keeps: the built functions read them over the host's network, and
//! deliver keys there.

use std::time::{Duration, Instant};

use iam_core::config::FIRST_ORGANIZATION;
use iam_core::encoding::base64url;
use iam_core::id::KeyId;
use iam_core::keys::Target;
use reqwest::Method;
use serde_json::{Value, json};

use crate::Deployment;
use crate::deployment::{Setup, random};
use crate::scenarios::keys::key_rotation::put_aged_key;
use crate::vault::Vault;

const SECRETS: &str = "/api/v1/admin/secrets";

/// What the product may do in the Vault, and no more.
const POLICY: &str = r#"
    path "secret/data/edge-iam/secrets" { capabilities = ["read"] }
    path "secret/data/edge-iam/+/teams/*" { capabilities = ["create", "update"] }
    path "pki/issue/edge" { capabilities = ["update"] }
"#;

/// What is kept, and where.
pub struct Kept {
    /// What the deployment starts with: no master key, and the secret id of an `AppRole`.
    pub setup: Setup,
    vault: Vault,
    master_key: String,
    secret_id: String,
    key: String,
    key_id: KeyId,
}

/// A Vault with a master key and an authority, and a deployment to be that may use both.
pub async fn keeps() -> Kept {
    let vault = Vault::start().await;
    let master_key = base64url(&random::<32>());
    vault.put("edge-iam/secrets", &json!({"IAM_MASTER_KEY": master_key})).await;
    vault.write("sys/mounts/pki", &json!({"type": "pki"})).await;
    let authority = json!({"common_name": "Tests", "key_type": "ec", "ttl": "1h"});
    vault.write("pki/root/generate/internal", &authority).await;
    let role = json!({"allowed_domains": ["example.com"], "allow_subdomains": true, "key_type": "ec",
        "max_ttl": "30m"});
    vault.write("pki/roles/edge", &role).await;
    let (role_id, secret_id) = vault.app_role("edge", POLICY, "1h").await;
    let mut configuration = crate::scenarios::configuration();
    configuration["secrets"] = json!({"order": ["vault", "host"], "max_age": "1s", "vault": {
        "address": vault.address, "role_id": role_id, "path": "edge-iam/secrets", "pki_role": "edge",
        "timeout": "4s"}});
    let mut setup = Setup::new(&configuration);
    setup.master_key.clear();
    setup.vault_secret_id.clone_from(&secret_id);
    // As a schedule keeps it: below the prefix and the organization.
    let path = format!("edge-iam/{FIRST_ORGANIZATION}/teams/payments/key");
    let target = Target::Vault { mount: "secret".to_owned(), path };
    let (key, key_id) = put_aged_key(&mut setup, &target, None);
    Kept { setup, vault, master_key, secret_id, key, key_id }
}

/// The master key is read from the Vault and shown to nobody, a key that was rotated arrives there, a
/// certificate is issued; and a Vault that is sealed is said to be, at once.
pub async fn keeps_the_secrets(deployment: &Deployment, kept: &Kept) {
    let admin = deployment.administrator().await;
    let listed = admin.get(SECRETS).await.expect(200);
    assert!(
        !listed.text.contains(&kept.master_key) && !listed.text.contains(&kept.secret_id),
        "{}",
        listed.text
    );
    let store = &listed.json["stores"][0];
    assert_eq!((&store["store"], &store["status"]), (&json!("vault"), &json!("healthy")), "{}", listed.text);
    let secrets = listed.json["secrets"].as_array().unwrap();
    let master = secrets.iter().find(|secret| secret["name"] == "IAM_MASTER_KEY").unwrap();
    assert_eq!((&master["store"], &master["version"]), (&json!("vault"), &json!(1)));

    let run = async || {
        deployment.internal().post("/internal/scheduled/key-rotation", &json!({})).await.expect(204);
    };
    tokio::join!(run(), run());
    run().await;
    let arrived = kept.vault.read("secret/data/edge-iam/org_000000001/teams/payments/key").await;
    assert_eq!(arrived["data"]["metadata"]["version"], 1);
    let new = arrived["data"]["data"]["api_key"].as_str().unwrap();
    for key in [new, &kept.key] {
        let verify = deployment.client().post("/api/v1/auth/keys/verify", &json!({"api_key": key})).await;
        assert_eq!(verify.json["valid"], true, "{}", verify.text);
    }
    assert_eq!(deployment.recorded("api_key.rotate", "success", kept.key_id.as_str()), 1);
    let waiting = admin.get("/api/v1/auth/keys/deliveries").await.expect(200);
    assert_eq!(waiting.json["deliveries"], json!([]));

    let certificates = format!("{SECRETS}/certificates");
    let wanted = json!({"common_name": "a.example.com", "ttl_seconds": 600});
    let issued = admin.post(&certificates, &wanted).await.expect(200);
    assert!(issued.text_at("/certificate").contains("BEGIN CERTIFICATE"));

    kept.vault.ask(Method::POST, "sys/seal", &Value::Null).await;
    let began = Instant::now();
    admin.post(&certificates, &wanted).await.expect_problem(503, "vault_unavailable");
    let listed = admin.get(SECRETS).await.expect(200);
    let store = &listed.json["stores"][0];
    assert_eq!((&store["status"], &store["problem"]), (&json!("unhealthy"), &json!("sealed")));
    // An instance that has read the key goes on; one that comes now can't, and says so.
    let sign_in = deployment.client().login(&deployment.setup.username, &deployment.setup.password).await;
    match sign_in.status {
        200 => {}
        _ => drop(sign_in.expect_problem(503, "secrets_unavailable")),
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
