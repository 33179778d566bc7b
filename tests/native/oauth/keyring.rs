//! The keyring through time and restarts: moments in the database are moved, functions started anew.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use iam_core::sql::Statement;
use iam_core::time::Duration;
use iam_edge::native::TestHost;
use iam_tests::deployment::Setup;
use iam_tests::native::{restart, start};
use iam_tests::scenarios::oauth::keyring::{key_of, phases};
use iam_tests::{Answer, Deployment};
use serde_json::json;

const KEYRING: &str = "/api/v1/keyring";
const ROTATE: &str = "/api/v1/keyring/rotate";

/// From a key's announcement until it signs, and a little more.
const WAIT: Duration = Duration::from_seconds(2 * 300 + 60 + 30 + 1);

fn setup() -> Setup {
    Setup::new(&iam_tests::scenarios::configuration())
}

/// As if everything about the keys had happened this much earlier. Instances are new.
async fn let_pass(host: &TestHost, time: Duration) {
    let statement = Statement::new(
        "UPDATE signing_keys SET created_at = created_at - ?1, signs_from = signs_from - ?1, signs_until = \
         signs_until - ?1, retires_at = retires_at - ?1",
    );
    host.request().db("").run(statement.bind(time.as_millis())).await.unwrap();
    restart(host, &[], &[]);
}

async fn sign_in(deployment: &Deployment) -> Answer {
    let setup = &deployment.setup;
    deployment.client().login(&setup.username, &setup.password).await.expect(200)
}

async fn token(deployment: &Deployment) -> String {
    sign_in(deployment).await.text_at("/access_token").to_owned()
}

async fn run_job(deployment: &Deployment) {
    deployment.internal().post("/internal/scheduled/keyring-rotation", &json!({})).await.expect(204);
}

async fn opens(deployment: &Deployment, token: &str) -> bool {
    deployment.client().with(token).get("/api/v1/auth/me").await.status == 200
}

fn keys(deployment: &Deployment) -> i64 {
    deployment.count("SELECT COUNT(*) AS count FROM signing_keys")
}

#[tokio::test]
async fn a_rotation_breaks_no_token() {
    let (deployment, host) = start(setup());
    let old = token(&deployment).await;
    let administrator = deployment.client().with(&old);
    let rotated = administrator.post(ROTATE, &json!({})).await.expect(200);
    let published = deployment.client().get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(published.json["keys"].as_array().unwrap().len(), 2);
    assert_eq!(key_of(&token(&deployment).await), key_of(&old));

    let_pass(&host, WAIT).await;
    let new = token(&deployment).await;
    assert_eq!(key_of(&new), rotated.text_at("/key_id"));
    assert!(opens(&deployment, &old).await && opens(&deployment, &new).await);
    assert_eq!(phases(&administrator.get(KEYRING).await), ["signing", "retiring"]);

    let_pass(&host, Duration::from_seconds(40)).await;
    run_job(&deployment).await;
    let keyring = administrator.get(KEYRING).await;
    assert_eq!(keyring.json["keys"][1]["sealed_under_current_master"], serde_json::Value::Null);
    assert_eq!(deployment.count("SELECT COUNT(sealed_private_key) AS count FROM signing_keys"), 1);
    assert!(opens(&deployment, &old).await);

    let_pass(&host, Duration::from_seconds(3600 + 30 + 120)).await;
    assert!(!opens(&deployment, &old).await && opens(&deployment, &new).await);
    run_job(&deployment).await;
    assert_eq!(keys(&deployment), 1);
}

#[tokio::test]
async fn the_schedule_rotates_once_a_period() {
    let (deployment, host) = start(setup());
    let first = token(&deployment).await;
    run_job(&deployment).await;
    assert_eq!(keys(&deployment), 1);
    // Nearly over, and much too late, is the same.
    for _ in 0..2 {
        let_pass(&host, Duration::from_days(40)).await;
        let before = keys(&deployment);
        let (job, again) = (run_job(&deployment), run_job(&deployment));
        tokio::join!(job, again);
        run_job(&deployment).await;
        assert!(keys(&deployment) <= before + 1);
        let signing = key_of(&token(&deployment).await);
        let_pass(&host, WAIT).await;
        assert_ne!(key_of(&token(&deployment).await), signing);
    }
    assert!(!opens(&deployment, &first).await);
    let rotations =
        "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'signing_key.rotate' AND actor = 'system'";
    assert_eq!(deployment.count(rotations), 2);
    deployment.check().await;
}

#[tokio::test]
async fn an_emergency_ends_what_was_signed() {
    let (deployment, host) = start(setup());
    let old = token(&deployment).await;
    assert!(opens(&deployment, &old).await);
    let administrator = deployment.client().with(&old);
    administrator.post(ROTATE, &json!({})).await.expect(200);
    let reason = json!({"emergency": true, "reason": "the key was in a log"});
    let rotated = administrator.post(ROTATE, &reason).await.expect(200);
    let new_key = rotated.text_at("/key_id").to_owned();
    assert_eq!(deployment.recorded("signing_key.emergency_rotate", "success", &new_key), 1);
    assert_eq!(deployment.count("SELECT COUNT(sealed_private_key) AS count FROM signing_keys"), 1);
    // The instance that condemned them knows at once. One that has the keys from before reads them again for
    // a token that names a new one, and then refuses the old.
    administrator.get(KEYRING).await.expect_problem(401, "invalid_token");
    assert!(opens(&deployment, &old).await);
    restart(&host, &["login"], &[]);
    let new = token(&deployment).await;
    assert_eq!(key_of(&new), new_key);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert!(opens(&deployment, &new).await);
    assert!(!opens(&deployment, &old).await);
    let administrator = deployment.client().with(&new);
    assert_eq!(phases(&administrator.get(KEYRING).await), ["signing"]);
    run_job(&deployment).await;
    assert_eq!(keys(&deployment), 1);
}

