//! Webhooks: every scheme, and what is refused. All services here wait to be fetched; forwarding has tests of
//! its own.

use std::collections::BTreeSet;

use iam_core::config::Configuration;
use iam_core::encoding::base64url;
use iam_core::webhooks::{Outgoing, Signed, sign};
use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::random;
use crate::{Answer, Client, Deployment};

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// The services of every deployment under test.
#[must_use]
pub fn services() -> Value {
    json!({
        "github": {"scheme": "github"},
        "gitlab": {"scheme": "gitlab"},
        "gitlab-signed": {"scheme": "gitlab_signed"},
        "slack": {"scheme": "slack"},
        "stripe": {"scheme": "stripe"},
        "trello": {"scheme": "trello", "url": "https://iam.example.com/webhook/trello"},
        "twilio": {"scheme": "twilio", "url": "https://iam.example.com/webhook/twilio"},
        "standard": {"scheme": "standard_webhooks"},
        "token": {"scheme": "shared_secret", "signature": {"header": "X-Token", "id_header": "X-Id"}},
        "own": {"scheme": "hmac_sha256", "max_body_bytes": 200, "signature": {
            "header": "X-Own-Signature", "prefix": "sha256=", "encoding": "base64",
            "signed": "{id}:{timestamp}:{body}",
            "timestamp_header": "X-Own-Time", "id_header": "X-Own-Id"}},
        "fenced": {"scheme": "github", "ip_allowlist": ["198.51.100.0/24", "2001:db8::/32",
        "::ffff:203.0.113.0/120"],
            "ip_denylist": ["198.51.100.66"]},
        "unready": {"scheme": "github"},
        "worker": {"scheme": "standard_webhooks"},
    })
}

/// Their secrets: `IAM_WEBHOOK_SECRETS`.
#[must_use]
pub fn secrets() -> Value {
    let plain = ["webhook-secret"];
    json!({
        "github": plain, "gitlab": plain, "slack": plain, "stripe": plain, "trello": plain, "twilio": plain,
        "token": plain,
        "own": plain, "fenced": plain, "gitlab-signed": [STANDARD_SECRET], "worker": [STANDARD_SECRET],
        "standard": [OTHER_SECRET, STANDARD_SECRET],
    })
}

