//! Users, as their administrators see them.

use iam_core::encoding::base64url;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Client, Deployment};

const USERS: &str = "/api/v1/users";
const PASSWORD: &str = "Initial-Password-1";
const NDJSON: &str = "application/x-ndjson";

/// A user name that nobody else has.
fn name(kind: &str) -> String {
    let mut bytes = [0; 9];
    getrandom::fill(&mut bytes).unwrap();
    format!("{kind}-{}", base64url(&bytes).to_lowercase())
}

async fn create(admin: &Client, username: &str, roles: &[&str]) -> Answer {
    let body = json!({
        "username": username, "email": format!("{username}@Example.com"), "display_name": "Somebody",
        "roles": roles, "password": PASSWORD,
    });
    admin.post(USERS, &body).await.expect(201)
}

fn path(user: &Answer) -> String {
    format!("{USERS}/{}", user.text_at("/user_id"))
}

async fn import(client: &Client, lines: String) -> Answer {
    let request = client.request(Method::POST, &format!("{USERS}/import")).header("content-type", NDJSON);
    client.send(request.body(lines)).await
}

/// Created, shown, changed by version, and recorded.
pub async fn are_administered(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let username = name("ada");
    let created = create(&admin, &username, &["viewer"]).await;
    let path = path(&created);
    assert_eq!(created.json["kind"], "person");
    assert_eq!(created.json["managed_by"], "manual");
    let shown = admin.get(&path).await.expect(200);
    assert_eq!(shown.json, created.json);
    let tag = shown.headers["etag"].to_str().unwrap().to_owned();
    admin
        .post(USERS, &json!({"username": username.to_uppercase()}))
        .await
        .expect_problem(409, "username_taken");

    let patch = |tag: &str, body: Value| {
        admin.send(admin.request(Method::PATCH, &path).header("if-match", tag).json(&body))
    };
    let renamed = name("lovelace");
    let body = json!({"username": renamed, "email": null, "roles": ["analyst", "viewer"]});
    let changed = patch(&tag, body.clone()).await.expect(200);
    assert_eq!(changed.text_at("/username"), renamed);
    assert_eq!(changed.json["email"], Value::Null);
    assert_eq!(changed.json["display_name"], "Somebody");
    assert_eq!(changed.json["roles"], json!(["analyst", "viewer"]));
    assert_ne!(changed.headers["etag"].to_str().unwrap(), tag);
    patch(&tag, body.clone()).await.expect_problem(412, "precondition_failed");
    let again = patch("*", body).await.expect(200);
    assert_eq!(
        again.json["version"], changed.json["version"],
        "a change that changes nothing writes nothing"
    );
    let other = create(&admin, &name("other"), &[]).await;
    let taken = json!({"username": other.text_at("/username")});
    admin.patch(&path, &taken).await.expect_problem(409, "username_taken");

    deployment.client().login(&renamed, PASSWORD).await.expect(200);
    let id = created.text_at("/user_id");
    for (action, count) in [("user.create", 1), ("user.update", 1)] {
        assert_eq!(deployment.recorded(action, "success", id), count, "{action}");
    }
}

/// What can't be is refused, with the field's name.
pub async fn bad_fields_are_named(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    for (body, pointer) in [
        (json!({"username": " "}), "/username"),
        (json!({"username": "a", "email": "nobody"}), "/email"),
        (json!({"username": "a", "display_name": ""}), "/display_name"),
        (json!({"username": "a", "roles": ["viewer", "viewer"]}), "/roles/1"),
        (json!({"username": "a", "roles": ["nonsense"]}), "/roles/0"),
        (json!({"username": "a", "groups": ["nonsense"]}), "/groups/0"),
        (json!({"username": "a", "password": "short"}), "/password"),
    ] {
        let refused = admin.post(USERS, &body).await.expect(422);
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{}", refused.text);
    }
    let unknown = format!("{USERS}/user_00000000000000000000000000");
    for answer in [admin.get(&unknown).await, admin.delete(&unknown).await] {
        answer.expect_problem(404, "not_found");
    }
    for query in ["limit=0", "limit=101", "cursor=*", "status=gone", "username=", "unknown=1", "email=x"] {
        admin.get(&format!("{USERS}?{query}")).await.expect_problem(400, "invalid_query");
    }
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let nobody = deployment.client().with(login.text_at("/access_token"));
    nobody.get(USERS).await.expect_problem(403, "permission_denied");
}

