//! Webhooks from end to end: a target of our own that fails, hangs and comes back, and moments in the
//! database that are moved.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a helper fails its test")]
#![expect(clippy::disallowed_methods, reason = "tests run natively alone")]

mod bounds;

use std::time::Duration;

use iam_core::sql::Statement;
use iam_edge::native::TestHost;
use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use iam_tests::receiver::{HANG, Receiver};
use iam_tests::scenarios::webhooks::forwarding::{self, DELIVERIES, JOB, last, message, show};
use iam_tests::scenarios::webhooks::intake::{self, Sent};
use serde_json::{Value, json};

/// A deployment that forwards to this address.
fn start(target: &str) -> (Deployment, TestHost) {
    start_with(&forwarding::configuration(target, 4))
}

fn start_with(configuration: &Value) -> (Deployment, TestHost) {
    iam_tests::native::start(forwarding::setup(configuration))
}

/// Sends one and waits for what is done after the answer; its delivery.
async fn deliver(deployment: &Deployment, host: &TestHost) -> (String, Sent) {
    let message = message(deployment);
    let taken = message.send(&deployment.client()).await.expect(202);
    host.settle().await;
    (taken.text_at("/delivery_id").to_owned(), message)
}

/// As if everything about deliveries had happened this many seconds earlier.
async fn let_pass(host: &TestHost, seconds: i64) {
    for sql in [
        "UPDATE webhook_deliveries SET next_attempt_at = next_attempt_at - ?1, finished_at = finished_at - \
         ?1",
        "UPDATE webhook_receipts SET expires_at = expires_at - ?1",
    ] {
        host.request().db("").run(Statement::new(sql).bind(seconds * 1000)).await.unwrap();
    }
}

async fn run_job(deployment: &Deployment) {
    deployment.internal().post(JOB, &json!({})).await.expect(204);
}

/// How many records say that a delivery was given up for this reason.
fn dead_because(deployment: &Deployment, id: &str, reason: &str) -> i64 {
    deployment.count(&format!(
        "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'webhook.dead' AND resource_id = '{id}' \
         AND details ->> 'reason' = '{reason}'"
    ))
}

/// How many refusals of a service are recorded for this reason.
fn refused_because(deployment: &Deployment, service: &str, reason: &str) -> i64 {
    deployment.count(&format!(
        "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'webhook.refused' AND details ->> \
         'service' = '{service}' AND details ->> 'reason' = '{reason}'"
    ))
}

/// Every statement about webhooks is on an index: what the scenarios never bring about runs here.
fn assert_indexed(host: &TestHost) {
    let ours = |sql: &str| sql.contains("COUNT(*)") || sql.contains(" - ?1");
    let mut seen = 0;
    for (sql, steps) in host.plans().into_iter().filter(|(sql, _)| sql.contains("webhook_") && !ours(sql)) {
        seen += 1;
        let is_wide = |step: &&String| {
            let is_made = ["VIRTUAL TABLE", "CONSTANT ROW", "(subquery", "SCAN known"]
                .iter()
                .any(|made| step.contains(made));
            (step.starts_with("SCAN") && !is_made)
                || (step.contains("SEARCH webhook_") && step.ends_with("(org_id=?)"))
                || step.contains("TEMP B-TREE")
        };
        let wide: Vec<&String> = steps.iter().filter(is_wide).collect();
        assert!(wide.is_empty(), "{sql}: {wide:?}");
    }
    assert!(seen > 5, "only {seen}");
}

#[tokio::test]
async fn a_message_is_forwarded_after_the_answer() {
    let target = Receiver::start(&[]);
    let (deployment, host) = start(&target.url);
    let admin = deployment.administrator().await;
    let (id, sent) = deliver(&deployment, &host).await;
    assert_eq!((target.count(), last(&target)), (1, (id.clone(), sent.body)));
    let shown = show(&admin, &id).await;
    assert_eq!((shown.text_at("/state"), &shown.json["message"]), ("delivered", &Value::Null));
    let kept = "SELECT COUNT(sealed_message) AS count FROM webhook_deliveries";
    assert_eq!(deployment.count(kept), 0);
    assert_eq!(deployment.recorded("webhook.delivered", "success", &id), 1);
    run_job(&deployment).await;
    assert_eq!(target.count(), 1);
    deployment.check().await;
}

