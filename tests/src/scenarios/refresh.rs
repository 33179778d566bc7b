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

/// Each token works once and brings the next.
pub async fn rotates(deployment: &Deployment) {
    let login = sign_in(deployment).await;
    let mut token = login.text_at("/refresh_token").to_owned();
    for _ in 0..3 {
        let answer = refresh(deployment, &token).await.expect(200);
        assert_eq!(answer.json["expires_in"], 3600);
        let access = answer.text_at("/access_token");
        deployment.client().with(access).get("/api/v1/auth/me").await.expect(200);
        assert_ne!(answer.text_at("/refresh_token"), token);
        answer.text_at("/refresh_token").clone_into(&mut token);
    }
    let claims = login.text_at("/access_token").split('.').nth(1).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&iam_core::encoding::from_base64url(claims).unwrap()).unwrap();
    assert_eq!(deployment.recorded("token.refresh", "success", claims["sid"].as_str().unwrap()), 3);
    for malformed in ["", "cronos_rt_", "nonsense", token.get(..40).unwrap()] {
        refresh(deployment, malformed).await.expect_problem(401, "invalid_refresh_token");
    }
}

/// Of several refreshes with one token at the same instant exactly one wins, and its successor works.
pub async fn of_two_at_once_one_wins(deployment: &Deployment) {
    let login = sign_in(deployment).await;
    let token = login.text_at("/refresh_token");
    let answers = tokio::join!(
        refresh(deployment, token),
        refresh(deployment, token),
        refresh(deployment, token),
        refresh(deployment, token)
    );
    let (winners, losers): (Vec<_>, Vec<_>) =
        [answers.0, answers.1, answers.2, answers.3].into_iter().partition(|answer| answer.status == 200);
    assert_eq!(winners.len(), 1);
    for loser in losers {
        loser.expect_problem(401, "invalid_refresh_token");
    }
    refresh(deployment, winners[0].text_at("/refresh_token")).await.expect(200);
}

/// A spent token that comes again, later, ends the whole session: its refresh token and its access tokens.
pub async fn a_reused_token_ends_the_session(deployment: &Deployment) {
    let login = sign_in(deployment).await;
    let stolen = login.text_at("/refresh_token");
    let current = refresh(deployment, stolen).await.expect(200);
    tokio::time::sleep(std::time::Duration::from_millis(4_200)).await;
    refresh(deployment, stolen).await.expect_problem(401, "invalid_refresh_token");
    refresh(deployment, current.text_at("/refresh_token")).await.expect_problem(401, "invalid_refresh_token");
    let reuses =
        "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'token.reuse' AND result = 'failure'";
    assert!(deployment.count(reuses) >= 1);
    for answer in [&login, &current] {
        let client = deployment.client().with(answer.text_at("/access_token"));
        client.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    }
}
