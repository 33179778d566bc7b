//! Reports of leaked keys, from end to end: a publisher of keys of our own signs as GitHub does.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a helper fails its test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iam_edge::native::TestHost;
use iam_tests::deployment::Setup;
use iam_tests::{Answer, Deployment};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

const KEYS: &str = "/api/v1/auth/keys";
const LEAKED: &str = "/api/v1/auth/keys/leaked";

/// Publishes the public half of a key as `current`, and counts who asks.
struct Publisher {
    address: String,
    key: SigningKey,
    asked: Arc<AtomicU32>,
    status: Arc<AtomicU32>,
}

impl Publisher {
    async fn start() -> Self {
        let key = SigningKey::from_slice(&[9; 32]).unwrap();
        let pem = p256::PublicKey::from(key.verifying_key()).to_public_key_pem(LineEnding::LF).unwrap();
        let document = json!({"public_keys": [
            {"key_identifier": "other", "key": "-----BEGIN PUBLIC KEY-----", "is_current": false},
            {"key_identifier": "current", "key": pem, "is_current": true},
        ]});
        let (asked, status) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(200)));
        let (count, answer) = (Arc::clone(&asked), Arc::clone(&status));
        let router = axum::Router::new().fallback(move |headers: axum::http::HeaderMap| {
            assert!(headers.contains_key("user-agent"));
            count.fetch_add(1, Ordering::SeqCst);
            let status = u16::try_from(answer.load(Ordering::SeqCst)).unwrap();
            let document = document.to_string();
            async move { (StatusCode::from_u16(status).unwrap(), document) }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, key, asked, status }
    }

    fn sign(&self, body: &str) -> String {
        let signature: Signature = self.key.sign(body.as_bytes());
        STANDARD.encode(signature.to_der())
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn start() -> (Deployment, TestHost, Publisher) {
    let publisher = Publisher::start().await;
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["api_keys"]["leak_reports_keys"] = json!(publisher.address);
    let (deployment, host) = iam_tests::native::start(Setup::new(&configuration));
    (deployment, host, publisher)
}

async fn send(deployment: &Deployment, identifier: &str, signature: &str, body: &str) -> Answer {
    let client = deployment.client();
    let request = client
        .request(reqwest::Method::POST, LEAKED)
        .header("content-type", "application/json")
        .header("github-public-key-identifier", identifier)
        .header("github-public-key-signature", signature)
        .body(body.to_owned());
    client.send(request).await
}

async fn new_key(deployment: &Deployment) -> Answer {
    let admin = deployment.administrator().await;
    let body =
        json!({"name": "leaky", "permissions": [{"resource": "api_keys", "action": "read", "scope": "own"}]});
    admin.post(KEYS, &body).await.expect(201)
}

fn token(token: &str) -> Value {
    json!({"token": token, "type": "edge_iam_api_key", "url": "https://example.com/blob",
    "source": "content"})
}

#[tokio::test]
async fn a_reported_key_works_no_longer() {
    let (deployment, host, publisher) = start().await;
    let (leaked, kept) = (new_key(&deployment).await, new_key(&deployment).await);
    let (key, key_id) = (leaked.text_at("/api_key"), leaked.text_at("/key_id"));
    // A key whose form is right, but that nobody ever had.
    let organization =
        deployment.setup.scim_token.trim_start_matches("cronos_scim_").chars().take(9).collect::<String>();
    let made_up = iam_core::secret::credential::Credential::new(
        "cronos_sk_live_",
        &format!("org_{organization}").parse().unwrap(),
        &[3; 32],
    );
    let body = json!([token(key), token("nonsense"), token(made_up.reveal()), token(key)]).to_string();
    let answer = send(&deployment, "current", &publisher.sign(&body), &body).await.expect(200);
    let labels: Vec<_> = answer.json.as_array().unwrap().iter().map(|verdict| &verdict["label"]).collect();
    assert_eq!(labels, ["true_positive", "false_positive", "false_positive", "true_positive"]);
    assert!(!answer.text.contains(key), "a key is repeated");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(key.as_bytes());
    let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer.json[0]["token_hash"], hexadecimal.as_str());

    let verify = async |key: &str| {
        deployment.client().post("/api/v1/auth/keys/verify", &json!({"api_key": key})).await.expect(200).json
    };
    assert_eq!(verify(key).await, json!({"valid": false, "reason": "revoked"}));
    assert_eq!(verify(kept.text_at("/api_key")).await["valid"], true);
    let shown = deployment.administrator().await.get(&format!("{KEYS}/{key_id}")).await.expect(200);
    assert_eq!(shown.json["revoked_because"], "leaked");
    assert_eq!(deployment.recorded("api_key.leak", "success", key_id), 2, "one of each place");

    // Reported once more: known, and nothing happens.
    send(&deployment, "current", &publisher.sign(&body), &body).await.expect(200);
    assert_eq!(deployment.recorded("api_key.leak", "success", key_id), 2);
    assert_eq!(publisher.asked(), 1, "the published keys are kept");
    deployment.check().await;
    let plans = host.plans();
    let scans: Vec<_> = plans
        .iter()
        .filter(|(sql, steps)| {
            sql.contains("json_each") && steps.iter().any(|step| step.starts_with("SCAN api_keys"))
        })
        .collect();
    assert!(scans.is_empty(), "{scans:#?}");
}