/// Suspended, active again, deleted, restored: sessions and keys end at once, and the name is free while
/// nobody has it.
pub async fn come_and_go(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let username = name("grace");
    let created = create(&admin, &username, &["security_engineer"]).await;
    let path = path(&created);
    let client = deployment.client();
    let login = || client.login(&username, PASSWORD);
    let session = login().await.expect(200);
    let grace = deployment.client().with(session.text_at("/access_token"));
    grace.get("/api/v1/auth/me").await.expect(200);

    let suspended = admin.post(&format!("{path}/suspend"), &json!({})).await.expect(200);
    assert_eq!(suspended.json["status"], "suspended");
    grace.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    login().await.expect_problem(401, "invalid_credentials");
    let twice = admin.post(&format!("{path}/suspend"), &json!({})).await.expect(200);
    assert_eq!(twice.json["version"], suspended.json["version"]);
    let active = admin.post(&format!("{path}/activate"), &json!({})).await.expect(200);
    assert_eq!(active.json["status"], "active");
    grace.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");

    let session = login().await.expect(200);
    let grace = deployment.client().with(session.text_at("/access_token"));
    let permissions = json!([{"resource": "security", "action": "read", "scope": "own"}]);
    let key = grace.post("/api/v1/auth/keys", &json!({"name": "mine", "permissions": permissions})).await;
    let key = key.expect(201);
    admin.delete(&path).await.expect(204);
    grace.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    login().await.expect_problem(401, "invalid_credentials");
    admin.get(&path).await.expect_problem(404, "not_found");
    admin.delete(&path).await.expect_problem(404, "not_found");

    let heir = create(&admin, &username, &[]).await;
    admin.post(&format!("{path}/restore"), &json!({})).await.expect_problem(409, "username_taken");
    admin.delete(&self::path(&heir)).await.expect(204);
    let restored = admin.post(&format!("{path}/restore"), &json!({})).await.expect(200);
    assert_eq!(restored.json["roles"], json!(["security_engineer"]));
    login().await.expect(200);
    let verify = json!({"api_key": key.text_at("/api_key")});
    let verified = deployment.client().post("/api/v1/auth/keys/verify", &verify).await.expect(200);
    assert_eq!(verified.json, json!({"valid": false, "reason": "revoked"}));
    for act in ["suspend", "activate", "delete", "restore"] {
        let recorded = deployment.recorded(&format!("user.{act}"), "success", created.text_at("/user_id"));
        assert_eq!(recorded, 1, "{act}");
    }
}

/// The same `Idempotency-Key` creates one user.
pub async fn are_created_once(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let username = name("once");
    let post = |body: Value| {
        admin.send(admin.request(Method::POST, USERS).header("idempotency-key", &username).json(&body))
    };
    let body = json!({"username": username, "password": PASSWORD});
    let first = post(body.clone()).await.expect(201);
    assert_eq!(post(body).await.expect(201).json, first.json);
    let other = json!({"username": username, "password": "Another-Password-1"});
    post(other).await.expect_problem(422, "idempotency_key_reused");
    deployment.client().login(&username, PASSWORD).await.expect(200);
    post(json!({"username": name("else")})).await.expect_problem(422, "idempotency_key_reused");
    // A refusal is not kept: the key creates once it can.
    let taken = name("taken");
    let other = create(&admin, &taken, &[]).await;
    let post = || {
        let request = admin.request(Method::POST, USERS).header("idempotency-key", &taken);
        admin.send(request.json(&json!({"username": taken})))
    };
    post().await.expect_problem(409, "username_taken");
    admin.delete(&path(&other)).await.expect(204);
    post().await.expect(201);
}