#[tokio::test]
async fn a_target_that_fails_gets_it_later() {
    let target = Receiver::start(&[500, 302, 404]);
    let (deployment, host) = start(&target.url);
    let admin = deployment.administrator().await;
    let (id, sent) = deliver(&deployment, &host).await;
    let shown = show(&admin, &id).await;
    assert_eq!(
        (shown.text_at("/state"), shown.text_at("/last_error")),
        ("pending", "the target answered 500")
    );
    // At rest it is sealed.
    let open = "SELECT COUNT(*) AS count FROM webhook_deliveries WHERE sealed_message LIKE 'v1.%' AND \
                sealed_message NOT LIKE '%confidential%'";
    assert_eq!(deployment.count(open), 1);
    run_job(&deployment).await;
    assert_eq!(target.count(), 1, "not before its time");
    // Between half a minute and a minute, then twice that.
    let_pass(&host, 29).await;
    run_job(&deployment).await;
    assert_eq!(target.count(), 1);
    let_pass(&host, 32).await;
    // By several runs at once: one try.
    tokio::join!(run_job(&deployment), run_job(&deployment), run_job(&deployment), run_job(&deployment));
    assert_eq!(target.count(), 2);
    assert_eq!(show(&admin, &id).await.text_at("/last_error"), "the target answered 302");
    let_pass(&host, 59).await;
    run_job(&deployment).await;
    assert_eq!(target.count(), 2);
    for count in [3, 4] {
        let_pass(&host, 300).await;
        run_job(&deployment).await;
        assert_eq!((target.count(), last(&target)), (count, (id.clone(), sent.body.clone())));
    }
    let shown = show(&admin, &id).await;
    assert_eq!((shown.text_at("/state"), &shown.json["attempts"]), ("delivered", &json!(4)));
    assert!(target.answers.lock().unwrap().is_empty());
    deployment.check().await;
    assert_indexed(&host);
}

#[tokio::test]
async fn a_dead_delivery_waits_for_somebody() {
    let target = Receiver::start(&[500; 4]);
    let (deployment, host) = start(&target.url);
    let admin = deployment.administrator().await;
    let (id, sent) = deliver(&deployment, &host).await;
    for _ in 0..5 {
        let_pass(&host, 4000).await;
        run_job(&deployment).await;
    }
    assert_eq!(target.count(), 4);
    let shown = show(&admin, &id).await;
    assert_eq!((shown.text_at("/state"), &shown.json["next_attempt_at"]), ("dead", &Value::Null));
    assert_eq!(shown.text_at("/message/body").as_bytes(), sent.body);
    let dead = admin.get(&format!("{DELIVERIES}?state=dead&service=hooks")).await.expect(200);
    assert_eq!(dead.text_at("/deliveries/0/delivery_id"), id);
    assert_eq!(deployment.recorded("webhook.dead", "failure", &id), 1);
    assert_eq!(dead_because(&deployment, &id, "the target answered 500"), 1);
    // The sender's retry does not bring it back: that is for whoever administers it.
    sent.send(&deployment.client()).await.expect_problem(409, "replayed");
    let retry = format!("{DELIVERIES}/{id}/retry");
    assert_eq!(admin.post(&retry, &json!({})).await.expect(200).json["attempts"], 0);
    admin.post(&retry, &json!({})).await.expect_problem(404, "not_found");
    run_job(&deployment).await;
    assert_eq!((target.count(), last(&target)), (5, (id.clone(), sent.body)));
    assert_eq!(deployment.recorded("webhook.retry", "success", &id), 1);
    deployment.check().await;
    assert_indexed(&host);
}

#[tokio::test]
async fn a_target_that_hangs_holds_nobody_up() {
    let target = Receiver::start(&[HANG, HANG, HANG, HANG]);
    let (deployment, host) = start(&target.url);
    let admin = deployment.administrator().await;
    let begin = std::time::Instant::now();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let taken = message(&deployment).send(&deployment.client()).await.expect(202);
        ids.push(taken.text_at("/delivery_id").to_owned());
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "the answer waited for the target");
    host.settle().await;
    assert!(begin.elapsed() < Duration::from_secs(25));
    assert_eq!(show(&admin, &ids[0]).await.text_at("/state"), "pending");
    // Those that hang are tried at once, not one after the other.
    let_pass(&host, 4000).await;
    let begin = std::time::Instant::now();
    run_job(&deployment).await;
    assert!(begin.elapsed() < Duration::from_secs(18), "{:?}", begin.elapsed());
    let_pass(&host, 4000).await;
    run_job(&deployment).await;
    for id in &ids {
        assert_eq!(show(&admin, id).await.text_at("/state"), "delivered");
    }
}

