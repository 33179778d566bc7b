//! Groups and who is in them.

use http::{Method, StatusCode};
use iam_provisioning::schema::GROUP_URN;
use serde_json::{Value as Json, json};

use super::support::{Answer, Installation, USERS};

const GROUPS: &str = "/api/scim/v2/Groups";

fn group(name: &str, members: &[&str]) -> Json {
    let members: Vec<Json> = members.iter().map(|id| json!({"value": id})).collect();
    json!({"schemas": [GROUP_URN], "displayName": name, "externalId": format!("x-{name}"),
    "members": members})
}

async fn patch(installation: &Installation, path: &str, operations: Json) -> Answer {
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    installation.send(installation.request(Method::PATCH, path, body.to_string())).await
}

async fn members(installation: &Installation, path: &str) -> Vec<String> {
    let group = installation.get(&format!("{path}?attributes=members.display")).await;
    let members = group.body["members"].as_array().cloned().unwrap_or_default();
    members.iter().map(|member| member["display"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_group_lives() {
    let installation = Installation::new().await;
    let (ada, bob) = (installation.create("ada").await, installation.create("bob").await);
    let created = installation.post_to(GROUPS, group("Engines", &[&ada, &ada])).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert_eq!(created.body["schemas"], json!([GROUP_URN]));
    let shown = json!([{
        "value": ada, "$ref": format!("http://iam.example.com/api/scim/v2/Users/{ada}"), "type": "User",
    }]);
    assert_eq!(created.body["members"], shown);
    let path = format!("{GROUPS}/{}", created.id());
    assert_eq!(created.headers["location"], format!("http://iam.example.com{path}"));
    assert_eq!(created.headers["etag"], created.body["meta"]["version"].as_str().unwrap());
    let read = installation.get(&path).await;
    assert_eq!((&read.body["members"], read.round_trips.used), (&created.body["members"], 2));
    assert_eq!(installation.get(&format!("{USERS}/{ada}")).await.body["groups"][0]["display"], "Engines");

    let taken = installation.post_to(GROUPS, group("ENGINES", &[])).await;
    assert_eq!(taken.refusal(), (409, "uniqueness"));
    let unknown = installation.post_to(GROUPS, group("Others", &["user_01fwhe4ydgfk1shh6w1g60eecf"])).await;
    assert_eq!(unknown.refusal(), (400, "invalidValue"));

    let mut body = group("Motors", &[&bob]);
    body.as_object_mut().unwrap().remove("externalId");
    let replaced = installation.put(&path, body).await;
    assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.body);
    assert_eq!((&replaced.body["displayName"], replaced.body.get("externalId")), (&json!("Motors"), None));
    assert_eq!(members(&installation, &path).await, ["bob"]);

    assert_eq!(
        installation.send(installation.request(Method::DELETE, &path, "")).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(installation.get(&path).await.refusal(), (404, ""));
    assert!(installation.get(&format!("{USERS}/{bob}")).await.body.get("groups").is_none());
}

#[tokio::test]
async fn members_come_and_go_in_every_form() {
    let installation = Installation::new().await;
    let mut ids = Vec::new();
    for name in ["ada", "bob", "cyd", "dan"] {
        ids.push(installation.create(name).await);
    }
    let path = format!("{GROUPS}/{}", installation.post_to(GROUPS, group("Engines", &[])).await.id());
    for (operations, expected) in [
        (
            json!([{"op": "Add", "path": "members", "value": [{"value": ids[0]}, {"value": ids[1]}]}]),
            vec!["ada", "bob"],
        ),
        (json!([{"op": "add", "value": {"members": [{"value": ids[2]}]}}]), vec!["ada", "bob", "cyd"]),
        (json!([{"op": "remove", "path": format!("members[value eq \"{}\"]", ids[0])}]), vec!["bob", "cyd"]),
        (json!([{"op": "Remove", "path": "members", "value": [{"value": ids[1]}]}]), vec!["cyd"]),
        (
            json!([{"op": "replace", "path": "members", "value": [{"value": ids[3]}, {"value": ids[0]}]}]),
            vec!["ada", "dan"],
        ),
        (
            json!([
                {"op": "remove", "path": format!("members[value eq \"{}\"]", ids[3])},
                {"op": "add", "path": "members", "value": [{"value": ids[1]}]},
            ]),
            vec!["ada", "bob"],
        ),
        (json!([{"op": "remove", "path": "members"}]), vec![]),
    ] {
        let answer = patch(&installation, &path, operations.clone()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{operations}: {}", answer.body);
        assert_eq!(answer.round_trips.used, 3, "{operations}");
        let mut found = members(&installation, &path).await;
        found.sort();
        assert_eq!(found, expected, "{operations}");
    }
    let shown = patch(
        &installation,
        &format!("{path}?attributes=displayName"),
        json!([{"op": "replace", "value": {"displayName": "Motors", "id": "not looked at"}}]),
    )
    .await;
    assert_eq!((shown.status, &shown.body["displayName"]), (StatusCode::OK, &json!("Motors")));
    assert!(shown.body.get("externalId").is_none());
}

/// A change that changes nothing leaves version and audit as they are; one that fails changes nothing at all.
#[tokio::test]
async fn all_or_nothing() {
    let installation = Installation::new().await;
    let ada = installation.create("ada").await;
    let path = format!("{GROUPS}/{}", installation.post_to(GROUPS, group("Engines", &[&ada])).await.id());
    let before = installation.get(&path).await.body;
    let records =
        "SELECT COUNT(*) AS count FROM audit_events WHERE org_id = ?1 AND action = 'scim.group.update'";
    for (operations, status) in [
        (json!([{"op": "add", "path": "members", "value": [{"value": ada}]}]), 204),
        (json!([{"op": "remove", "path": "members[value eq \"user_01fwhe4ydgfk1shh6w1g60eecf\"]"}]), 204),
        (json!([{"op": "replace", "path": "displayName", "value": "Engines"}]), 204),
        (
            json!([
                {"op": "replace", "path": "displayName", "value": "Motors"},
                {"op": "add", "path": "members", "value": [{"value": "user_01fwhe4ydgfk1shh6w1g60eecf"}]},
            ]),
            400,
        ),
        (
            json!([
                {"op": "remove", "path": "members"},
                {"op": "replace", "path": "displayName", "value": ""},
            ]),
            400,
        ),
        (json!([{"op": "add", "path": "members", "value": [{"value": ada, "type": "Group"}]}]), 400),
        (json!([{"op": "remove", "path": "displayName"}]), 400),
    ] {
        let answer = patch(&installation, &path, operations.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{operations}: {}", answer.body);
        assert_eq!(installation.get(&path).await.body, before, "{operations}");
        let count = installation.query(records, &[]).await.first().unwrap().integer("count");
        assert_eq!(count, Ok(0), "{operations}");
    }
}

#[tokio::test]
async fn versions_are_held_to() {
    let installation = Installation::new().await;
    let ada = installation.create("ada").await;
    let created = installation.post_to(GROUPS, group("Engines", &[])).await;
    let path = format!("{GROUPS}/{}", created.id());
    let stale = created.headers["etag"].to_str().unwrap().to_owned();
    patch(&installation, &path, json!([{"op": "add", "path": "members", "value": [{"value": ada}]}])).await;
    let fresh = installation.get(&path).await.headers["etag"].to_str().unwrap().to_owned();
    assert_ne!(stale, fresh);
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "displayName", "value": "Motors"}],
    });
    let none = json!(null);
    for (method, header, tag, body, status) in [
        (Method::PATCH, "if-match", &stale, &body, 412),
        (Method::DELETE, "if-match", &stale, &none, 412),
        (Method::GET, "if-none-match", &stale, &none, 200),
        (Method::GET, "if-none-match", &fresh, &none, 304),
        (Method::PATCH, "if-match", &fresh, &body, 204),
        (Method::DELETE, "if-match", &"*".to_owned(), &none, 204),
    ] {
        let answer = installation.with_header(method.clone(), &path, (header, tag), body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {header} {tag}: {}", answer.body);
    }
}

#[tokio::test]
async fn groups_are_listed() {
    let installation = Installation::new().await;
    let ada = installation.create("ada").await;
    for name in ["a", "b", "c"] {
        let members: &[&str] = if name == "b" { &[&ada] } else { &[] };
        installation.post_to(GROUPS, group(name, members)).await;
    }
    let all = installation.get(GROUPS).await;
    assert_eq!((&all.body["totalResults"], all.round_trips.used), (&json!(3), 2));
    let with_members = |body: &Json| {
        body["Resources"].as_array().unwrap().iter().filter(|group| group.get("members").is_some()).count()
    };
    assert_eq!(with_members(&all.body), 1);
    assert_eq!(
        with_members(&installation.get(&format!("{GROUPS}?excludedAttributes=members")).await.body),
        0
    );
    for (filter, count) in [
        ("displayName%20eq%20%22B%22", 1),
        ("externalId%20eq%20%22x-c%22", 1),
        (&format!("members.value%20eq%20%22{ada}%22"), 1),
        (&format!("members%5Bvalue%20eq%20%22{ada}%22%5D"), 1),
        ("displayName%20sw%20%22%22", 3),
    ] {
        let found = installation.get(&format!("{GROUPS}?filter={filter}")).await;
        assert_eq!(found.body["totalResults"], json!(count), "{filter}: {}", found.body);
    }
    let page =
        installation.get(&format!("{GROUPS}?sortBy=displayName&sortOrder=descending&count=2&cursor=")).await;
    let next = page.body["nextCursor"].as_str().unwrap();
    let last = installation
        .get(&format!("{GROUPS}?sortBy=displayName&sortOrder=descending&count=2&cursor={next}"))
        .await;
    assert_eq!(last.body["Resources"][0]["displayName"], "a");
}

/// However many are in it: the same statements, the same round trips.
#[tokio::test]
async fn a_large_group_takes_one_more() {
    let installation = Installation::new().await;
    let ada = installation.create("ada").await;
    let path = format!("{GROUPS}/{}", installation.post_to(GROUPS, group("Everybody", &[])).await.id());
    let many = "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
                updated_at) SELECT ?1, printf('user_%026d', value), 'u' || value, 'u' || value, 'active', \
                'scim', 0, 0 FROM (WITH RECURSIVE numbers (value) AS (SELECT 1 UNION ALL SELECT value + 1 \
                FROM numbers LIMIT 3000) SELECT value FROM numbers)";
    installation.query(many, &[]).await;
    let join = "INSERT INTO group_members (org_id, user_id, group_id) SELECT users.org_id, user_id, group_id \
                FROM users, groups WHERE users.org_id = ?1 AND username_key LIKE 'u%'";
    installation.query(join, &[]).await;
    let answer =
        patch(&installation, &path, json!([{"op": "add", "path": "members", "value": [{"value": ada}]}]))
            .await;
    assert_eq!((answer.status, answer.round_trips.used), (StatusCode::NO_CONTENT, 3));
    let remove = json!([{"op": "remove", "path": format!("members[value eq \"{ada}\"]")}]);
    assert_eq!(patch(&installation, &path, remove).await.status, StatusCode::NO_CONTENT);
    assert_eq!(members(&installation, &path).await.len(), 3000);
    let short = installation.get(&format!("{path}?excludedAttributes=members")).await;
    assert!(short.body.get("members").is_none());
}
