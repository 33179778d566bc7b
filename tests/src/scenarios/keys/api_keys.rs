//! API keys.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, Client, Deployment};

const KEYS: &str = "/api/v1/auth/keys";

fn request(name: &str) -> Value {
    json!({
        "name": name,
        "permissions": [
            {"resource": "protocols", "action": "read", "scope": "all"},
            {"resource": "security", "action": "execute", "scope": "own"},
        ],
        "rate_limit": 1000,
        "expires_in_days": 90,
    })
}

async fn verify(deployment: &Deployment, key: &str) -> Answer {
    deployment.client().post("/api/v1/auth/keys/verify", &json!({"api_key": key})).await.expect(200)
}

/// A user over SCIM has no role: the administrator's own keys are what most scenarios use, so they clean up.
async fn create(client: &Client, name: &str) -> Answer {
    client.post(KEYS, &request(name)).await.expect(201)
}

/// Created, verified, rotated (both work), revoked (works no longer at the very next call).
pub async fn live_and_die(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = create(&admin, "production-service-key").await;
    let key = created.text_at("/api_key");
    assert!(key.starts_with("cronos_sk_live_"));
    assert_eq!(created.json["permissions"], request("")["permissions"]);
    assert_eq!(created.json["rate_limit"], 1000);

    let verified = verify(deployment, key).await;
    assert_eq!(verified.json["valid"], true);
    assert_eq!(verified.json["key_id"], created.json["key_id"]);
    assert_eq!(verified.json["owner"], deployment.setup.username);
    assert_eq!(verified.json["permissions"], request("")["permissions"]);

    let key_id = created.text_at("/key_id");
    let rotated =
        admin.post(&format!("{KEYS}/{key_id}/rotate"), &json!({"overlap_hours": 24})).await.expect(200);
    let successor = rotated.text_at("/new_api_key");
    assert_eq!(rotated.text_at("/old_key_id"), key_id);
    assert_eq!(verify(deployment, key).await.json["valid"], true);
    assert_eq!(verify(deployment, successor).await.json["key_id"], rotated.json["new_key_id"]);
    let again = admin.post(&format!("{KEYS}/{key_id}/rotate"), &json!({})).await;
    again.expect_problem(409, "key_already_rotated");

    for (id, key) in [(key_id, key), (rotated.text_at("/new_key_id"), successor)] {
        let revoked = admin.delete(&format!("{KEYS}/{id}")).await.expect(200);
        assert_eq!(revoked.json["status"], "revoked");
        assert_eq!(verify(deployment, key).await.json, json!({"valid": false, "reason": "revoked"}));
        let twice = admin.delete(&format!("{KEYS}/{id}")).await.expect(200);
        assert_eq!(twice.json["revoked_at"], revoked.json["revoked_at"]);
    }
    for (act, id) in [("create", key_id), ("rotate", key_id), ("revoke", key_id)] {
        assert_eq!(deployment.recorded(&format!("api_key.{act}"), "success", id), 1, "{act}");
    }
    let other = if key.ends_with('x') { 'y' } else { 'x' };
    let mistyped = format!("{}{other}", key.get(..key.len() - 1).unwrap());
    for unknown in [mistyped.as_str(), "cronos_sk_live_", ""] {
        assert_eq!(verify(deployment, unknown).await.json, json!({"valid": false, "reason": "unknown"}));
    }
    admin.delete(&format!("{KEYS}/key_00000000000000000000000000")).await.expect_problem(404, "not_found");
    admin.delete(&format!("{KEYS}/nonsense")).await.expect_problem(404, "not_found");
}