#[tokio::test]
async fn what_was_not_noted_is_sent_again_under_the_same_id() {
    let target = Receiver::start(&[]);
    let (deployment, host) = start(&target.url);
    // The note of the delivery fails, as if the instance had died before it.
    let refuse = "CREATE TRIGGER died BEFORE UPDATE OF state ON webhook_deliveries WHEN new.state = \
                  'delivered' BEGIN SELECT RAISE(ABORT, 'died'); END";
    host.apply(refuse).unwrap();
    let (id, sent) = deliver(&deployment, &host).await;
    assert_eq!(last(&target), (id.clone(), sent.body.clone()));
    run_job(&deployment).await;
    assert_eq!(target.count(), 1, "the claim still holds");
    let_pass(&host, 121).await;
    deployment.internal().post(JOB, &json!({})).await.expect(500);
    assert_eq!(target.count(), 2);
    host.apply("DROP TRIGGER died").unwrap();
    let_pass(&host, 121).await;
    run_job(&deployment).await;
    assert_eq!((target.count(), last(&target)), (3, (id.clone(), sent.body)));
    assert_eq!(deployment.recorded("webhook.delivered", "success", &id), 1);
    let_pass(&host, 4000).await;
    run_job(&deployment).await;
    assert_eq!(target.count(), 3);
}

#[tokio::test]
async fn strangers_fill_no_audit() {
    let (deployment, host) = start("http://127.0.0.1:1/");
    let recorded = |filter: &str| {
        deployment.count(&format!(
            "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'webhook.refused' AND {filter}"
        ))
    };
    // The counts are of a minute: begin early in one.
    let second = iam_edge::now().as_seconds().rem_euclid(60);
    if second > 45 {
        tokio::time::sleep(Duration::from_secs(u64::try_from(61 - second).unwrap())).await;
    }
    let client = deployment.client();
    for round in 0..60 {
        if round == 30 {
            // Another instance knows nothing of the first one's refusals.
            iam_tests::native::restart(&host, &["webhook"], &[]);
        }
        let name = format!("{}-{round}", intake::unique());
        client.post(&format!("/webhook/{name}"), &json!({})).await.expect_problem(404, "not_found");
        client.post("/webhook/hooks", &json!({})).await.expect_problem(401, "signature_missing");
    }
    assert_eq!(recorded("details ->> 'reason' = 'unknown_service'"), 10);
    assert_eq!(recorded("details ->> 'reason' = 'signature_missing'"), 10);
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM webhook_refusals"), 2);
    tokio::join!(run_job(&deployment), run_job(&deployment));
    // The first instance took the 20 of its own that it had not told of along when it ended.
    let counted = "SELECT SUM(details ->> 'count') AS count FROM audit_events WHERE action = \
                   'webhook.refused' AND details ->> 'reason' = 'signature_missing' AND details ->> \
                   'service' = 'hooks'";
    assert_eq!(deployment.count(counted), 10);
    assert_eq!(recorded("actor = 'system'"), 2);
    run_job(&deployment).await;
    assert_eq!(recorded("actor = 'system'"), 2);
    assert_indexed(&host);
}

/// What is sealed is sealed anew while the master key is rotated, so nothing is lost when the previous one
/// goes.
#[tokio::test]
async fn messages_outlive_the_master_key() {
    let target = Receiver::start(&[500]);
    let (deployment, host) = start(&target.url);
    let admin = deployment.administrator().await;
    let (id, sent) = deliver(&deployment, &host).await;
    let second = iam_core::encoding::base64url(&[5; 32]);
    let first = deployment.setup.master_key.clone();
    let variables = [("IAM_MASTER_KEY", second.as_str()), ("IAM_MASTER_KEY_PREVIOUS", first.as_str())];
    iam_tests::native::restart(&host, &[], &variables);
    let keyring = "/api/v1/keyring";
    assert_eq!(admin.get(keyring).await.expect(200).text_at("/previous_master_key"), "needed");
    deployment.internal().post("/internal/scheduled/reseal", &json!({})).await.expect(204);
    assert_eq!(admin.get(keyring).await.expect(200).text_at("/previous_master_key"), "unneeded");
    iam_tests::native::restart(&host, &[], &[("IAM_MASTER_KEY_PREVIOUS", "")]);
    let_pass(&host, 4000).await;
    run_job(&deployment).await;
    assert_eq!(last(&target), (id, sent.body));
    assert_indexed(&host);
}

