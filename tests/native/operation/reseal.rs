//! The job that seals anew while the master key is rotated.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use iam_core::id::{OrganizationId, WebhookDeliveryId};
use iam_core::secret::register::WEBHOOK_MESSAGE;
use iam_core::secret::seal::MasterKey;
use iam_core::sql::Statement;
use iam_edge::native::{TestHost, logged};
use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use iam_tests::native::{restart, start};
use serde_json::json;

const JOB: &str = "/internal/scheduled/reseal";

/// Messages of an organization, sealed under a master key: so many, of which those before `opens_from` don't
/// open.
async fn put_messages(host: &TestHost, master: &str, organization: &str, count: u8, opens_from: u8) {
    let master = MasterKey::parse(master).unwrap();
    let organization: OrganizationId = organization.parse().unwrap();
    for number in 0..count {
        let id = WebhookDeliveryId::new(iam_edge::now(), [number; 10]);
        let purpose = WEBHOOK_MESSAGE.purpose(&organization, &[id.as_str()]);
        let purpose = if number < opens_from { "another purpose" } else { purpose.as_str() };
        let insert = Statement::new(
            "INSERT INTO webhook_deliveries (org_id, delivery_id, service, sealed_message, state, \
             created_at, finished_at) VALUES (?1, ?2, 'github', ?3, 'dead', ?4, ?4)",
        );
        let sealed = master.seal(purpose, b"[]\n{}", [number; 12]).unwrap();
        let insert = insert.bind(&organization).bind(&id).bind(sealed).bind(iam_edge::now());
        host.request().db("").run(insert).await.unwrap();
    }
}

fn sealed_under(deployment: &Deployment, organization: &str, master: &str) -> i64 {
    let master = iam_core::secret::seal::MasterKeys::new(MasterKey::parse(master).unwrap(), None);
    let sql = "SELECT COUNT(*) AS count FROM webhook_deliveries WHERE org_id = ";
    let id = master.current_id();
    deployment.count(&format!("{sql}'{organization}' AND substr(sealed_message, 4, 8) = '{id}'"))
}

/// Rows that don't open, more than are read at once, keep neither those behind them nor another
/// organization's from being sealed, and the log says which they are.
#[tokio::test]
async fn what_does_not_open_keeps_nothing_else_from_being_sealed() {
    let (deployment, host) = start(Setup::new(&iam_tests::scenarios::configuration()));
    let admin = deployment.administrator().await;
    let (first, second) = (deployment.setup.master_key.clone(), iam_core::encoding::base64url(&[5; 32]));
    put_messages(&host, &first, "org_000000001", 13, 7).await;
    put_messages(&host, &first, "org_000000002", 3, 0).await;
    restart(&host, &[], &[("IAM_MASTER_KEY", &second), ("IAM_MASTER_KEY_PREVIOUS", &first)]);
    deployment.internal().post(JOB, &json!({})).await.expect(204);
    for (organization, old, new) in [("org_000000001", 7, 6), ("org_000000002", 0, 3)] {
        assert_eq!(sealed_under(&deployment, organization, &first), old, "{organization}");
        assert_eq!(sealed_under(&deployment, organization, &second), new, "{organization}");
    }
    let told = logged("webhook_deliveries.sealed_message of ");
    assert_eq!(told.iter().filter(|line| line.contains("in org_000000001 can't be sealed")).count(), 7);
    // The keys that sign, which come first, are sealed anew as well.
    let keyring = admin.get("/api/v1/keyring").await.expect(200);
    assert_eq!(keyring.json["keys"][0]["sealed_under_current_master"], true);
    assert_eq!(keyring.text_at("/previous_master_key"), "needed");
    host.apply("DELETE FROM webhook_deliveries WHERE org_id = 'org_000000001'").unwrap();
    let keyring = admin.get("/api/v1/keyring").await.expect(200);
    assert_eq!(keyring.text_at("/previous_master_key"), "unneeded");
    deployment.check().await;
}