/// Every filter alone and with others, in pages, without a user twice or left out.
pub async fn are_found_by_every_filter(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let family = name("curie");
    let mut ids = Vec::new();
    for (index, roles) in [&["viewer"][..], &["viewer", "analyst"], &[]].into_iter().enumerate() {
        let user = create(&admin, &format!("{family}-{index}"), roles).await;
        ids.push(user.text_at("/user_id").to_owned());
    }
    let email = format!("{family}-1@EXAMPLE.com");
    admin.post(&format!("{USERS}/{}/suspend", ids[2]), &json!({})).await.expect(200);
    for (query, expected) in [
        (format!("username={family}-0"), &ids[..1]),
        (format!("username_prefix={}", family.to_uppercase()), &ids[..]),
        (format!("username_prefix={family}&role=analyst"), &ids[1..2]),
        (format!("username_prefix={family}&status=active"), &ids[..2]),
        (format!("username_prefix={family}&status=suspended&limit=1"), &ids[2..]),
        (format!("username_prefix={family}&managed_by=manual&kind=person&limit=2"), &ids[..]),
        (format!("username_prefix={family}&managed_by=scim"), &[]),
        (format!("username_prefix={family}&kind=service_account"), &[]),
        (format!("username_prefix={family}&status=locked"), &[]),
        (format!("username_prefix={family}&status=deleted"), &[]),
        (format!("email={email}"), &ids[1..2]),
        (format!("email={email}&role=viewer&status=active"), &ids[1..2]),
        (format!("email={email}&status=suspended"), &[]),
        (format!("role=viewer&username_prefix={family}&limit=1"), &ids[..2]),
        ("group=group_00000000000000000000000000".to_owned(), &[]),
    ] {
        assert_eq!(found(&admin, &query).await, expected, "{query}");
    }
    admin.delete(&format!("{USERS}/{}", ids[0])).await.expect(204);
    assert_eq!(found(&admin, &format!("username_prefix={family}&status=deleted")).await, ids[..1]);
    assert_eq!(found(&admin, &format!("username_prefix={family}")).await, ids[1..]);
    let everybody = found(&admin, "limit=3").await;
    assert!(ids[1..].iter().all(|id| everybody.contains(id)) && everybody.is_sorted());
    let kept = found(&admin, "managed_by=manual&limit=50").await;
    assert!(ids[1..].iter().all(|id| kept.contains(id)) && kept.is_sorted());
    assert!(found(&admin, "kind=service_account&managed_by=scim").await.is_empty());
}

