//! Switches that work without a deploy.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deployment::Setup;
use crate::{Answer, Client, Deployment};

const FLAGS: &str = "/api/v1/flags";
const KEYS: &str = "/api/v1/auth/keys";
const VERIFY: &str = "/api/v1/auth/keys/verify";

/// How long a test waits for what takes a second, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a deployment that goes into maintenance starts with: it looks at its switches every second.
#[must_use]
pub fn setup() -> Setup {
    let mut configuration = crate::scenarios::configuration();
    configuration["operational"] = json!({
        "flags_max_age": "1s",
        "maintenance_message": "Back at noon",
        "maintenance_retry_after": "90s",
    });
    Setup::new(&configuration)
}

fn changes(deployment: &Deployment) -> i64 {
    deployment.recorded("flags.change", "success", "org_000000001")
}

/// Asks until the answer is as wanted.
async fn until(ask: impl AsyncFn() -> Answer, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let began = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{} {}", answer.status, answer.text);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A switch is set, says who set it, and is taken back.
pub async fn are_set_and_taken_back(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let me = admin.get("/api/v1/auth/me").await.expect(200).text_at("/user_id").to_owned();
    let before = admin.get(FLAGS).await.expect(200);
    assert_eq!(before.json["flags"]["verbose_logging"]["value"], false);
    assert_eq!(before.json["seen_everywhere_within_seconds"], 5);
    assert_eq!(before.json["maintenance_serves"], json!(["health", "admin"]));

    let count = changes(deployment);
    let set = admin.patch(FLAGS, &json!({"verbose_logging": true})).await.expect(200);
    let flag = &set.json["flags"]["verbose_logging"];
    assert_eq!((&flag["value"], &flag["source"]), (&json!(true), &json!("run_time")));
    assert_eq!((&flag["configured"], &flag["changed_by"]), (&json!(false), &json!(me)));
    assert!(flag["changed_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(set.json["flags"]["maintenance_mode"], before.json["flags"]["maintenance_mode"]);
    assert_eq!(admin.get(FLAGS).await.json, set.json);
    assert_eq!(changes(deployment), count + 1);

    // What changes nothing is no change.
    for nothing in [json!({}), json!({"verbose_logging": true})] {
        assert_eq!(admin.patch(FLAGS, &nothing).await.expect(200).json, set.json);
    }
    assert_eq!(changes(deployment), count + 1);

    let back = admin.patch(FLAGS, &json!({"verbose_logging": null})).await.expect(200);
    let flag = &back.json["flags"]["verbose_logging"];
    assert_eq!((&flag["value"], &flag["source"]), (&json!(false), &json!("configuration")));
    assert_eq!(flag["changed_by"], json!(me));
    let details = "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'flags.change' AND \
                   json_extract(details, '$.changes.verbose_logging.old') = 1 AND \
                   json_type(details, '$.changes.verbose_logging.new') = 'null'";
    assert!(deployment.count(details) >= 1);
}

/// What no switch can be is refused, field by field.
pub async fn bad_values_are_refused(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let before = admin.get(FLAGS).await.expect(200).json;
    for (patch, pointer) in [
        (json!({"maintenance_message": ""}), "/maintenance_message"),
        (json!({"maintenance_message": "x".repeat(501)}), "/maintenance_message"),
        (json!({"maintenance_message": "a\r\nb"}), "/maintenance_message"),
        (json!({"maintenance_mode": "yes"}), "/maintenance_mode"),
        (json!({"maintenance_retry_after": "8d"}), "/maintenance_retry_after"),
        (json!({"maintenance_retry_after": 60}), "/maintenance_retry_after"),
        (json!({"rate_limit_per_minute": 100_000_001}), "/rate_limit_per_minute"),
        (json!({"rate_limit_per_minute": -1}), "/rate_limit_per_minute"),
        // One bad field, and none is set.
        (json!({"verbose_logging": true, "rate_limit_per_minute": 1.5}), "/rate_limit_per_minute"),
        (json!({"flags_max_age": "1s"}), "/flags_max_age"),
    ] {
        let refused = admin.patch(FLAGS, &patch).await.expect(422);
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{}", refused.text);
    }
    assert_eq!(
        admin.get(FLAGS).await.expect(200).json["flags"]["rate_limit_per_minute"],
        before["flags"]["rate_limit_per_minute"]
    );
}

/// They are the deployment's: another organization's administrator neither sees nor changes them, nor does
/// anybody without the right.
pub async fn are_for_the_deployments_administrators(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let user = deployment.client().with(login.text_at("/access_token"));
    let (tenant, ..) = crate::scenarios::directory::organizations::new_organization(deployment, &admin).await;
    for client in [&user, &tenant] {
        client.get(FLAGS).await.expect_problem(403, "permission_denied");
        let patch = json!({"maintenance_message": "Pwned"});
        client.patch(FLAGS, &patch).await.expect_problem(403, "permission_denied");
    }
    let nobody = deployment.client();
    nobody.get(FLAGS).await.expect_problem(401, "credential_missing");
    nobody.patch(FLAGS, &json!({"maintenance_mode": true})).await.expect_problem(401, "credential_missing");
    let changed = "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'flags.change' AND \
                   (json_extract(details, '$.changes.maintenance_mode') IS NOT NULL OR \
                   json_extract(details, '$.changes.maintenance_message') IS NOT NULL)";
    assert_eq!(deployment.count(changed), 0);
}

async fn key(client: &Client, rate_limit: u32) -> String {
    let body = json!({
        "name": "flags", "rate_limit": rate_limit,
        "permissions": [
            {"resource": "api_keys", "action": "read", "scope": "own"},
            {"resource": "flags", "action": "read", "scope": "all"},
            {"resource": "flags", "action": "manage", "scope": "all"},
        ],
    });
    client.post(KEYS, &body).await.expect(201).text_at("/api_key").to_owned()
}

/// Maintenance turns requests away on every instance within the bound, leaves open what it shall, and ends.
/// For a deployment of its own, made with [`setup`].
pub async fn maintenance_turns_away(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let key = key(&admin, 100_000).await;
    let verify = async || deployment.client().post(VERIFY, &json!({"api_key": key})).await;
    assert_eq!(verify().await.expect(200).json["valid"], true);
    admin.get(KEYS).await.expect(200);

    admin.patch(FLAGS, &json!({"maintenance_mode": true})).await.expect(200);
    let began = Instant::now();
    // Other functions are other instances.
    until(verify, |answer| answer.status == 503).await;
    let closed = until(async || admin.get(KEYS).await, |answer| answer.status == 503).await;
    assert!(began.elapsed() < PATIENCE);
    let closed = closed.expect_problem(503, "maintenance");
    assert_eq!(closed.headers["retry-after"], "90");
    assert_eq!(closed.text_at("/detail"), "Back at noon");
    // From then on, nothing slips through.
    for _ in 0..15 {
        verify().await.expect_problem(503, "maintenance");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    deployment.client().get("/health").await.expect(200);
    deployment.client().get("/ready").await.expect(200);
    deployment.administrator().await.get("/api/v1/users").await.expect(200);
    deployment.client().get("/.well-known/jwks.json").await.expect(200);
    deployment.internal().post("/internal/scheduled/key-rotation", &json!({})).await.expect(204);

    let by_key = deployment.client().with(&key);
    let told = json!({"maintenance_message": "Soon", "maintenance_retry_after": "2m"});
    by_key.patch(FLAGS, &told).await.expect(200);
    let closed = until(verify, |answer| answer.headers["retry-after"] == "120").await;
    assert_eq!(closed.expect_problem(503, "maintenance").text_at("/detail"), "Soon");

    let all_back = json!({
        "maintenance_mode": null, "maintenance_message": null, "maintenance_retry_after": null,
    });
    by_key.patch(FLAGS, &all_back).await.expect(200);
    until(verify, |answer| answer.status == 200).await;
    until(async || admin.get(KEYS).await, |answer| answer.status == 200).await;
    assert_eq!(changes(deployment), 3);
}

/// Limits are switched off and on at run time, and an organization's is set. For a deployment of its own,
/// made with [`setup`].
pub async fn limits_are_switched(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let key = key(&admin, 2).await;
    let verify = async || deployment.client().post(VERIFY, &json!({"api_key": key})).await.expect(200);
    let is_limited = |answer: &Answer| answer.json["reason"] == "rate_limited";
    let works = |answer: &Answer| answer.json["valid"] == true;
    until(verify, is_limited).await;
    admin.patch(FLAGS, &json!({"rate_limiting_enabled": false})).await.expect(200);
    until(verify, works).await;
    for _ in 0..10 {
        let answer = verify().await;
        assert!(works(&answer) && !answer.headers.contains_key("ratelimit"), "{}", answer.text);
    }
    admin
        .patch(FLAGS, &json!({"rate_limiting_enabled": null, "rate_limit_per_minute": 1000}))
        .await
        .expect(200);
    until(verify, is_limited).await;
    let of_organization = |answer: &Answer| {
        let policy = answer.headers.get("ratelimit-policy").map(|value| value.to_str().unwrap());
        policy.is_some_and(|policy| policy.contains("\"organization\";q=1000;w=60"))
    };
    until(async || admin.get(KEYS).await, of_organization).await;
    admin.patch(FLAGS, &json!({"rate_limit_per_minute": 0})).await.expect(200);
    until(async || admin.get(KEYS).await, |answer| !of_organization(answer)).await;
    let flag = admin.get(FLAGS).await.expect(200).json["flags"]["rate_limit_per_minute"].clone();
    assert_eq!((&flag["value"], &flag["source"]), (&Value::Null, &json!("run_time")));
}
