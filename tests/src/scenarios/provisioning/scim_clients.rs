//! SCIM clients and their tokens.

use serde_json::json;

use crate::{Answer, Client, Deployment};

const CLIENTS: &str = "/api/v1/scim/clients";
const USERS: &str = "/api/scim/v2/Users?count=0";

async fn create(admin: &Client, name: &str) -> Answer {
    admin.post(CLIENTS, &json!({"name": name})).await.expect(201)
}

fn path(client: &Answer) -> String {
    format!("{CLIENTS}/{}", client.text_at("/client_id"))
}

/// Created once, listed, changed, revoked, its token out at once.
pub async fn are_administered(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let key = format!("scim-{}", iam_edge::now().as_millis());
    let body = json!({"name": "Okta", "rate_limit": 500});
    let creation =
        || admin.request(reqwest::Method::POST, CLIENTS).header("idempotency-key", &key).json(&body);
    let created = admin.send(creation()).await.expect(201);
    assert_eq!(admin.send(creation()).await.expect(201).json, created.json);
    let client = deployment.client().with(created.text_at("/token"));
    let answer = client.get(USERS).await.expect(200);
    assert!(answer.headers["ratelimit-policy"].to_str().unwrap().contains("\"token\";q=500;w=60"));

    let changed = admin.patch(&path(&created), &json!({"name": "Okta Europe"})).await.expect(200);
    assert_eq!((changed.text_at("/name"), &changed.json["rate_limit"]), ("Okta Europe", &json!(500)));
    let mut page = admin.get(&format!("{CLIENTS}?limit=1")).await.expect(200);
    while let Some(cursor) = page.json["next_cursor"].as_str() {
        page = admin.get(&format!("{CLIENTS}?limit=1&cursor={cursor}")).await.expect(200);
    }
    assert!(page.json["clients"].as_array().is_some_and(|clients| clients.len() == 1));
    assert_eq!(admin.get(&path(&created)).await.expect(200).json["name"], "Okta Europe");

    admin.delete(&path(&created)).await.expect(204);
    let refused = client.get(USERS).await.expect(401);
    assert!(refused.headers.contains_key("www-authenticate"));
    assert_eq!(refused.json["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    admin.get(&path(&created)).await.expect_problem(404, "not_found");
    admin.delete(&path(&created)).await.expect_problem(404, "not_found");
    let id = created.text_at("/client_id");
    for action in ["scim_client.create", "scim_client.update", "scim_client.revoke"] {
        assert_eq!(deployment.recorded(action, "success", id), 1, "{action}");
    }
    deployment.client().get(CLIENTS).await.expect_problem(401, "credential_missing");
}

/// Two tokens work while one is rotated, never more, and the last one stays.
pub async fn tokens_are_rotated(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let client = create(&admin, "rotated").await;
    let tokens = format!("{}/tokens", path(&client));
    let mut created = Vec::new();
    for _ in 0..4 {
        let answer = admin.post(&tokens, &json!({"expires_in_days": 30})).await;
        if answer.status == 201 {
            created.push(answer);
        } else {
            answer.expect_problem(409, "too_many_tokens");
        }
    }
    assert_eq!(created.len(), 1);
    let works = async |token: &str| deployment.client().with(token).get(USERS).await.status == 200;
    let (old, new) = (client.text_at("/token"), created[0].text_at("/token"));
    assert!(works(old).await && works(new).await);
    for _ in 0..2 {
        admin.delete(&format!("{tokens}/{}", client.text_at("/token_id"))).await.expect(204);
    }
    assert!(!works(old).await && works(new).await);
    let last = format!("{tokens}/{}", created[0].text_at("/token_id"));
    admin.delete(&last).await.expect_problem(409, "last_token");
    assert!(works(new).await);
    admin.delete(&path(&client)).await.expect(204);
    assert!(!works(new).await);
}
