//! The scenarios on the native host.

use std::sync::OnceLock;

use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use iam_tests::scenarios::oauth::algorithms;
use serde_json::json;

async fn deployment() -> &'static Deployment {
    static DEPLOYMENT: OnceLock<Deployment> = OnceLock::new();
    DEPLOYMENT.get_or_init(|| iam_tests::native::start(Setup::new(&iam_tests::scenarios::configuration())).0)
}

iam_tests::scenarios!(deployment);

#[tokio::test]
async fn tokens_are_signed_with_eddsa_where_configured() {
    let setup = Setup::new(&algorithms::configuration_with("EdDSA"));
    algorithms::signs_with(&iam_tests::native::start(setup).0, "EdDSA").await;
}

#[tokio::test]
async fn rs256_is_refused_where_the_host_does_not_sign_it() {
    let setup = Setup::new(&algorithms::configuration_with("RS256"));
    algorithms::refuses_rs256(&iam_tests::native::start(setup).0).await;
}

#[tokio::test]
async fn webhooks_wait_for_the_end_of_maintenance() {
    let setup = Setup::new(&iam_tests::scenarios::webhooks::intake::maintenance_configuration());
    iam_tests::scenarios::webhooks::intake::maintenance_is_told(&iam_tests::native::start(setup).0).await;
}

#[tokio::test]
async fn a_bad_configuration_stops_the_start() {
    let mut setup = Setup::new(&iam_tests::scenarios::configuration());
    setup.configuration = r#"{"session": {"timeout": "8 hours"}}"#.to_owned();
    let answer = iam_tests::native::start(setup).0.client().get("/health").await.expect(500);
    assert_eq!(answer.text_at("/code"), "configuration_invalid");
}

#[tokio::test]
async fn a_revocation_is_seen_by_the_next() {
    let (deployment, _host) = iam_tests::native::start(iam_tests::scenarios::keys::limits::without_limits());
    iam_tests::scenarios::keys::limits::a_revocation_is_seen_by_the_next(&deployment).await;
    deployment.check().await;
}

#[tokio::test]
async fn many_get_no_more_of_an_organization() {
    let setup = iam_tests::scenarios::keys::limits::with_organization_limit();
    let (deployment, _host) = iam_tests::native::start(setup);
    iam_tests::scenarios::keys::limits::an_organization_keeps_to_its_limit(&deployment).await;
    deployment.check().await;
}

/// A creation that was refused under an `Idempotency-Key` may be tried again under it; one that was done is
/// replayed even where it would be refused today.
#[tokio::test]
async fn a_refusal_is_not_kept() {
    const KEYS: &str = "/api/v1/auth/keys";
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["api_keys"] = json!({"max_per_user": 1});
    let (deployment, _host) = iam_tests::native::start(Setup::new(&configuration));
    let admin = deployment.administrator().await;
    let create = |name: &'static str| {
        let body =
            json!({"name": name, "permissions": [{"resource": "a", "action": "read", "scope": "own"}]});
        let request = admin.request(reqwest::Method::POST, KEYS).header("idempotency-key", name);
        admin.send(request.json(&body))
    };
    let first = create("first").await.expect(201);
    assert_eq!(create("first").await.expect(201).json, first.json);
    for _ in 0..2 {
        create("second").await.expect_problem(409, "too_many_keys");
    }
    admin.delete(&format!("{KEYS}/{}", first.text_at("/key_id"))).await.expect(200);
    let second = create("second").await.expect(201);
    let verify = json!({"api_key": second.text_at("/api_key")});
    assert_eq!(deployment.client().post(&format!("{KEYS}/verify"), &verify).await.json["valid"], true);
    deployment.check().await;
}

