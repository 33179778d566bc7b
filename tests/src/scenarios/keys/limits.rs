//! Limits that hold over all instances, and revocation that is seen by the next request.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::deployment::Setup;
use crate::scenarios::directory::roles::person_with;
use crate::{Answer, Client, Deployment};

const KEYS: &str = "/api/v1/auth/keys";
const VERIFY: &str = "/api/v1/auth/keys/verify";

/// How many clients use a key at once.
const CLIENTS: usize = 8;

/// How many use a key while it is revoked.
const USERS: usize = 1000;

/// How often a key is used that is to be counted.
const USES: usize = 300;

async fn create(client: &Client, rate_limit: u32) -> Answer {
    let request = json!({
        "name": "limited",
        "permissions": [
            {"resource": "api_keys", "action": "read", "scope": "own"},
            {"resource": "profile", "action": "read", "scope": "own"},
            {"resource": "sessions", "action": "read", "scope": "own"},
        ],
        "rate_limit": rate_limit,
    });
    client.post(KEYS, &request).await.expect(201)
}

/// The members of a `RateLimit` header, by name: `"key";r=5;t=60`.
fn member(answer: &Answer, header: &str, policy: &str, name: &str) -> i64 {
    let text = answer.headers[header].to_str().unwrap();
    let item = text.split(", ").find(|item| item.starts_with(&format!("\"{policy}\""))).unwrap();
    let value = item.split(';').find_map(|part| part.strip_prefix(&format!("{name}=")));
    value.unwrap().parse().unwrap()
}

/// What a key opens, each in another function: `key-list`, `profile`, `sessions` and `key-rotation`.
const OPENED: [&str; 4] = [KEYS, "/api/v1/auth/me", "/api/v1/sessions", "/api/v1/auth/keys/deliveries"];

/// Uses a key until it was refused several times in a row by every function, for the limit of that policy;
/// when it was accepted.
async fn use_up(
    client: Client,
    key: String,
    policy: &'static str,
    which: usize,
    accepted: Arc<Mutex<Vec<Instant>>>,
) {
    let mut refused = 0;
    let mut round = which;
    while refused < 10 {
        let asked = Instant::now();
        // Different functions are different instances everywhere: they share the key's limit.
        let is_refused = match OPENED.get(round % 5) {
            Some(path) => {
                let answer = client.with(&key).get(path).await;
                match answer.status {
                    200 => false,
                    429 => {
                        let answer = answer.expect_problem(429, "rate_limited");
                        let seconds: i64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
                        assert!((1..=63).contains(&seconds));
                        true
                    }
                    status => panic!("{status} {}", answer.text),
                }
            }
            _ => {
                let answer = client.post(VERIFY, &json!({"api_key": key})).await.expect(200);
                if answer.json["valid"] == false {
                    assert_eq!(answer.json, json!({"valid": false, "reason": "rate_limited"}));
                    assert!(answer.headers.contains_key("retry-after"));
                    assert_eq!(member(&answer, "ratelimit", policy, "r"), 0);
                }
                answer.json["valid"] == false
            }
        };
        round += 1;
        if is_refused {
            refused += 1;
        } else {
            refused = 0;
            accepted.lock().unwrap().push(asked);
        }
    }
}

