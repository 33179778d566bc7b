use axum::body::Body;
use http::{Method, StatusCode};
use iam_provisioning::schema::USER_URN;
use iam_provisioning::user::MAX_ATTRIBUTES_BYTES;
use serde_json::{Value as Json, json};

use super::support::{Installation, USERS, user};

#[tokio::test]
async fn without_a_token_there_is_nothing() {
    let installation = Installation::new().await;
    for token in ["", "Bearer", "Bearer nonsense", "Basic YTpi"] {
        let mut request = installation.request(Method::GET, USERS, Body::empty());
        request.headers_mut().insert("authorization", token.parse().unwrap());
        let answer = installation.send(request).await;
        assert_eq!(answer.refusal(), (401, ""), "{token}");
        assert!(answer.headers.contains_key("www-authenticate"));
        assert_eq!(answer.round_trips.used, 0);
    }
    installation.query("UPDATE scim_tokens SET revoked_at = 1 WHERE org_id = ?1", &[]).await;
    assert_eq!(installation.get(USERS).await.refusal(), (401, ""));
}

#[tokio::test]
async fn what_is_no_user_is_refused() {
    let installation = Installation::new().await;
    for (body, scim_type) in [
        (json!([]), "invalidSyntax"),
        (json!("ada"), "invalidSyntax"),
        (json!({"userName": "ada"}), "invalidSyntax"),
        (json!({"schemas": "x", "userName": "ada"}), "invalidSyntax"),
        (json!({"schemas": ["x"], "userName": "ada"}), "invalidSyntax"),
        (json!({"schemas": [USER_URN], "userName": "ada", "shoeSize": 43}), "invalidSyntax"),
        (json!({"schemas": [USER_URN]}), "invalidValue"),
        (json!({"schemas": [USER_URN], "userName": null}), "invalidValue"),
        (user(" "), "invalidValue"),
        (user("a\u{0}b"), "invalidValue"),
        (user(&"a".repeat(255)), "invalidValue"),
        (json!({"schemas": [USER_URN], "userName": "ada", "active": 1}), "invalidValue"),
        (json!({"schemas": [USER_URN], "userName": "ada", "password": ""}), "invalidValue"),
        (json!({"schemas": [USER_URN], "userName": "ada", "password": "a".repeat(1025)}), "invalidValue"),
        (json!({"schemas": [USER_URN], "userName": "ada", "emails": "a@example.com"}), "invalidValue"),
        (large(), "invalidValue"),
    ] {
        let answer = installation.post(body).await;
        assert_eq!(answer.refusal(), (400, scim_type), "{}", answer.body);
        assert!(!answer.body.to_string().contains("aaaaaaaaaa"), "{}", answer.body);
    }
    assert_eq!(installation.get(USERS).await.body["totalResults"], 1);
}

fn large() -> Json {
    let value = "a".repeat(2000);
    let emails: Vec<Json> = (0..MAX_ATTRIBUTES_BYTES / 2000 + 1)
        .map(|number| json!({"value": format!("{number}{value}")}))
        .collect();
    json!({"schemas": [USER_URN], "userName": "ada", "emails": emails})
}

#[tokio::test]
async fn bad_bodies_are_the_clients_fault() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    let path = format!("{USERS}/{id}");
    let deep = "[".repeat(10_000);
    let mut truncated = user("bob").to_string();
    truncated.pop();
    for (method, path) in [(Method::POST, USERS), (Method::PATCH, path.as_str())] {
        for body in [&b""[..], b"{", truncated.as_bytes(), b"\xff\xfe", deep.as_bytes(), b"null", b"{} {}"] {
            let request = installation.request(method.clone(), path, body.to_vec());
            assert_eq!(
                installation.send(request).await.refusal(),
                (400, "invalidSyntax"),
                "{method} {body:?}"
            );
        }
        let mut request = installation.request(method.clone(), path, user("bob").to_string());
        request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        assert_eq!(installation.send(request).await.refusal(), (415, ""));
    }
    let mut request = installation.request(Method::POST, USERS, user("bob").to_string());
    request.headers_mut().insert("content-type", "application/json; charset=utf-8".parse().unwrap());
    assert_eq!(installation.send(request).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_no_change_is_refused() {
    let installation = Installation::new().await;
    let id = installation.create("ada").await;
    for (operation, scim_type) in [
        (json!({"op": "replace", "path": "id", "value": "x"}), "mutability"),
        (json!({"op": "replace", "path": "groups", "value": []}), "mutability"),
        (json!({"op": "remove"}), "noTarget"),
        (json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": {"value": "a"}}), "noTarget"),
        (json!({"op": "replace", "path": "emails[type near \"work\"].value", "value": "a"}), "invalidFilter"),
        (json!({"op": "replace", "path": "shoeSize", "value": 43}), "invalidPath"),
        (json!({"op": "replace", "path": "active", "value": "maybe"}), "invalidValue"),
        (json!({"op": "remove", "path": "userName"}), "mutability"),
        (json!({"op": "replace", "value": {"userName": ""}}), "invalidValue"),
        (json!({"op": "move", "path": "title", "value": "x"}), "invalidSyntax"),
        (json!(null), "invalidSyntax"),
    ] {
        let answer = installation.patch(&id, json!([operation])).await;
        assert_eq!(answer.refusal(), (400, scim_type), "{operation}");
    }
    for id in ["x", "user_01fwhe4ydgfk1shh6w1g60eecf", "%00", "..%2f"] {
        let answer = installation.patch(id, json!([{"op": "remove", "path": "title"}])).await;
        assert_eq!(answer.refusal(), (404, ""), "{id}");
    }
}
