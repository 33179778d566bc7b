//! How much a run of the job, a fetch and the audit take, and what becomes of the rest.

use std::time::Duration;

use iam_core::sql::Statement;
use iam_tests::Client;
use iam_tests::receiver::{HANG, Receiver};
use iam_tests::scenarios::webhooks::forwarding::{DELIVERIES, show};
use iam_tests::scenarios::webhooks::intake::{self, signed};
use serde_json::{Value, json};

use super::{assert_indexed, dead_because, let_pass, refused_because, run_job, start, start_with};

async fn fetch(admin: &Client, service: &str) -> Vec<Value> {
    let fetched =
        admin.post(&format!("/api/v1/webhooks/services/{service}/fetch"), &json!({})).await.expect(200);
    fetched.json["deliveries"].as_array().unwrap().clone()
}

/// One target that is dead, and one service with more than a run of fixed batches would take.
#[tokio::test]
async fn a_run_serves_all_services_and_all_that_is_due() {
    const MESSAGES: usize = 120;
    let (target, dead) = (Receiver::start(&[500; MESSAGES]), Receiver::start(&[HANG; 200]));
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["outbound"] = json!({"allow_http": true, "allow_private_addresses": true});
    let services = &mut configuration["webhooks"]["services"];
    services["hooks"] = json!({"scheme": "github", "target": target.url});
    services["dead"] = json!({"scheme": "github", "target": "http://127.0.0.1:1/"});
    let (deployment, host) = start_with(&configuration);
    for service in ["hooks", "dead"] {
        for _ in 0..MESSAGES {
            let body = format!(r#"{{"n": "{}"}}"#, intake::unique());
            let message = signed(&deployment, service, "webhook-secret", &body, "", 0);
            message.send(&deployment.client()).await.expect(202);
        }
    }
    host.settle().await;
    services_target(&mut configuration, "dead", &dead.url);
    iam_tests::native::restart(&host, &["webhook"], &[("IAM_CONFIG", &configuration.to_string())]);
    let_pass(&host, 4000).await;
    let begin = std::time::Instant::now();
    run_job(&deployment).await;
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    let of = |service: &str, state: &str| {
        deployment.count(&format!(
            "SELECT COUNT(*) AS count FROM webhook_deliveries WHERE service = '{service}' AND state = \
             '{state}'"
        ))
    };
    assert_eq!(of("hooks", "delivered"), 120);
    assert!((1..=5).contains(&dead.count()), "{} tries at a target that is dead", dead.count());
    // What was removed from the configuration still comes to its end.
    configuration["webhooks"]["services"].as_object_mut().unwrap().remove("dead");
    iam_tests::native::restart(&host, &["webhook"], &[("IAM_CONFIG", &configuration.to_string())]);
    for _ in 0..12 {
        let_pass(&host, 90_000).await;
        run_job(&deployment).await;
    }
    assert_eq!(of("dead", "dead"), 120);
    assert_indexed(&host);
}

fn services_target(configuration: &mut Value, service: &str, target: &str) {
    configuration["webhooks"]["services"][service]["target"] = json!(target);
}

#[tokio::test]
async fn a_run_sweeps_all_that_is_old() {
    let (deployment, host) = start("http://127.0.0.1:1/");
    let many = |sql: &str| {
        format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000) {sql}")
    };
    for sql in [
        "INSERT INTO webhook_deliveries (org_id, delivery_id, service, state, created_at, finished_at) \
         SELECT 'org_000000001', 'wdlv_' || n, 'hooks', 'delivered', 1, 1 FROM n",
        "INSERT INTO webhook_receipts (org_id, service, message_hash, content_hash, delivery_id, expires_at) \
         SELECT 'org_000000001', 'hooks', n, n, 'wdlv_' || n, 1 FROM n",
    ] {
        host.apply(&many(sql)).unwrap();
    }
    run_job(&deployment).await;
    for table in ["webhook_deliveries", "webhook_receipts"] {
        assert_eq!(deployment.count(&format!("SELECT COUNT(*) AS count FROM {table}")), 0, "{table}");
    }
}

