//! Service accounts, their clients and the clients' secrets.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Client, Deployment};

const ACCOUNTS: &str = "/api/v1/service-accounts";

/// A name that nobody has.
fn unique(prefix: &str) -> String {
    let mut bytes = [0; 9];
    getrandom::fill(&mut bytes).unwrap();
    format!("{prefix}-{}", iam_core::encoding::base64url(&bytes))
}

/// A new service account with these roles: its path.
pub async fn new_account(admin: &Client, roles: &[&str]) -> String {
    let body = json!({"username": unique("robot"), "roles": roles});
    let created = admin.post(ACCOUNTS, &body).await.expect(201);
    format!("{ACCOUNTS}/{}", created.text_at("/user_id"))
}

/// A new client of a service account, by secret.
pub async fn new_client(admin: &Client, account: &str, scope: Option<&str>) -> Answer {
    let body = json!({"name": "a client", "scope": scope});
    admin.post(&format!("{account}/clients"), &body).await.expect(201)
}

/// Created, shown, listed, changed, suspended, activated, deleted, its name free again.
pub async fn are_administered(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let username = unique("Robot");
    let body = json!({"username": username, "display_name": "A robot", "roles": ["analyst", "analyst"]});
    let created = admin.post(ACCOUNTS, &body).await.expect(201);
    assert_eq!(created.json["roles"], json!(["analyst"]));
    assert_eq!(created.json["status"], "active");
    let account = format!("{ACCOUNTS}/{}", created.text_at("/user_id"));
    assert_eq!(admin.get(&account).await.expect(200).json, created.json);

    let taken = json!({"username": username.to_uppercase()});
    admin.post(ACCOUNTS, &taken).await.expect_problem(409, "username_taken");
    let person = json!({"username": deployment.setup.username});
    admin.post(ACCOUNTS, &person).await.expect_problem(409, "username_taken");

    let change = json!({"display_name": "", "roles": ["viewer"]});
    let changed = admin.patch(&account, &change).await.expect(200);
    assert_eq!((&changed.json["display_name"], &changed.json["roles"]), (&Value::Null, &json!(["viewer"])));
    assert_eq!(admin.patch(&account, &json!({})).await.expect(200).json["roles"], json!(["viewer"]));

    let suspend = format!("{account}/suspend");
    assert_eq!(admin.post(&suspend, &json!({})).await.expect(200).json["status"], "suspended");
    let activate = format!("{account}/activate");
    assert_eq!(admin.post(&activate, &json!({})).await.expect(200).json["status"], "active");
    let user_id = created.text_at("/user_id");
    assert_eq!(deployment.recorded("service_account.suspend", "success", user_id), 1);

    admin.delete(&account).await.expect(204);
    for answer in [
        admin.get(&account).await,
        admin.delete(&account).await,
        admin.patch(&account, &json!({})).await,
        admin.post(&suspend, &json!({})).await,
        admin.get(&format!("{account}/clients")).await,
    ] {
        answer.expect_problem(404, "not_found");
    }
    let again = admin.post(ACCOUNTS, &body).await.expect(201);
    assert_ne!(again.json["user_id"], created.json["user_id"]);
    admin.delete(&format!("{ACCOUNTS}/{}", again.text_at("/user_id"))).await.expect(204);
    deployment.client().get(ACCOUNTS).await.expect_problem(401, "credential_missing");
}

/// A person is no service account: nothing here shows or touches one.
pub async fn are_not_people(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let me = admin.get("/api/v1/auth/me").await.expect(200);
    let person = format!("{ACCOUNTS}/{}", me.text_at("/user_id"));
    for answer in [
        admin.get(&person).await,
        admin.patch(&person, &json!({"roles": []})).await,
        admin.delete(&person).await,
        admin.post(&format!("{person}/suspend"), &json!({})).await,
        admin.post(&format!("{person}/clients"), &json!({"name": "a client"})).await,
    ] {
        answer.expect_problem(404, "not_found");
    }
    assert_eq!(admin.get("/api/v1/auth/me").await.expect(200).json["roles"], me.json["roles"]);
}

