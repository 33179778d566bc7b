//! Refresh tokens.

use serde_json::json;

use crate::{Answer, Deployment};

const PATH: &str = "/api/v1/auth/refresh";

async fn refresh(deployment: &Deployment, token: &str) -> Answer {
    deployment.client().post(PATH, &json!({"refresh_token": token})).await
}

async fn sign_in(deployment: &Deployment) -> Answer {
    let (username, password) = deployment.new_user().await;
    deployment.client().login(&username, &password).await.expect(200)
}

/// The session of an access token.
fn session_of(answer: &Answer) -> String {
    let claims = answer.text_at("/access_token").split('.').nth(1).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&iam_core::encoding::from_base64url(claims).unwrap()).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

/// Each token brings the next, and the same one to whoever asks again.
pub async fn rotates(deployment: &Deployment) {
    let login = sign_in(deployment).await;
    let mut token = login.text_at("/refresh_token").to_owned();
    for _ in 0..3 {
        let answer = refresh(deployment, &token).await.expect(200);
        assert_eq!(answer.json["expires_in"], 3600);
        let access = answer.text_at("/access_token");
        deployment.client().with(access).get("/api/v1/auth/me").await.expect(200);
        assert_ne!(answer.text_at("/refresh_token"), token);
        let retry = refresh(deployment, &token).await.expect(200);
        assert_eq!(retry.text_at("/refresh_token"), answer.text_at("/refresh_token"));
        assert_ne!(retry.text_at("/access_token"), access);
        answer.text_at("/refresh_token").clone_into(&mut token);
    }
    assert_eq!(deployment.recorded("token.refresh", "success", &session_of(&login)), 3);
    for malformed in ["", "cronos_rt_", "nonsense", token.get(..40).unwrap()] {
        refresh(deployment, malformed).await.expect_problem(401, "invalid_refresh_token");
    }
}

/// Of many refreshes with one token at the same instant one makes the successor, and all get it.
pub async fn of_twenty_at_once_one_wins(deployment: &Deployment) {
    let login = sign_in(deployment).await;
    let (token, session) = (login.text_at("/refresh_token"), session_of(&login));
    let body = json!({"refresh_token": token});
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, body) = (deployment.client(), body.clone());
        requests.spawn(async move { client.post(PATH, &body).await });
    }
    let answers: Vec<Answer> =
        requests.join_all().await.into_iter().map(|answer| answer.expect(200)).collect();
    let successor = answers[0].text_at("/refresh_token");
    assert!(answers.iter().all(|answer| answer.text_at("/refresh_token") == successor));
    let members = "SELECT COUNT(*) AS count FROM refresh_tokens WHERE session_id =";
    assert_eq!(deployment.count(&format!("{members} '{session}'")), 2);
    assert_eq!(deployment.recorded("token.refresh", "success", &session), 1);
    refresh(deployment, successor).await.expect(200);
}

/// Once the successor is used, its predecessor brings nothing, but within the tolerance ends nothing either.
pub async fn a_used_successor_is_given_to_nobody(deployment: &Deployment) {
    let login = sign_in(deployment).await;
    let second = refresh(deployment, login.text_at("/refresh_token")).await.expect(200);
    let third = refresh(deployment, second.text_at("/refresh_token")).await.expect(200);
    refresh(deployment, login.text_at("/refresh_token")).await.expect_problem(401, "invalid_refresh_token");
    refresh(deployment, third.text_at("/refresh_token")).await.expect(200);
}

/// A spent token that comes again, later, ends the whole session: its refresh token and its access tokens.
pub async fn a_reused_token_ends_the_session(deployment: &Deployment) {
    let login = sign_in(deployment).await;
    let stolen = login.text_at("/refresh_token");
    let current = refresh(deployment, stolen).await.expect(200);
    tokio::time::sleep(std::time::Duration::from_millis(4_200)).await;
    refresh(deployment, stolen).await.expect_problem(401, "invalid_refresh_token");
    refresh(deployment, current.text_at("/refresh_token")).await.expect_problem(401, "invalid_refresh_token");
    refresh(deployment, stolen).await.expect_problem(401, "invalid_refresh_token");
    assert_eq!(deployment.recorded("token.reuse", "failure", &session_of(&login)), 1);
    for answer in [&login, &current] {
        let client = deployment.client().with(answer.text_at("/access_token"));
        client.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    }
}
