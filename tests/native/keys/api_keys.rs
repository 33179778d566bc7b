//! What configuration and time make of API keys, and what is told of their use: natively.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a helper fails its test")]

use iam_core::sql::Statement;
use iam_core::time::{Duration, Timestamp};
use iam_edge::native::TestHost;
use iam_tests::deployment::Setup;
use iam_tests::native::restart;
use iam_tests::{Answer, Client, Deployment};
use serde_json::{Value, json};

const KEYS: &str = "/api/v1/auth/keys";
const VERIFY: &str = "/api/v1/auth/keys/verify";

/// What surrounds the secret in a key, behind its prefix: the organization's hint and the checksum.
const AROUND_THE_SECRET: usize = 9 + 6;

fn configuration(api_keys: &Value) -> Value {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["api_keys"] = api_keys.clone();
    configuration
}

fn start(api_keys: &Value) -> (Deployment, TestHost) {
    iam_tests::native::start(Setup::new(&configuration(api_keys)))
}

/// A key that may list its owner's keys, with these fields beside.
async fn create(client: &Client, fields: &Value) -> Answer {
    let mut body = json!({"name": "tested", "permissions": [{"resource": "api_keys", "action": "read",
        "scope": "own"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    client.post(KEYS, &body).await.expect(201)
}

async fn rotate(client: &Client, created: &Answer, body: &Value) -> Answer {
    client.post(&format!("{KEYS}/{}/rotate", created.text_at("/key_id")), body).await
}

async fn verify(deployment: &Deployment, key: &str) -> Value {
    deployment.client().post(VERIFY, &json!({"api_key": key})).await.expect(200).json
}

async fn assert_works(deployment: &Deployment, key: &str) {
    assert_eq!(verify(deployment, key).await["valid"], true);
    deployment.client().with(key).get(KEYS).await.expect(200);
}

async fn assert_ended(deployment: &Deployment, key: &str) {
    assert_eq!(verify(deployment, key).await, json!({"valid": false, "reason": "expired"}));
    deployment.client().with(key).get(KEYS).await.expect_problem(401, "invalid_token");
}

async fn show(client: &Client, key_id: &str) -> Value {
    client.get(&format!("{KEYS}/{key_id}")).await.expect(200).json
}

fn moment(text: &Value) -> Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

/// As if all keys had been made and used this much earlier.
async fn let_pass(host: &TestHost, duration: Duration) {
    let earlier = "UPDATE api_keys SET created_at = created_at - ?1, expires_at = expires_at - ?1, \
                   last_used = last_used - ?1";
    host.request().db("").run(Statement::new(earlier).bind(duration.as_millis())).await.unwrap();
}

/// How often a key was accepted and refused, once all is written down. Of two days, in case midnight passes
/// meanwhile.
async fn usage(host: &TestHost, client: &Client, key_id: &str) -> (u64, u64) {
    host.settle().await;
    let usage = client.get(&format!("{KEYS}/{key_id}/usage?days=2")).await.expect(200);
    let days = usage.json["usage"].as_array().unwrap();
    let sum = |name: &str| days.iter().map(|day| day[name].as_u64().unwrap()).sum();
    (sum("accepted"), sum("refused"))
}

/// More bits make a longer key, created or rotated, and those that were made before work on.
#[tokio::test]
async fn configured_entropy_makes_longer_keys() {
    let (deployment, host) = start(&json!({}));
    let mut made = Vec::new();
    // How many digits of base 62 hold so many bits.
    for (api_keys, digits) in
        [(json!({}), 43), (json!({"entropy_bits": 384}), 65), (json!({"entropy_bits": 512}), 86)]
    {
        restart(&host, &[], &[("IAM_CONFIG", &configuration(&api_keys).to_string())]);
        let admin = deployment.administrator().await;
        let created = create(&admin, &json!({})).await;
        let rotated = rotate(&admin, &created, &json!({})).await.expect(200);
        for key in [created.text_at("/api_key"), rotated.text_at("/new_api_key")] {
            let body = key.strip_prefix("cronos_sk_live_").unwrap();
            assert_eq!(body.len(), AROUND_THE_SECRET + digits, "{api_keys}");
            made.push(key.to_owned());
        }
        for key in &made {
            assert_works(&deployment, key).await;
        }
    }
    deployment.check().await;
}

/// The environment is part of a key's prefix, and the configured prefix is the rest: created or rotated, it
/// works.
#[tokio::test]
async fn prefixes_are_configured() {
    for (environment, api_keys, prefix) in [
        ("test", json!({}), "cronos_sk_test_"),
        ("live", json!({"prefix": "acme_2_"}), "acme_2_live_"),
        ("test", json!({"prefix": "acme_2_", "entropy_bits": 384}), "acme_2_test_"),
    ] {
        let mut configuration = configuration(&api_keys);
        configuration["environment"] = json!(environment);
        let (deployment, _host) = iam_tests::native::start(Setup::new(&configuration));
        let admin = deployment.administrator().await;
        let created = create(&admin, &json!({})).await;
        let rotated = rotate(&admin, &created, &json!({})).await.expect(200);
        for key in [created.text_at("/api_key"), rotated.text_at("/new_api_key")] {
            assert!(key.starts_with(prefix), "{prefix}");
            assert_works(&deployment, key).await;
        }
        deployment.check().await;
    }
}

/// What another environment made is unknown in this one.
#[tokio::test]
async fn a_live_key_opens_no_test_environment() {
    let (deployment, host) = start(&json!({}));
    let created = create(&deployment.administrator().await, &json!({})).await;
    let key = created.text_at("/api_key");
    let mut configuration = configuration(&json!({}));
    configuration["environment"] = json!("test");
    restart(&host, &[], &[("IAM_CONFIG", &configuration.to_string())]);
    assert_eq!(verify(&deployment, key).await, json!({"valid": false, "reason": "unknown"}));
    deployment.client().with(key).get(KEYS).await.expect_problem(401, "invalid_token");
    restart(&host, &[], &[("IAM_CONFIG", &deployment.setup.configuration)]);
    assert_works(&deployment, key).await;
}

/// A key whose creator says no end lives as long as is configured: 90 days where nothing is.
#[tokio::test]
async fn keys_end_after_the_default_expiry() {
    for (api_keys, days) in [(json!({}), 90), (json!({"default_expiry": "7d"}), 7)] {
        let (deployment, host) = start(&api_keys);
        let admin = deployment.administrator().await;
        let created = create(&admin, &json!({})).await;
        let said = create(&admin, &json!({"expires_in_days": days + 1})).await;
        for (key, days) in [(&created, days), (&said, days + 1)] {
            let made_at = moment(&key.json["created_at"]);
            assert_eq!(moment(&key.json["expires_at"]), made_at.after(Duration::from_days(days)), "{days}");
            let shown = show(&admin, key.text_at("/key_id")).await;
            assert_eq!(shown["expires_at"], key.json["expires_at"]);
        }
        let key = created.text_at("/api_key");
        let_pass(&host, Duration::from_hours(days * 24 - 1)).await;
        assert_works(&deployment, key).await;
        let_pass(&host, Duration::from_hours(1)).await;
        assert_ended(&deployment, key).await;
        assert_eq!(show(&admin, created.text_at("/key_id")).await["status"], "expired");
        assert_works(&deployment, said.text_at("/api_key")).await;
        deployment.check().await;
    }
}

/// A rotated key works on for as many days as the rotation says, and no longer than it would have.
#[tokio::test]
async fn a_grace_period_is_in_days() {
    let (deployment, host) = start(&json!({}));
    let admin = deployment.administrator().await;
    for (body, overlap) in [
        (json!({"grace_period_days": 3}), Duration::from_days(3)),
        (json!({"grace_period_days": 90}), Duration::from_days(90)),
        (json!({"overlap_hours": 3}), Duration::from_hours(3)),
        (json!({"overlap_hours": 2160}), Duration::from_days(90)),
    ] {
        let created = create(&admin, &json!({"expires_in_days": 366})).await;
        let rotated = rotate(&admin, &created, &body).await.expect(200);
        let (old, new) = (created.text_at("/api_key"), rotated.text_at("/new_api_key"));
        let rotated_at = moment(&show(&admin, rotated.text_at("/new_key_id")).await["created_at"]);
        assert_eq!(moment(&rotated.json["old_key_expires_at"]), rotated_at.after(overlap), "{body}");
        let shown = show(&admin, created.text_at("/key_id")).await;
        assert_eq!(shown["expires_at"], rotated.json["old_key_expires_at"], "{body}");
        let an_hour = Duration::from_hours(1);
        let_pass(&host, Duration::from_millis(overlap.as_millis() - an_hour.as_millis())).await;
        assert_works(&deployment, old).await;
        let_pass(&host, an_hour).await;
        assert_ended(&deployment, old).await;
        assert_works(&deployment, new).await;
        admin.delete(&format!("{KEYS}/{}", rotated.text_at("/new_key_id"))).await.expect(200);
    }
    let at_once = create(&admin, &json!({})).await;
    rotate(&admin, &at_once, &json!({"grace_period_days": 0})).await.expect(200);
    assert_ended(&deployment, at_once.text_at("/api_key")).await;
    let short = create(&admin, &json!({"expires_in_days": 1})).await;
    let rotated = rotate(&admin, &short, &json!({"grace_period_days": 3})).await.expect(200);
    assert_eq!(rotated.json["old_key_expires_at"], short.json["expires_at"]);
    deployment.check().await;
}

/// What is refused names its field and leaves the key as it was.
#[tokio::test]
async fn overlaps_are_bounded() {
    let (deployment, _host) = start(&json!({}));
    let admin = deployment.administrator().await;
    let created = create(&admin, &json!({"expires_in_days": 366})).await;
    let before = show(&admin, created.text_at("/key_id")).await;
    for (body, pointer) in [
        (json!({"grace_period_days": 91}), "/grace_period_days"),
        (json!({"grace_period_days": u32::MAX}), "/grace_period_days"),
        (json!({"overlap_hours": 2161}), "/overlap_hours"),
        (json!({"overlap_hours": u32::MAX}), "/overlap_hours"),
        (json!({"overlap_hours": 24, "grace_period_days": 1}), "/grace_period_days"),
        (json!({"overlap_hours": 0, "grace_period_days": 0}), "/grace_period_days"),
    ] {
        let refused = rotate(&admin, &created, &body).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{body}");
    }
    assert_eq!(show(&admin, created.text_at("/key_id")).await, before);
    rotate(&admin, &created, &json!({"grace_period_days": 90})).await.expect(200);
    deployment.check().await;
}

/// Where a rotation says nothing, the configured overlap counts: a day where nothing is configured.
#[tokio::test]
async fn rotations_have_a_default_overlap() {
    for (api_keys, hours) in [
        (json!({}), 24),
        (json!({"default_overlap": "36h"}), 36),
        (json!({"default_overlap": "90d"}), 90 * 24),
        (json!({"default_overlap": "0s"}), 0),
    ] {
        let (deployment, _host) = start(&api_keys);
        let admin = deployment.administrator().await;
        let created = create(&admin, &json!({"expires_in_days": 366})).await;
        let rotated = rotate(&admin, &created, &json!({})).await.expect(200);
        let rotated_at = moment(&show(&admin, rotated.text_at("/new_key_id")).await["created_at"]);
        let ends_at = rotated_at.after(Duration::from_hours(hours));
        assert_eq!(moment(&rotated.json["old_key_expires_at"]), ends_at, "{api_keys}");
        let shown = show(&admin, created.text_at("/key_id")).await;
        assert_eq!(shown["expires_at"], rotated.json["old_key_expires_at"], "{api_keys}");
        // What a rotation says goes before it.
        let other = create(&admin, &json!({"expires_in_days": 366})).await;
        let rotated = rotate(&admin, &other, &json!({"grace_period_days": 2})).await.expect(200);
        let rotated_at = moment(&show(&admin, rotated.text_at("/new_key_id")).await["created_at"]);
        assert_eq!(moment(&rotated.json["old_key_expires_at"]), rotated_at.after(Duration::from_days(2)));
        deployment.check().await;
    }
}

/// A key shows when it was last used, by a verification or a call with it, and the filter for unused ones
/// goes by that.
#[tokio::test]
async fn a_use_is_shown_and_filtered_by() {
    let (deployment, host) = start(&json!({}));
    let admin = deployment.administrator().await;
    let mut keys = Vec::new();
    for name in ["verified", "called", "refused", "unused"] {
        let fields = json!({"name": name, "allowed_addresses": ["192.0.2.0/24"]});
        keys.push(create(&admin, &fields).await);
    }
    let names = async |since: Timestamp| {
        let page = admin.get(&format!("{KEYS}?unused_since={since}")).await.expect(200);
        let keys = page.json["keys"].as_array().unwrap();
        keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let hour = Duration::from_hours(1);
    // Just created is not unused.
    assert!(names(iam_edge::now().before(hour)).await.is_empty());
    let_pass(&host, Duration::from_days(2)).await;
    let yesterday = iam_edge::now().before(Duration::from_days(1));
    assert_eq!(names(yesterday).await, ["verified", "called", "refused", "unused"]);
    for key in &keys {
        let shown = show(&admin, key.text_at("/key_id")).await;
        assert_eq!(shown["last_used"], Value::Null, "{shown}");
    }

    let began = iam_edge::now().as_seconds();
    let (inside, outside) =
        (deployment.client().from_address("192.0.2.7"), deployment.client().from_address("198.51.100.1"));
    let verified = inside.post(VERIFY, &json!({"api_key": keys[0].text_at("/api_key")})).await.expect(200);
    assert_eq!(verified.json["valid"], true);
    inside.with(keys[1].text_at("/api_key")).get(KEYS).await.expect(200);
    let elsewhere = outside.with(keys[2].text_at("/api_key")).get(KEYS).await;
    elsewhere.expect_problem(403, "address_not_allowed");
    host.settle().await;
    let ended = iam_edge::now().as_seconds();
    for (key, is_used) in keys.iter().zip([true, true, false, false]) {
        let shown = show(&admin, key.text_at("/key_id")).await;
        let last_used = shown["last_used"].as_str().map(|_| moment(&shown["last_used"]).as_seconds());
        assert_eq!(last_used.is_some(), is_used, "{shown}");
        assert!(last_used.is_none_or(|at| (began..=ended).contains(&at)), "{shown}");
    }
    assert_eq!(names(yesterday).await, ["refused", "unused"]);
    // Later than the uses, all are unused again.
    assert_eq!(names(iam_edge::now().after(hour)).await.len(), keys.len());
    deployment.check().await;
}

/// Uses over a key's own limit are counted apart, by whichever function they are refused.
#[tokio::test]
async fn uses_over_the_limit_count_as_refused() {
    let (deployment, host) = start(&json!({}));
    let admin = deployment.administrator().await;
    let created = create(&admin, &json!({"rate_limit": 1})).await;
    let (key, key_id) = (created.text_at("/api_key"), created.text_at("/key_id"));
    assert_eq!(usage(&host, &admin, key_id).await, (0, 0));
    // By what was answered: a minute may end meanwhile.
    let (mut accepted, mut refused) = (0, 0);
    let mut count = |is_accepted: bool| *(if is_accepted { &mut accepted } else { &mut refused }) += 1;
    for _ in 0..3 {
        let verified = verify(&deployment, key).await;
        let called = deployment.client().with(key).get(KEYS).await;
        count(called.status == 200);
        if called.status != 200 {
            called.expect_problem(429, "rate_limited");
        }
        count(verified["valid"] == true);
        if verified["valid"] != true {
            assert_eq!(verified, json!({"valid": false, "reason": "rate_limited"}));
        }
    }
    assert!(accepted >= 1 && refused >= 1, "{accepted} accepted, {refused} refused");
    assert_eq!(usage(&host, &admin, key_id).await, (accepted, refused));
    deployment.check().await;
}

/// Uses from addresses that a key is not bound to are counted apart. What is no working key any more is not
/// counted.
#[tokio::test]
async fn uses_from_elsewhere_count_as_refused() {
    let (deployment, host) = start(&json!({}));
    let admin = deployment.administrator().await;
    let created = create(&admin, &json!({"allowed_addresses": ["192.0.2.0/24"]})).await;
    let other = create(&admin, &json!({})).await;
    let (key, key_id) = (created.text_at("/api_key"), created.text_at("/key_id"));
    let inside = deployment.client().from_address("192.0.2.7");
    let outside = deployment.client().from_address("198.51.100.1");
    let body = json!({"api_key": key});
    for _ in 0..2 {
        let refused = outside.post(VERIFY, &body).await.expect(200);
        assert_eq!(refused.json, json!({"valid": false, "reason": "address_not_allowed"}));
    }
    outside.with(key).get(KEYS).await.expect_problem(403, "address_not_allowed");
    assert_eq!(usage(&host, &admin, key_id).await, (0, 3));
    inside.with(key).get(KEYS).await.expect(200);
    assert_eq!(inside.post(VERIFY, &body).await.expect(200).json["valid"], true);
    assert_eq!(usage(&host, &admin, key_id).await, (2, 3));

    admin.delete(&format!("{KEYS}/{key_id}")).await.expect(200);
    let revoked = inside.post(VERIFY, &body).await.expect(200);
    assert_eq!(revoked.json, json!({"valid": false, "reason": "revoked"}));
    assert_eq!(usage(&host, &admin, key_id).await, (2, 3));
    assert_eq!(usage(&host, &admin, other.text_at("/key_id")).await, (0, 0), "another key's are its own");
    deployment.check().await;
}
