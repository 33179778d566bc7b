//! What the RFCs ask of attributes, versions and answers.

use http::{Method, StatusCode};
use iam_provisioning::schema::{ENTERPRISE_URN, GROUP_URN, USER_URN};
use serde_json::{Value as Json, json};

use super::support::{Installation, USERS, user};

const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

#[tokio::test]
async fn values_keep_their_case_and_compare_by_case_exact() {
    let installation = Installation::new().await;
    let mut ada = user("Ada");
    ada["title"] = json!("Countess");
    ada["externalId"] = json!("X-1");
    ada["profileUrl"] = json!("https://example.com/Ada");
    ada["x509Certificates"] = json!([{"value": "QUJD"}]);
    let created = installation.post(ada.clone()).await;
    assert_eq!((&created.body["userName"], &created.body["title"]), (&json!("Ada"), &json!("Countess")));
    // An external id is the client's alone: nothing keeps two users from having one.
    ada["userName"] = json!("Bob");
    ada["title"] = json!(null);
    assert_eq!(installation.post(ada).await.status, StatusCode::CREATED);
    for (filter, count) in [
        ("userName eq \"ADA\"", 1),
        ("title eq \"cOUNTESS\"", 1),
        ("externalId eq \"X-1\"", 2),
        ("externalId eq \"x-1\"", 0),
        ("profileUrl eq \"https://example.com/Ada\"", 2),
        ("profileUrl eq \"https://example.com/ada\"", 0),
        ("x509Certificates.value eq \"QUJD\"", 2),
        ("x509Certificates.value eq \"qujd\"", 0),
    ] {
        let found = installation.find(filter).await;
        assert_eq!(found.body["totalResults"], json!(count), "{filter}: {}", found.body);
    }
}

#[tokio::test]
async fn lists_of_values_are_kept_as_they_are_meant() {
    let installation = Installation::new().await;
    let mut ada = user("ada");
    ada["emails"] = json!([
        {"value": "a@x.org", "type": "carrier-pigeon"}, {"value": "a@x.org", "type": "carrier-pigeon"},
        {"value": "b@x.org"},
    ]);
    ada[ENTERPRISE_URN] = json!({"manager": {"value": "7", "displayName": "not looked at"}});
    let created = installation.post(ada).await;
    // The same twice is once; nobody is primary who does not say so; other types than the usual ones are
    // taken.
    assert_eq!(
        created.body["emails"],
        json!([{"value": "a@x.org", "type": "carrier-pigeon"}, {"value": "b@x.org"}])
    );
    assert_eq!(
        installation.find("emails[primary eq true]").await.body["totalResults"],
        1,
        "the administrator alone"
    );
    assert_eq!(created.body[ENTERPRISE_URN], json!({"manager": {"value": "7"}}));
}

#[tokio::test]
async fn a_put_replaces() {
    let installation = Installation::new().await;
    let mut ada = user("ada");
    ada["title"] = json!("Countess");
    ada["active"] = json!(false);
    ada["password"] = json!("hunter2-Plume-anvil");
    ada[ENTERPRISE_URN] = json!({"department": "Engines"});
    let created = installation.post(ada).await;
    let path = format!("{USERS}/{}", created.id());
    let mut next = user("Ada");
    next["id"] = json!("not looked at");
    next["emails"] = json!([{"value": "ada@x.org", "primary": true}]);
    let replaced = installation.put(&path, next.clone()).await;
    assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.body);
    assert_eq!(replaced.headers["etag"], "W/\"2\"");
    assert_eq!((&replaced.body["id"], &replaced.body["userName"]), (&json!(created.id()), &json!("Ada")));
    assert_eq!((replaced.body.get("title"), replaced.body.get(ENTERPRISE_URN)), (None, None));
    // Nobody is let in again, and no password is lost, by an omission.
    assert_eq!(replaced.body["active"], false);
    let sql = "SELECT password_hash IS NOT NULL AS kept FROM users WHERE org_id = ?1 AND user_id = ?2";
    assert_eq!(installation.query(sql, &[&created.id()]).await.first().unwrap().integer("kept"), Ok(1));
    let again = installation.put(&path, next).await;
    assert_eq!((again.status, &again.headers["etag"]), (StatusCode::OK, &replaced.headers["etag"]));
    assert_eq!(
        installation.put(&path, json!({"schemas": [USER_URN]})).await.refusal(),
        (400, "invalidValue")
    );
    let other = format!("{USERS}/user_01fwhe4ydgfk1shh6w1g60eecf");
    assert_eq!(installation.put(&other, user("x")).await.refusal(), (404, ""));
}