/// A made-up `kid` costs at most one reading of the keys a second.
#[tokio::test]
async fn a_made_up_key_costs_little() {
    let (deployment, _host) = start(setup());
    let token = token(&deployment).await;
    assert!(opens(&deployment, &token).await);
    let header = iam_core::encoding::base64url(br#"{"alg":"ES256","typ":"at+jwt","kid":"sig_madeup"}"#);
    let forged = format!("{header}.{}", token.split_once('.').unwrap().1);
    for _ in 0..5 {
        assert!(!opens(&deployment, &forged).await);
    }
    assert!(opens(&deployment, &token).await);
    deployment.check().await;
}

#[tokio::test]
async fn another_algorithm_takes_over_without_a_gap() {
    let (deployment, host) = start(setup());
    let old = token(&deployment).await;
    restart(&host, &[], &[("IAM_JWT_ALGORITHM", "EdDSA")]);
    assert_eq!(key_of(&token(&deployment).await), key_of(&old));
    run_job(&deployment).await;
    run_job(&deployment).await;
    assert_eq!((keys(&deployment), key_of(&token(&deployment).await)), (2, key_of(&old)));
    let_pass(&host, WAIT).await;
    let new = token(&deployment).await;
    let keyring = deployment.client().with(&new).get(KEYRING).await.expect(200);
    assert_eq!(keyring.text_at("/keys/0/algorithm"), "EdDSA");
    assert_eq!(keyring.text_at("/keys/0/key_id"), key_of(&new));
    assert!(opens(&deployment, &old).await && opens(&deployment, &new).await);
    assert!(iam_tests::scenarios::oauth::well_known::verifies(&deployment, &old).await);
    assert!(iam_tests::scenarios::oauth::well_known::verifies(&deployment, &new).await);
}

#[tokio::test]
async fn the_master_key_is_rotated_without_downtime() {
    let (deployment, host) = start(setup());
    let login = sign_in(&deployment).await;
    let (old, refresh) =
        (login.text_at("/access_token"), json!({"refresh_token": login.text_at("/refresh_token")}));
    let successor = deployment.client().post("/api/v1/auth/refresh", &refresh).await.expect(200);
    let administrator = deployment.client().with(old);
    let create = || {
        let body = json!({"name": "k", "permissions": [{"resource": "a", "action": "read", "scope": "own"}]});
        let request = administrator.request(reqwest::Method::POST, "/api/v1/auth/keys");
        administrator.send(request.header("idempotency-key", "once").json(&body))
    };
    let created = create().await.expect(201);

    let first = deployment.setup.master_key.clone();
    let second = iam_core::encoding::base64url(&[5; 32]);
    restart(&host, &[], &[("IAM_MASTER_KEY", &second), ("IAM_MASTER_KEY_PREVIOUS", &first)]);
    assert!(opens(&deployment, old).await);
    assert_eq!(key_of(&token(&deployment).await), key_of(old));
    assert_eq!(create().await.expect(201).json, created.json);
    // A retry across the restart gets the successor that followed under the first key.
    let retried = deployment.client().post("/api/v1/auth/refresh", &refresh).await.expect(200);
    assert_eq!(retried.text_at("/refresh_token"), successor.text_at("/refresh_token"));
    let keyring = administrator.get(KEYRING).await.expect(200);
    assert_eq!(keyring.json["keys"][0]["sealed_under_current_master"], false);
    assert_eq!(keyring.text_at("/previous_master_key"), "needed");

    deployment.internal().post("/internal/scheduled/reseal", &json!({})).await.expect(204);
    let keyring = administrator.get(KEYRING).await.expect(200);
    assert_eq!(keyring.json["keys"][0]["sealed_under_current_master"], true);
    // The kept answer still needs it, until it is forgotten.
    assert_eq!(keyring.text_at("/previous_master_key"), "needed");
    host.request().db("").run(Statement::new("DELETE FROM idempotent_answers")).await.unwrap();
    assert_eq!(administrator.get(KEYRING).await.text_at("/previous_master_key"), "unneeded");

    restart(&host, &[], &[("IAM_MASTER_KEY", &second), ("IAM_MASTER_KEY_PREVIOUS", "")]);
    assert!(opens(&deployment, old).await);
    assert_eq!(key_of(&token(&deployment).await), key_of(old));
    let next = json!({"refresh_token": successor.text_at("/refresh_token")});
    deployment.client().post("/api/v1/auth/refresh", &next).await.expect(200);
    assert_eq!(administrator.get(KEYRING).await.text_at("/previous_master_key"), "absent");
}

/// An idle session's refresh token is refused, a retry's too; nobody is thought a thief for it.
#[tokio::test]
async fn an_idle_session_is_not_refreshed() {
    let (deployment, host) = start(setup());
    let login = sign_in(&deployment).await;
    let body = json!({"refresh_token": login.text_at("/refresh_token")});
    let idle = Statement::new("UPDATE sessions SET last_activity = last_activity - 1800000");
    let refreshed = deployment.client().post("/api/v1/auth/refresh", &body).await.expect(200);
    host.request().db("").run(idle).await.unwrap();
    for token in [login.text_at("/refresh_token"), refreshed.text_at("/refresh_token")] {
        let body = json!({"refresh_token": token});
        let answer = deployment.client().post("/api/v1/auth/refresh", &body).await;
        answer.expect_problem(401, "invalid_refresh_token");
    }
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM sessions WHERE ended_at IS NOT NULL"), 0);
}
