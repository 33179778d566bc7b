//! Keys that are rotated by themselves, from end to end: a receiver of our own, and moments in the database
//! that are moved.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a helper fails its test")]

use std::sync::{Arc, Mutex};

use axum::body::Body;
use iam_core::sql::Statement;
use iam_edge::native::TestHost;
use iam_tests::deployment::Setup;
use iam_tests::receiver::Receiver;
use iam_tests::scenarios::keys::key_rotation::{self as scenario, new_key, put, webhook};
use iam_tests::{Client, Deployment};
use serde_json::{Value, json};

const KEYS: &str = "/api/v1/auth/keys";
const JOB: &str = "/internal/scheduled/key-rotation";

fn configuration() -> Value {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["outbound"] = json!({"allow_http": true, "allow_private_addresses": true});
    configuration
}

fn start() -> (Deployment, TestHost) {
    iam_tests::native::start(Setup::new(&configuration()))
}

/// As if everything about keys had happened this many days earlier.
async fn let_pass(host: &TestHost, days: i64) {
    let milliseconds = days * 86_400_000;
    for sql in [
        "UPDATE api_keys SET created_at = created_at - ?1, expires_at = expires_at - ?1",
        "UPDATE api_key_rotations SET due_at = due_at - ?1",
        "UPDATE api_key_deliveries SET next_attempt_at = next_attempt_at - ?1, held_until = held_until - ?1",
    ] {
        host.request().db("").run(Statement::new(sql).bind(milliseconds)).await.unwrap();
    }
}

async fn run_job(deployment: &Deployment) {
    deployment.internal().post(JOB, &json!({})).await.expect(204);
}

async fn works(deployment: &Deployment, key: &str) -> bool {
    let answer = deployment.client().post(&format!("{KEYS}/verify"), &json!({"api_key": key})).await;
    answer.json["valid"] == true
}

async fn deliveries(client: &Client) -> Vec<Value> {
    let page = client.get(&format!("{KEYS}/deliveries")).await.expect(200);
    assert!(!page.text.contains("cronos_sk_") && !page.text.contains("sealed"));
    page.json["deliveries"].as_array().unwrap().clone()
}

fn recorded(deployment: &Deployment, action: &str) -> i64 {
    deployment.count(&format!(
        "SELECT COUNT(*) AS count FROM audit_events WHERE action = '{action}' AND actor = 'system'"
    ))
}

/// Every statement of the job is on an index: what the scenarios never bring about runs here.
fn assert_indexed(host: &TestHost) {
    let wide = |step: &&String| {
        let is_made =
            ["SCAN rotations", "SCAN ways", "SCAN moments", "VIRTUAL TABLE", "CONSTANT ROW", "(subquery"];
        let scans = step.starts_with("SCAN") && !is_made.iter().any(|made| step.contains(made));
        let is_all = step.contains("SEARCH api_key") && step.ends_with("(org_id=?)");
        scans || is_all
    };
    for (sql, steps) in host.plans().into_iter().filter(|(sql, _)| sql.contains("api_key_")) {
        let ours = sql.contains("COUNT(") || sql.contains(" - ?1") || sql.contains("= 0");
        let wide: Vec<&String> = steps.iter().filter(wide).collect();
        assert!(ours || wide.is_empty(), "{sql}: {wide:?}");
    }
}