/// The ids of all pages.
async fn found(client: &Client, query: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{USERS}?{query}{cursor}")).await.expect(200);
        let users = page.json["users"].as_array().unwrap();
        for user in users {
            let id = user["user_id"].as_str().unwrap().to_owned();
            assert!(!ids.contains(&id), "{id} twice");
            ids.push(id);
        }
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

/// Whoever may change users may not give away, nor touch, what it does not hold.
pub async fn nobody_reaches_above_itself(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let may = |action: &str| json!({"resource": "users", "action": action, "scope": "organization"});
    let permissions = [may("read"), may("write"), may("delete"), may("manage")];
    let key = json!({"name": name("lite"), "permissions": permissions});
    let key = admin.post("/api/v1/auth/keys", &key).await.expect(201);
    let lite = deployment.client().with(key.text_at("/api_key"));

    let body = json!({"username": name("x"), "roles": ["service_account", "admin"]});
    let refused = lite.post(USERS, &body).await.expect_problem(403, "permission_denied");
    assert_eq!(refused.text_at("/errors/0/pointer"), "/roles/0");
    let body = json!({"username": name("x"), "roles": ["admin"]});
    let refused = lite.post(USERS, &body).await.expect_problem(403, "permission_denied");
    assert!(refused.text_at("/detail").contains("`admin`"));
    let plain = lite.post(USERS, &json!({"username": name("plain")})).await.expect(201);
    let promote = json!({"roles": ["admin"]});
    lite.patch(&path(&plain), &promote).await.expect_problem(403, "permission_denied");

    let above = path(&create(&admin, &name("above"), &["viewer"]).await);
    lite.get(&above).await.expect(200);
    for body in [json!({"email": "mine@example.com"}), json!({"roles": []}), json!({"username": name("y")})] {
        lite.patch(&above, &body).await.expect_problem(403, "permission_denied");
    }
    for act in ["suspend", "activate", "unlock", "restore"] {
        lite.post(&format!("{above}/{act}"), &json!({})).await.expect_problem(403, "permission_denied");
    }
    lite.delete(&above).await.expect_problem(403, "permission_denied");
    let line = json!({"username": name("z"), "roles": ["admin"]});
    let report = import(&lite, format!("{line}\n")).await.expect(200);
    assert_eq!(report.json["rejected"][0]["pointer"], "/roles/0");
    let export = lite.get(&format!("{USERS}/export?limit=1")).await.expect(200);
    assert!(!export.text.contains("$argon2"));
    let refused = lite.get(&format!("{USERS}/export?include=password_hash")).await;
    refused.expect_problem(403, "permission_denied");
    admin.delete(&format!("/api/v1/auth/keys/{}", key.text_at("/key_id"))).await.expect(200);
}

/// Good lines come in, bad ones are named, and the same lines sent again change nothing.
pub async fn are_imported(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let names: Vec<_> = (0..3).map(|_| name("import")).collect();
    // "password", hashed by the reference implementation of Argon2 in C.
    let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let lines = [
        json!({"username": names[0], "roles": ["viewer"], "password_hash": hash}).to_string(),
        String::new(),
        "nonsense".to_owned(),
        json!({"username": names[1], "roles": ["nobody"]}).to_string(),
        json!({"username": names[1], "password_hash": "secret"}).to_string(),
        json!({"username": names[1], "created_at": "2020-01-02T03:04:05Z", "status": "suspended"})
            .to_string(),
        json!({"username": names[0].to_uppercase()}).to_string(),
        json!({"username": names[2], "typo": 1}).to_string(),
    ]
    .join("\n");
    let report = import(&admin, lines.clone()).await.expect(200);
    assert_eq!(
        (&report.json["created"], &report.json["unchanged"]),
        (&json!(2), &json!(1)),
        "{}",
        report.text
    );
    let rejected: Vec<_> = report.json["rejected"].as_array().unwrap().iter().collect();
    let places: Vec<_> = rejected.iter().map(|it| (it["line"].clone(), it["pointer"].clone())).collect();
    let expected = [(3, ""), (4, "/roles/0"), (5, "/password_hash"), (8, "/typo")];
    assert_eq!(places, expected.map(|(line, pointer)| (json!(line), json!(pointer))));
    assert!(!report.text.contains("secret"));

    let again = import(&admin, lines).await.expect(200);
    assert_eq!((&again.json["created"], &again.json["unchanged"]), (&json!(0), &json!(3)));
    let user = admin.get(&format!("{USERS}?username={}", names[1])).await.expect(200);
    assert_eq!(user.json["users"][0]["created_at"], "2020-01-02T03:04:05Z");
    assert_eq!(user.json["users"][0]["status"], "suspended");
    let user = admin.get(&format!("{USERS}?username={}", names[0])).await.expect(200);
    assert_eq!(user.json["users"][0]["roles"], json!(["viewer"]));
    assert_eq!(deployment.recorded("user.import", "success", user.text_at("/users/0/user_id")), 1);
    deployment.client().login(&names[0], "password").await.expect(200);

    let wrong = admin.post(&format!("{USERS}/import"), &json!({})).await;
    wrong.expect_problem(415, "unsupported_media_type");
    import(&admin, "{}\n".repeat(1001)).await.expect_problem(400, "too_many_lines");
}

/// The whole directory leaves in pages, and comes back in as it left.
pub async fn are_exported(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let username = name("export");
    create(&admin, &username, &["viewer"]).await;
    let mut lines = Vec::new();
    let mut path = format!("{USERS}/export?limit=2&include=password_hash");
    loop {
        let page = admin.get(&path).await.expect(200);
        assert_eq!(page.headers["content-type"], NDJSON);
        lines.extend(page.text.lines().map(str::to_owned));
        let Some(cursor) = page.headers.get("next-cursor") else { break };
        let cursor = cursor.to_str().unwrap();
        assert!(page.headers["link"].to_str().unwrap().contains(cursor));
        path = format!("{USERS}/export?limit=2&include=password_hash&cursor={cursor}");
    }
    let line = lines.iter().find(|line| line.contains(&username)).expect("the user is among them");
    assert!(line.contains("$argon2id$"));
    let report = import(&admin, format!("{line}\n")).await.expect(200);
    assert_eq!(report.json, json!({"created": 0, "unchanged": 1, "rejected": []}));
    let renamed = line.replace(&username, &name("export"));
    assert_eq!(import(&admin, renamed).await.expect(200).json["created"], 1);
    for query in ["limit=0", "limit=1001", "cursor=*", "include=everything"] {
        admin.get(&format!("{USERS}/export?{query}")).await.expect_problem(400, "invalid_query");
    }
}
