use http::{Method, StatusCode};
use iam_provisioning::schema::{ENTERPRISE_URN, USER_URN};
use serde_json::json;

use super::support::{Installation, USERS, user};

#[tokio::test]
async fn a_user_is_created_shown_and_deleted() {
    let installation = Installation::new().await;
    let created = installation
        .post(json!({
            "schemas": [USER_URN, ENTERPRISE_URN],
            "userName": "Ada@Example.com",
            "externalId": "00u1",
            "displayName": "Ada Lovelace",
            "name": {"givenName": "Ada", "familyName": "Lovelace"},
            "emails": [{"value": "home@example.com"}, {"value": "ada@example.com", "type": "work",
            "primary": true}],
            "phoneNumbers": [{"value": "tel:+1-555"}],
            "title": "Countess",
            "password": "A secret of hers: 7",
            "groups": [],
            "meta": {"resourceType": "User"},
            (ENTERPRISE_URN): {"department": "Engines"},
        }))
        .await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert_eq!(created.round_trips.used, 2);
    assert_eq!(created.headers["content-type"], "application/scim+json");
    let id = created.id();
    let location = format!("http://iam.example.com{USERS}/{id}");
    assert_eq!(created.headers["location"], location);

    let mut expected = json!({
        "schemas": [USER_URN, ENTERPRISE_URN],
        "id": id,
        "userName": "Ada@Example.com",
        "externalId": "00u1",
        "displayName": "Ada Lovelace",
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"value": "home@example.com"}, {"value": "ada@example.com", "type": "work",
        "primary": true}],
        "phoneNumbers": [{"value": "tel:+1-555"}],
        "title": "Countess",
        "active": true,
        (ENTERPRISE_URN): {"department": "Engines"},
    });
    expected["meta"] = created.body["meta"].clone();
    assert_eq!(created.body, expected);
    assert_eq!(created.body["meta"]["resourceType"], "User");
    assert_eq!(created.body["meta"]["location"], location);
    assert_eq!(created.body["meta"]["version"], "W/\"1\"");
    assert_eq!(created.body["meta"]["created"], created.body["meta"]["lastModified"]);
    assert!(created.body["meta"]["created"].as_str().unwrap().ends_with('Z'));

    let shown = installation.get(&format!("{USERS}/{id}")).await;
    assert_eq!((shown.status, &shown.body), (StatusCode::OK, &created.body));

    let deleted = installation.delete(&id).await;
    assert_eq!((deleted.status, deleted.body), (StatusCode::NO_CONTENT, json!(null)));
    assert_eq!(installation.get(&format!("{USERS}/{id}")).await.refusal(), (404, ""));
    assert_eq!(installation.delete(&id).await.refusal(), (404, ""));
    assert_eq!(
        installation.patch(&id, json!([{"op": "remove", "path": "title"}])).await.refusal(),
        (404, "")
    );
    assert_eq!(installation.find("userName eq \"ada@example.com\"").await.body["totalResults"], 0);
    assert_ne!(installation.create("ada@example.com").await, id);
}

#[tokio::test]
async fn the_columns_that_sign_in_reads_follow() {
    let installation = Installation::new().await;
    let created = installation
        .post(json!({
            "schemas": [USER_URN], "userName": " Ada ", "active": "False", "password": "A secret of hers: 7",
            "emails": [{"value": "first@example.com"}, {"value": "second@example.com"}],
        }))
        .await;
    assert_eq!(created.body["userName"], "Ada");
    assert_eq!(created.body["active"], false);
    let sql = "SELECT username_key, email, status, managed_by, password_hash, attributes FROM users WHERE \
               org_id = ?1 AND user_id = ?2";
    let rows = installation.query(sql, &[&created.id()]).await;
    let row = rows.first().unwrap();
    assert_eq!(row.text("username_key"), Ok("ada"));
    assert_eq!(row.text("email"), Ok("first@example.com"));
    assert_eq!(row.text("status"), Ok("suspended"));
    assert_eq!(row.text("managed_by"), Ok("scim"));
    let hash = row.text("password_hash").unwrap();
    assert!(hash.starts_with("$argon2id$"));
    assert_eq!(iam_core::secret::password::verify("A secret of hers: 7", hash), Ok(true));
    assert!(!row.text("attributes").unwrap().contains("secret"));
}

#[tokio::test]
async fn a_user_name_is_taken_once_in_any_case() {
    let installation = Installation::new().await;
    let id = installation.create("ada@example.com").await;
    assert_eq!(installation.post(user("ADA@example.com")).await.refusal(), (409, "uniqueness"));
    let other = installation.create("bob@example.com").await;
    let rename = json!([{"op": "replace", "value": {"userName": "Ada@example.com", "title": "x"}}]);
    assert_eq!(installation.patch(&other, rename).await.refusal(), (409, "uniqueness"));
    assert_eq!(installation.get(&format!("{USERS}/{other}")).await.body["title"], json!(null));
    assert_eq!(installation.audit(&other).await.len(), 1);
    let same = installation
        .patch(&id, json!([{"op": "replace", "path": "userName", "value": "Ada@example.com"}]))
        .await;
    assert_eq!(same.body["userName"], "Ada@example.com");
}

#[tokio::test]
async fn who_was_created_elsewhere_is_shown_too() {
    let installation = Installation::new().await;
    let found = installation.find("userName eq \"admin@example.com\"").await;
    let admin = &found.body["Resources"][0];
    assert_eq!(admin["emails"], json!([{"value": "admin@example.com", "primary": true}]));
    assert_eq!(admin["displayName"], "Administrator");
    let id = admin["id"].as_str().unwrap();
    let add_to_group = "INSERT INTO group_members (org_id, user_id, group_id) VALUES (?1, ?2, 'g1')";
    installation.query(add_to_group, &[id]).await;
    let group = "INSERT INTO groups (org_id, group_id, display_name, display_name_key, managed_by, \
         created_at, updated_at) VALUES (?1, 'g1', 'Engines', 'engines', 'manual', 0, 0)";
    installation.query(group, &[]).await;
    let shown = installation.get(&format!("{USERS}/{id}")).await;
    let engines = json!({
        "value": "g1", "$ref": "http://iam.example.com/api/scim/v2/Groups/g1", "display": "Engines",
        "type": "direct",
    });
    assert_eq!(shown.body["groups"], json!([engines]));
}

#[tokio::test]
async fn the_location_is_where_the_client_sees_it() {
    let installation = Installation::new().await;
    let url = format!("https://tenant.example.com{USERS}");
    let request = installation.request(Method::POST, &url, user("ada").to_string());
    let created = installation.send(request).await;
    assert_eq!(created.headers["location"], format!("{url}/{}", created.id()));
    let mut request = installation.request(Method::POST, USERS, user("bob").to_string());
    request.headers_mut().insert("host", "not a host".parse().unwrap());
    let created = installation.send(request).await;
    assert_eq!(created.headers["location"], format!("{USERS}/{}", created.id()));
}
