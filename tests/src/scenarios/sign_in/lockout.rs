//! Too many wrong passwords.

use serde_json::{Value, json};

use crate::{Answer, Deployment};

const LOGIN: &str = "/api/v1/auth/login";

/// How many tries the deployments under test give: the default.
const THRESHOLD: usize = 5;

/// What was recorded about a user: sign-ins that failed for a reason, locks.
fn recorded_of(deployment: &Deployment, username: &str, action: &str, reason: &str) -> i64 {
    deployment.count(&format!(
        "SELECT COUNT(*) AS count FROM audit_events WHERE action = '{action}' AND \
         COALESCE(json_extract(details, '$.reason'), '') = '{reason}' AND user_id = (SELECT user_id FROM \
         users WHERE username_key = '{username}')"
    ))
}

/// What a caller can tell an answer by, the request's own id and date aside.
fn told(answer: &Answer) -> (u16, Value, Vec<String>) {
    let mut body = answer.json.clone();
    body["request_id"] = Value::Null;
    let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (answer.status, body, names)
}

/// Of fifty guesses at the same instant five are looked at. The owner gets in from where it usually is,
/// nobody else from anywhere, whatever the password.
pub async fn parallel_guesses_get_five_tries(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let home = deployment.client();
    home.login(&username, &password).await.expect(200);

    let stranger = deployment.client();
    let mut guesses = Vec::new();
    for _ in 0..50 {
        let (stranger, username) = (stranger.clone(), username.clone());
        guesses.push(tokio::spawn(async move { stranger.login(&username, "Wr0ng-guess!").await }));
    }
    let (mut looked_at, mut refused) = (0, 0);
    for guess in guesses {
        let answer = guess.await.unwrap();
        if answer.status == 401 {
            answer.expect_problem(401, "invalid_credentials");
            looked_at += 1;
        } else {
            let answer = answer.expect_problem(429, "too_many_attempts");
            let seconds: i64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((880..=902).contains(&seconds), "{seconds}");
            refused += 1;
        }
    }
    assert_eq!((looked_at, refused), (THRESHOLD, 50 - THRESHOLD));
    assert_eq!(recorded_of(deployment, &username, "login", "wrong_password"), 5);
    assert_eq!(recorded_of(deployment, &username, "account.lock", ""), 1);
    assert_eq!(recorded_of(deployment, &username, "address.lock", ""), 1);

    deployment.client().login(&username, &password).await.expect_problem(429, "too_many_attempts");
    home.login(&username, "Wr0ng-guess!").await.expect_problem(401, "invalid_credentials");
    home.login(&username, &password).await.expect(200);
}

/// A lock tells nobody whether there is such an account.
pub async fn an_unknown_account_locks_alike(deployment: &Deployment) {
    let (username, _) = deployment.new_user().await;
    let unknown = format!("nobody-{username}");
    for attempt in 0..THRESHOLD + 2 {
        let known = deployment.client().login(&username, "Wr0ng-guess!").await;
        let other = deployment.client().login(&unknown, "Wr0ng-guess!").await;
        assert_eq!(told(&known), told(&other));
        assert_eq!(known.status, if attempt < THRESHOLD { 401 } else { 429 });
    }
}

/// One address gets five wrong passwords over all accounts. A right one costs nothing, and opens no new ones.
pub async fn an_address_is_locked_over_all_accounts(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let office = deployment.client();
    let guess = |number: usize| {
        let (office, username) = (office.clone(), username.clone());
        async move { office.login(&format!("{number}-{username}"), "Wr0ng-guess!").await }
    };
    for number in 0..THRESHOLD - 1 {
        guess(number).await.expect(401);
    }
    office.login(&username, &password).await.expect(200);
    guess(4).await.expect(401);
    guess(5).await.expect_problem(429, "too_many_attempts");
    // It is known to this account by now, and to no other.
    office.login(&username, &password).await.expect(200);
    let (other, other_password) = deployment.new_user().await;
    office.login(&other, &other_password).await.expect_problem(429, "too_many_attempts");
    deployment.client().login(&other, &other_password).await.expect(200);
}

/// An organization that does not exist answers as one that does, and leaves no trace.
pub async fn a_made_up_organization_leaves_no_trace(deployment: &Deployment) {
    let client = deployment.client();
    let body = |organization: &str| {
        let (username, password) = ("nobody@example.com", "Wr0ng-guess!");
        json!({"username": username, "password": password, "organization": organization})
    };
    let made_up = client.post(LOGIN, &body("org_zzzzzzzzz")).await.expect_problem(401, "invalid_credentials");
    let real = client.login("nobody@example.org", "Wr0ng-guess!").await;
    assert_eq!(told(&made_up), told(&real));
    for count in [
        "SELECT COUNT(*) AS count FROM audit_events WHERE org_id = 'org_zzzzzzzzz'",
        "SELECT COUNT(*) AS count FROM sign_in_attempts WHERE org_id = 'org_zzzzzzzzz'",
    ] {
        assert_eq!(deployment.count(count), 0, "{count}");
    }
}