#[tokio::test]
async fn a_key_is_rotated_and_arrives() {
    let (deployment, host) = start();
    let receiver = Receiver::start(&[500, 500]);
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "payments").await;
    let (old_id, old) = (created.text_at("/key_id"), created.text_at("/api_key"));
    let set = put(&admin, old_id, &webhook(&receiver.url)).await.expect(200);
    let secret = set.text_at("/signing_secret");
    run_job(&deployment).await;
    assert_eq!(receiver.count(), 0);

    // Much too late, and by several runs at once: one successor, one try.
    let_pass(&host, 45).await;
    tokio::join!(run_job(&deployment), run_job(&deployment), run_job(&deployment), run_job(&deployment));
    assert_eq!((receiver.count(), recorded(&deployment, "api_key.rotate")), (1, 1));
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM api_keys"), 2);
    let open = deliveries(&admin).await;
    assert_eq!((open.len(), &open[0]["state"], &open[0]["attempts"]), (1, &json!("pending"), &json!(1)));
    assert_eq!(open[0]["last_error"], "the receiver answered 500");
    let (id, _, new) = receiver.last_key(secret);
    assert!(works(&deployment, old).await && works(&deployment, &new).await);
    // Its successor can't be replaced before it arrived.
    let new_id = open[0]["key_id"].as_str().unwrap();
    admin.post(&format!("{KEYS}/{new_id}/rotate"), &json!({})).await.expect_problem(409, "key_not_delivered");

    // The receiver is away for longer than the old key would have lived.
    for _ in 0..2 {
        let_pass(&host, 30).await;
        run_job(&deployment).await;
        assert!(works(&deployment, old).await);
        assert_eq!(receiver.count(), 2 + usize::from(deliveries(&admin).await.is_empty()));
    }
    let (again, json, same) = receiver.last_key(secret);
    assert_eq!((again, same.as_str()), (id, new.as_str()));
    assert_eq!((&json["data"]["key_id"], &json["data"]["old_key_id"]), (&json!(new_id), &json!(old_id)));
    assert_eq!(json["data"]["name"], "payments");
    assert!(deliveries(&admin).await.is_empty());
    assert_eq!(deployment.count("SELECT COUNT(sealed_key) AS count FROM api_key_deliveries"), 0);
    assert_eq!(recorded(&deployment, "api_key.delivered"), 1);
    assert!(works(&deployment, old).await && works(&deployment, &new).await);
    let_pass(&host, 2).await;
    run_job(&deployment).await;
    assert!(!works(&deployment, old).await && works(&deployment, &new).await);
    assert_eq!(deployment.recorded("api_key.overlap_end", "success", old_id), 1);
    assert!(receiver.answers.lock().unwrap().is_empty());
    deployment.check().await;
    assert_indexed(&host);
}

#[tokio::test]
async fn a_dead_delivery_keeps_the_key() {
    let (deployment, host) = start();
    let receiver = Receiver::start(&[410; 12]);
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "dead").await;
    let (old_id, old) = (created.text_at("/key_id"), created.text_at("/api_key"));
    put(&admin, old_id, &webhook(&receiver.url)).await.expect(200);
    let_pass(&host, 31).await;
    for _ in 0..14 {
        run_job(&deployment).await;
        let_pass(&host, 1).await;
    }
    assert_eq!((receiver.count(), recorded(&deployment, "api_key.delivery_dead")), (12, 1));
    let reason = "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'api_key.delivery_dead' AND \
                  details ->> 'reason' = 'the receiver answered 410'";
    assert_eq!(deployment.count(reason), 1);
    let open = deliveries(&admin).await;
    assert_eq!((&open[0]["state"], &open[0]["next_attempt_at"]), (&json!("dead"), &Value::Null));
    // Nobody ran the job for a while, and a run doesn't come as far as this delivery: it ends its old key for
    // good no more than the next run, which holds it.
    let_pass(&host, 50).await;
    let hold = "UPDATE api_key_deliveries SET held_until = held_until + ?1";
    let move_hold = async |milliseconds: i64| {
        host.request().db("").run(Statement::new(hold).bind(milliseconds)).await.unwrap();
    };
    move_hold(100 * 86_400_000).await;
    run_job(&deployment).await;
    assert!(!works(&deployment, old).await);
    move_hold(-100 * 86_400_000).await;
    run_job(&deployment).await;
    assert!(works(&deployment, old).await);

    // Another target, and once more.
    let second = Receiver::start(&[]);
    let new_id = open[0]["key_id"].as_str().unwrap();
    let set = put(&admin, new_id, &webhook(&second.url)).await.expect(200);
    let retry = format!("{KEYS}/deliveries/{}/retry", open[0]["delivery_id"].as_str().unwrap());
    assert_eq!(admin.post(&retry, &json!({})).await.expect(200).json["attempts"], 0);
    run_job(&deployment).await;
    let (id, _, new) = second.last_key(set.text_at("/signing_secret"));
    assert_eq!(open[0]["delivery_id"], id.as_str());
    assert!(works(&deployment, &new).await && works(&deployment, old).await);
    admin.post(&retry, &json!({})).await.expect_problem(404, "not_found");
    assert_eq!(deployment.recorded("api_key.delivery_retry", "success", &id), 1);
    deployment.check().await;
}

