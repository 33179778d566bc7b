use http::StatusCode;
use iam_provisioning::schema::{ENTERPRISE_URN, USER_URN};
use serde_json::json;

use super::support::{Installation, USERS, user};

#[tokio::test]
async fn a_deactivated_user_is_out_at_once_and_can_come_back() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    let other = installation.create("bob").await;
    for user_id in [&id, &id, &other] {
        installation.begin_session(user_id).await;
    }
    // As Okta sends it.
    let deactivated = installation.patch(&id, json!([{"op": "replace", "value": {"active": false}}])).await;
    assert_eq!((deactivated.status, &deactivated.body["active"]), (StatusCode::OK, &json!(false)));
    assert_eq!(deactivated.round_trips.used, 3);
    assert_eq!(deactivated.body["meta"]["version"], "W/\"2\"");
    let ended = Some("deactivated".to_owned());
    assert_eq!(installation.sessions(&id).await, [ended.clone(), ended]);
    assert_eq!(installation.sessions(&other).await, [None]);
    let shown = installation.get(&format!("{USERS}/{id}")).await;
    assert_eq!(shown.body, deactivated.body);

    // As Entra sends it.
    let back = installation.patch(&id, json!([{"op": "Replace", "path": "active", "value": "True"}])).await;
    assert_eq!(back.body["active"], true);
    let actions: Vec<String> = installation.audit(&id).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["scim.user.create", "scim.user.deactivate", "scim.user.update"]);
}

#[tokio::test]
async fn attributes_are_changed_in_the_forms_of_okta_and_entra() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    let answer = installation
        .patch(
            &id,
            json!([
                {"op": "Add", "path": "emails[type eq \"work\"].value", "value": "ada@example.com"},
                {"op": "Replace", "path": "name.givenName", "value": "Ada"},
                {"op": "Replace", "value": {"displayName": "Ada L.", "name.familyName": "Lovelace",
                "active": "True"}},
                {"op": "Add", "path": format!("{ENTERPRISE_URN}:department"), "value": "Engines"},
                {"op": "replace", "path": "externalId", "value": "00u1"},
                {"op": "replace", "path": "userName", "value": "ada.l"},
            ]),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let mut expected = json!({
        "schemas": [USER_URN, ENTERPRISE_URN], "id": id, "userName": "ada.l", "externalId": "00u1",
        "active": true,
        "displayName": "Ada L.", "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"type": "work", "value": "ada@example.com"}], (ENTERPRISE_URN): {"department": "Engines"},
    });
    expected["meta"] = answer.body["meta"].clone();
    assert_eq!(answer.body, expected);
    assert_eq!(installation.get(&format!("{USERS}/{id}")).await.body, expected);
    let rows = installation.query("SELECT email FROM users WHERE org_id = ?1 AND user_id = ?2", &[&id]).await;
    assert_eq!(rows.first().unwrap().text("email"), Ok("ada@example.com"));

    let removed = installation
        .patch(&id, json!([{"op": "Remove", "path": "emails"}, {"op": "remove", "path": ENTERPRISE_URN}]))
        .await;
    assert_eq!(removed.body["emails"], json!(null));
    assert_eq!(removed.body["schemas"], json!([USER_URN]));
    let shown = installation.get(&format!("{USERS}/{id}")).await;
    assert_eq!(shown.body, removed.body);
}

#[tokio::test]
async fn a_change_of_nothing_writes_nothing() {
    let installation = Installation::new().await;
    let created = installation.post(user("ada")).await;
    let id = created.id();
    let same = installation.patch(&id, json!([{"op": "replace", "path": "active", "value": true}])).await;
    assert_eq!((same.status, &same.body), (StatusCode::OK, &created.body));
    assert_eq!(same.round_trips.used, 2);
    assert_eq!(installation.audit(&id).await.len(), 1);
}