#[tokio::test]
async fn versions_of_users_are_held_to() {
    let installation = Installation::new().await;
    let path = format!("{USERS}/{}", installation.create("ada").await);
    let patch = |title: &str| {
        json!({"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": "title",
        "value": title}]})
    };
    let none = Json::Null;
    for (method, header, tag, body, status) in [
        (Method::GET, "if-none-match", "W/\"1\"", &none, 304),
        (Method::GET, "if-none-match", "\"0\", W/\"1\"", &none, 304),
        (Method::GET, "if-none-match", "*", &none, 304),
        (Method::GET, "if-none-match", "W/\"11\"", &none, 200),
        (Method::PATCH, "if-match", "W/\"0\"", &patch("a"), 412),
        (Method::PATCH, "if-match", "W/\"1\"", &patch("b"), 200),
        (Method::PUT, "if-match", "W/\"1\"", &user("ada"), 412),
        (Method::PUT, "if-match", "\"7\", \"2\"", &user("ada"), 200),
        (Method::DELETE, "if-match", "W/\"2\"", &none, 412),
        (Method::DELETE, "if-match", "nonsense", &none, 412),
        (Method::DELETE, "if-match", "W/\"3\"", &none, 204),
        (Method::DELETE, "if-match", "W/\"3\"", &none, 404),
    ] {
        let answer = installation.with_header(method.clone(), &path, (header, tag), body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {header} {tag}: {}", answer.body);
    }
}

#[tokio::test]
async fn every_answer_is_cut_to_what_is_asked() {
    let installation = Installation::new().await;
    let mut ada = user("ada");
    ada["title"] = json!("Countess");
    let created = installation.post_to(&format!("{USERS}?attributes=userName"), ada.clone()).await;
    assert!(created.body.get("title").is_none() && created.body["userName"] == "ada", "{}", created.body);
    let path = format!("{USERS}/{}", created.id());
    assert_eq!(created.headers["location"], format!("http://iam.example.com{path}"));
    ada["title"] = json!("Lady");
    let replaced = installation.put(&format!("{path}?excludedAttributes=title,id"), ada).await;
    assert!(
        replaced.body.get("title").is_none() && replaced.body["id"] == json!(created.id()),
        "{}",
        replaced.body
    );
    let body =
        json!({"schemas": [PATCH_URN], "Operations": [{"op": "replace", "value": {"title": "Queen"}}]});
    let request = installation.request(Method::PATCH, &format!("{path}?attributes=title"), body.to_string());
    let patched = installation.send(request).await;
    assert!(patched.body.get("userName").is_none() && patched.body["title"] == "Queen", "{}", patched.body);
    let group =
        json!({"schemas": [GROUP_URN], "displayName": "Engines", "members": [{"value": created.id()}]});
    let made = installation.post_to("/api/scim/v2/Groups?excludedAttributes=members", group).await;
    assert_eq!((made.status, made.body.get("members")), (StatusCode::CREATED, None));
}

#[tokio::test]
async fn who_is_created_again_comes_back() {
    let installation = Installation::new().await;
    let mut ada = user("ada");
    ada["externalId"] = json!("X-1");
    ada["password"] = json!("hunter2-Plume-anvil");
    let id = installation.post(ada.clone()).await.id();
    for sql in [
        "INSERT INTO user_roles (org_id, user_id, role) VALUES (?1, ?2, 'admin')",
        "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, status, \
         life_ms, created_at, expires_at) VALUES (?1, 'key_1', 'h', 'k', ?2, '[]', 1, 'active', 1, 0, \
         9000000000000)",
    ] {
        installation.query(sql, &[&id]).await;
    }
    installation.begin_session(&id).await;
    installation.delete(&id).await;
    assert_eq!(installation.get(&format!("{USERS}/{id}")).await.refusal(), (404, ""));
    assert_eq!(installation.find("externalId eq \"X-1\"").await.body["totalResults"], 0);
    ada["userName"] = json!("ada.king");
    ada.as_object_mut().unwrap().remove("password");
    let again = installation.post(ada.clone()).await;
    assert_eq!((again.status, again.id()), (StatusCode::CREATED, id.clone()), "{}", again.body);
    assert_eq!((&again.body["userName"], again.round_trips.used), (&json!("ada.king"), 2));
    // Nothing else of what it had.
    let left = "SELECT (SELECT COUNT(*) FROM user_roles WHERE org_id = ?1 AND user_id = ?2) AS roles, \
                (SELECT status FROM api_keys WHERE org_id = ?1 AND owner_id = ?2) AS key, (SELECT \
                password_hash FROM users WHERE org_id = ?1 AND user_id = ?2) AS password";
    let rows = installation.query(left, &[&id]).await;
    let row = rows.first().unwrap();
    assert_eq!(
        (row.integer("roles"), row.text("key"), row.optional_text("password")),
        (Ok(0), Ok("revoked"), Ok(None))
    );
    assert_eq!(installation.sessions(&id).await, [Some("deleted".to_owned())]);
    let actions: Vec<String> = installation.audit(&id).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["scim.user.create", "scim.user.delete", "scim.user.restore"]);
    // One who is there is nobody who comes back.
    ada["userName"] = json!("twin");
    assert_ne!(installation.post(ada).await.id(), id);
}