#[tokio::test]
async fn what_nobody_signed_changes_nothing() {
    let (deployment, _, publisher) = start().await;
    let created = new_key(&deployment).await;
    let body = json!([token(created.text_at("/api_key"))]).to_string();
    let signature = publisher.sign(&body);
    for (identifier, signature, sent) in [
        ("", signature.as_str(), body.as_str()),
        ("current", "", &body),
        ("current", "nonsense", &body),
        ("other", &signature, &body),
        ("unknown", &signature, &body),
        ("current", &signature, &format!("{body} ")),
        ("current", &publisher.sign("[]"), &body),
    ] {
        let refused = send(&deployment, identifier, signature, sent).await;
        refused.expect_problem(401, "invalid_signature");
    }
    assert_eq!(publisher.asked(), 1, "an unknown key has them fetched again, but not each time");
    for (body, pointer) in [("[]", ""), ("{}", ""), (r#"[{"token":1}]"#, "/0/token")] {
        let refused = send(&deployment, "current", &publisher.sign(body), body).await;
        assert_eq!(refused.expect_problem(422, "invalid_field").text_at("/errors/0/pointer"), pointer);
    }
    let key = created.text_at("/api_key");
    let verified = deployment.client().post("/api/v1/auth/keys/verify", &json!({"api_key": key})).await;
    assert_eq!(verified.expect(200).json["valid"], true);
    deployment.check().await;
}

#[tokio::test]
async fn without_the_published_keys_the_sender_tries_again() {
    let (deployment, host, publisher) = start().await;
    let created = new_key(&deployment).await;
    let body = json!([token(created.text_at("/api_key"))]).to_string();
    publisher.status.store(503, Ordering::SeqCst);
    for identifier in ["current", "other", "current"] {
        let refused = send(&deployment, identifier, &publisher.sign(&body), &body).await;
        assert_eq!(refused.expect_problem(503, "keys_unavailable").headers["retry-after"], "60");
    }
    assert_eq!(publisher.asked(), 1, "strangers' reports don't have a publisher asked again that failed");
    publisher.status.store(200, Ordering::SeqCst);
    // A minute later.
    let kv = host.request().kv();
    let mut kept: Value = serde_json::from_str(&kv.get("leak_report_keys").await.unwrap().unwrap()).unwrap();
    kept["failed_at"] = json!(kept["failed_at"].as_i64().unwrap() - 61_000);
    kv.put("leak_report_keys", &kept.to_string(), 600).await.unwrap();
    let answer = send(&deployment, "current", &publisher.sign(&body), &body).await.expect(200);
    assert_eq!(answer.json[0]["label"], "true_positive");
}
