//! What API keys may do: never more than their owner, and nobody gets a key that may do more than itself.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scenarios::directory::roles::{ROLES, person_with};
use crate::scenarios::keys::key_rotation::{put, webhook};
use crate::{Answer, Client, Deployment};

const KEYS: &str = "/api/v1/auth/keys";

async fn create(client: &Client, name: &str, permissions: &[&str]) -> Answer {
    client.post(KEYS, &json!({"name": name, "permissions": list(permissions)})).await.expect(201)
}

/// `protocols.read.all` as the API writes it.
fn list(permissions: &[&str]) -> Value {
    let parts = |text: &&str| -> Value {
        let parts: Vec<&str> = text.split('.').collect();
        json!({"resource": parts[0], "action": parts[1], "scope": parts[2]})
    };
    permissions.iter().map(parts).collect()
}

async fn verify(deployment: &Deployment, key: &str) -> Value {
    deployment.client().post(&format!("{KEYS}/verify"), &json!({"api_key": key})).await.expect(200).json
}

/// Whoever replaces a key gets the new one: so it must hold all that the old one may do. The same goes for
/// where new keys are delivered to, and for what keeps a key from being used.
pub async fn nobody_gets_a_key_above_itself(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let wide = create(&admin, "wide", &["security.execute.all", "profile.read.own"]).await;
    let (wide_id, wide_key) = (wide.text_at("/key_id"), wide.text_at("/api_key"));
    let path = format!("{KEYS}/{wide_id}");
    // A narrow key of the same owner, and somebody who administers all keys but may do nothing else.
    let narrow = create(&admin, "narrow", &["api_keys.write.own", "profile.read.own"]).await;
    let narrow_key = deployment.client().with(narrow.text_at("/api_key"));
    let (keeper, _, _) = person_with(deployment, &admin, &["api_keys.*.organization"]).await;
    for caller in [&narrow_key, &keeper] {
        let refusals = [
            caller.post(&format!("{path}/rotate"), &json!({})).await,
            put(caller, wide_id, &webhook("https://hooks.example.com/mine")).await,
            caller.patch(&path, &json!({"rate_limit": 1_000_000})).await,
            caller.patch(&path, &json!({"allowed_addresses": null})).await,
        ];
        for refused in refusals {
            let refused = refused.expect_problem(403, "permission_denied");
            assert!(refused.text_at("/detail").contains("security.execute.all"), "{}", refused.text);
        }
    }
    assert_eq!(verify(deployment, wide_key).await["rate_limit"], wide.json["rate_limit"]);
    let rotations = |action: &str| deployment.recorded(action, "success", wide_id);
    assert_eq!((rotations("api_key.rotate"), rotations("api_key.rotation_set")), (0, 0));
    assert_eq!(rotations("api_key.update"), 0);
    // What gives nobody anything stays theirs to do: a name, what the caller holds, the end.
    narrow_key.patch(&path, &json!({"name": "wide still"})).await.expect(200);
    let own = create(&narrow_key, "own", &["profile.read.own"]).await;
    let own_path = format!("{KEYS}/{}", own.text_at("/key_id"));
    narrow_key
        .patch(&own_path, &json!({"rate_limit": 50, "allowed_addresses": ["10.0.0.0/8"]}))
        .await
        .expect(200);
    put(&narrow_key, own.text_at("/key_id"), &webhook("https://hooks.example.com/mine")).await.expect(200);
    let replaced = narrow_key.post(&format!("{own_path}/rotate"), &json!({})).await.expect(200);
    // Whoever holds it all may.
    let rotated = admin.post(&format!("{path}/rotate"), &json!({})).await.expect(200);
    keeper.delete(&path).await.expect(200);
    let none = format!("{KEYS}/key_00000000000000000000000000/rotate");
    narrow_key.post(&none, &json!({})).await.expect_problem(404, "not_found");
    for id in [own.text_at("/key_id"), replaced.text_at("/new_key_id"), rotated.text_at("/new_key_id")] {
        admin.delete(&format!("{KEYS}/{id}")).await.expect(200);
    }
    admin.delete(&format!("{KEYS}/{}", narrow.text_at("/key_id"))).await.expect(200);
}