#[tokio::test]
async fn groups_give_roles() {
    let mapping = r#""scim": {"role_mappings": [{"group": "Engineering", "role": "analyst"},
        {"pattern": "iam-*", "role": "*"}]}"#;
    let installation = Installation::with(mapping).await;
    let ada = installation.create("ada").await;
    let group =
        |name: &str, members: Json| json!({"schemas": [GROUP_URN], "displayName": name, "members": members});
    let roles = async || {
        let sql = "SELECT group_concat(role) AS roles FROM user_roles WHERE org_id = ?1 AND user_id = ?2";
        let rows = installation.query(sql, &[&ada]).await;
        rows.first().unwrap().optional_text("roles").unwrap().map(str::to_owned)
    };
    let created =
        installation.post_to("/api/scim/v2/Groups", group("ENGINEERING", json!([{"value": ada}]))).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert_eq!(roles().await.as_deref(), Some("analyst"));
    let path = format!("/api/scim/v2/Groups/{}", created.id());
    let renamed = installation.put(&path, group("iam-viewer", json!([{"value": ada}]))).await;
    assert_eq!(renamed.status, StatusCode::OK, "{}", renamed.body);
    assert_eq!(roles().await.as_deref(), Some("viewer"));
    let renamed = installation.put(&path, group("iam-nobody-has-it", json!([{"value": ada}]))).await;
    assert_eq!((renamed.status, roles().await), (StatusCode::OK, None));
    installation.put(&path, group("iam-viewer", json!([{"value": ada}]))).await;
    let body = json!({"schemas": [PATCH_URN], "Operations": [{"op": "remove", "path": "members"}]});
    installation.send(installation.request(Method::PATCH, &path, body.to_string())).await;
    assert_eq!(roles().await, None);
}

#[tokio::test]
async fn who_goes_round_in_circles_is_stopped() {
    let installation = Installation::with(r#""scim": {"loop_bound": 3}"#).await;
    let path = format!("{USERS}/{}", installation.create("ada").await);
    let patch = |title: &str| {
        json!({"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": "title", "value": title}]})
            .to_string()
    };
    let mut statuses = Vec::new();
    for round in 0..10 {
        let body = patch(if round % 2 == 0 { "a" } else { "b" });
        let answer = installation.send(installation.request(Method::PATCH, &path, body)).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers.contains_key("retry-after"));
        }
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 429, 429, 429, 429]);
    // The same again and again without a change is no circle.
    for _ in 0..5 {
        let body = patch("b").replace("title", "nickName");
        assert_eq!(
            installation.send(installation.request(Method::PATCH, &path, body)).await.status,
            StatusCode::OK
        );
    }
    installation.host.settle().await;
    let sql = "SELECT COUNT(*) AS count FROM audit_events WHERE org_id = ?1 AND action = 'scim.loop'";
    assert_eq!(installation.query(sql, &[]).await.first().unwrap().integer("count"), Ok(2));
}

#[tokio::test]
async fn what_discovery_does_not_offer_is_not_looked_at() {
    let installation = Installation::new().await;
    let plain = installation.get("/api/scim/v2/Schemas").await;
    let asked = installation.get("/api/scim/v2/Schemas?sortBy=id&startIndex=2&count=1&attributes=name").await;
    assert_eq!(plain.body, asked.body);
}

#[tokio::test]
async fn what_goes_wrong_within_is_an_error_too() {
    let installation = Installation::new().await;
    installation.host.apply("DROP TABLE user_ranks").unwrap();
    let answer = installation.get(USERS).await;
    assert_eq!(answer.refusal(), (500, ""));
    assert!(!answer.body.to_string().contains("user_ranks"));
}

#[tokio::test]
async fn extensions_of_the_configuration_are_kept_and_found() {
    let badge = "urn:example:badge:1.0:User";
    let installation = Installation::with(&format!(
        r#""scim": {{"extensions": [{{"id": "{badge}", "name": "Badge", "resource": "User", "attributes": [
            {{"name": "number", "type": "integer"}}, {{"name": "zones", "type": "string",
            "multiValued": true}},
            {{"name": "validUntil", "type": "dateTime"}}]}}]}}"#
    ))
    .await;
    for (name, number) in [("ada", 7), ("bob", 40)] {
        let mut body = user(name);
        body[badge] =
            json!({"number": number, "zones": ["North", name], "validUntil": "2030-01-01T00:00:00+01:00"});
        let created = installation.post(body).await;
        assert_eq!(created.body["schemas"], json!([USER_URN, badge]), "{}", created.body);
        assert_eq!(created.body[badge]["validUntil"], "2029-12-31T23:00:00.000Z");
    }
    for (filter, count) in [
        (format!("{badge}:number gt 8"), 1),
        (format!("{badge}:zones eq \"north\""), 2),
        (format!("{badge}:zones eq \"ada\" and {badge}:number lt 8"), 1),
        (format!("{badge}:validUntil ge \"2029-12-31T23:00:00Z\""), 2),
    ] {
        let found = installation.find(&filter).await;
        assert_eq!(found.body["totalResults"], json!(count), "{filter}: {}", found.body);
    }
    let sorted = installation
        .get(&format!("{USERS}?sortBy={badge}:number&sortOrder=descending&filter={badge}:number%20pr"))
        .await;
    assert_eq!(sorted.body["Resources"][0]["userName"], "bob", "{}", sorted.body);
    let schemas = installation.get(&format!("/api/scim/v2/Schemas/{badge}")).await;
    assert_eq!(schemas.body["name"], "Badge");
}
