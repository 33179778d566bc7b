use http::Method;
use serde_json::json;

use super::support::{CLIENTS, Installation, configuration};

/// So many calls at once: how many were answered.
async fn answered(installation: &Installation, token: &str, calls: usize) -> usize {
    let mut answered = 0;
    for _ in 0..calls {
        answered += usize::from(installation.probe(token).await.status == 200);
    }
    answered
}

#[tokio::test]
async fn a_token_keeps_to_its_clients_limit() {
    let installation = Installation::with_scim(json!({"rate_limit_per_minute": 4})).await;
    let body = json!({"name": "limited", "rate_limit": 3});
    let client = installation.admin(Method::POST, CLIENTS, Some(body)).await.expect(201);
    let token = client.text("token");
    let within = installation.probe(token).await.expect(200);
    assert_eq!(within.headers["ratelimit-policy"], "\"token\";q=3;w=60");
    assert!(within.headers["ratelimit"].to_str().unwrap().starts_with("\"token\";r=2;"));
    assert_eq!(answered(&installation, token, 6).await, 2);
    let over = installation.probe(token).await.expect(429);
    let seconds: i64 = over.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=63).contains(&seconds));
    assert_eq!(over.headers["content-type"], "application/scim+json");
    assert_eq!(
        (over.text("status"), &over.body["schemas"][0]),
        ("429", &json!("urn:ietf:params:scim:api:messages:2.0:Error"))
    );
    // Another token has its own, by the configuration where its client says none.
    assert_eq!(answered(&installation, &installation.scim_token, 8).await, 4);
    let tokens = format!("{CLIENTS}/{}/tokens", client.text("client_id"));
    let second = installation.admin(Method::POST, &tokens, Some(json!({}))).await.expect(201);
    assert_eq!(answered(&installation, second.text("token"), 6).await, 3);
    // A revoked one is that, not one over its limit.
    installation
        .admin(Method::DELETE, &format!("{CLIENTS}/{}", client.text("client_id")), None)
        .await
        .expect(204);
    installation.probe(token).await.expect(401);
    let subject = format!("scim:{}", client.text("token_id"));
    let taken =
        "SELECT COALESCE(SUM(taken), 0) AS count FROM rate_windows WHERE org_id = ?1 AND subject = ?2";
    assert_eq!(installation.count(taken, &[subject.as_str()]).await, 3);
}

#[tokio::test]
async fn only_a_working_token_takes_from_the_organizations_limit() {
    let mut configured = configuration();
    configured["operational"] = json!({"rate_limit_per_minute": 20});
    let installation = Installation::new(configured).await;
    let taken = "SELECT COALESCE(SUM(taken), 0) AS count FROM rate_windows WHERE org_id = ?1 AND subject = \
                 'organization'";
    let body = json!({"name": "gone"});
    let client = installation.admin(Method::POST, CLIENTS, Some(body)).await.expect(201);
    let path = format!("{CLIENTS}/{}", client.text("client_id"));
    installation.admin(Method::DELETE, &path, None).await.expect(204);
    installation.host.settle().await;
    let before = installation.count(taken, &[]).await;
    let mut unknown = installation.scim_token.clone();
    unknown.replace_range(unknown.len() - 8.., "AAAAAAAA");
    for token in [unknown.as_str(), client.text("token")] {
        for _ in 0..5 {
            installation.probe(token).await.expect(401);
        }
    }
    installation.host.settle().await;
    assert_eq!(installation.count(taken, &[]).await, before);
    let answered = answered(&installation, &installation.scim_token, 30).await;
    assert!((1..20).contains(&answered), "{answered}");
    let over = installation.probe(&installation.scim_token).await.expect(429);
    assert!(over.headers["ratelimit"].to_str().unwrap().contains("\"organization\";r=0"));
}
