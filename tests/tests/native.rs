//! The scenarios on the native host.

use std::sync::OnceLock;

use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use iam_tests::scenarios::algorithms;
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
async fn a_bad_configuration_stops_the_start() {
    let mut setup = Setup::new(&iam_tests::scenarios::configuration());
    setup.configuration = r#"{"session": {"timeout": "8 hours"}}"#.to_owned();
    let answer = iam_tests::native::start(setup).0.client().get("/health").await.expect(500);
    assert_eq!(answer.text_at("/code"), "configuration_invalid");
}

/// A creation that was refused under an `Idempotency-Key` may be tried again under it; one that was done is replayed
/// even where it would be refused today.
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

/// No statement's cost may grow with the number of users, keys, sessions or audit records: each table is searched
/// by more than its organization, or read in order up to a LIMIT.
#[tokio::test]
async fn every_statement_has_an_index() {
    let (deployment, host) = iam_tests::native::start(Setup::new(&iam_tests::scenarios::configuration()));
    iam_tests::scenarios::run_all(&deployment).await;
    let mut plans = host.plans();
    // What the scenarios ask of the database themselves.
    plans.retain(|sql, _| !sql.starts_with("SELECT COUNT(*) AS count FROM "));
    assert!(plans.len() > 30, "only {} statements ran", plans.len());
    let wide: Vec<_> = plans.iter().filter(|(sql, steps)| is_wide(sql, steps)).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

fn is_wide(sql: &str, steps: &[String]) -> bool {
    // SCIM wants the number of all users with each page (RFC 7644 section 3.4.2): one narrow index is counted.
    let is_total = steps.iter().all(|step| step.contains("COVERING INDEX users_in_order"));
    let is_sorted = steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY"));
    let is_page = sql.contains("LIMIT") && !is_sorted;
    // What a recursive question has found so far is no table: it holds what indexes gave.
    let is_found = |step: &str| {
        let name = step.trim_start_matches("SCAN ");
        steps
            .iter()
            .any(|made| *made == format!("CO-ROUTINE {name}") || *made == format!("MATERIALIZE {name}"))
    };
    steps.iter().any(|step| {
        // Of organizations it is the whole key.
        let searches_organization_alone = step.starts_with("SEARCH")
            && step.ends_with("(org_id=?)")
            && !step.starts_with("SEARCH organizations ");
        let scans =
            step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE") && !step.contains("CONSTANT ROW");
        (searches_organization_alone && !is_page && !is_total)
            || (scans && !step.contains("SCAN (subquery") && !is_found(step))
    })
}