/// With an organization's own limit: over all its keys and sessions, none of it used up by keys and cookies
/// that nobody has, nor by tokens of sessions that ended; and verifications may be remembered where the
/// configuration says so.
#[tokio::test]
async fn an_organization_keeps_to_its_limit() {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["operational"] = json!({"rate_limit_per_minute": 40});
    configuration["api_keys"] = json!({"verification_cache": "30s"});
    let (deployment, _host) = iam_tests::native::start(Setup::new(&configuration));
    let admin = deployment.administrator().await;
    let mut accepted = 0;
    let body =
        json!({"name": "one", "permissions": [{"resource": "api_keys", "action": "read", "scope": "own"}]});
    let created = admin.post("/api/v1/auth/keys", &body).await.expect(201);
    accepted += 1;
    let made_up = iam_core::secret::credential::Credential::new(
        "cronos_sk_live_",
        &"org_000000001".parse().unwrap(),
        &[7; iam_core::secret::credential::SECRET_BYTES],
    );
    let cookie = iam_core::secret::credential::Credential::new(
        iam_core::secret::credential::SESSION_TOKEN_PREFIX,
        &"org_000000001".parse().unwrap(),
        &[7; iam_core::secret::credential::SECRET_BYTES],
    );
    let verify = async |key: &str| {
        deployment.client().post("/api/v1/auth/keys/verify", &json!({"api_key": key})).await.expect(200)
    };
    let setup = &deployment.setup;
    let signed_in = deployment.client().login(&setup.username, &setup.password).await.expect(200);
    let signed_out = deployment.client().with(signed_in.text_at("/access_token"));
    signed_out.post("/api/v1/auth/logout", &json!({})).await.expect(204);
    accepted += 1;
    let mut looked_up = std::collections::BTreeSet::new();
    for turn in 0..100 {
        assert_eq!(verify(made_up.reveal()).await.json["reason"], "unknown");
        signed_out.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
        let request = deployment.client().request(reqwest::Method::GET, "/api/v1/auth/me");
        let request = request.header("cookie", format!("CRONOS_SESSION={}", cookie.reveal()));
        assert_eq!(request.send().await.unwrap().status(), 401);
        let is_accepted = if turn % 3 == 0 {
            let answer = admin.get("/api/v1/auth/me").await;
            assert!(answer.status == 200 || answer.text_at("/code") == "rate_limited", "{}", answer.text);
            assert!(answer.headers.contains_key("ratelimit"));
            answer.status == 200
        } else {
            let answer = verify(created.text_at("/api_key")).await;
            assert!(
                answer.headers["ratelimit-policy"].to_str().unwrap().contains("\"organization\";q=40;w=60")
            );
            looked_up.extend(answer.json["looked_up_at"].as_str().map(str::to_owned));
            answer.json["valid"] == true
        };
        accepted += usize::from(is_accepted);
    }
    assert!((38..=40).contains(&accepted), "{accepted} of 40");
    assert!(looked_up.len() < 20, "{} look-ups", looked_up.len());
    deployment.check().await;
}

/// A key that is over its own limit takes nothing of its organization's, an organization that is over its
/// limit takes nothing of a key's, and what a key is refused for elsewhere takes nothing of either.
#[tokio::test]
async fn what_is_refused_is_not_paid_for() {
    const KEYS: &str = "/api/v1/auth/keys";
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["operational"] = json!({"rate_limit_per_minute": 40});
    let (deployment, _host) = iam_tests::native::start(Setup::new(&configuration));
    let admin = deployment.administrator().await;
    let create = async |limit: u32, addresses: Option<[&str; 1]>| {
        let body = json!({"name": "x", "rate_limit": limit, "allowed_addresses": addresses,
            "permissions": [{"resource": "api_keys", "action": "read", "scope": "own"}]});
        admin.post(KEYS, &body).await.expect(201).text_at("/api_key").to_owned()
    };
    let (small, bound, large) =
        (create(2, None).await, create(10, Some(["192.0.2.0/24"])).await, create(1000, None).await);
    let verify = async |key: &str, address: &str| {
        let client = deployment.client().from_address(address);
        client.post(&format!("{KEYS}/verify"), &json!({"api_key": key})).await.expect(200)
    };
    let accepted = async |key: &str, address: &'static str, times: u32| {
        let mut accepted = 0;
        for turn in 0..times {
            // Both ways in are instances of their own.
            accepted += u32::from(if turn % 3 == 0 {
                deployment.client().from_address(address).with(key).get(KEYS).await.status == 200
            } else {
                verify(key, address).await.json["valid"] == true
            });
        }
        accepted
    };
    assert_eq!(accepted(&small, "198.51.100.1", 200).await, 2);
    // From where it may not be used, however often and however many at once.
    assert_eq!(accepted(&bound, "198.51.100.1", 100).await, 0);
    let mut at_once = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let (client, body) = (deployment.client().from_address("198.51.100.1"), json!({"api_key": bound}));
        at_once.spawn(async move { client.post("/api/v1/auth/keys/verify", &body).await.json });
    }
    while let Some(answer) = at_once.join_next().await {
        assert_eq!(answer.unwrap()["valid"], false);
    }
    // Of 40 three went for making the keys, and two for the small one. What was leased for nothing is lost
    // after a second: some.
    let left = accepted(&bound, "192.0.2.7", 30).await;
    assert!((1..=10).contains(&left), "{left} of 10");
    let left = accepted(&large, "198.51.100.1", 60).await;
    assert!((5..=25).contains(&left), "{left} of 25");
    let limited = verify(&large, "198.51.100.1").await;
    assert_eq!(limited.json["reason"], "rate_limited");
    let told = limited.headers["ratelimit"].to_str().unwrap();
    assert!(told.contains("\"organization\";r=0") && !told.contains("\"key\";r=0"), "{told}");
    deployment.check().await;
}