/// Those that hang are tried at once with the others, and what the host says of the network is not told.
#[tokio::test]
async fn receivers_that_hang_hold_nobody_up() {
    let (deployment, host) = start();
    let admin = deployment.administrator().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let receiver = Receiver::start(&[]);
    let hangs = format!("http://{}/keys", silent.local_addr().unwrap());
    let closed = format!("http://{closed}/keys");
    for (name, url) in [("one", &hangs), ("two", &hangs), ("three", &closed), ("four", &receiver.url)] {
        let created = new_key(&admin, name).await;
        put(&admin, created.text_at("/key_id"), &webhook(url)).await.expect(200);
    }
    let_pass(&host, 31).await;
    let began = iam_edge::now();
    run_job(&deployment).await;
    assert!(iam_edge::now() < began.after(iam_core::time::Duration::from_seconds(18)));
    assert_eq!(receiver.count(), 1);
    let open = deliveries(&admin).await;
    let mut errors: Vec<&str> = open.iter().map(|open| open["last_error"].as_str().unwrap()).collect();
    errors.sort_unstable();
    let slow = "the receiver: no answer in time";
    assert_eq!(errors, [slow, slow, "the receiver: not reached"]);
    drop(silent);
}

#[tokio::test]
async fn a_confirmation_that_was_lost_is_a_second_delivery_with_the_same_id() {
    let (deployment, host) = start();
    let receiver = Receiver::start(&[]);
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "twice").await;
    let set = put(&admin, created.text_at("/key_id"), &webhook(&receiver.url)).await.expect(200);
    let_pass(&host, 31).await;
    // The note of the delivery fails, as if the run had died before it.
    let refuse = "CREATE TRIGGER died BEFORE UPDATE OF state ON api_key_deliveries WHEN new.state = \
                  'delivered' BEGIN SELECT RAISE(ABORT, 'died'); END";
    host.apply(refuse).unwrap();
    deployment.internal().post(JOB, &json!({})).await.expect(500);
    host.apply("DROP TRIGGER died").unwrap();
    let first = receiver.last_key(set.text_at("/signing_secret"));
    run_job(&deployment).await;
    assert_eq!(receiver.count(), 1, "the claim still holds");
    let_pass(&host, 1).await;
    run_job(&deployment).await;
    let second = receiver.last_key(set.text_at("/signing_secret"));
    assert_eq!((receiver.count(), &first.0, &first.2), (2, &second.0, &second.2));
    assert_eq!(recorded(&deployment, "api_key.delivered"), 1);
}

#[tokio::test]
async fn revoked_keys_stay_revoked() {
    let (deployment, host) = start();
    let receiver = Receiver::start(&[500, 500, 204]);
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "revoked").await;
    let (old_id, old) = (created.text_at("/key_id"), created.text_at("/api_key"));
    let set = put(&admin, old_id, &webhook(&receiver.url)).await.expect(200);
    let_pass(&host, 31).await;
    run_job(&deployment).await;
    let (_, first, unseen) = receiver.last_key(set.text_at("/signing_secret"));
    // The new key ends before it arrives: the old one takes its place again and is rotated anew.
    admin.delete(&format!("{KEYS}/{}", first["data"]["key_id"].as_str().unwrap())).await.expect(200);
    let_pass(&host, 1).await;
    run_job(&deployment).await;
    run_job(&deployment).await;
    assert!(works(&deployment, old).await && !works(&deployment, &unseen).await);
    assert_eq!(recorded(&deployment, "api_key.delivery_close"), 1);
    let (_, second, new) = receiver.last_key(set.text_at("/signing_secret"));
    assert_ne!(second["data"]["key_id"], first["data"]["key_id"]);
    // The old key ends: the new one is delivered nevertheless, and the old one stays ended.
    admin.delete(&format!("{KEYS}/{old_id}")).await.expect(200);
    let_pass(&host, 1).await;
    run_job(&deployment).await;
    assert!(!works(&deployment, old).await && works(&deployment, &new).await);
    assert_eq!((recorded(&deployment, "api_key.delivered"), receiver.count()), (1, 3));
    deployment.check().await;
    assert_indexed(&host);
}