/// Whoever set a schedule was known to hold what the key could do then: where it may do more, nothing more is
/// sent there until somebody who may says so again.
pub async fn a_wider_key_stops_its_schedule(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = create(&admin, "widens", &["profile.read.own", "sessions.read.organization"]).await;
    let (key_id, path) =
        (created.text_at("/key_id"), format!("{KEYS}/{}/rotation", created.text_at("/key_id")));
    let change = async |permissions: &[&str]| {
        let body = json!({"permissions": list(permissions)});
        let changed = admin.patch(&format!("{KEYS}/{key_id}"), &body).await.expect(200);
        let due_at = admin.get(&path).await.expect(200).json["due_at"].clone();
        assert_eq!(changed.json["rotates_at"], due_at);
        due_at
    };
    let stops = || deployment.recorded("api_key.rotation_end", "success", key_id);
    let target = webhook("https://hooks.example.com/widens");
    let set = put(&admin, key_id, &target).await.expect(200).json["due_at"].clone();
    assert!(set.is_string());
    // A narrower scope, the same again, and nothing of it: none of that is more.
    assert_eq!(change(&["profile.read.own", "sessions.read.own"]).await, set);
    assert_eq!(change(&["sessions.read.own", "profile.read.own"]).await, set);
    admin.patch(&format!("{KEYS}/{key_id}"), &json!({"name": "widens soon"})).await.expect(200);
    assert_eq!(stops(), 0);
    assert_eq!(change(&["profile.read.own", "sessions.read.team"]).await, Value::Null);
    assert_eq!(stops(), 1);
    assert_eq!(change(&["profile.read.own", "sessions.read.all"]).await, Value::Null);
    assert_eq!(stops(), 1, "what stopped before does not stop again");
    assert_eq!(put(&admin, key_id, &target).await.expect(200).json["due_at"], set);
    admin.delete(&format!("{KEYS}/{key_id}")).await.expect(200);
}

/// An owner who loses a right loses it in every key at the next call, and has it in them again with the
/// right; what everybody may do for itself stays.
pub async fn follow_their_owner(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let grants = ["api_keys.read.own", "api_keys.write.own", "protocols.read.all"];
    let (owner, user_id, role) = person_with(deployment, &admin, &grants).await;
    let carried = ["api_keys.read.own", "protocols.read.all", "profile.read.own"];
    let created = create(&owner, "follows", &carried).await;
    let key = created.text_at("/api_key");
    let (bearer, by_header) = (deployment.client().with(key), deployment.client());
    let with_header = |path| by_header.send(by_header.request(Method::GET, path).header("x-api-key", key));
    assert_eq!(verify(deployment, key).await["permissions"], list(&carried));
    bearer.get(KEYS).await.expect(200);
    with_header(KEYS).await.expect(200);

    let member = format!("{ROLES}/{role}/members/{user_id}");
    admin.delete(&member).await.expect(204);
    let left = verify(deployment, key).await;
    assert_eq!((&left["valid"], &left["permissions"]), (&json!(true), &list(&["profile.read.own"])));
    bearer.get(KEYS).await.expect_problem(403, "permission_denied");
    with_header(KEYS).await.expect_problem(403, "permission_denied");
    bearer.get("/api/v1/auth/me").await.expect(200);
    crate::scenarios::directory::roles::put(&admin, &member).await.expect(204);
    assert_eq!(verify(deployment, key).await["permissions"], list(&carried));
    bearer.get(KEYS).await.expect(200);
}