/// Where verifications may be remembered, a revocation is seen once that time is over.
#[tokio::test]
async fn a_remembered_key_ends_in_time() {
    const KEYS: &str = "/api/v1/auth/keys";
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["api_keys"] = json!({"verification_cache": "2s"});
    let (deployment, _host) = iam_tests::native::start(Setup::new(&configuration));
    let admin = deployment.administrator().await;
    let body =
        json!({"name": "one", "permissions": [{"resource": "profile", "action": "read", "scope": "own"}]});
    let created = admin.post(KEYS, &body).await.expect(201);
    let verify = async || {
        let body = json!({"api_key": created.text_at("/api_key")});
        deployment.client().post(&format!("{KEYS}/verify"), &body).await.expect(200).json
    };
    // A slice that lasts, so that what is remembered is all that is asked.
    for _ in 0..50 {
        assert_eq!(verify().await["valid"], true);
    }
    admin.delete(&format!("{KEYS}/{}", created.text_at("/key_id"))).await.expect(200);
    assert_eq!(verify().await["valid"], true, "it is not remembered");
    tokio::time::sleep(std::time::Duration::from_millis(2_050)).await;
    assert_eq!(verify().await, json!({"valid": false, "reason": "revoked"}));
    let flags = admin.get("/api/v1/flags").await.expect(200);
    assert_eq!(flags.json["seen_everywhere_within_seconds"], 7);
}

/// No statement's cost may grow with the number of users, keys, sessions or audit records: each table is
/// searched by more than its organization, or read in order up to a LIMIT.
#[tokio::test]
async fn every_statement_has_an_index() {
    let (deployment, host) = iam_tests::native::start(Setup::new(&iam_tests::scenarios::configuration()));
    iam_tests::scenarios::run_all(&deployment).await;
    let mut plans = host.plans();
    // What the scenarios ask of the database themselves.
    plans.retain(|sql, _| !sql.contains(" AS count FROM "));
    assert!(plans.len() > 30, "only {} statements ran", plans.len());
    let wide: Vec<_> = plans.iter().filter(|(sql, steps)| is_wide(sql, steps)).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

fn is_wide(sql: &str, steps: &[String]) -> bool {
    // SCIM wants the number of all resources with each page (RFC 7644 section 3.4.2): groups are few, and
    // counted.
    let is_total = sql.contains(" AS total") && steps.iter().all(|step| step.starts_with("SEARCH groups "));
    let is_sorted = steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY"));
    // The one row that a key names is no page.
    let is_page = sql.replace(" LIMIT 1)", "").contains("LIMIT") && !is_sorted;
    // What a recursive question has found so far is no table: it holds what indexes gave.
    let is_found = |step: &str| {
        let name = step.trim_start_matches("SCAN ");
        steps
            .iter()
            .any(|made| *made == format!("CO-ROUTINE {name}") || *made == format!("MATERIALIZE {name}"))
    };
    steps.iter().any(|step| {
        // Of organizations, and of flags, it is the whole key.
        let searches_organization_alone = step.starts_with("SEARCH")
            && step.ends_with("(org_id=?)")
            && !step.starts_with("SEARCH organizations ")
            // A row for each 512 people.
            && !step.starts_with("SEARCH user_ranks ")
            && !step.starts_with("SEARCH flags ");
        let scans =
            step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE") && !step.contains("CONSTANT ROW");
        (searches_organization_alone && !is_page && !is_total)
            || (scans && !step.contains("SCAN (subquery") && !is_found(step))
    })
}
