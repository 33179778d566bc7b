//! Changing and resetting passwords.

use serde_json::{Value, json};

use crate::{Answer, Client, Deployment};

const CHANGE: &str = "/api/v1/auth/password/change";
const RESET: &str = "/api/v1/auth/password/reset";
const CONFIRM: &str = "/api/v1/auth/password/reset/confirm";
const ME: &str = "/api/v1/auth/me";

/// A password that fits the policy, told apart by a number.
fn new_password(number: u32) -> String {
    format!("plume-Anvil-{number}-quartz")
}

async fn sign_in(deployment: &Deployment, username: &str, password: &str) -> (Client, Answer) {
    let login = deployment.client().login(username, password).await.expect(200);
    (deployment.client().with(login.text_at("/access_token")), login)
}

async fn change(client: &Client, current: &str, new: &str) -> Answer {
    client.post(CHANGE, &json!({"current_password": current, "new_password": new})).await
}

async fn confirm(deployment: &Deployment, token: &str, password: &str) -> Answer {
    deployment.client().post(CONFIRM, &json!({"token": token, "new_password": password})).await
}

/// A reset token that the administrator made for a user.
async fn reset_token(deployment: &Deployment, user_id: &str) -> String {
    let path = format!("/api/v1/users/{user_id}/password-reset");
    let answer = deployment.administrator().await.post(&path, &Value::Null).await.expect(201);
    answer.text_at("/reset_token").to_owned()
}

/// The new password signs in, the old one does not; this session lives on, the others and their tokens don't.
pub async fn are_changed(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let (mine, _) = sign_in(deployment, &username, &password).await;
    let (other, other_login) = sign_in(deployment, &username, &password).await;
    let wrong = change(&mine, "not-the-Password-1", &new_password(1)).await;
    let wrong = wrong.expect_problem(422, "wrong_password");
    assert_eq!(wrong.json["errors"][0]["pointer"], "/current_password");
    mine.get(ME).await.expect(200);
    other.get(ME).await.expect(200);

    change(&mine, &password, &new_password(1)).await.expect(204);
    mine.get(ME).await.expect(200);
    other.get(ME).await.expect_problem(401, "invalid_token");
    let refresh = json!({"refresh_token": other_login.text_at("/refresh_token")});
    deployment.client().post("/api/v1/auth/refresh", &refresh).await.expect(401);
    deployment.client().login(&username, &password).await.expect_problem(401, "invalid_credentials");
    let (_, login) = sign_in(deployment, &username, &new_password(1)).await;
    let user_id = login.text_at("/user/user_id");
    assert_eq!(deployment.recorded("password.change", "success", user_id), 1);
    assert_eq!(deployment.recorded("password.change", "failure", user_id), 1);
    deployment.client().post(CHANGE, &json!({})).await.expect_problem(401, "credential_missing");
}

/// All rules that a password violates are named at once, and it is said nowhere.
pub async fn are_refused_with_every_rule(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let (client, _) = sign_in(deployment, &username, &password).await;
    for (refused, rules) in
        [("dragon", 5), ("Password123!", 1), ("aA1!aA1!aA1!", 1), ("Example-4711-Anvil", 1)]
    {
        let answer = change(&client, &password, refused).await.expect_problem(422, "password_refused");
        assert!(!answer.text.contains(refused));
        let errors = answer.json["errors"].as_array().unwrap();
        assert_eq!(errors.len(), rules, "{refused}: {}", answer.text);
        assert!(errors.iter().all(|error| error["pointer"] == "/new_password"));
    }
    deployment.client().login(&username, &password).await.expect(200);
}

/// Neither the current password nor those before it.
pub async fn are_not_used_again(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let (client, login) = sign_in(deployment, &username, &password).await;
    change(&client, &password, &password).await.expect_problem(422, "password_refused");
    change(&client, &password, &new_password(1)).await.expect(204);
    change(&client, &new_password(1), &new_password(2)).await.expect(204);
    for former in [password.as_str(), &new_password(1), &new_password(2)] {
        let answer = change(&client, &new_password(2), former).await.expect_problem(422, "password_refused");
        assert_eq!(answer.json["errors"].as_array().unwrap().len(), 1);
    }
    let user_id = login.text_at("/user/user_id");
    let former = format!("SELECT COUNT(*) AS count FROM password_history WHERE user_id = '{user_id}'");
    assert_eq!(deployment.count(&former), 2);
}

