//! Provisioning over SCIM.

use serde_json::json;

use crate::Deployment;

const USERS: &str = "/api/scim/v2/Users";

/// Created, found by its name, read, deleted, its name free again.
pub async fn a_user_is_provisioned(deployment: &Deployment) {
    let scim = deployment.scim();
    let username = format!("scim-{}@example.com", iam_edge::now().as_millis());
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": username,
        "externalId": "ext-1",
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"value": username, "type": "work", "primary": true}],
        "active": true,
    });
    let created = scim.post(USERS, &user).await.expect(201);
    assert_eq!(created.headers["content-type"], "application/scim+json");
    assert_eq!(created.json["userName"], username);
    assert_eq!(created.json["name"]["familyName"], "Lovelace");
    let id = created.text_at("/id");
    assert!(created.text_at("/meta/location").ends_with(id));

    let twice = scim.post(USERS, &user).await.expect(409);
    assert_eq!(twice.json["scimType"], "uniqueness");
    assert_eq!(twice.json["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));

    let filter = format!("{USERS}?filter=userName%20eq%20%22{}%22", username.to_uppercase());
    let found = scim.get(&filter).await.expect(200);
    assert_eq!(found.json["totalResults"], 1);
    assert_eq!(found.text_at("/Resources/0/id"), id);
    assert_eq!(scim.get(&format!("{USERS}/{id}")).await.expect(200).json["userName"], username);

    scim.delete(&format!("{USERS}/{id}")).await.expect(204);
    scim.get(&format!("{USERS}/{id}")).await.expect(404);
    let again = scim.post(USERS, &user).await.expect(201);
    scim.delete(&format!("{USERS}/{}", again.text_at("/id"))).await.expect(204);

    deployment.client().get(USERS).await.expect(401);
    deployment.administrator().await.get(USERS).await.expect(401);
    let config = scim.get("/api/scim/v2/ServiceProviderConfig").await.expect(200);
    assert_eq!(config.json["patch"]["supported"], true);
}

/// Deactivation ends sessions at once; reactivation lets in again.
pub async fn a_deactivated_user_is_out(deployment: &Deployment) {
    let scim = deployment.scim();
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let user = deployment.client().with(login.text_at("/access_token"));
    user.get("/api/v1/auth/me").await.expect(200);
    let found = scim.get(&format!("{USERS}?filter=userName%20eq%20%22{username}%22")).await.expect(200);
    let path = format!("{USERS}/{}", found.text_at("/Resources/0/id"));

    let patch = |operation| {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [operation]})
    };
    let off = json!({"op": "Replace", "path": "active", "value": "False"});
    assert_eq!(scim.patch(&path, &patch(off)).await.expect(200).json["active"], false);
    user.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    deployment.client().login(&username, &password).await.expect_problem(401, "invalid_credentials");

    let on = json!({"op": "replace", "value": {"active": true}});
    assert_eq!(scim.patch(&path, &patch(on)).await.expect(200).json["active"], true);
    user.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    deployment.client().login(&username, &password).await.expect(200);
}

const GROUPS: &str = "/api/scim/v2/Groups";

