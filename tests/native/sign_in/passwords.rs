//! What passwords and emergency credentials do that only the native host can be asked about: messages to a
//! receiver, and rows made to order.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]
#![expect(clippy::disallowed_methods, reason = "this runs natively alone")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use iam_core::sql::Statement;
use iam_edge::native::TestHost;
use iam_tests::deployment::Setup;
use iam_tests::{Answer, Deployment};
use serde_json::{Value, json};

const TOKEN: &str = "the-notification-services-own-token";
const PUBLIC_URL: &str = "https://iam.example.com";
const RESET: &str = "/api/v1/auth/password/reset";
const CONFIRM: &str = "/api/v1/auth/password/reset/confirm";

/// A message as it came: its `Authorization`, its body.
type Message = (String, Value);

/// A service that takes messages; it refuses the first of all, as a service does that is being restarted.
#[derive(Clone, Default)]
struct Receiver {
    refused: Arc<Mutex<u32>>,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    async fn start() -> (Self, SocketAddr) {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, address)
    }

    /// Waits for so many messages, up to ten seconds.
    async fn messages(&self, number: usize) -> Vec<Message> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let messages = self.messages.lock().unwrap().clone();
            if messages.len() >= number {
                return messages;
            }
            assert!(Instant::now() < deadline, "only {} messages", messages.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut refused = receiver.refused.lock().unwrap();
    if *refused == 0 {
        *refused += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    assert_eq!(headers["content-type"], "application/json");
    let authorization = headers["authorization"].to_str().unwrap().to_owned();
    receiver.messages.lock().unwrap().push((authorization, serde_json::from_slice(&body).unwrap()));
    StatusCode::ACCEPTED
}

async fn start(changes: Value) -> (Deployment, TestHost, Receiver) {
    let (receiver, address) = Receiver::start().await;
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["public_url"] = json!(PUBLIC_URL);
    configuration["notification"] = json!({"endpoint": format!("http://{address}/messages")});
    for (section, fields) in changes.as_object().unwrap() {
        for (field, value) in fields.as_object().unwrap() {
            configuration[section][field] = value.clone();
        }
    }
    let (deployment, host) = iam_tests::native::start(Setup::new(&configuration));
    host.set_variable("IAM_NOTIFICATION_TOKEN", TOKEN);
    (deployment, host, receiver)
}

/// A new user that has an address: its id, name and password.
async fn reachable_user(deployment: &Deployment, host: &TestHost) -> (String, String, String) {
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let user_id = login.text_at("/user/user_id").to_owned();
    run(host, format!("UPDATE users SET email = username WHERE user_id = '{user_id}'")).await;
    (user_id, username, password)
}

async fn run(host: &TestHost, sql: String) {
    host.request().db("").run(Statement::new(sql)).await.unwrap();
}

async fn confirm(deployment: &Deployment, token: &str, password: &str) -> Answer {
    deployment.client().post(CONFIRM, &json!({"token": token, "new_password": password})).await
}

#[tokio::test]
async fn a_reset_token_is_sent_to_whoever_it_is_for_and_nowhere_else() {
    let (deployment, host, receiver) = start(json!({})).await;
    let (user_id, username, _) = reachable_user(&deployment, &host).await;
    for unknown in ["nobody@example.com", &username] {
        deployment.client().post(RESET, &json!({"username": unknown})).await.expect(202);
    }
    let messages = receiver.messages(1).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(*receiver.refused.lock().unwrap(), 1);
    let (authorization, message) = &messages[0];
    assert_eq!(*authorization, format!("Bearer {TOKEN}"));
    assert_eq!(message["template"], "password_reset");
    assert_eq!(message["to"], username);
    assert_eq!(message["user"]["user_id"], user_id);
    assert_eq!(message["organization"], "org_000000001");
    assert!(message["expires_at"].as_str().unwrap().ends_with('Z'));
    let code = message["code"].as_str().unwrap();
    assert_eq!(message["link"], format!("{PUBLIC_URL}/reset#token={code}"));
    confirm(&deployment, code, "plume-Anvil-1-quartz").await.expect(204);
    deployment.client().login(&username, "plume-Anvil-1-quartz").await.expect(200);
    let stored = format!(
        "SELECT (SELECT COUNT(*) FROM audit_events WHERE details LIKE '%{code}%') + (SELECT COUNT(*) FROM \
         reset_tokens WHERE token_hash = '{code}') AS count"
    );
    assert_eq!(deployment.count(&stored), 0);
}

#[tokio::test]
async fn an_administrator_has_a_token_sent_without_seeing_it() {
    let (deployment, host, receiver) = start(json!({})).await;
    let (user_id, username, _) = reachable_user(&deployment, &host).await;
    let administrator = deployment.administrator().await;
    let path = format!("/api/v1/users/{user_id}/password-reset?notify=true");
    let answer = administrator.post(&path, &Value::Null).await.expect(201);
    assert!(answer.json.get("reset_token").is_none() && !answer.text.contains("cronos_pr_"));
    let messages = receiver.messages(1).await;
    assert_eq!(messages[0].1["to"], username);
    let code = messages[0].1["code"].as_str().unwrap();
    confirm(&deployment, code, "plume-Anvil-1-quartz").await.expect(204);
    run(&host, format!("UPDATE users SET email = NULL WHERE user_id = '{user_id}'")).await;
    administrator.post(&path, &Value::Null).await.expect_problem(409, "no_address");
}

/// Who may write users, but not everything, does not get into an administrator's account.
#[tokio::test]
async fn nobody_resets_the_password_of_whoever_may_more() {
    let (deployment, host, _receiver) = start(json!({})).await;
    let (_, username, password) = reachable_user(&deployment, &host).await;
    let (other_id, ..) = reachable_user(&deployment, &host).await;
    let role = "INSERT INTO roles (org_id, role, grants, effective_grants) SELECT org_id, 'help_desk', \
                '[\"users.write.organization\"]', '[\"users.write.organization\"]' FROM organizations";
    run(&host, role.to_owned()).await;
    let give = format!(
        "INSERT INTO user_roles (org_id, user_id, role) SELECT org_id, user_id, 'help_desk' FROM users WHERE \
         username = '{username}'"
    );
    run(&host, give).await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let help_desk = deployment.client().with(login.text_at("/access_token"));
    let me = deployment.administrator().await.get("/api/v1/auth/me").await;
    let path = |user_id: &str| format!("/api/v1/users/{user_id}/password-reset");
    let administrators = path(me.text_at("/user_id"));
    help_desk.post(&administrators, &Value::Null).await.expect_problem(403, "permission_denied");
    help_desk.post(&path(&other_id), &Value::Null).await.expect(201);
}

#[tokio::test]
async fn an_expired_token_and_a_locked_account() {
    let (deployment, host, _receiver) = start(json!({})).await;
    let (user_id, username, _) = reachable_user(&deployment, &host).await;
    let administrator = deployment.administrator().await;
    let path = format!("/api/v1/users/{user_id}/password-reset");
    let token = administrator.post(&path, &Value::Null).await.expect(201);
    run(&host, format!("UPDATE reset_tokens SET expires_at = created_at WHERE user_id = '{user_id}'")).await;
    let refused = confirm(&deployment, token.text_at("/reset_token"), "plume-Anvil-1-quartz").await;
    refused.expect_problem(401, "invalid_reset_token");

    let lock = "INSERT INTO sign_in_attempts (org_id, subject, tries, window_began_at, window_ends_at) \
                SELECT org_id, 'account:' || user_id, 5, 0, 9000000000000 FROM users WHERE kind = 'person'";
    run(&host, lock.to_owned()).await;
    let locks = "SELECT COUNT(*) AS count FROM sign_in_attempts";
    let before = deployment.count(locks);
    let token = administrator.post(&path, &Value::Null).await.expect(201);
    confirm(&deployment, token.text_at("/reset_token"), "plume-Anvil-1-quartz").await.expect(204);
    assert_eq!(deployment.count(locks), before - 1);
    assert_eq!(deployment.count(&format!("{locks} WHERE subject = 'account:{user_id}'")), 0);
    run(&host, "DELETE FROM sign_in_attempts".to_owned()).await;
    deployment.client().login(&username, "plume-Anvil-1-quartz").await.expect(200);
}

/// As many former passwords count as configured, and no more are kept.
#[tokio::test]
async fn the_history_has_an_end() {
    let (deployment, host, _receiver) = start(json!({"password": {"history_size": 2}})).await;
    let (user_id, username, first) = reachable_user(&deployment, &host).await;
    let login = deployment.client().login(&username, &first).await.expect(200);
    let client = deployment.client().with(login.text_at("/access_token"));
    let mut current = first.clone();
    let mut change = async |new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        let answer = client.post("/api/v1/auth/password/change", &body).await;
        if answer.status == 204 {
            new.clone_into(&mut current);
        }
        answer
    };
    for number in 1..=2 {
        change(&format!("plume-Anvil-{number}-quartz")).await.expect(204);
        change(&first).await.expect_problem(422, "password_refused");
    }
    change("plume-Anvil-3-quartz").await.expect(204);
    let kept = format!("SELECT COUNT(*) AS count FROM password_history WHERE user_id = '{user_id}'");
    assert_eq!(deployment.count(&kept), 2);
    change(&first).await.expect(204);
    assert_eq!(deployment.count(&kept), 2);
}