/// A message that does not open, or that nobody ever acknowledges, keeps nobody from the others.
#[tokio::test]
async fn what_cannot_be_handed_out_is_given_up() {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["webhooks"]["services"]["github"] = json!({"scheme": "github", "max_attempts": 2});
    let (deployment, host) = start_with(&configuration);
    let admin = deployment.administrator().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let taken = intake::new_message(&deployment, "github").send(&deployment.client()).await.expect(202);
        ids.push(taken.text_at("/delivery_id").to_owned());
    }
    let spoil = "UPDATE webhook_deliveries SET sealed_message = substr(sealed_message, 1, 12) || 'AAAA' \
                 WHERE org_id = 'org_000000001' AND delivery_id = ?1";
    host.request().db("").run(Statement::new(spoil).bind(ids[0].as_str())).await.unwrap();
    assert_eq!(fetch(&admin, "github").await.len(), 2);
    let shown = admin.get(&format!("{DELIVERIES}?state=dead")).await.expect(200);
    assert_eq!(shown.text_at("/deliveries/0/delivery_id"), ids[0]);
    assert_eq!(shown.text_at("/deliveries/0/last_error"), "the message can't be opened");
    assert_eq!(dead_because(&deployment, &ids[0], "the message can''t be opened"), 1);
    admin.post(&format!("{DELIVERIES}/{}/acknowledge", ids[1]), &json!({})).await.expect(204);
    let_pass(&host, 61).await;
    assert_eq!(fetch(&admin, "github").await.len(), 1);
    let_pass(&host, 61).await;
    assert_eq!(fetch(&admin, "github").await.len(), 0);
    let shown = show(&admin, &ids[2]).await;
    assert_eq!((shown.text_at("/state"), &shown.json["attempts"]), ("dead", &json!(3)));
    let reason = "it was fetched as often as the service allows, and never acknowledged";
    assert_eq!(dead_because(&deployment, &ids[2], reason), 1);
    assert_eq!(deployment.recorded("webhook.fetch", "success", &ids[2]), 2);
    // Asked for again it has all its tries again.
    admin.post(&format!("{DELIVERIES}/{}/retry", ids[2]), &json!({})).await.expect(200);
    assert_eq!(fetch(&admin, "github").await.len(), 1);
    deployment.check().await;
    assert_indexed(&host);
}

/// What does not fit one answer waits for the next one, as if it had not been fetched.
#[tokio::test]
async fn large_messages_come_a_few_at_a_time() {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["webhooks"]["services"]["github"] =
        json!({"scheme": "github", "max_body_bytes": 1_048_576});
    let (deployment, host) = start_with(&configuration);
    let admin = deployment.administrator().await;
    for _ in 0..6 {
        let body = format!(r#"{{"id": "{}", "text": "{}"}}"#, intake::unique(), "x".repeat(1_000_000));
        let message = signed(&deployment, "github", "webhook-secret", &body, "", 0);
        message.send(&deployment.client()).await.expect(202);
    }
    let first = fetch(&admin, "github").await;
    let second = fetch(&admin, "github").await;
    assert_eq!((first.len(), second.len()), (4, 2));
    assert!(first.iter().chain(&second).all(|delivery| delivery["attempts"] == 1));
    deployment.check().await;
    assert_indexed(&host);
}

/// Where a service makes no ids, the same body may mean something new after a while.
#[tokio::test]
async fn a_service_has_its_own_replay_window() {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["webhooks"]["services"]["github"] = json!({"scheme": "github", "replay_window": "10m"});
    let (deployment, host) = start_with(&configuration);
    let message = intake::new_message(&deployment, "github");
    message.send(&deployment.client()).await.expect(202);
    let_pass(&host, 590).await;
    message.send(&deployment.client()).await.expect_problem(409, "replayed");
    let_pass(&host, 20).await;
    message.send(&deployment.client()).await.expect(202);
    let standard = intake::new_message(&deployment, "standard");
    standard.send(&deployment.client()).await.expect(202);
    let_pass(&host, 610).await;
    standard.send(&deployment.client()).await.expect_problem(409, "replayed");
}

#[tokio::test]
async fn a_probe_that_is_refused_is_recorded() {
    let (deployment, _host) = start("http://127.0.0.1:1/");
    let client = deployment.client();
    client.get("/webhook/hooks").await.expect(200);
    client.get("/webhook/fenced").await.expect_problem(403, "address_not_allowed");
    client.get(&format!("/webhook/{}", intake::unique())).await.expect_problem(404, "not_found");
    assert_eq!(refused_because(&deployment, "fenced", "address_not_allowed"), 1);
    assert_eq!(refused_because(&deployment, "", "unknown_service"), 1);
    for _ in 0..15 {
        client.get("/webhook/fenced").await.expect(403);
    }
    assert!((10..=20).contains(&refused_because(&deployment, "fenced", "address_not_allowed")));
    deployment.check().await;
}