/// Eight clients at once, each with its key, over several instances, get a thousand requests a minute, and
/// none more.
async fn get_a_thousand(deployment: &Deployment, keys: [&str; CLIENTS], policy: &'static str) {
    let accepted: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let mut clients = JoinSet::new();
    for (which, key) in keys.into_iter().enumerate() {
        clients.spawn(use_up(deployment.client(), key.to_owned(), policy, which, Arc::clone(&accepted)));
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    // Where a host is slow, what a second minute allows is none of the first's.
    let accepted = accepted.lock().unwrap().clone();
    let within_a_minute = |from: &Instant| {
        accepted.iter().filter(|at| (*from..*from + Duration::from_secs(60)).contains(*at)).count()
    };
    let (first, busiest) =
        (accepted.iter().min().unwrap(), accepted.iter().map(within_a_minute).max().unwrap());
    let (in_the_first, all) = (within_a_minute(first), accepted.len());
    assert!(
        busiest <= 1000 && in_the_first >= 950,
        "{in_the_first} of 1000, {busiest} in a minute, {all} in all"
    );
}

/// A deployment for [`an_organization_keeps_to_its_limit`] alone: nobody else could do anything for a minute.
#[must_use]
pub fn with_organization_limit() -> Setup {
    let mut configuration = crate::scenarios::configuration();
    configuration["operational"] = json!({"rate_limit_per_minute": 1000});
    Setup::new(&configuration)
}

/// A thousand requests a minute of an organization, whatever the number of its keys.
pub async fn an_organization_keeps_to_its_limit(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let mut keys = Vec::new();
    for _ in 0..CLIENTS {
        keys.push(create(&admin, 1_000_000).await.text_at("/api_key").to_owned());
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    get_a_thousand(deployment, keys.try_into().unwrap(), "organization").await;
}

/// A thousand requests a minute of a key, whatever the number of its users.
pub async fn a_key_keeps_to_its_limit(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = create(&admin, 1000).await;
    get_a_thousand(deployment, [created.text_at("/api_key"); CLIENTS], "key").await;
    // While that took long, sign-ins of other scenarios may have ended the administrator's session.
    let admin = deployment.administrator().await;
    // Another key of the same owner has its own limit, and tells of it.
    let other = create(&admin, 5).await;
    let mut left = Vec::new();
    for _ in 0..6 {
        let verified = deployment
            .client()
            .post(VERIFY, &json!({"api_key": other.text_at("/api_key")}))
            .await
            .expect(200);
        assert_eq!(member(&verified, "ratelimit-policy", "key", "q"), 5);
        assert_eq!(member(&verified, "ratelimit-policy", "key", "w"), 60);
        left.push((verified.json["valid"].clone(), member(&verified, "ratelimit", "key", "r")));
    }
    let expected: Vec<(Value, i64)> = [(true, 4), (true, 3), (true, 2), (true, 1), (true, 0), (false, 0)]
        .map(|(ok, r)| (json!(ok), r))
        .into();
    assert_eq!(left, expected);
    for key in [&created, &other] {
        admin.delete(&format!("{KEYS}/{}", key.text_at("/key_id"))).await.expect(200);
        // A revoked key is that, not one over its limit.
        let revoked =
            deployment.client().post(VERIFY, &json!({"api_key": key.text_at("/api_key")})).await.expect(200);
        assert_eq!(revoked.json, json!({"valid": false, "reason": "revoked"}));
    }
}

/// A deployment for [`a_revocation_is_seen_by_the_next`] alone: so many requests at once are no neighbours
/// for others. Without limits, whose leases would have all of them wait for one lock.
#[must_use]
pub fn without_limits() -> Setup {
    let mut configuration = crate::scenarios::configuration();
    configuration["operational"] = json!({"rate_limiting_enabled": false});
    Setup::new(&configuration)
}

/// What came of one use of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Accepted,
    Refused,
    /// The host had too much to do.
    Unanswered,
}

/// A verification, or a call with the key.
async fn use_once(client: &Client, key: &str, verifies: bool) -> Use {
    let answer = if verifies {
        client.post(VERIFY, &json!({"api_key": key})).await
    } else {
        client.send(client.request(Method::GET, "/api/v1/auth/me").header("x-api-key", key)).await
    };
    match (answer.status, verifies) {
        (200, true) if answer.json["valid"] == false => {
            assert_eq!(answer.json["reason"], "revoked");
            Use::Refused
        }
        (200, _) => Use::Accepted,
        (401, false) => Use::Refused,
        (502 | 503, _) => Use::Unanswered,
        _ => panic!("{} {}", answer.status, answer.text),
    }
}

/// A thousand use a key all the time while it is revoked, half of them by verifications and half of them by
/// calls with it: nothing that begins after the revocation was answered succeeds.
pub async fn a_revocation_is_seen_by_the_next(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = create(&admin, 1_000_000).await;
    let key: Arc<str> = created.text_at("/api_key").into();
    let is_revoked = Arc::new(AtomicBool::new(false));
    let accepted = Arc::new(AtomicU32::new(0));
    let mut users = JoinSet::new();
    for which in 0..USERS {
        let (client, key) = (deployment.client(), Arc::clone(&key));
        let (is_revoked, accepted) = (Arc::clone(&is_revoked), Arc::clone(&accepted));
        users.spawn(async move {
            // Nobody stops before it was refused: so all of them are under way when the key is revoked.
            loop {
                let begins_after = is_revoked.load(Ordering::SeqCst);
                match use_once(&client, &key, which % 2 == 0).await {
                    Use::Refused => break,
                    Use::Unanswered => tokio::time::sleep(Duration::from_millis(100)).await,
                    Use::Accepted => {
                        assert!(!begins_after, "a revoked key works");
                        accepted.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        });
    }
    while accepted.load(Ordering::SeqCst) < 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let path = format!("{KEYS}/{}", created.text_at("/key_id"));
    while admin.delete(&path).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    is_revoked.store(true, Ordering::SeqCst);
    let mut refused = 0;
    while let Some(done) = users.join_next().await {
        done.unwrap();
        refused += 1;
    }
    assert_eq!(refused, USERS);
}

/// A key that is bound to addresses works from there alone, whoever asks.
pub async fn a_key_is_bound_to_addresses(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let request = json!({
        "name": "bound",
        "permissions": [{"resource": "api_keys", "action": "read", "scope": "own"}],
        "allowed_addresses": ["192.0.2.0/24", "2001:db8::/32"],
    });
    let created = admin.post(KEYS, &request).await.expect(201);
    let key = created.text_at("/api_key");
    let verify = async |address: &str, stated: Option<&str>| {
        let client = deployment.client().from_address(address);
        let body =
            stated.map_or_else(|| json!({"api_key": key}), |ip| json!({"api_key": key, "ip_address": ip}));
        client.post(VERIFY, &body).await.expect(200).json
    };
    let refused = json!({"valid": false, "reason": "address_not_allowed"});
    for (seen, stated, works) in [
        ("192.0.2.7", None, true),
        ("2001:db8:1::5", None, true),
        ("198.51.100.1", None, false),
        ("198.51.100.1", Some("192.0.2.9"), true),
        ("198.51.100.1", Some("::ffff:192.0.2.9"), true),
        ("192.0.2.7", Some("198.51.100.1"), false),
        ("192.0.2.7", Some("2001:db9::1"), false),
    ] {
        let answer = verify(seen, stated).await;
        assert_eq!(answer["valid"], works, "{seen} {stated:?}");
        assert!(works || answer == refused);
    }
    deployment.client().from_address("192.0.2.7").with(key).get(KEYS).await.expect(200);
    let elsewhere = deployment.client().from_address("198.51.100.1").with(key).get(KEYS).await;
    elsewhere.expect_problem(403, "address_not_allowed");
    let body = json!({"api_key": key, "ip_address": "somewhere"});
    deployment.client().post(VERIFY, &body).await.expect_problem(422, "invalid_field");
    admin.delete(&format!("{KEYS}/{}", created.text_at("/key_id"))).await.expect(200);
}

/// Every use is counted: what an instance gathered is written before it ends.
pub async fn uses_are_counted(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    // Whose session no other scenario ends.
    let (owner, _, _) = person_with(deployment, &admin, &["api_keys.*.own"]).await;
    let created = create(&owner, 1_000_000).await;
    let key: Arc<str> = created.text_at("/api_key").into();
    let mut users = JoinSet::new();
    for which in 0..CLIENTS {
        let (client, key) = (deployment.client(), Arc::clone(&key));
        users.spawn(async move {
            for round in (which..USES).step_by(CLIENTS) {
                if round % 3 == 0 {
                    client.with(&key).get(KEYS).await.expect(200);
                } else {
                    let answer = client.post(VERIFY, &json!({"api_key": &*key})).await.expect(200);
                    assert_eq!(answer.json["valid"], true);
                }
            }
        });
    }
    while let Some(done) = users.join_next().await {
        done.unwrap();
    }
    let path = format!("{KEYS}/{}/usage", created.text_at("/key_id"));
    let began = Instant::now();
    loop {
        // Two days, in case midnight passes meanwhile.
        let usage = owner.get(&format!("{path}?days=2")).await.expect(200);
        let days = usage.json["usage"].as_array().unwrap().clone();
        let sum = |name: &str| days.iter().map(|day| day[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum("refused"), 0);
        if sum("accepted") == USES as u64 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(15), "{} of {USES} uses were counted", sum("accepted"));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    owner.delete(&format!("{KEYS}/{}", created.text_at("/key_id"))).await.expect(200);
}
