use iam_core::directory::purge::SCIM_CHANGES;
use iam_core::id::{OrganizationId, ScimClientId};
use iam_core::provisioning::acts;
use iam_core::provisioning::repeated_change::{Repeated, Repeats};
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_core::sql::{Answers, Batch};
use iam_core::time::{Duration, Timestamp};

use super::support::{Installation, configuration, log_id};

const WINDOW: Duration = Duration::from_seconds(600);
const BOUND: u32 = 3;

fn event(organization: &OrganizationId, now: Timestamp) -> AuditEvent {
    AuditEvent {
        organization: organization.clone(),
        log_id: log_id(),
        timestamp: now,
        actor: Actor::Scim,
        user_id: None,
        act: acts::LOOP,
        resource_id: None,
        ip_address: None,
        user_agent: None,
        outcome: Outcome::Failure,
        request_id: None,
        details: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn what_comes_again_and_again_is_reported_once_a_window() {
    let installation = Installation::new(configuration()).await;
    let client_id = ScimClientId::new(iam_edge::now(), [1; 10]);
    let start = iam_edge::now();
    let organization = &installation.organization;
    let at = |seconds| Repeats {
        organization,
        client_id: &client_id,
        change_hash: "a change",
        now: start.after(Duration::from_seconds(seconds)),
    };
    let come = async |repeats: Repeats<'_>| {
        let mut batch = Batch::from([repeats.count(WINDOW)]);
        batch.extend(repeats.report(BOUND, event(organization, repeats.now)));
        let repeated = batch.ask(repeats.read());
        let rows = installation.host.request().db("").batch(batch.into_statements()).await.unwrap();
        Answers::new(rows).one(repeated).unwrap().unwrap()
    };
    let reported = "SELECT COUNT(*) AS count FROM audit_events WHERE org_id = ?1 AND action = 'scim.loop'";
    assert!(installation.run(at(0).read().into_statement()).await.is_empty());
    for (seconds, count, records) in [(0, 1, 0), (1, 2, 0), (2, 3, 1), (3, 4, 1), (599, 5, 1)] {
        let repeated = come(at(seconds)).await;
        assert_eq!(repeated, Repeated { count, is_reported: records == 1 });
        assert_eq!(repeated.is_loop(BOUND), count >= BOUND);
        assert_eq!(installation.count(reported, &[]).await, records);
    }
    // A window later it begins anew.
    assert!(installation.run(at(600).read().into_statement()).await.is_empty());
    for (seconds, count, records) in [(600, 1, 1), (601, 2, 1), (602, 3, 2), (603, 4, 2)] {
        assert_eq!(come(at(seconds)).await.count, count);
        assert_eq!(installation.count(reported, &[]).await, records);
    }
    // Then the job forgets it.
    let rows = "SELECT COUNT(*) AS count FROM scim_changes WHERE org_id = ?1";
    for (seconds, left) in [(1199, 1), (1201, 0)] {
        let now = start.after(Duration::from_seconds(seconds));
        installation.run(SCIM_CHANGES.forget(&installation.organization, now).into_statement()).await;
        assert_eq!(installation.count(rows, &[]).await, left);
    }
}