/// A message that was signed, and may be changed before it is sent.
#[derive(Clone)]
pub struct Sent {
    /// Where it goes.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Sent {
    /// Sends it.
    pub async fn send(&self, client: &Client) -> Answer {
        let mut request = client.request(Method::POST, &self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        client.send(request.body(self.body.clone())).await
    }
}

/// Text that nobody used before.
#[must_use]
pub fn unique() -> String {
    base64url(&random::<12>()).to_lowercase()
}

/// A message of a service, signed with a secret at a moment this many seconds from now.
#[must_use]
pub fn signed(
    deployment: &Deployment,
    service: &str,
    secret: &str,
    body: &str,
    id: &str,
    from_now: i64,
) -> Sent {
    let configuration = Configuration::parse(&deployment.setup.configuration, []).unwrap();
    let configured = configuration.webhooks.service(service).unwrap();
    let outgoing = Outgoing {
        url: configured.url.as_deref().unwrap_or_default(),
        content_type: if body.starts_with('{') {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        },
        body: body.as_bytes(),
        id,
        timestamp: iam_edge::now().as_seconds() + from_now,
    };
    let Signed { headers, query } = sign(&configured.scheme().unwrap(), secret, &outgoing).unwrap();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Sent { path: format!("/webhook/{service}{query}"), headers, body: body.as_bytes().to_vec() }
}

fn secret_of(service: &str) -> String {
    secrets()[service][0].as_str().unwrap().to_owned()
}

/// A new message of a service.
#[must_use]
pub fn new_message(deployment: &Deployment, service: &str) -> Sent {
    let id = unique();
    let body = format!(r#"{{"id": "{id}", "n": 1}}"#);
    signed(deployment, service, &secret_of(service), &body, &id, 0)
}

/// Each scheme is taken, kept byte by byte, and never twice.
pub async fn every_scheme_is_taken(deployment: &Deployment) {
    let (client, admin) = (deployment.client(), deployment.administrator().await);
    for (service, _) in services().as_object().unwrap() {
        if ["fenced", "unready", "worker"].contains(&service.as_str()) {
            continue;
        }
        let message = new_message(deployment, service);
        let taken = message.send(&client).await.expect(202);
        assert_eq!(taken.text_at("/status"), "accepted", "{service}");
        let delivery_id = taken.text_at("/delivery_id");
        let path = format!("/api/v1/webhooks/deliveries/{delivery_id}");
        let kept = admin.get(&path).await.expect(200);
        assert_eq!(kept.text_at("/message/body").as_bytes(), message.body, "{service}");
        assert_eq!(kept.text_at("/message/headers/content-type"), "application/json");
        assert_eq!((kept.text_at("/state"), kept.text_at("/service")), ("queued", service.as_str()));
        assert!(!kept.text.contains("webhook-secret") && !kept.text.contains("whsec_"), "{}", kept.text);
        assert_eq!(deployment.recorded("webhook.accepted", "success", delivery_id), 1);
        message.send(&client).await.expect_problem(409, "replayed");
    }
    // Twilio's usual form, and GitHub's headers.
    let body = format!("CallSid={}&From=%2B14158675309", unique());
    signed(deployment, "twilio", "webhook-secret", &body, "", 0).send(&client).await.expect(202);
    let mut github = new_message(deployment, "github");
    github.headers.push(("X-GitHub-Event".to_owned(), "push".to_owned()));
    github.headers.push(("Cookie".to_owned(), "a=b".to_owned()));
    let taken = github.send(&client).await.expect(202);
    let path = format!("/api/v1/webhooks/deliveries/{}", taken.text_at("/delivery_id"));
    let kept = admin.get(&path).await.expect(200);
    assert_eq!(kept.text_at("/message/headers/x-github-event"), "push");
    assert!(!kept.text.contains("cookie") && !kept.text.contains("x-hub-signature"), "{}", kept.text);
    // Trello asks first; so may others.
    let probe = client.send(client.request(Method::HEAD, "/webhook/trello")).await;
    assert_eq!(probe.status, 200);
    client.get("/webhook/nobody").await.expect_problem(404, "not_found");
}

/// What is not its sender's, not new, or not of now.
pub async fn others_are_refused(deployment: &Deployment) {
    let client = deployment.client();
    for (service, _) in services().as_object().unwrap() {
        if ["fenced", "unready", "worker"].contains(&service.as_str()) {
            continue;
        }
        let message = new_message(deployment, service);
        let other =
            if secret_of(service).starts_with("whsec_") { "whsec_AQIDBAUGBwg=" } else { "another-secret" };
        let text = String::from_utf8(message.body.clone()).unwrap();
        let wrong = signed(deployment, service, other, &text, &unique(), 0);
        wrong.send(&client).await.expect_problem(401, "signature_wrong");
        let mut bare = message.clone();
        bare.headers.pop();
        let refused = bare.send(&client).await.expect_problem(401, "signature_missing");
        assert_eq!(refused.headers["www-authenticate"], "Webhook");
        let mut twice = message.clone();
        twice.headers.push(message.headers.last().unwrap().clone());
        let refused = twice.send(&client).await;
        // A host may join what came twice into one; that is no signature either.
        assert!([400, 401].contains(&refused.status), "{service}: {}", refused.text);
        if !["gitlab", "token"].contains(&service.as_str()) {
            let mut changed = message.clone();
            changed.body.push(b' ');
            changed.send(&client).await.expect_problem(401, "signature_wrong");
        }
    }
    for service in ["slack", "stripe", "standard", "own", "gitlab-signed"] {
        let at = |from_now| {
            let id = unique();
            signed(deployment, service, &secret_of(service), &format!(r#"{{"a": "{id}"}}"#), &id, from_now)
        };
        at(-360).send(&client).await.expect_problem(401, "timestamp_stale");
        at(360).send(&client).await.expect_problem(401, "timestamp_ahead");
        at(-240).send(&client).await.expect(202);
    }
    let large = format!(r#"{{"a": "{}"}}"#, "a".repeat(200));
    let large = signed(deployment, "own", "webhook-secret", &large, &unique(), 0);
    large.send(&client).await.expect_problem(413, "body_too_large");
    let unready = signed(deployment, "unready", "webhook-secret", "{}", "", 0).send(&client).await;
    assert_eq!(unready.expect_problem(503, "service_not_ready").headers["retry-after"], "300");
    for service in ["nobody", "GITHUB", "..%2fgithub", "github%00"] {
        let answer = client.post(&format!("/webhook/{service}"), &json!({})).await;
        assert!([400, 404].contains(&answer.status), "{service}: {}", answer.text);
    }
    let refused = "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'webhook.refused' AND details \
                   ->> 'reason' = 'timestamp_stale' AND details ->> 'service' = 'own'";
    assert!(deployment.count(refused) > 0);
}

/// Eight at once, of which one is taken; then a retry that is signed anew.
pub async fn replays_are_refused(deployment: &Deployment) {
    let client = deployment.client();
    for service in ["github", "standard", "stripe", "token"] {
        let message = new_message(deployment, service);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (message, client) = (message.clone(), client.clone());
                tokio::spawn(async move { message.send(&client).await })
            })
            .collect();
        let mut taken = BTreeSet::new();
        for task in tasks {
            let answer = task.await.unwrap();
            match answer.status {
                202 => assert!(taken.insert(answer.text_at("/delivery_id").to_owned())),
                _ => drop(answer.expect_problem(409, "replayed")),
            }
        }
        assert_eq!(taken.len(), 1, "{service}");
        let delivery_id = taken.first().unwrap();
        assert_eq!(deployment.recorded("webhook.accepted", "success", delivery_id), 1);
    }
    for service in ["standard", "stripe", "own"] {
        let id = unique();
        let body = format!(r#"{{"id": "{id}"}}"#);
        let at = |from_now| signed(deployment, service, &secret_of(service), &body, &id, from_now);
        // Signed once: by another second it would be another message.
        let message = at(-20);
        let first = message.send(&client).await.expect(202);
        let retry = at(-10).send(&client).await.expect(200);
        assert_eq!(retry.text_at("/status"), "duplicate", "{service}");
        assert_eq!(retry.text_at("/delivery_id"), first.text_at("/delivery_id"));
        message.send(&client).await.expect_problem(409, "replayed");
    }
    // A header that nobody signed makes no new message.
    let mut github = new_message(deployment, "github");
    github.send(&client).await.expect(202);
    github.headers.push(("X-GitHub-Delivery".to_owned(), unique()));
    github.send(&client).await.expect_problem(409, "replayed");
}

/// From where, in every way to write it.
pub async fn addresses_are_checked(deployment: &Deployment) {
    for (address, is_allowed) in [
        ("198.51.100.7", true),
        ("::ffff:198.51.100.7", true),
        ("2001:db8::7", true),
        ("203.0.113.200", true),
        ("198.51.100.66", false),
        ("::ffff:198.51.100.66", false),
        ("198.51.101.7", false),
        ("2001:db9::7", false),
    ] {
        let client = deployment.client().from_address(address);
        let answer = new_message(deployment, "fenced").send(&client).await;
        if is_allowed {
            answer.expect(202);
        } else {
            answer.expect_problem(403, "address_not_allowed");
            assert_eq!(client.get("/webhook/fenced").await.status, 403);
        }
    }
    // The address comes before the signature: a stranger learns nothing of it.
    let stranger = deployment.client().from_address("192.0.2.1");
    stranger.post("/webhook/fenced", &json!({})).await.expect_problem(403, "address_not_allowed");
}

/// Two secrets while they are rotated, and a sender that signs with both.
pub async fn secrets_are_rotated(deployment: &Deployment) {
    let client = deployment.client();
    for secret in [STANDARD_SECRET, OTHER_SECRET] {
        signed(deployment, "standard", secret, "{}", &unique(), 0).send(&client).await.expect(202);
    }
    let id = unique();
    let strange = signed(deployment, "standard", "whsec_AQIDBAUGBwg=", "{}", &id, 0);
    let known = signed(deployment, "standard", STANDARD_SECRET, "{}", &id, 0);
    let mut both = strange.clone();
    let (_, value) = both.headers.last_mut().unwrap();
    *value = format!("{value} {}", known.headers.last().unwrap().1);
    strange.send(&client).await.expect_problem(401, "signature_wrong");
    // Both were signed within one second, or this one is refused for its moment.
    if strange.headers[1] == known.headers[1] {
        both.send(&client).await.expect(202);
    }
}

/// Slack's question when an address is set up.
pub async fn a_challenge_is_answered(deployment: &Deployment) {
    let client = deployment.client();
    let challenge = unique();
    let body = json!({"token": "x", "type": "url_verification", "challenge": challenge}).to_string();
    let message = signed(deployment, "slack", "webhook-secret", &body, "", 0);
    assert_eq!(message.send(&client).await.expect(200).json, json!({"challenge": challenge}));
    let unsigned = Sent { headers: Vec::new(), ..message };
    unsigned.send(&client).await.expect_problem(401, "signature_missing");
}

/// Fetched, hidden, acknowledged; for those who may.
pub async fn messages_are_fetched(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let fetch = async |body: Value| admin.post("/api/v1/webhooks/services/worker/fetch", &body).await;
    // What other scenarios left.
    fetch(json!({"hidden_seconds": 600})).await.expect(200);
    let mut sent = Vec::new();
    for _ in 0..3 {
        let taken = new_message(deployment, "worker").send(&deployment.client()).await.expect(202);
        sent.push(taken.text_at("/delivery_id").to_owned());
    }
    let ids = |answer: &Answer| -> Vec<String> {
        let deliveries = answer.json["deliveries"].as_array().unwrap();
        deliveries.iter().map(|delivery| delivery["delivery_id"].as_str().unwrap().to_owned()).collect()
    };
    let first = fetch(json!({"limit": 2, "hidden_seconds": 300})).await.expect(200);
    assert!(first.json["deliveries"][0]["message"]["body"].as_str().unwrap().contains("\"n\": 1"));
    let again = json!({"hidden_seconds": 3});
    let (one, other) = tokio::join!(fetch(again.clone()), fetch(again));
    let mut all = [ids(&first), ids(&one.expect(200)), ids(&other.expect(200))].concat();
    all.sort();
    let mut expected = sent.clone();
    expected.sort();
    assert_eq!(all, expected, "each once");
    let last = sent.iter().find(|id| !ids(&first).contains(id)).unwrap();
    let mut seen = Vec::new();
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        seen = ids(&fetch(json!({})).await.expect(200));
        if !seen.is_empty() {
            break;
        }
    }
    assert_eq!(seen, std::slice::from_ref(last), "not acknowledged, so once more");
    for id in &sent {
        let path = format!("/api/v1/webhooks/deliveries/{id}");
        admin.post(&format!("{path}/acknowledge"), &json!({})).await.expect(204);
        admin.post(&format!("{path}/acknowledge"), &json!({})).await.expect(204);
        let gone = admin.get(&path).await.expect(200);
        assert_eq!((gone.text_at("/state"), &gone.json["message"]), ("delivered", &Value::Null));
        assert_eq!(deployment.recorded("webhook.acknowledge", "success", id), 1);
        admin.post(&format!("{path}/retry"), &json!({})).await.expect_problem(404, "not_found");
    }
    for (path, pointer) in
        [(json!({"limit": 11}), "/limit"), (json!({"hidden_seconds": 0}), "/hidden_seconds")]
    {
        let refused = fetch(path).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer);
    }
    admin.post("/api/v1/webhooks/services/nobody/fetch", &json!({})).await.expect_problem(404, "not_found");
}

/// By service and state, in pages, for those who may.
pub async fn are_listed(deployment: &Deployment) {
    const LIST: &str = "/api/v1/webhooks/deliveries";
    let admin = deployment.administrator().await;
    for _ in 0..2 {
        new_message(deployment, "gitlab").send(&deployment.client()).await.expect(202);
    }
    for filter in ["", "&service=gitlab", "&state=queued", "&service=gitlab&state=queued"] {
        let first = admin.get(&format!("{LIST}?limit=1{filter}")).await.expect(200);
        let cursor = first.text_at("/next_cursor");
        let second = admin.get(&format!("{LIST}?limit=1&cursor={cursor}{filter}")).await.expect(200);
        assert_ne!(first.json["deliveries"][0]["delivery_id"], second.json["deliveries"][0]["delivery_id"]);
        assert!(!first.text.contains("sealed") && !first.text.contains("message"), "{}", first.text);
    }
    let none = admin.get(&format!("{LIST}?service=nobody&state=dead")).await.expect(200);
    assert_eq!(none.json["deliveries"], json!([]));
    admin.get(&format!("{LIST}?state=lost")).await.expect_problem(400, "invalid_query");
    let unknown = format!("{LIST}/wdlv_00000000000000000000000000");
    admin.get(&unknown).await.expect_problem(404, "not_found");
    admin.post(&format!("{unknown}/acknowledge"), &json!({})).await.expect_problem(404, "not_found");
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let nobody = deployment.client().with(login.text_at("/access_token"));
    nobody.get(LIST).await.expect_problem(403, "permission_denied");
    nobody
        .post("/api/v1/webhooks/services/worker/fetch", &json!({}))
        .await
        .expect_problem(403, "permission_denied");
    deployment.client().get(LIST).await.expect_problem(401, "credential_missing");
    deployment.internal().post("/internal/scheduled/webhook-outbox", &json!({})).await.expect(204);
}

/// A configuration under maintenance.
#[must_use]
pub fn maintenance_configuration() -> Value {
    let mut configuration = crate::scenarios::configuration();
    configuration["operational"] =
        json!({"maintenance_mode": true, "maintenance_message": "Service is in maintenance mode"});
    configuration
}

/// The answer of the source document, and nothing is taken.
pub async fn maintenance_is_told(deployment: &Deployment) {
    let answer = new_message(deployment, "github").send(&deployment.client()).await.expect(503);
    assert_eq!(answer.json, json!({"error": "Service is in maintenance mode", "status": "maintenance"}));
    assert_eq!(answer.headers["retry-after"], "300");
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM webhook_deliveries"), 0);
}
