//! Where secrets come from, as an administrator sees it.

use serde_json::{Value, json};

use crate::Deployment;

const SECRETS: &str = "/api/v1/admin/secrets";

/// Names and stores are shown, and no value.
pub async fn are_listed_without_their_values(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let listed = admin.get(SECRETS).await.expect(200);
    for value in [&deployment.setup.master_key, &deployment.setup.internal_token] {
        assert!(!listed.text.contains(value.as_str()));
    }
    let of = |list: &str, field: &str, name: &str| {
        let found = listed.json[list].as_array().unwrap().iter().find(|entry| entry[field] == name).cloned();
        found.unwrap_or_else(|| panic!("no {name} in {}", listed.text))
    };
    assert_eq!(of("secrets", "name", "IAM_MASTER_KEY")["store"], "host");
    assert_eq!(of("secrets", "name", "IAM_MASTER_KEY_PREVIOUS")["store"], Value::Null);
    assert_eq!(of("stores", "store", "host")["status"], "healthy");
    assert_eq!(of("stores", "store", "vault")["status"], "not_configured");
    let step = json!({"step": "announce", "version": 1});
    let rotated = admin.post(&format!("{SECRETS}/master-key/rotate"), &step).await;
    rotated.expect_problem(503, "vault_unavailable");
}

/// Not for everybody, and the routes between functions for nobody outside.
pub async fn are_out_of_reach(deployment: &Deployment) {
    deployment.client().get(SECRETS).await.expect(401);
    let (username, password) = deployment.new_user().await;
    let signed_in = deployment.client().login(&username, &password).await.expect(200);
    let user = deployment.client().with(signed_in.text_at("/access_token"));
    user.get(SECRETS).await.expect_problem(403, "permission_denied");
    let rotate = format!("{SECRETS}/master-key/rotate");
    let step = json!({"step": "announce", "version": 1});
    user.post(&rotate, &step).await.expect_problem(403, "permission_denied");
    user.post(&format!("{SECRETS}/IAM_MASTER_KEY/rewrap"), &json!({})).await.expect(403);
    let certificate = json!({"common_name": "a.example.com", "ttl_seconds": 600});
    user.post(&format!("{SECRETS}/certificates"), &certificate).await.expect(403);
    for name in ["read", "write", "decrypt"] {
        let path = format!("/internal/secrets/{name}");
        for client in [&user, &deployment.internal()] {
            let answer = client.post(&path, &json!({"names": ["IAM_MASTER_KEY"]})).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        }
    }
}
