//! Signing in, and what an access token opens.

use serde_json::json;

use crate::Deployment;

/// The answer of source document 0, with tokens that work.
pub async fn signs_in(deployment: &Deployment) {
    let setup = &deployment.setup;
    let answer = deployment.sign_in_administrator().await;
    assert_eq!(answer.json["token_type"], "Bearer");
    assert_eq!(answer.json["expires_in"], 3600);
    assert_eq!(answer.json["user"]["username"], setup.username);
    assert_eq!(answer.json["user"]["roles"], json!(["admin"]));
    assert_eq!(answer.json["user"]["mfa_enabled"], false);
    assert!(answer.text_at("/user/user_id").starts_with("user_"));
    assert_eq!(answer.text_at("/access_token").split('.').count(), 3);
    assert!(answer.text_at("/refresh_token").starts_with("cronos_rt_"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert!(answer.headers.contains_key("strict-transport-security"));
    let (first, second) = (answer, deployment.sign_in_administrator().await);
    assert_ne!(first.text_at("/access_token"), second.text_at("/access_token"));
}

/// A wrong password and an unknown user are told apart by nothing in the answer.
pub async fn wrong_credentials_look_alike(deployment: &Deployment) {
    let client = deployment.client();
    let failures = || {
        deployment
            .count("SELECT COUNT(*) AS count FROM audit_events WHERE action = 'login' AND result = 'failure'")
    };
    let before = failures();
    let wrong =
        client.login(&deployment.setup.username, "wrong").await.expect_problem(401, "invalid_credentials");
    let unknown =
        client.login("nobody@example.com", "wrong").await.expect_problem(401, "invalid_credentials");
    assert_eq!(wrong.text_at("/detail"), unknown.text_at("/detail"));
    assert_eq!(wrong.headers["www-authenticate"], unknown.headers["www-authenticate"]);
    assert!(failures() >= before + 2);
}

/// A code that nobody reads is refused, by itself and before the password is looked at.
pub async fn a_second_factor_is_refused(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let body = |password: &str, code| json!({"username": username, "password": password, "mfa_code": code});
    for path in ["/api/v1/auth/login", "/api/v1/sessions"] {
        for body in [body(&password, json!("123456")), body("wrong", json!(123_456))] {
            let refused = deployment.client().post(path, &body).await.expect_problem(422, "invalid_field");
            assert_eq!(refused.json["errors"][0]["pointer"], "/mfa_code");
            assert_eq!(
                refused.json["errors"][0]["detail"],
                "must be absent: second factors are not supported yet"
            );
        }
    }
    let absent = body(&password, json!(null));
    deployment.client().post("/api/v1/auth/login", &absent).await.expect(200);
}

/// `GET /api/v1/auth/me` with the fields of source document 0.
pub async fn a_token_opens_the_profile(deployment: &Deployment) {
    let me = deployment.administrator().await.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.json["username"], deployment.setup.username);
    assert_eq!(me.json["display_name"], "Administrator");
    assert_eq!(me.json["status"], "active");
    assert_eq!(me.json["roles"], json!(["admin"]));
    assert_eq!(me.json["groups"], json!([]));
    assert_eq!(me.json["mfa_methods"], json!([]));
    assert!(me.text_at("/last_login").ends_with('Z') && me.text_at("/created_at").ends_with('Z'));
    deployment.client().get("/api/v1/auth/me").await.expect_problem(401, "credential_missing");
}

/// A changed token, somebody else's and a made-up one open nothing.
pub async fn a_forged_token_opens_nothing(deployment: &Deployment) {
    let answer = deployment.sign_in_administrator().await;
    let token = answer.text_at("/access_token");
    let (input, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = [
        format!("{input}.{flipped}{}", signature.get(1..).unwrap()),
        format!("{input}."),
        format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoiYSJ9.{}.", token.split('.').nth(1).unwrap()),
        "not.a.token".to_owned(),
        String::new(),
        "x".repeat(9000),
    ];
    for token in &forged {
        let answer = deployment.client().with(token).get("/api/v1/auth/me").await;
        assert_eq!(answer.status, 401, "{token}: {}", answer.text);
    }
    deployment.client().with(token).get("/api/v1/auth/me").await.expect(200);
}

/// The sixth session of a user ends its first.
pub async fn sessions_are_limited(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let mut tokens = Vec::new();
    for _ in 0..6 {
        let answer = deployment.client().login(&username, &password).await.expect(200);
        tokens.push(answer.text_at("/access_token").to_owned());
    }
    deployment.client().with(&tokens[0]).get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    for token in &tokens[1..] {
        deployment.client().with(token).get("/api/v1/auth/me").await.expect(200);
    }
}