/// A key rests while its owner does.
pub async fn rest_with_their_owner(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let grants = ["api_keys.read.own", "api_keys.write.own"];
    let (owner, user_id, _) = person_with(deployment, &admin, &grants).await;
    let created = create(&owner, "rests", &["api_keys.read.own"]).await;
    let key = created.text_at("/api_key");
    assert_eq!(verify(deployment, key).await["valid"], true);
    let user = format!("/api/v1/users/{user_id}");
    admin.post(&format!("{user}/suspend"), &json!({})).await.expect(200);
    let leased = format!(
        "SELECT COALESCE(SUM(taken), 0) AS count FROM rate_windows WHERE subject = 'key:{}'",
        created.text_at("/key_id")
    );
    let before = deployment.count(&leased);
    for _ in 0..3 {
        assert_eq!(verify(deployment, key).await, json!({"valid": false, "reason": "owner_inactive"}));
        deployment.client().with(key).get(KEYS).await.expect_problem(401, "invalid_token");
    }
    assert_eq!(deployment.count(&leased), before, "what is refused takes nothing of the limit");
    admin.post(&format!("{user}/activate"), &json!({})).await.expect(200);
    assert_eq!(verify(deployment, key).await["valid"], true);
    deployment.client().with(key).get(KEYS).await.expect(200);
}

/// However many are made at once, a user has no more than it may; with those that are being replaced, twice
/// as many.
pub async fn are_bounded(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (owner, _, _) = person_with(deployment, &admin, &["api_keys.*.own"]).await;
    let mut made = tokio::task::JoinSet::new();
    for number in 0..25 {
        let owner = owner.clone();
        made.spawn(async move {
            let body = json!({"name": format!("n{number}"), "permissions": list(&["profile.read.own"])});
            owner.post(KEYS, &body).await
        });
    }
    let mut ids = Vec::new();
    while let Some(answer) = made.join_next().await {
        let answer = answer.unwrap();
        match answer.status {
            201 => ids.push(answer.text_at("/key_id").to_owned()),
            _ => drop(answer.expect_problem(409, "too_many_keys")),
        }
    }
    assert_eq!(ids.len(), 10);
    let rotate = async |id: &str, overlap_hours: u32| {
        owner.post(&format!("{KEYS}/{id}/rotate"), &json!({"overlap_hours": overlap_hours})).await
    };
    let mut successors = Vec::new();
    for id in &ids {
        successors.push(rotate(id, 48).await.expect(200).text_at("/new_key_id").to_owned());
    }
    for id in &successors {
        rotate(id, 48).await.expect_problem(409, "too_many_keys");
    }
    // One that has to go at once can be replaced whatever there is.
    rotate(&successors[0], 0).await.expect(200);
    owner.delete(&format!("{KEYS}/{}", ids[1])).await.expect(200);
    rotate(&successors[1], 48).await.expect(200);
    rotate(&successors[2], 48).await.expect_problem(409, "too_many_keys");
}

/// The same `Idempotency-Key` with the same body answers the same successor.
pub async fn are_replaced_once(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = create(&admin, "replaced once", &["profile.read.own"]).await;
    let path = format!("{KEYS}/{}/rotate", created.text_at("/key_id"));
    let retry = crate::scenarios::directory::roles::name("retry");
    let rotate = |path: &str, hours: u32| {
        let request = admin.request(Method::POST, path).header("idempotency-key", &retry);
        admin.send(request.json(&json!({"overlap_hours": hours})))
    };
    let (first, again) = (rotate(&path, 1).await.expect(200), rotate(&path, 1).await.expect(200));
    assert_eq!(first.json, again.json);
    rotate(&path, 2).await.expect_problem(422, "idempotency_key_reused");
    assert_eq!(deployment.recorded("api_key.rotate", "success", created.text_at("/key_id")), 1);
    let new_id = first.text_at("/new_key_id");
    for (id, told) in [(created.text_at("/key_id"), "/old_key_expires_at"), (new_id, "/new_key_expires_at")] {
        let shown = admin.get(&format!("{KEYS}/{id}")).await.expect(200);
        assert_eq!(shown.text_at("/expires_at"), first.text_at(told));
    }
    assert_eq!(verify(deployment, first.text_at("/new_api_key")).await["key_id"], new_id);
    // Another key is another request, and what was refused may be tried again.
    let second = rotate(&format!("{KEYS}/{new_id}/rotate"), 1).await.expect(200);
    admin.post(&path, &json!({})).await.expect_problem(409, "key_already_rotated");
    for id in [created.text_at("/key_id"), new_id, second.text_at("/new_key_id")] {
        admin.delete(&format!("{KEYS}/{id}")).await.expect(200);
    }
}