/// The list shows everything but secrets, in pages.
pub async fn are_listed_in_pages(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (first, second) = (create(&admin, "list-1").await, create(&admin, "list-2").await);
    let mut found = Vec::new();
    let mut path = format!("{KEYS}?limit=1");
    loop {
        let page = admin.get(&path).await.expect(200);
        let keys = page.json["keys"].as_array().unwrap();
        assert!(keys.len() <= 1);
        assert!(!page.text.contains("cronos_sk_"), "a secret in a list");
        found.extend(keys.iter().map(|key| key["key_id"].clone()));
        match page.json["next_cursor"].as_str() {
            Some(cursor) => path = format!("{KEYS}?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    for created in [&first, &second] {
        assert_eq!(found.iter().filter(|id| **id == created.json["key_id"]).count(), 1);
        admin.delete(&format!("{KEYS}/{}", created.text_at("/key_id"))).await.expect(200);
    }
    for query in ["limit=0", "limit=101", "limit=x", "cursor=nonsense", "unknown=1"] {
        admin.get(&format!("{KEYS}?{query}")).await.expect_problem(400, "invalid_query");
    }
}

/// A key can't carry what its creator may not do, and a user without the permission creates none.
pub async fn never_exceed_their_owner(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let nobody = deployment.client().with(login.text_at("/access_token"));
    let refused = nobody.post(KEYS, &request("x")).await.expect_problem(403, "permission_denied");
    assert!(refused.text_at("/detail").contains("api_keys.write.own"));

    let admin = deployment.administrator().await;
    let narrow = json!({"name": "narrow", "permissions": [{"resource": "api_keys", "action": "write",
        "scope": "own"}]});
    let narrow = admin.post(KEYS, &narrow).await.expect(201);
    let key = deployment.client().with(narrow.text_at("/api_key"));
    let refused = key.post(KEYS, &request("wider")).await.expect_problem(403, "permission_denied");
    assert_eq!(refused.text_at("/errors/0/pointer"), "/permissions/0");
    key.get("/api/v1/auth/me").await.expect_problem(403, "permission_denied");
    admin.delete(&format!("{KEYS}/{}", narrow.text_at("/key_id"))).await.expect(200);
}

/// The same `Idempotency-Key` with the same body answers the same key; with another body it is refused.
pub async fn are_created_once(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let retry = format!("retry-{}", iam_edge::now().as_millis());
    let post = |body: Value| {
        admin.send(admin.request(Method::POST, KEYS).header("idempotency-key", &retry).json(&body))
    };
    let (first, again) = (post(request("once")).await.expect(201), post(request("once")).await.expect(201));
    assert_eq!(first.json, again.json);
    post(request("other")).await.expect_problem(422, "idempotency_key_reused");
    admin.delete(&format!("{KEYS}/{}", first.text_at("/key_id"))).await.expect(200);
}

/// The scheduled job ends overlaps, may run twice, and takes nobody's word but the internal token's.
pub async fn expire_by_schedule(deployment: &Deployment) {
    const JOB: &str = "/internal/scheduled/key-rotation";
    let admin = deployment.administrator().await;
    let created = create(&admin, "scheduled").await;
    let key_id = created.text_at("/key_id");
    let rotated =
        admin.post(&format!("{KEYS}/{key_id}/rotate"), &json!({"overlap_hours": 0})).await.expect(200);
    assert_eq!(verify(deployment, created.text_at("/api_key")).await.json["reason"], "expired");
    for _ in 0..2 {
        deployment.internal().post(JOB, &json!({})).await.expect(204);
    }
    let listed = admin.get(KEYS).await.expect(200);
    let old = listed.json["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == key_id).unwrap();
    assert_eq!(old["status"], "expired");
    assert_eq!(old["replaced_by"], rotated.json["new_key_id"]);
    assert_eq!(deployment.recorded("api_key.overlap_end", "success", key_id), 1);
    deployment.client().post(JOB, &json!({})).await.expect_problem(401, "invalid_token");
    admin.post(JOB, &json!({})).await.expect_problem(401, "invalid_token");
    admin.delete(&format!("{KEYS}/{}", rotated.text_at("/new_key_id"))).await.expect(200);
}

/// A key opens what its permissions say, by either header, and not by both.
pub async fn a_key_is_a_credential(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let body =
        json!({"name": "reader", "permissions": [{"resource": "profile", "action": "read", "scope": "own"}]});
    let created = admin.post(KEYS, &body).await.expect(201);
    let key = created.text_at("/api_key");
    deployment.client().with(key).get("/api/v1/auth/me").await.expect(200);
    let client = deployment.client();
    let me = || client.request(Method::GET, "/api/v1/auth/me").header("x-api-key", key);
    client.send(me()).await.expect(200);
    client.send(me().bearer_auth(key)).await.expect_problem(400, "two_credentials");
    admin.delete(&format!("{KEYS}/{}", created.text_at("/key_id"))).await.expect(200);
    deployment.client().with(key).get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
}

/// The `scheduled` event of Workers runs the same job.
pub async fn expire_by_cron(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = create(&admin, "cron").await;
    let key_id = created.text_at("/key_id");
    let rotated =
        admin.post(&format!("{KEYS}/{key_id}/rotate"), &json!({"overlap_hours": 0})).await.expect(200);
    let client = deployment.client();
    let event = client
        .request(Method::GET, "/cdn-cgi/local/scheduled?cron=*/5+*+*+*+*")
        .header("mf-route-override", "iam-clock");
    client.send(event).await.expect(200);
    let listed = admin.get(KEYS).await.expect(200);
    let old = listed.json["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == key_id).unwrap();
    assert_eq!(old["status"], "expired");
    // That much is true by time alone; that the job ran is in the audit record.
    assert_eq!(deployment.recorded("api_key.overlap_end", "success", key_id), 1);
    admin.delete(&format!("{KEYS}/{}", rotated.text_at("/new_key_id"))).await.expect(200);
}

/// What a key carries beside its permissions is checked, shown, changed and found again.
pub async fn carry_ranges_and_notes(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let mut body = request("carrier-Ä1");
    body["allowed_addresses"] = json!(["192.0.2.77/24", "::ffff:192.0.2.1/120", "2001:DB8::1"]);
    body["metadata"] = json!({"team": "payments", "ticket.id": "4711"});
    let created = admin.post(KEYS, &body).await.expect(201);
    let key_id = created.text_at("/key_id");
    let path = format!("{KEYS}/{key_id}");
    assert_eq!(created.json["allowed_addresses"], json!(["192.0.2.0/24", "2001:db8::1/128"]));
    let shown = admin.get(&path).await.expect(200);
    for field in ["name", "permissions", "rate_limit", "allowed_addresses", "metadata", "expires_at"] {
        assert_eq!(shown.json[field], created.json[field], "{field}");
    }
    assert!(!shown.text.contains("cronos_sk_"), "a secret is shown");

    let changed = json!({"name": "carried", "rate_limit": 7, "allowed_addresses": null, "metadata": {},
        "permissions": [{"resource": "api_keys", "action": "read", "scope": "own"}]});
    let changed = admin.patch(&path, &changed).await.expect(200);
    assert_eq!((&changed.json["name"], &changed.json["rate_limit"]), (&json!("carried"), &json!(7)));
    assert_eq!((&changed.json["metadata"], changed.json.get("allowed_addresses")), (&json!({}), None));
    let verified = verify(deployment, created.text_at("/api_key")).await;
    assert_eq!(verified.json["permissions"], changed.json["permissions"]);
    let unchanged = admin.patch(&path, &json!({})).await.expect(200);
    for field in ["name", "permissions", "rate_limit", "metadata", "allowed_addresses"] {
        assert_eq!(unchanged.json.get(field), changed.json.get(field), "what is absent stays");
    }

    let wrong = [
        ("/allowed_addresses", json!({"allowed_addresses": []})),
        ("/allowed_addresses/1", json!({"allowed_addresses": ["192.0.2.1", "192.0.2.0/33"]})),
        ("/allowed_addresses", json!({"allowed_addresses": vec!["192.0.2.1"; 33]})),
        ("/metadata", json!({"metadata": {"a b": "x"}})),
        ("/metadata/a", json!({"metadata": {"a": "x".repeat(257)}})),
        ("/name", json!({"name": " "})),
        ("/rate_limit", json!({"rate_limit": 0})),
        ("/permissions", json!({"permissions": []})),
    ];
    for (pointer, change) in wrong {
        let refused = admin.patch(&path, &change).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{change}");
    }
    let refused = admin.delete(&format!("{path}?reason=%20")).await;
    refused.expect_problem(400, "invalid_query");
    let revoked = admin.delete(&format!("{path}?reason=laptop%20lost")).await.expect(200);
    assert_eq!(revoked.json["revoked_because"], "laptop lost");
    assert_eq!(admin.delete(&path).await.expect(200).json, revoked.json, "the first reason stays");
    admin.patch(&path, &json!({"name": "late"})).await.expect_problem(409, "key_revoked");
    let shown = admin.get(&path).await.expect(200);
    assert_eq!((&shown.json["status"], &shown.json["name"]), (&json!("revoked"), &json!("carried")));
    assert_eq!(deployment.recorded("api_key.update", "success", key_id), 2);
    assert_eq!(deployment.recorded("api_key.revoke", "success", key_id), 1);
}

/// Filters narrow the list, and nobody sees or changes what is another's without the permission.
pub async fn are_found_by_filters(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = create(&admin, "Needle-in-filters").await;
    let key_id = created.text_at("/key_id").to_owned();
    let found = async |query: &str| {
        let mut path = format!("{KEYS}?{query}");
        let mut found = false;
        loop {
            let page = admin.get(&path).await.expect(200);
            found |= page.json["keys"].as_array().unwrap().iter().any(|key| key["key_id"] == key_id.as_str());
            match page.json["next_cursor"].as_str() {
                Some(cursor) => path = format!("{KEYS}?{query}&cursor={cursor}"),
                None => return found,
            }
        }
    };
    for (query, expected) in [
        ("name=needle-IN", true),
        ("name=haystack", false),
        ("name=%25", false),
        ("status=active", true),
        ("status=revoked", false),
        ("status=expired", false),
        ("expires_before=2126-01-01T00:00:00Z", true),
        ("expires_before=2026-01-01T00:00:00Z", false),
        ("unused_since=2126-01-01T00:00:00Z", true),
        ("unused_since=2026-01-01T00:00:00Z", false),
        ("all=true&name=needle-in-f&status=active&limit=1", true),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    for query in [
        "status=asleep",
        "all=yes",
        "expires_before=tomorrow",
        "name=",
        "all=true&owner_id=usr_00000000000000000000000000",
    ] {
        admin.get(&format!("{KEYS}?{query}")).await.expect_problem(400, "invalid_query");
    }

    verify(deployment, created.text_at("/api_key")).await;
    let path = format!("{KEYS}/{key_id}/usage");
    let today = iam_edge::now().to_string();
    for attempt in 0.. {
        let usage = admin.get(&format!("{path}?days=1")).await.expect(200);
        if usage.json["usage"] != json!([]) {
            let day = &usage.json["usage"][0];
            assert_eq!((&day["accepted"], &day["refused"]), (&json!(1), &json!(0)));
            assert!(today.starts_with(day["date"].as_str().unwrap()), "{day}");
            break;
        }
        assert!(attempt < 100, "the use is never written down");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for query in ["days=0", "days=91", "days=x"] {
        admin.get(&format!("{path}?{query}")).await.expect_problem(400, "invalid_query");
    }

    // A key of the administrator's that may read and write its own keys alone, in another's hands.
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let stranger = deployment.client().with(login.text_at("/access_token"));
    stranger.get(&format!("{KEYS}/{key_id}")).await.expect_problem(403, "permission_denied");
    let own = json!({"name": "own", "permissions": [
        {"resource": "api_keys", "action": "read", "scope": "own"},
        {"resource": "api_keys", "action": "write", "scope": "own"},
    ]});
    let own = admin.post(KEYS, &own).await.expect(201);
    let narrow = deployment.client().with(own.text_at("/api_key"));
    narrow.get(&format!("{KEYS}?all=true")).await.expect_problem(403, "permission_denied");
    narrow.get(&format!("{KEYS}/{key_id}")).await.expect(200);
    let wider = json!({"permissions": [{"resource": "protocols", "action": "read", "scope": "all"}]});
    let refused = narrow.patch(&format!("{KEYS}/{key_id}"), &wider).await;
    assert_eq!(
        refused.expect_problem(403, "permission_denied").text_at("/errors/0/pointer"),
        "/permissions/0"
    );
    let none = "key_00000000000000000000000000";
    for path in [format!("{KEYS}/{none}"), format!("{KEYS}/{none}/usage")] {
        admin.get(&path).await.expect_problem(404, "not_found");
    }
    admin.patch(&format!("{KEYS}/{none}"), &json!({"name": "x"})).await.expect_problem(404, "not_found");
    for id in [key_id.as_str(), own.text_at("/key_id")] {
        admin.delete(&format!("{KEYS}/{id}")).await.expect(200);
    }
}