/// Pages hold each account once, in the order of creation.
pub async fn are_listed_in_pages(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let mut created = Vec::new();
    for _ in 0..3 {
        created.push(new_account(&admin, &[]).await);
    }
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{ACCOUNTS}?limit=2{cursor}")).await.expect(200);
        let accounts = page.json["service_accounts"].as_array().unwrap();
        assert!(accounts.len() <= 2);
        listed.extend(
            accounts.iter().map(|account| format!("{ACCOUNTS}/{}", account["user_id"].as_str().unwrap())),
        );
        let Some(next) = page.json["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let ours: Vec<_> = listed.iter().filter(|account| created.contains(account)).cloned().collect();
    assert_eq!(ours, created);
    admin.get(&format!("{ACCOUNTS}?limit=0")).await.expect_problem(400, "invalid_query");
    for account in created {
        admin.delete(&account).await.expect(204);
    }
}

/// Nobody grants what they don't hold, be it by roles, by a client or by a secret of an account that may do
/// more.
pub async fn are_no_way_up(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let robot = new_account(&admin, &["admin"]).await;
    let client = new_client(&admin, &robot, Some("service_accounts.*.organization")).await;
    let token = crate::scenarios::oauth::tokens::issue(deployment, &client, None).await.expect(200);
    let narrow = deployment.client().with(token.text_at("/access_token"));

    let wide = json!({"username": unique("robot"), "roles": ["admin"]});
    narrow.post(ACCOUNTS, &wide).await.expect_problem(403, "grants_not_held");
    narrow.patch(&robot, &json!({"roles": ["admin", "viewer"]})).await.expect_problem(403, "grants_not_held");
    narrow
        .post(&format!("{robot}/clients"), &json!({"name": "a way up"}))
        .await
        .expect_problem(403, "grants_not_held");
    let secrets = format!("{robot}/clients/{}/secrets", client.text_at("/client_id"));
    narrow.post(&secrets, &json!({})).await.expect_problem(403, "grants_not_held");
    let unknown = json!({"username": unique("robot"), "roles": ["nonsense"]});
    admin.post(ACCOUNTS, &unknown).await.expect_problem(422, "invalid_field");

    let plain = new_account(&narrow, &[]).await;
    new_client(&narrow, &plain, None).await;
    narrow.patch(&plain, &json!({"display_name": "plain"})).await.expect(200);
    // What it has already is kept, not given away.
    narrow.patch(&robot, &json!({"display_name": "robot", "roles": ["admin"]})).await.expect(200);
    for account in [plain, robot] {
        admin.delete(&account).await.expect(204);
    }
}

/// A retry of a creation creates nothing, and shows the same secret again.
pub async fn are_created_once(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let username = unique("robot");
    let post = |path: String, key: String, body: Value| {
        let request = admin.request(Method::POST, &path).header("idempotency-key", key).json(&body);
        let admin = admin.clone();
        async move { admin.send(request).await }
    };
    let account = |name: &str| post(ACCOUNTS.to_owned(), username.clone(), json!({"username": name}));
    let first = account(&username).await.expect(201);
    assert_eq!(account(&username).await.expect(201).json, first.json);
    account("other").await.expect_problem(422, "idempotency_key_reused");

    let clients = format!("{ACCOUNTS}/{}/clients", first.text_at("/user_id"));
    let client = |name: &str| post(clients.clone(), "once".to_owned(), json!({"name": name}));
    let created = client("a client").await.expect(201);
    assert_eq!(client("a client").await.expect(201).json, created.json);
    let secrets = format!("{clients}/{}/secrets", created.text_at("/client_id"));
    let secret = || post(secrets.clone(), "once".to_owned(), json!({}));
    let second = secret().await.expect(201);
    assert_eq!(secret().await.expect(201).json, second.json);
    let listed = admin.get(&clients).await.expect(200);
    assert_eq!(listed.json["clients"].as_array().unwrap().len(), 1);
    assert_eq!(listed.json["clients"][0]["secrets"].as_array().unwrap().len(), 2);
    assert!(!listed.text.contains(created.text_at("/client_secret")));
    admin.delete(&format!("{ACCOUNTS}/{}", first.text_at("/user_id"))).await.expect(204);
}

/// A secret is rotated without a gap: never more than two, never none.
pub async fn secrets_rotate(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &[]).await;
    let client = new_client(&admin, &account, None).await;
    let path = format!("{account}/clients/{}", client.text_at("/client_id"));
    let first = format!("{path}/secrets/{}", client.text_at("/secret_id"));
    admin.delete(&first).await.expect_problem(409, "last_secret");
    let second = admin.post(&format!("{path}/secrets"), &json!({"expires_in_days": 30})).await.expect(201);
    admin.post(&format!("{path}/secrets"), &json!({})).await.expect_problem(409, "too_many_secrets");
    admin
        .post(&format!("{path}/secrets"), &json!({"expires_in_days": 0}))
        .await
        .expect_problem(422, "invalid_field");
    crate::scenarios::oauth::tokens::issue(deployment, &client, None).await.expect(200);
    let mut rotated = client.json.clone();
    rotated["client_secret"] = second.json["client_secret"].clone();
    let rotated = Answer { json: rotated, ..client };
    crate::scenarios::oauth::tokens::issue(deployment, &rotated, None).await.expect(200);

    for _ in 0..2 {
        admin.delete(&first).await.expect(204);
    }
    let shown = admin.get(&path).await.expect(200);
    assert_eq!(shown.json["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(shown.json["secrets"][0]["secret_id"], second.json["secret_id"]);
    crate::scenarios::oauth::tokens::issue(deployment, &rotated, None).await.expect(200);
    let other = new_account(&admin, &[]).await;
    let elsewhere = path.replace(&account, &other);
    admin.get(&elsewhere).await.expect_problem(404, "not_found");
    admin.post(&format!("{elsewhere}/secrets"), &json!({})).await.expect_problem(404, "not_found");
    admin.delete(&elsewhere).await.expect_problem(404, "not_found");
    for account in [account, other] {
        admin.delete(&account).await.expect(204);
    }
}

/// Keys that are none, or private, are refused where they are.
pub async fn keys_are_checked(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &[]).await;
    // RFC 8037 appendix A.2.
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let clients = format!("{account}/clients");
    let create = |keys: Value| {
        let body = json!({"name": "by key", "auth_method": "private_key_jwt", "jwks": {"keys": keys}});
        let (admin, clients) = (admin.clone(), clients.clone());
        async move { admin.post(&clients, &body).await }
    };
    let with = |member: &str, value: Value| {
        let mut changed = key.clone();
        changed[member] = value;
        json!([changed])
    };
    for keys in [
        json!([]),
        json!([key, key]),
        with("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")),
        with("kty", json!("RSA")),
        with("crv", json!("X25519")),
        with("alg", json!("ES256")),
        with("x", json!("AAAA")),
    ] {
        create(keys).await.expect_problem(422, "invalid_field");
    }
    let by_secret = json!({"name": "a client", "jwks": {"keys": [key]}});
    admin.post(&clients, &by_secret).await.expect_problem(422, "invalid_field");
    let without = json!({"name": "a client", "auth_method": "private_key_jwt"});
    admin.post(&clients, &without).await.expect_problem(422, "invalid_field");
    let created = create(json!([key])).await.expect(201);
    assert!(created.json.get("client_secret").is_none());
    let secrets = format!("{clients}/{}/secrets", created.text_at("/client_id"));
    admin.post(&secrets, &json!({})).await.expect_problem(409, "no_secrets");
    let listed = admin.get(&clients).await.expect(200);
    assert_eq!(listed.json["clients"][0]["jwks"]["keys"][0], key);
    admin.delete(&account).await.expect(204);
}

/// An identity provider provisions people: it neither sees service accounts nor gives them a password.
pub async fn are_out_of_reach_of_scim(deployment: &Deployment) {
    let account = new_account(&deployment.administrator().await, &["admin"]).await;
    let user = format!("/api/scim/v2/Users/{}", account.rsplit('/').next().unwrap());
    let scim = deployment.scim();
    scim.get(&user).await.expect(404);
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "password", "value": "plume-Anvil-3-quartz"}],
    });
    scim.patch(&user, &patch).await.expect(404);
    scim.delete(&user).await.expect(404);
    deployment.administrator().await.get(&account).await.expect(200);
}
