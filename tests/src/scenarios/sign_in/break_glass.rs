//! Emergency credentials.

use serde_json::json;

use crate::{Answer, Deployment};

const CREDENTIALS: &str = "/api/v1/break-glass";
const USE: &str = "/api/v1/auth/break-glass";
const REASON: &str = "the identity provider is down";

async fn seal(deployment: &Deployment, label: &str) -> Answer {
    let body = json!({"reason": "for the safe", "label": label});
    deployment.administrator().await.post(CREDENTIALS, &body).await.expect(201)
}

async fn open(deployment: &Deployment, credential: &str) -> Answer {
    deployment.client().post(USE, &json!({"credential": credential, "reason": REASON})).await
}

/// It opens once, as an administrator of its own, whatever was done to that one; its token can't be
/// refreshed.
pub async fn opens_once(deployment: &Deployment) {
    let (first, second) = (seal(deployment, "safe 1").await, seal(deployment, "safe 2").await);
    let credential = first.text_at("/credential");
    assert!(credential.starts_with("cronos_bg_"));
    let answers = tokio::join!(open(deployment, credential), open(deployment, credential));
    let (opened, refused) = if answers.0.status == 200 { answers } else { (answers.1, answers.0) };
    refused.expect_problem(401, "invalid_credential");
    let opened = opened.expect(200);
    assert_eq!(opened.json["token_type"], "Bearer");
    assert_eq!(opened.json["expires_in"], 1800);
    assert!(opened.json.get("refresh_token").is_none());
    let emergency = deployment.client().with(opened.text_at("/access_token"));
    let me = emergency.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.json["roles"], json!(["admin"]));
    assert_eq!(me.json["display_name"], "Emergency administrator");
    emergency.get(CREDENTIALS).await.expect(200);
    let id = first.text_at("/credential_id");
    assert_eq!(deployment.recorded("break_glass.use", "success", id), 1);

    // An identity provider can't delete it; an administrator does, and the other envelope still opens.
    let user = format!("/api/scim/v2/Users/{}", me.text_at("/user_id"));
    deployment.scim().delete(&user).await.expect(404);
    let account = format!("/api/v1/service-accounts/{}", me.text_at("/user_id"));
    deployment.administrator().await.delete(&account).await.expect(204);
    emergency.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    let again = open(deployment, second.text_at("/credential")).await.expect(200);
    let again = deployment.client().with(again.text_at("/access_token"));
    assert_eq!(again.get("/api/v1/auth/me").await.expect(200).json["user_id"], me.json["user_id"]);
}

/// Whoever may, sees what there is and why it was used, without the secrets; what is revoked opens nothing.
pub async fn is_listed_and_revoked(deployment: &Deployment) {
    let sealed = seal(deployment, "to be revoked").await;
    let administrator = deployment.administrator().await;
    let path = format!("{CREDENTIALS}/{}", sealed.text_at("/credential_id"));
    let status = async || {
        let mut cursor = String::new();
        loop {
            let page = administrator.get(&format!("{CREDENTIALS}?limit=2{cursor}")).await.expect(200);
            assert!(!page.text.contains("cronos_bg_"));
            let listed = page.json["credentials"].as_array().unwrap().iter();
            let mut found = listed.filter(|listed| listed["credential_id"] == sealed.json["credential_id"]);
            if let Some(found) = found.next() {
                return found["status"].as_str().unwrap().to_owned();
            }
            cursor = format!("&cursor={}", page.text_at("/next_cursor"));
        }
    };
    assert_eq!(status().await, "sealed");
    administrator.delete(&path).await.expect(204);
    assert_eq!(status().await, "revoked");
    administrator.delete(&path).await.expect_problem(404, "not_found");
    open(deployment, sealed.text_at("/credential")).await.expect_problem(401, "invalid_credential");

    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let user = deployment.client().with(login.text_at("/access_token"));
    user.get(CREDENTIALS).await.expect_problem(403, "permission_denied");
    user.post(CREDENTIALS, &json!({"reason": "me too"})).await.expect_problem(403, "permission_denied");
    user.delete(&path).await.expect_problem(403, "permission_denied");
    administrator.get(&format!("{CREDENTIALS}?limit=0")).await.expect_problem(400, "invalid_query");
    administrator.post(CREDENTIALS, &json!({"reason": " "})).await.expect_problem(422, "invalid_field");
}

/// What was mistyped never reaches the database; a reason must be given.
pub async fn refuses_what_is_no_credential(deployment: &Deployment) {
    let sealed = seal(deployment, "mistyped").await;
    let credential = sealed.text_at("/credential");
    let (body, last) = credential.split_at(credential.len() - 1);
    let mistyped = format!("{body}{}", if last == "A" { "B" } else { "A" });
    for wrong in ["", "cronos_bg_", "nonsense", &mistyped] {
        open(deployment, wrong).await.expect_problem(401, "invalid_credential");
    }
    let hasty = json!({"credential": credential, "reason": "quick"});
    deployment.client().post(USE, &hasty).await.expect_problem(422, "invalid_field");
    open(deployment, credential).await.expect(200);
}