/// The switch is read by the statement that takes a message: an answer of 503 means that nothing was taken.
#[tokio::test]
async fn maintenance_begins_between_two_messages() {
    let target = Receiver::start(&[]);
    let (deployment, host) = start(&target.url);
    deliver(&deployment, &host).await;
    let set = |document: &str| {
        Statement::new(
            "INSERT INTO flags (org_id, document, changes, version, log_id) VALUES ('org_000000001', ?1, \
             '{}', 1, '') ON CONFLICT DO UPDATE SET document = excluded.document, version = version + 1",
        )
        .bind(document)
    };
    host.request().db("").run(set(r#"{"maintenance_mode": true}"#)).await.unwrap();
    let message = message(&deployment);
    let refused = message.send(&deployment.client()).await.expect(503);
    assert_eq!(refused.json["status"], "maintenance");
    assert_eq!(refused_because(&deployment, "hooks", "maintenance"), 1);
    // Once the instance knows of it, it need not ask; it is recorded all the same, within bounds.
    for _ in 0..15 {
        message.send(&deployment.client()).await.expect(503);
    }
    assert!((2..=20).contains(&refused_because(&deployment, "hooks", "maintenance")));
    host.settle().await;
    assert_eq!(
        (deployment.count("SELECT COUNT(*) AS count FROM webhook_deliveries"), target.count()),
        (1, 1)
    );
    host.request().db("").run(set(r#"{"maintenance_mode": false}"#)).await.unwrap();
    iam_tests::native::restart(&host, &["webhook"], &[]);
    message.send(&deployment.client()).await.expect(202);

    // Where the configuration leaves the intake open, it is.
    let mut configuration = intake::maintenance_configuration();
    configuration["operational"]["maintenance_serves"] = json!(["webhooks"]);
    let (open, _host) = start_with(&configuration);
    intake::new_message(&open, "github").send(&open.client()).await.expect(202);
}

/// What could never be forwarded is not taken.
#[tokio::test]
async fn a_target_has_to_be_allowed_and_signed_for() {
    let mut configuration = iam_tests::scenarios::configuration();
    let service = |target: &str| json!({"scheme": "github", "target": target});
    configuration["webhooks"]["services"]["hooks"] = service("https://169.254.169.254/latest");
    let (deployment, _host) = start_with(&configuration);
    message(&deployment).send(&deployment.client()).await.expect_problem(503, "service_not_ready");
    configuration["webhooks"]["services"]["hooks"] = service("https://hooks.example.com/");
    let mut setup = Setup::new(&configuration);
    setup.webhook_secrets = json!({"hooks": ["webhook-secret"], "hooks:target": ["no base64!"]}).to_string();
    let (deployment, host) = iam_tests::native::start(setup);
    message(&deployment).send(&deployment.client()).await.expect_problem(503, "service_not_ready");
    iam_tests::native::restart(&host, &["webhook"], &[("IAM_WEBHOOK_SECRETS", "{")]);
    message(&deployment).send(&deployment.client()).await.expect_problem(503, "service_not_ready");
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM webhook_deliveries"), 0);
}

/// What nobody fetches is given up, what is old is forgotten, and what was forgotten may come again.
#[tokio::test]
async fn nothing_is_kept_for_ever() {
    let (deployment, host) = start("http://127.0.0.1:1/");
    let admin = deployment.administrator().await;
    let message = intake::new_message(&deployment, "github");
    let taken = message.send(&deployment.client()).await.expect(202);
    let id = taken.text_at("/delivery_id");
    run_job(&deployment).await;
    assert_eq!(show(&admin, id).await.text_at("/state"), "queued");
    let_pass(&host, 31 * 86_400).await;
    run_job(&deployment).await;
    let shown = show(&admin, id).await;
    assert_eq!(
        (shown.text_at("/state"), shown.text_at("/last_error")),
        ("dead", "nobody fetched it in time")
    );
    assert_eq!(deployment.recorded("webhook.dead", "failure", id), 1);
    assert_eq!(dead_because(&deployment, id, "nobody fetched it in time"), 1);
    // Asked for again it waits to be fetched, since it has no target.
    let retried = admin.post(&format!("{DELIVERIES}/{id}/retry"), &json!({})).await.expect(200);
    assert_eq!(retried.text_at("/state"), "queued");
    for _ in 0..2 {
        let_pass(&host, 31 * 86_400).await;
        run_job(&deployment).await;
    }
    admin.get(&format!("{DELIVERIES}/{id}")).await.expect_problem(404, "not_found");
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM webhook_receipts"), 0);
    message.send(&deployment.client()).await.expect(202);
    deployment.check().await;
    assert_indexed(&host);
}