#[tokio::test]
async fn a_vault_gets_the_key() {
    let mut configuration = configuration();
    configuration["secrets"] = json!({"vault": {"address": "http://127.0.0.1:8200", "role_id": "edge"}});
    let (deployment, host) = iam_tests::native::start(Setup::new(&configuration));
    let written: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&written);
    host.bind_function("secrets", move |_, request: axum::http::Request<Body>| {
        let kept = Arc::clone(&kept);
        async move {
            assert_eq!(request.uri().path(), "/internal/secrets/write");
            let body = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
            let mut kept = kept.lock().unwrap();
            kept.push(serde_json::from_slice(&body).unwrap());
            let (status, body) = match kept.len() {
                1 => (503, r#"{"code": "vault_unavailable"}"#),
                _ => (200, r#"{"version": 3}"#),
            };
            axum::http::Response::builder().status(status).body(Body::from(body)).unwrap()
        }
    });
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "vault").await;
    let schedule = json!({"period_days": 1, "overlap_hours": 0,
        "delivery": {"kind": "vault", "mount": "secret", "path": "teams/payments/key"}});
    let set = put(&admin, created.text_at("/key_id"), &schedule).await.expect(200);
    assert_eq!(set.text_at("/delivery/path"), "edge-iam/org_000000001/teams/payments/key");
    assert_eq!(set.json["signing_secret"], Value::Null);
    let_pass(&host, 2).await;
    run_job(&deployment).await;
    assert_eq!(deliveries(&admin).await[0]["last_error"], "the Vault did not take it: 503 vault_unavailable");
    assert!(works(&deployment, created.text_at("/api_key")).await);
    host.request()
        .db("")
        .run(Statement::new("UPDATE api_key_deliveries SET next_attempt_at = 0"))
        .await
        .unwrap();
    run_job(&deployment).await;
    let written = written.lock().unwrap().clone();
    assert_eq!((written.len(), &written[0]), (2, &written[1]));
    assert_eq!(written[1]["path"], "edge-iam/org_000000001/teams/payments/key");
    assert_eq!(written[1]["mount"], "secret");
    assert!(works(&deployment, written[1]["data"]["api_key"].as_str().unwrap()).await);
    assert!(!works(&deployment, created.text_at("/api_key")).await);
    deployment.check().await;
}

/// Keys of an owner who may not act wait for it.
#[tokio::test]
async fn keys_of_suspended_owners_wait() {
    let (deployment, host) = start();
    let receiver = Receiver::start(&[]);
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "waits").await;
    let set = put(&admin, created.text_at("/key_id"), &webhook(&receiver.url)).await.expect(200);
    let_pass(&host, 31).await;
    let status = |status: &str| format!("UPDATE users SET status = '{status}'");
    host.apply(&status("suspended")).unwrap();
    run_job(&deployment).await;
    assert_eq!((receiver.count(), recorded(&deployment, "api_key.rotate")), (0, 0));
    host.apply(&status("active")).unwrap();
    run_job(&deployment).await;
    let (_, _, new) = receiver.last_key(set.text_at("/signing_secret"));
    assert!(works(&deployment, &new).await);
    assert_eq!(recorded(&deployment, "api_key.rotate"), 1);
}

/// What is sealed is sealed anew while the master key is rotated, so nothing is lost when the previous one
/// goes.
#[tokio::test]
async fn the_only_copy_outlives_the_master_key() {
    let (deployment, host) = start();
    let receiver = Receiver::start(&[500]);
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "sealed").await;
    let set = put(&admin, created.text_at("/key_id"), &webhook(&receiver.url)).await.expect(200);
    let_pass(&host, 31).await;
    run_job(&deployment).await;
    let second = iam_core::encoding::base64url(&[5; 32]);
    let first = deployment.setup.master_key.clone();
    let variables = [("IAM_MASTER_KEY", second.as_str()), ("IAM_MASTER_KEY_PREVIOUS", first.as_str())];
    iam_tests::native::restart(&host, &[], &variables);
    let keyring = "/api/v1/keyring";
    assert_eq!(admin.get(keyring).await.expect(200).text_at("/previous_master_key"), "needed");
    deployment.internal().post("/internal/scheduled/reseal", &json!({})).await.expect(204);
    assert_eq!(admin.get(keyring).await.expect(200).text_at("/previous_master_key"), "unneeded");
    iam_tests::native::restart(&host, &[], &[("IAM_MASTER_KEY_PREVIOUS", "")]);
    let_pass(&host, 1).await;
    run_job(&deployment).await;
    let (_, _, new) = receiver.last_key(set.text_at("/signing_secret"));
    assert!(works(&deployment, &new).await);
    assert_eq!(recorded(&deployment, "api_key.delivered"), 1);
}

/// What the hosts can't be told in their database is there from the start.
#[tokio::test]
async fn an_aged_key_is_rotated() {
    let receiver = Receiver::start(&[]);
    let aged = scenario::aged(&receiver.url);
    let deployment = iam_tests::native::start(aged.setup.clone()).0;
    scenario::an_aged_key_is_rotated(&deployment, &aged, &receiver).await;
    deployment.check().await;
}
