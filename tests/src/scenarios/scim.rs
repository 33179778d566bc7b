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

    let patch = |operation| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]});
    let off = json!({"op": "Replace", "path": "active", "value": "False"});
    assert_eq!(scim.patch(&path, &patch(off)).await.expect(200).json["active"], false);
    user.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    deployment.client().login(&username, &password).await.expect_problem(401, "invalid_credentials");

    let on = json!({"op": "replace", "value": {"active": true}});
    assert_eq!(scim.patch(&path, &patch(on)).await.expect(200).json["active"], true);
    user.get("/api/v1/auth/me").await.expect_problem(401, "invalid_token");
    deployment.client().login(&username, &password).await.expect(200);
}