/// Whoever was brought along with a hash of other software signs in, and has one of ours afterwards.
#[tokio::test]
async fn a_hash_of_other_software_is_replaced_at_sign_in() {
    let (deployment, host, _receiver) = start(json!({})).await;
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../../shared/core/tests/data/password_hashes.json")).unwrap();
    let (user_id, username, _) = reachable_user(&deployment, &host).await;
    let mut kinds = std::collections::BTreeSet::new();
    for vector in vectors.iter().filter(|vector| kinds.insert(vector["kind"].as_str().unwrap())) {
        let (stored, password) = (vector["hash"].as_str().unwrap(), vector["password"].as_str().unwrap());
        run(&host, format!("UPDATE users SET password_hash = '{stored}' WHERE user_id = '{user_id}'")).await;
        deployment.client().login(&username, "wrong").await.expect_problem(401, "invalid_credentials");
        deployment.client().login(&username, password).await.expect(200);
        host.settle().await;
        let ours = format!(
            "SELECT COUNT(*) AS count FROM users WHERE user_id = '{user_id}' AND password_hash LIKE \
             '$argon2id$v=19$m=1024,t=1,p=1$%'"
        );
        assert_eq!(deployment.count(&ours), 1, "{vector}");
        deployment.client().login(&username, password).await.expect(200);
    }
    assert_eq!(kinds.len(), 9);
}

