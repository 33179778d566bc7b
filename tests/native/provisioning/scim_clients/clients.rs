use http::Method;
use serde_json::{Value as Json, json};

use super::support::{Answer, CLIENTS, Installation, configuration};

async fn create(installation: &Installation, body: Json) -> Answer {
    installation.admin(Method::POST, CLIENTS, Some(body)).await.expect(201)
}

fn path(client: &Answer) -> String {
    format!("{CLIENTS}/{}", client.text("client_id"))
}

async fn recorded(installation: &Installation, action: &str) -> i64 {
    let sql =
        "SELECT COUNT(*) AS count FROM audit_events WHERE org_id = ?1 AND action = ?2 AND result = 'success'";
    installation.count(sql, &[action]).await
}

#[tokio::test]
async fn clients_are_administered() {
    let installation = Installation::new(configuration()).await;
    installation.probe(&installation.scim_token).await.expect(200);
    let created =
        create(&installation, json!({"name": " Okta ", "rate_limit": 7, "expires_in_days": 1})).await;
    assert_eq!((created.text("name"), &created.body["rate_limit"]), ("Okta", &json!(7)));
    assert_eq!(installation.probe(created.text("token")).await.expect(200).body, "Okta");
    installation.host.settle().await;

    let shown = installation.admin(Method::GET, &path(&created), None).await.expect(200);
    assert_eq!(shown.body["tokens"][0]["token_id"], created.body["token_id"]);
    assert_eq!(shown.body["tokens"][0]["expires_at"], created.body["expires_at"]);
    assert!(shown.body["tokens"][0]["last_used"].is_string());
    assert!(!shown.body.to_string().contains(created.text("token")));

    let change = json!({"name": "Okta Europe", "rate_limit": null});
    for _ in 0..2 {
        let changed =
            installation.admin(Method::PATCH, &path(&created), Some(change.clone())).await.expect(200);
        assert_eq!((changed.text("name"), &changed.body["rate_limit"]), ("Okta Europe", &Json::Null));
    }
    assert_eq!(recorded(&installation, "scim_client.update").await, 1, "the second changed nothing");

    let first = installation.admin(Method::GET, &format!("{CLIENTS}?limit=1"), None).await.expect(200);
    let cursor = first.text("next_cursor");
    let second = format!("{CLIENTS}?limit=1&cursor={cursor}");
    let second = installation.admin(Method::GET, &second, None).await.expect(200);
    assert_eq!(first.body["clients"][0]["name"], "first client");
    assert_eq!(second.body["clients"][0]["name"], "Okta Europe");
    assert_eq!(second.body["next_cursor"], Json::Null);

    installation.admin(Method::DELETE, &path(&created), None).await.expect(204);
    let refused = installation.probe(created.text("token")).await.expect(401);
    assert!(refused.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    assert_eq!(refused.headers["content-type"], "application/scim+json");
    assert_eq!(refused.body["status"], "401");
    let tokens = format!("{}/tokens", path(&created));
    for answer in [
        installation.admin(Method::GET, &path(&created), None).await,
        installation.admin(Method::DELETE, &path(&created), None).await,
        installation.admin(Method::PATCH, &path(&created), Some(json!({"name": "a"}))).await,
        installation.admin(Method::POST, &tokens, Some(json!({}))).await,
    ] {
        answer.problem(404, "not_found");
    }
    for action in ["scim_client.create", "scim_client.revoke"] {
        assert_eq!(recorded(&installation, action).await, 1, "{action}");
    }
    installation.probe(&installation.scim_token).await.expect(200);
}

#[tokio::test]
async fn bad_fields_are_named() {
    let installation = Installation::new(configuration()).await;
    for (body, pointer) in [
        (json!({"name": " "}), "/name"),
        (json!({"name": "a".repeat(129)}), "/name"),
        (json!({"name": "a", "rate_limit": 0}), "/rate_limit"),
        (json!({"name": "a", "rate_limit": 1_000_001}), "/rate_limit"),
        (json!({"name": "a", "expires_in_days": 0}), "/expires_in_days"),
        (json!({"name": "a", "expires_in_days": 3661}), "/expires_in_days"),
    ] {
        let answer =
            installation.admin(Method::POST, CLIENTS, Some(body)).await.problem(422, "invalid_field");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    let reader = installation.person("reader", &["viewer"]).await;
    let token = installation.sign_in("reader", super::support::PASSWORD).await;
    installation.send(Method::GET, CLIENTS, &token, None).await.expect(200);
    let body = Some(json!({"name": "a"}));
    installation.send(Method::POST, CLIENTS, &token, body).await.problem(403, "permission_denied");
    installation.send(Method::GET, CLIENTS, &installation.scim_token, None).await.expect(401);
    drop(reader);
}

#[tokio::test]
async fn tokens_are_rotated() {
    let installation = Installation::new(configuration()).await;
    let client = create(&installation, json!({"name": "rotated"})).await;
    let tokens = format!("{}/tokens", path(&client));
    let token = |id: &str| format!("{tokens}/{id}");
    let first = client.text("token_id");
    installation.admin(Method::DELETE, &token(first), None).await.problem(409, "last_token");
    let second =
        installation.admin(Method::POST, &tokens, Some(json!({"expires_in_days": 2}))).await.expect(201);
    installation.admin(Method::POST, &tokens, Some(json!({}))).await.problem(409, "too_many_tokens");
    for valid in [client.text("token"), second.text("token")] {
        installation.probe(valid).await.expect(200);
    }
    for _ in 0..2 {
        installation.admin(Method::DELETE, &token(first), None).await.expect(204);
    }
    installation.probe(client.text("token")).await.expect(401);
    installation.probe(second.text("token")).await.expect(200);
    let second_id = second.text("token_id");
    installation.admin(Method::DELETE, &token(second_id), None).await.problem(409, "last_token");
    // Of another client there is no such token.
    let other = create(&installation, json!({"name": "other"})).await;
    let elsewhere = format!("{}/tokens/{second_id}", path(&other));
    installation.admin(Method::DELETE, &elsewhere, None).await.problem(404, "not_found");
    // One that ended makes room, and can be revoked though it was the last.
    installation
        .query("UPDATE scim_tokens SET expires_at = 2 WHERE org_id = ?1 AND token_id = ?2", &[second_id])
        .await;
    installation.probe(second.text("token")).await.expect(401);
    installation.admin(Method::DELETE, &token(second_id), None).await.expect(204);
    assert_eq!(recorded(&installation, "scim_client.token.create").await, 1);
    assert_eq!(recorded(&installation, "scim_client.token.revoke").await, 2);
}

#[tokio::test]
async fn of_many_tokens_at_once_one_is_made() {
    let installation = Installation::new(configuration()).await;
    let client = create(&installation, json!({"name": "raced"})).await;
    let tokens = format!("{}/tokens", path(&client));
    let request = || installation.admin(Method::POST, &tokens, Some(json!({})));
    let (a, b, c, d, e, f) = tokio::join!(request(), request(), request(), request(), request(), request());
    let made = [a, b, c, d, e, f].into_iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    let valid = "SELECT COUNT(*) AS count FROM scim_tokens WHERE org_id = ?1 AND client_id = ?2 AND \
                 revoked_at IS NULL";
    assert_eq!(installation.count(valid, &[client.text("client_id")]).await, 2);

    // Of two revocations of each other's last one, one is refused.
    let listed = installation.admin(Method::GET, &path(&client), None).await.expect(200);
    let id =
        |index: usize| format!("{tokens}/{}", listed.body["tokens"][index]["token_id"].as_str().unwrap());
    let (one, other) = (id(0), id(1));
    let (a, b) = tokio::join!(
        installation.admin(Method::DELETE, &one, None),
        installation.admin(Method::DELETE, &other, None)
    );
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
    assert_eq!(installation.count(valid, &[client.text("client_id")]).await, 1);
}

#[tokio::test]
async fn clients_are_bounded_and_forgotten() {
    let installation = Installation::new(configuration()).await;
    let mut last = None;
    for number in 1..50 {
        last = Some(create(&installation, json!({"name": format!("client {number}")})).await);
    }
    let body = || Some(json!({"name": "one too many"}));
    installation.admin(Method::POST, CLIENTS, body()).await.problem(409, "too_many_clients");
    installation.admin(Method::DELETE, &path(&last.unwrap()), None).await.expect(204);
    installation
        .query("UPDATE scim_clients SET revoked_at = 1 WHERE org_id = ?1 AND revoked_at > 1", &[])
        .await;
    create(&installation, body().unwrap()).await;
    let all = "SELECT COUNT(*) AS count FROM scim_clients WHERE org_id = ?1";
    assert_eq!(installation.count(all, &[]).await, 50, "what was revoked long ago is gone");
}