/// The token works once, the newest alone; a password that is refused does not cost it; all sessions end.
pub async fn are_reset_by_an_administrator(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let (client, login) = sign_in(deployment, &username, &password).await;
    let user_id = login.text_at("/user/user_id");
    let path = format!("/api/v1/users/{user_id}/password-reset");
    client.post(&path, &Value::Null).await.expect_problem(403, "permission_denied");
    let sent = deployment.administrator().await.post(&format!("{path}?notify=true"), &Value::Null).await;
    sent.expect_problem(409, "no_notification_endpoint");

    let older = reset_token(deployment, user_id).await;
    let token = reset_token(deployment, user_id).await;
    assert!(token.starts_with("cronos_pr_"));
    confirm(deployment, &older, &new_password(1)).await.expect_problem(401, "invalid_reset_token");
    confirm(deployment, &token, "weak").await.expect_problem(422, "password_refused");
    confirm(deployment, &token, &password).await.expect_problem(422, "password_refused");
    client.get(ME).await.expect(200);
    confirm(deployment, &token, &new_password(1)).await.expect(204);
    client.get(ME).await.expect_problem(401, "invalid_token");
    confirm(deployment, &token, &new_password(2)).await.expect_problem(401, "invalid_reset_token");
    deployment.client().login(&username, &password).await.expect_problem(401, "invalid_credentials");
    sign_in(deployment, &username, &new_password(1)).await;
    assert_eq!(deployment.recorded("password.reset", "success", user_id), 1);
    assert_eq!(deployment.recorded("password.reset_issue", "success", user_id), 2);

    let administrator = deployment.administrator().await;
    let nobody = "/api/v1/users/user_00000000000000000000000000/password-reset";
    administrator.post(nobody, &Value::Null).await.expect_problem(404, "not_found");
    for malformed in ["", "cronos_pr_", "nonsense", token.get(..40).unwrap()] {
        confirm(deployment, malformed, &new_password(3)).await.expect_problem(401, "invalid_reset_token");
    }
}

/// Whether there is such a user is told by nothing in the answer; who is there gets three tokens an hour.
pub async fn a_reset_is_asked_for_without_telling(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let (_, login) = sign_in(deployment, &username, &password).await;
    let user_id = login.text_at("/user/user_id");
    // Whoever has no address gets no token.
    let ask = async |username: &str| {
        deployment.client().post(RESET, &json!({"username": username})).await.expect(202)
    };
    let tokens = format!("SELECT COUNT(*) AS count FROM reset_tokens WHERE user_id = '{user_id}'");
    let unreachable = ask(&username).await;
    assert_eq!(deployment.count(&tokens), 0);

    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "emails", "value": [{"value": username, "primary": true}]}],
    });
    deployment.scim().patch(&format!("/api/scim/v2/Users/{user_id}"), &patch).await.expect(200);
    let known = ask(&username.to_uppercase()).await;
    let unknown = ask("nobody@example.com").await;
    for answer in [&unreachable, &known] {
        assert_eq!((&answer.text, answer.headers.len()), (&unknown.text, unknown.headers.len()));
    }
    assert_eq!(deployment.count(&tokens), 1);
    for _ in 0..4 {
        assert_eq!(ask(&username).await.text, unknown.text);
    }
    assert_eq!(deployment.count(&tokens), 3);
    let usable = format!("{tokens} AND used_at IS NULL AND expires_at > created_at + 1000");
    assert!(deployment.count(&usable) >= 1);
    assert_eq!(deployment.recorded("password.reset_request", "success", user_id), 3);
    deployment.client().login(&username, &password).await.expect(200);
    let long = json!({"username": "a".repeat(255)});
    deployment.client().post(RESET, &long).await.expect_problem(422, "invalid_field");
}

/// Of several uses of one token at the same instant exactly one sets its password.
pub async fn of_two_resets_at_once_one_wins(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let (_, login) = sign_in(deployment, &username, &password).await;
    let token = reset_token(deployment, login.text_at("/user/user_id")).await;
    let passwords = [new_password(1), new_password(2), new_password(3)];
    let [first, second, third] = &passwords;
    let answers = tokio::join!(
        confirm(deployment, &token, first),
        confirm(deployment, &token, second),
        confirm(deployment, &token, third)
    );
    let statuses = [answers.0.status, answers.1.status, answers.2.status];
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    for (status, password) in statuses.into_iter().zip(&passwords) {
        let login = deployment.client().login(&username, password).await;
        assert_eq!(login.status, if status == 204 { 200 } else { 401 });
    }
}

/// Guessing the current password is bounded as guessing at sign-in is; a bad new password is no guess.
pub async fn guesses_are_bounded(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let (client, _) = sign_in(deployment, &username, &password).await;
    for _ in 0..6 {
        change(&client, &password, "short").await.expect_problem(422, "password_refused");
    }
    for number in 0..5 {
        let guess = format!("not-the-Password-{number}");
        change(&client, &guess, &new_password(9)).await.expect_problem(422, "wrong_password");
    }
    let locked = change(&client, &password, &new_password(9)).await;
    let locked = locked.expect_problem(429, "too_many_attempts");
    assert!(locked.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
}