/// People are told, without the credential; token and session end together.
#[tokio::test]
async fn the_use_of_an_emergency_credential_is_told() {
    const REASON: &str = "nobody else can be reached";
    let (deployment, _host, receiver) = start(json!({"break_glass": {"session_timeout": "3h"}})).await;
    let sealed = json!({"reason": "for the safe", "label": "safe 1"});
    let sealed = deployment.administrator().await.post("/api/v1/break-glass", &sealed).await.expect(201);
    let credential = sealed.text_at("/credential");
    let open = json!({"credential": credential, "reason": REASON});
    let opened = deployment.client().post("/api/v1/auth/break-glass", &open).await.expect(200);
    assert_eq!(opened.json["expires_in"], 10_800);
    let messages = receiver.messages(1).await;
    let message = &messages[0].1;
    assert_eq!(message["template"], "break_glass_used");
    assert_eq!(message["reason"], REASON);
    assert!(message.get("code").is_none() && !message.to_string().contains("cronos_bg_"));
    let claims = opened.text_at("/access_token").split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&iam_core::encoding::from_base64url(claims).unwrap()).unwrap();
    let session = format!(
        "SELECT expires_at / 1000 AS count FROM sessions WHERE session_id = '{}' AND kind = 'break_glass'",
        opened.text_at("/session_id")
    );
    assert_eq!(deployment.count(&session), claims["exp"].as_i64().unwrap());
    let secrets = format!(
        "SELECT COUNT(*) AS count FROM audit_events WHERE details LIKE '%{credential}%' OR resource_id = \
         '{credential}'"
    );
    assert_eq!(deployment.count(&secrets), 0);
}