/// Groups, their members, filters of every sort, pages by cursor and a bulk request, on every host's SQL.
pub async fn groups_and_lists_work(deployment: &Deployment) {
    let scim = deployment.scim();
    let mark = iam_edge::now().as_millis();
    let user = |name: &str, title: &str| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": format!("{name}-{mark}@example.com"),
            "title": title, "externalId": format!("{name}-{mark}"),
            "emails": [{"value": format!("{name}-{mark}@example.com"), "type": "work", "primary": true}],
        })
    };
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "displayName": format!("Engines {mark}"),
                "members": [{"value": "bulkId:a"}, {"value": "bulkId:b"}],
            }},
            {"method": "POST", "path": "/Users", "bulkId": "a", "data": user("bulk-a", "Countess")},
            {"method": "POST", "path": "/Users", "bulkId": "b", "data": user("bulk-b", "Engineer")},
        ],
    });
    let done = scim.post("/api/scim/v2/Bulk", &bulk).await.expect(200);
    let id = |index: usize| {
        done.json["Operations"][index]["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    let (group, first, second) = (format!("{GROUPS}/{}", id(0)), id(1), id(2));
    assert_eq!(scim.get(&group).await.expect(200).json["members"].as_array().unwrap().len(), 2);

    for (filter, count) in [
        (format!("externalId eq \"bulk-a-{mark}\""), 1),
        (format!("userName sw \"bulk-\" and userName co \"{mark}\" and title eq \"countess\""), 1),
        (format!("emails[type eq \"work\" and value eq \"BULK-B-{mark}@example.com\"]"), 1),
        (format!("externalId eq \"bulk-a-{mark}\" or emails.value eq \"bulk-b-{mark}@example.com\""), 2),
        (format!("userName sw \"bulk-a-{mark}\" and not (title eq \"Countess\")"), 0),
        (
            format!(
                "externalId eq \"bulk-b-{mark}\" and meta.lastModified gt \"2020-01-01T00:00:00Z\" and \
                 active eq true"
            ),
            1,
        ),
    ] {
        let encoded: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = scim.get(&format!("{USERS}?filter={encoded}&sortBy=title")).await.expect(200);
        assert_eq!(found.json["totalResults"], count, "{filter}");
    }
    let page =
        scim.get(&format!("{USERS}?cursor=&count=1&sortBy=userName&attributes=userName")).await.expect(200);
    let next = page.text_at("/nextCursor");
    let page = scim
        .get(&format!("{USERS}?cursor={next}&count=1&sortBy=userName&attributes=userName"))
        .await
        .expect(200);
    assert_eq!(page.json["itemsPerPage"], 1);
    scim.get(&format!("{USERS}?startIndex=2&count=1")).await.expect(200);

    let patch = |operation| {
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [operation]})
    };
    let remove = json!({"op": "Remove", "path": format!("members[value eq \"{first}\"]")});
    scim.patch(&group, &patch(remove)).await.expect(204);
    let left = scim.get(&group).await.expect(200);
    assert_eq!(left.text_at("/members/0/value"), second);
    let by_name =
        format!("{GROUPS}?filter=displayName%20eq%20%22engines%20{mark}%22&excludedAttributes=members");
    assert_eq!(scim.get(&by_name).await.expect(200).json["totalResults"], 1);
    scim.delete(&group).await.expect(204);
    for id in [first, second] {
        scim.delete(&format!("{USERS}/{id}")).await.expect(204);
    }
}

/// `/Me` is whoever signed in, and shows no more than it is; what may be changed there is what the
/// configuration lists.
pub async fn me_is_the_signed_in_user(deployment: &Deployment) {
    const ME: &str = "/api/scim/v2/Me";
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let user = deployment.client().with(login.text_at("/access_token"));
    let me = user.get(ME).await.expect(200);
    assert_eq!(me.json["userName"], username);
    let location = format!("/Users/{}", me.text_at("/id"));
    assert!(me.headers["location"].to_str().unwrap().ends_with(&location));
    let patch = |path: &str, value: &str| {
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": path, "value": value}],
        })
    };
    assert_eq!(user.patch(ME, &patch("nickName", "Ada")).await.expect(200).json["nickName"], "Ada");
    for (path, value) in [("userName", "root"), ("title", "King"), ("password", "hunter2-Plume-anvil")] {
        assert_eq!(
            user.patch(ME, &patch(path, value)).await.expect(403).json["scimType"],
            "mutability",
            "{path}"
        );
    }
    assert_eq!(user.get(ME).await.expect(200).json["userName"], username);
    user.delete(ME).await.expect(501);
    deployment.scim().get(ME).await.expect(404);
    deployment.client().get(ME).await.expect(401);
}