#[tokio::test]
async fn all_operations_or_none() {
    let installation = Installation::new().await;
    let created = installation.post(user("ada")).await;
    let id = created.id();
    installation.begin_session(&id).await;
    let half = json!([
        {"op": "replace", "path": "active", "value": false}, {"op": "replace", "path": "shoeSize",
        "value": 43},
    ]);
    assert_eq!(installation.patch(&id, half).await.refusal(), (400, "invalidPath"));
    assert_eq!(installation.get(&format!("{USERS}/{id}")).await.body, created.body);
    assert_eq!(installation.sessions(&id).await, [None]);
}

#[tokio::test]
async fn a_new_password_signs_out_and_is_never_shown() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    installation.begin_session(&id).await;
    let answer = installation
        .patch(&id, json!([{"op": "replace", "path": "password", "value": "A-new-Secret-4711"}]))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.body.to_string().contains("A-new-Secret-4711"));
    assert_eq!(installation.sessions(&id).await, [Some("password_changed".to_owned())]);
    let rows = installation
        .query("SELECT password_hash FROM users WHERE org_id = ?1 AND user_id = ?2", &[&id])
        .await;
    let hash = rows.first().unwrap().text("password_hash").unwrap().to_owned();
    assert_eq!(iam_core::secret::password::verify("A-new-Secret-4711", &hash), Ok(true));
    // Whatever else changes, the password stays.
    installation.patch(&id, json!([{"op": "replace", "path": "title", "value": "x"}])).await;
    let rows = installation
        .query("SELECT password_hash FROM users WHERE org_id = ?1 AND user_id = ?2", &[&id])
        .await;
    assert_eq!(rows.first().unwrap().text("password_hash"), Ok(hash.as_str()));
}

/// A password has to fit the policy and can't come again; when it was set, and what was before it, is kept.
#[tokio::test]
async fn a_new_password_obeys_the_policy() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    let set = async |password: &str| {
        let operation = json!([{"op": "replace", "path": "password", "value": password}]);
        installation.patch(&id, operation).await
    };
    for weak in ["short", "Password123!", "no-upper-case-in-4711", "aaaaaaaaaaaa"] {
        let answer = set(weak).await;
        assert!(!answer.body.to_string().contains(weak));
        assert_eq!(answer.refusal(), (400, "invalidValue"));
    }
    assert_eq!(set("plume-Anvil-1").await.status, StatusCode::OK);
    assert_eq!(set("plume-Anvil-1").await.refusal(), (400, "invalidValue"));
    assert_eq!(set("plume-Anvil-2").await.status, StatusCode::OK);
    assert_eq!(set("plume-Anvil-1").await.refusal(), (400, "invalidValue"));
    let sql = "SELECT (SELECT COUNT(*) FROM password_history WHERE org_id = ?1 AND user_id = ?2) AS former, \
               password_changed_at >= created_at AS is_dated FROM users WHERE org_id = ?1 AND user_id = ?2";
    let rows = installation.query(sql, &[&id]).await;
    let row = rows.first().unwrap();
    assert_eq!((row.integer("former"), row.integer("is_dated")), (Ok(1), Ok(1)));
}

#[tokio::test]
async fn a_lock_is_not_the_clients_to_open() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    installation.query("UPDATE users SET status = 'locked' WHERE org_id = ?1 AND user_id = ?2", &[&id]).await;
    let status = async || {
        let rows =
            installation.query("SELECT status FROM users WHERE org_id = ?1 AND user_id = ?2", &[&id]).await;
        rows.first().unwrap().text("status").unwrap().to_owned()
    };
    let changes = json!([{"op": "replace", "value": {"active": true, "title": "x"}}]);
    assert_eq!(installation.patch(&id, changes).await.body["active"], true);
    assert_eq!(status().await, "locked");
    installation.patch(&id, json!([{"op": "replace", "path": "active", "value": false}])).await;
    assert_eq!(status().await, "suspended");
}
