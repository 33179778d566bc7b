//! Organizations, and that they are apart.

use reqwest::Method;
use serde_json::json;

use crate::scenarios::directory::roles::{GROUPS, ROLES, create_role, name, person_with, put, session_of};
use crate::{Client, Deployment};

const ORGANIZATIONS: &str = "/api/v1/organizations";

/// A new organization: its administrator, signed in; that one's id; the organization's id.
pub(crate) async fn new_organization(deployment: &Deployment, operator: &Client) -> (Client, String, String) {
    let body =
        json!({"name": name("Org"), "administrator": {"username": "root", "email": "root@example.org"}});
    let made = operator.post(ORGANIZATIONS, &body).await.expect(201);
    let organization = made.text_at("/organization_id");
    let credentials = json!({
        "username": "root", "password": made.text_at("/administrator/password"), "organization": organization,
    });
    let login = deployment.client().post("/api/v1/auth/login", &credentials).await.expect(200);
    assert_eq!(login.json["user"]["roles"], json!(["admin"]));
    let client = deployment.client().with(login.text_at("/access_token"));
    (client, made.text_at("/administrator/user_id").to_owned(), organization.to_owned())
}

/// Organizations are the business of the deployment's own administrators alone, whatever a role of another
/// grants.
pub async fn are_administered(deployment: &Deployment) {
    let operator = deployment.administrator().await;
    let own = operator.get("/api/v1/organization").await.expect(200);
    let body = json!({"name": "Once", "administrator": {"username": "root"}});
    let key = name("retry");
    let post = || {
        operator
            .send(operator.request(Method::POST, ORGANIZATIONS).header("idempotency-key", &key).json(&body))
    };
    let (made, again) = (post().await.expect(201), post().await.expect(201));
    assert_eq!(made.json, again.json);
    let organization = made.text_at("/organization_id");
    assert_eq!(deployment.recorded("organization.create", "success", organization), 2);
    let path = format!("{ORGANIZATIONS}/{organization}");
    operator.patch(&path, &json!({"name": "Renamed"})).await.expect(200);
    assert_eq!(operator.get(&path).await.expect(200).text_at("/name"), "Renamed");
    operator.get(&format!("{ORGANIZATIONS}/org_zzzzzzzzz")).await.expect_problem(404, "not_found");
    let (mut found, mut page) = (Vec::new(), format!("{ORGANIZATIONS}?limit=2"));
    loop {
        let answer = operator.get(&page).await.expect(200);
        found.extend(answer.json["organizations"].as_array().unwrap().clone());
        match answer.json["next_cursor"].as_str() {
            Some(cursor) => page = format!("{ORGANIZATIONS}?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let known = |id: &str| found.iter().filter(|found| found["organization_id"] == id).count();
    assert_eq!((known(organization), known(own.text_at("/organization_id"))), (1, 1));
    for (body, pointer) in [
        (json!({"name": "", "administrator": {"username": "root"}}), "/name"),
        (json!({"name": "x", "administrator": {"username": "a b"}}), "/administrator/username"),
        (json!({"name": "x", "administrator": {"username": "a", "email": "nobody"}}), "/administrator/email"),
    ] {
        let refused = operator.post(ORGANIZATIONS, &body).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer);
    }

    let (admin, _, organization) = new_organization(deployment, &operator).await;
    assert_eq!(admin.get("/api/v1/organization").await.expect(200).text_at("/organization_id"), organization);
    create_role(&admin, "operator", &["*", "organizations.*.all"], &[]).await.expect(201);
    for path in [ORGANIZATIONS.to_owned(), format!("{ORGANIZATIONS}/{organization}")] {
        admin.get(&path).await.expect_problem(403, "permission_denied");
    }
    admin.post(ORGANIZATIONS, &body).await.expect_problem(403, "permission_denied");
    for id in [organization.as_str(), own.text_at("/organization_id")] {
        let renamed = admin.patch(&format!("{ORGANIZATIONS}/{id}"), &json!({"name": "Ours"})).await;
        renamed.expect_problem(403, "permission_denied");
    }
}

/// Whatever belongs to one organization is not there for another's administrator.
pub async fn are_apart(deployment: &Deployment) {
    let operator = deployment.administrator().await;
    let (foreign, foreign_id, _) = new_organization(deployment, &operator).await;
    let (person, user_id, role) = person_with(deployment, &operator, &["a.*"]).await;
    let group = operator.post(GROUPS, &json!({"display_name": name("ours")})).await.expect(201);
    let group = format!("{GROUPS}/{}", group.text_at("/group_id"));
    put(&operator, &format!("{group}/members/{user_id}")).await.expect(204);
    let key = json!({"name": "ours", "permissions": [{"resource": "a", "action": "read", "scope": "own"}]});
    let key = operator.post("/api/v1/auth/keys", &key).await.expect(201);
    let key_path = format!("/api/v1/auth/keys/{}", key.text_at("/key_id"));

    let role_path = format!("{ROLES}/{role}");
    for path in [&role_path, &group, &format!("{role_path}/members"), &format!("{group}/members")] {
        operator.get(path).await.expect(200);
        foreign.get(path).await.expect_problem(404, "not_found");
    }
    for path in [&role_path, &group] {
        foreign.patch(path, &json!({})).await.expect_problem(404, "not_found");
    }
    for path in [&role_path, &group, &key_path] {
        foreign.delete(path).await.expect_problem(404, "not_found");
    }
    // A user and its session, with whatever routes there are to them, stay what they are.
    let session_id = session_of(&person);
    for path in [format!("/api/v1/users/{user_id}"), format!("/api/v1/sessions/{session_id}")] {
        assert_eq!(foreign.get(&path).await.expect(404).text_at("/code"), "not_found");
        assert_eq!(foreign.delete(&path).await.expect(404).text_at("/code"), "not_found");
    }
    person.get("/api/v1/auth/me").await.expect(200);
    foreign.post(&format!("{key_path}/rotate"), &json!({})).await.expect_problem(404, "not_found");
    let owned = format!("/api/v1/auth/keys?owner_id={user_id}");
    assert_eq!(foreign.get(&owned).await.expect(200).json["keys"], json!([]));
    for (client, user_id) in [(&foreign, &user_id), (&operator, &foreign_id)] {
        put(client, &format!("{ROLES}/viewer/members/{user_id}")).await.expect_problem(404, "not_found");
        client.delete(&format!("{ROLES}/viewer/members/{user_id}")).await.expect_problem(404, "not_found");
    }
    let listed = foreign.get(ROLES).await.expect(200);
    assert!(!listed.text.contains(&role) && listed.json["roles"].as_array().unwrap().len() == 5);
    assert_eq!(foreign.get(GROUPS).await.expect(200).json["groups"], json!([]));

    // The same names and the same person are other ones there.
    let theirs = json!({"display_name": operator.get(&group).await.text_at("/display_name")});
    let theirs = foreign.post(GROUPS, &theirs).await.expect(201);
    put(&foreign, &format!("{GROUPS}/{}/members/{user_id}", theirs.text_at("/group_id")))
        .await
        .expect_problem(404, "not_found");
    create_role(&foreign, &role, &["b.*"], &[]).await.expect(201);
    assert_eq!(operator.get(&role_path).await.expect(200).json["grants"], json!(["a.*"]));
    let own = deployment.client().login("root", "whatever it is").await;
    own.expect_problem(401, "invalid_credentials");
    operator.delete(&key_path).await.expect(200);
}
