use http::StatusCode;
use iam_core::id::{LogId, UserId};
use iam_core::provisioning::acts;
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_core::sql::{Answers, Batch};
use iam_provisioning::patch;
use iam_provisioning::schema::{GROUP_URN, Registry, ResourceKind};
use iam_provisioning::user::{ScimUser, Update, by_id};
use serde_json::json;

use super::support::{Installation, USERS, user};

const GROUPS: &str = "/api/scim/v2/Groups";

/// Of two changes of what both read, the second changes, ends and records nothing.
#[tokio::test]
async fn a_change_of_a_stale_user_does_nothing() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    installation.begin_session(&id).await;
    let user_id: UserId = id.parse().unwrap();
    let db = installation.host.request().db(installation.organization.as_str());
    let read = db.run(by_id(&installation.organization, &user_id).into_statement()).await.unwrap();
    let before: ScimUser = read.decode_first().unwrap().unwrap();
    let first = installation.patch(&id, json!([{"op": "replace", "path": "title", "value": "first"}])).await;

    let operations = json!({
        "schemas": [patch::PATCH_URN], "Operations": [{"op": "replace", "path": "active", "value": false}],
    });
    let registry = Registry::default();
    let schema = registry.of(ResourceKind::User);
    let operations = patch::parse(schema, operations).unwrap();
    let (after, _) = before.attributes.patched(schema, operations).unwrap();
    let now = iam_edge::now();
    let update = Update {
        organization: &installation.organization,
        before: &before,
        after: &after,
        password_hash: None,
        history_size: 12,
        now,
    };
    let event = AuditEvent {
        organization: installation.organization.clone(),
        log_id: LogId::new(now, [9; 10]),
        timestamp: now,
        actor: Actor::Scim,
        user_id: Some(user_id.clone()),
        act: acts::USER_DEACTIVATE,
        resource_id: Some(id.clone()),
        ip_address: None,
        user_agent: None,
        outcome: Outcome::Success,
        request_id: None,
        details: serde_json::Map::new(),
    };
    let mut batch = Batch::new();
    let changed = update.apply(event, &mut batch);
    for statement in batch.statements() {
        // Nor does it read more than this user and its sessions.
        let plan = installation.plan(statement).await;
        assert!(!plan.contains("SCAN") && !plan.contains("(org_id=?)"), "{plan}");
    }
    let answers = Answers::new(db.batch(batch.into_statements()).await.unwrap());
    assert!(!answers.did(changed).unwrap());
    assert_eq!(installation.get(&format!("{USERS}/{id}")).await.body, first.body);
    assert_eq!(installation.sessions(&id).await, [None]);
    assert_eq!(installation.audit(&id).await.len(), 2);
}

/// Somebody else changes what is changed: a user each time, a group the first time.
#[tokio::test]
async fn the_costliest_change_takes_its_whole_budget() {
    let installation = Installation::new().await;
    let ada = installation.create("ada").await;
    let group = json!({"schemas": [GROUP_URN], "displayName": "Engines"});
    let path = format!("{GROUPS}/{}", installation.post_to(GROUPS, group.clone()).await.id());
    let somebody_else = "CREATE TRIGGER no_user BEFORE UPDATE ON users BEGIN SELECT RAISE(IGNORE); END; \
                         CREATE TRIGGER first_group BEFORE INSERT ON audit_events WHEN NEW.action = \
                         'scim.group.update' AND 1 = (SELECT version FROM groups) BEGIN UPDATE groups SET \
                         version = 2; SELECT RAISE(IGNORE); END;";
    installation.host.apply(somebody_else).unwrap();
    let title = json!([{"op": "replace", "path": "title", "value": "Countess"}]);
    let changed = installation.patch(&ada, title).await;
    assert_eq!(changed.refusal(), (409, ""));
    assert_eq!((changed.round_trips.used, changed.round_trips.budget), (5, 5));
    let mut group = group;
    group["displayName"] = json!("Looms");
    let changed = installation.put(&path, group).await;
    assert_eq!((changed.status, &changed.body["displayName"]), (StatusCode::OK, &json!("Looms")));
    assert_eq!((changed.round_trips.used, changed.round_trips.budget), (6, 6));
}

#[tokio::test]
async fn every_change_is_recorded_with_what_differs() {
    let installation = Installation::new().await;
    let mut ada = user("ada");
    ada["password"] = json!("hunter2-Plume-anvil");
    ada["title"] = json!("Countess");
    let id = installation.post(ada).await.id();
    installation.begin_session(&id).await;
    installation.patch(&id, json!([{"op": "replace", "value": {"title": "Lady", "active": false}}])).await;
    installation.delete(&id).await;
    installation.delete(&id).await;
    let records = installation.audit(&id).await;
    let actions: Vec<&str> = records.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["scim.user.create", "scim.user.deactivate", "scim.user.delete"]);
    let made = json!({
        "userName": [null, "ada"], "title": [null, "Countess"], "active": [null, true], "password": null,
    });
    assert_eq!(records[0].1["changes"], made);
    assert_eq!(records[1].1["changes"], json!({"title": ["Countess", "Lady"], "active": [true, false]}));
    for (_, details) in &records {
        assert_eq!(details["client"], "first client");
        assert!(!details.to_string().contains("hunter2-Plume-anvil"), "{details}");
    }
}

#[tokio::test]
async fn a_deleted_user_is_out_at_once() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    installation.begin_session(&id).await;
    assert_eq!(installation.delete(&id).await.round_trips.used, 2);
    assert_eq!(installation.sessions(&id).await, [Some("deleted".to_owned())]);
}

#[tokio::test]
async fn an_organization_sees_its_own_users_alone() {
    let installation = Installation::new().await;
    let foreign = "user_01fwhe4ydgfk1shh6w1g60eecf";
    let sql = "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
               updated_at) SELECT 'org_0000other', ?2, 'ada', 'ada', 'active', 'scim', 0, 0 WHERE ?1 <> ''";
    installation.query(sql, &[foreign]).await;
    assert_eq!(installation.get(&format!("{USERS}/{foreign}")).await.refusal(), (404, ""));
    assert_eq!(installation.delete(foreign).await.refusal(), (404, ""));
    assert_eq!(installation.find("userName eq \"ada\"").await.body["totalResults"], 0);
    assert_eq!(installation.get(USERS).await.body["totalResults"], 1);
    installation.create("ada").await;
}
