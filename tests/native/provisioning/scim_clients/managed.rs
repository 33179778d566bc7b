use http::Method;
use iam_core::directory::role_mapping::RoleMapping;
use serde_json::{Value as Json, json};

use super::support::{Installation, PASSWORD};

fn rules() -> Json {
    json!([{"pattern": "iam-*", "role": "*"}])
}

fn mapping() -> RoleMapping {
    RoleMapping::read(&rules()).unwrap()
}

async fn installation(locally_editable: &[&str]) -> Installation {
    let scim = json!({"role_mappings": rules(), "locally_editable": locally_editable});
    let installation = Installation::with_scim(scim).await;
    let grants = ["groups.*", "users.*", "profile.*", "compliance.*"];
    installation.role("keeper", &grants).await;
    installation.person("keeper", &["keeper"]).await;
    installation
}

/// Whoever may manage groups and users comes into no group of these by any way, whatever is configured.
async fn is_closed(installation: &Installation, name: &str, mapping: &RoleMapping) {
    let keeper = installation.sign_in("keeper", PASSWORD).await;
    let me = installation.send(Method::GET, "/api/v1/auth/me", &keeper, None).await.expect(200);
    let me = me.text("user_id");
    let group = installation.scim_group(name, mapping).await;
    let stayer = installation.person(&format!("stayer of {name}"), &[]).await;
    installation.join(&stayer, &group).await;
    let send = async |method: Method, path: String, body: Option<Json>| {
        installation.send(method, &path, &keeper, body).await
    };
    let (path, user) = (format!("/api/v1/groups/{group}"), format!("/api/v1/users/{me}"));
    let (members, stays) = (format!("{path}/members"), format!("/api/v1/users/{stayer}"));
    let before =
        installation.count("SELECT COUNT(*) AS count FROM audit_events WHERE org_id = ?1", &[]).await;
    for (method, path, body) in [
        (Method::PUT, format!("{members}/{me}"), None),
        (Method::POST, members.clone(), Some(json!({"user_ids": [me, stayer]}))),
        (Method::DELETE, format!("{members}/{stayer}"), None),
        (Method::PATCH, path.clone(), Some(json!({"display_name": "another"}))),
        (Method::DELETE, path.clone(), None),
        (Method::PATCH, user.clone(), Some(json!({"groups": [name]}))),
        (Method::PATCH, stays.clone(), Some(json!({"groups": []}))),
        (Method::POST, "/api/v1/users".to_owned(), Some(json!({"username": "new", "groups": [group]}))),
    ] {
        let answer = send(method, path, body).await.problem(409, "managed_by_scim");
        assert!(answer.text("detail").contains(name), "{}", answer.body);
    }
    let line = json!({"username": "imported", "groups": [name]});
    let imported = send(Method::POST, "/api/v1/users/import".to_owned(), Some(line)).await.expect(200);
    assert_eq!(
        (&imported.body["created"], &imported.body["rejected"][0]["pointer"]),
        (&json!(0), &json!("/groups/0"))
    );
    assert_eq!(
        installation.count("SELECT COUNT(*) AS count FROM audit_events WHERE org_id = ?1", &[]).await,
        before
    );
    let sql = "SELECT COUNT(*) AS count FROM group_members WHERE org_id = ?1 AND group_id = ?2";
    assert_eq!(installation.count(sql, &[group.as_str()]).await, 1);
    // Its description is nobody's business but ours, and who stays where it is changes nothing.
    send(Method::PATCH, path.clone(), Some(json!({"description": "x", "display_name": name})))
        .await
        .expect(200);
    send(Method::PATCH, stays, Some(json!({"groups": [group]}))).await.expect(200);
}

#[tokio::test]
async fn groups_are_closed() {
    let installation = installation(&["password"]).await;
    is_closed(&installation, "Anybody", &mapping()).await;
}

#[tokio::test]
async fn groups_that_give_roles_are_closed_whatever_is_editable() {
    let installation = installation(&["password", "groups", "username"]).await;
    installation.role("auditor", &["compliance.*"]).await;
    is_closed(&installation, "iam-auditor", &mapping()).await;
    // The role may come later.
    is_closed(&installation, "iam-not-yet", &mapping()).await;
    // And a group that gives roles for another reason than its name.
    let other = RoleMapping::read(&json!([{"group": "special", "role": "auditor"}])).unwrap();
    is_closed(&installation, "special", &other).await;
}

#[tokio::test]
async fn other_groups_are_open_where_editable() {
    let installation = installation(&["groups"]).await;
    installation.role("auditor", &["compliance.*"]).await;
    let keeper = installation.sign_in("keeper", PASSWORD).await;
    let group = installation.scim_group("Anybody", &mapping()).await;
    let user = installation.person("ada", &[]).await;
    installation.hand_over(&user).await;
    let path = format!("/api/v1/groups/{group}");
    let send = async |method: Method, path: String, body: Option<Json>| {
        installation.send(method, &path, &keeper, body).await
    };
    for (method, status) in [(Method::PUT, 204), (Method::DELETE, 204)] {
        send(method, format!("{path}/members/{user}"), None).await.expect(status);
    }
    send(Method::PATCH, format!("/api/v1/users/{user}"), Some(json!({"groups": ["anybody"]})))
        .await
        .expect(200);
    // But it gets no name that gives roles.
    let rename = |name: &str| Some(json!({"display_name": name}));
    send(Method::PATCH, path.clone(), rename("IAM-auditor")).await.problem(409, "managed_by_scim");
    send(Method::PATCH, path.clone(), rename("Everybody")).await.expect(200);
    send(Method::DELETE, path, None).await.expect(204);
}

#[tokio::test]
async fn fields_of_a_user_are_kept() {
    let installation = installation(&["display_name"]).await;
    let user = installation.person("ada", &[]).await;
    let group = json!({"display_name": "manual"});
    installation.admin(Method::POST, "/api/v1/groups", Some(group)).await.expect(201);
    installation.hand_over(&user).await;
    let path = format!("/api/v1/users/{user}");
    let patch = async |body: Json| installation.admin(Method::PATCH, &path, Some(body)).await;
    for (body, pointers) in [
        (json!({"username": "eve"}), vec!["/username"]),
        (json!({"email": "ada@example.com", "display_name": "Ada"}), vec!["/email"]),
        (json!({"username": "eve", "groups": ["manual"]}), vec!["/username", "/groups"]),
    ] {
        let answer = patch(body).await.problem(409, "managed_by_scim");
        let named: Vec<_> =
            answer.body["errors"].as_array().unwrap().iter().map(|it| &it["pointer"]).collect();
        assert_eq!(named, pointers);
    }
    patch(json!({"username": "ada", "email": null, "groups": []})).await.expect(200);
    patch(json!({"display_name": "Ada", "roles": ["viewer"]})).await.expect(200);

    // Its password is SCIM's too.
    let token = installation.sign_in("ada", PASSWORD).await;
    let change = json!({"current_password": PASSWORD, "new_password": "Another-horse-8-battery"});
    let change_path = "/api/v1/auth/password/change";
    for _ in 0..8 {
        let answer = installation.send(Method::POST, change_path, &token, Some(change.clone())).await;
        let answer = answer.problem(409, "managed_by_scim");
        assert_eq!(answer.body["errors"][0]["pointer"], "/new_password");
    }
    let reset = format!("{path}/password-reset");
    installation.admin(Method::POST, &reset, None).await.problem(409, "managed_by_scim");
    for act in ["suspend", "activate", "unlock"] {
        installation.admin(Method::POST, &format!("{path}/{act}"), None).await.expect(200);
    }
    installation.admin(Method::DELETE, &path, None).await.expect(204);
}

#[tokio::test]
async fn a_password_is_its_owners_unless_configured_otherwise() {
    let installation = Installation::with_scim(json!({})).await;
    let user = installation.person("ada", &[]).await;
    installation.hand_over(&user).await;
    let token = installation.sign_in("ada", PASSWORD).await;
    let change = json!({"current_password": PASSWORD, "new_password": "Another-horse-8-battery"});
    installation.send(Method::POST, "/api/v1/auth/password/change", &token, Some(change)).await.expect(204);
    installation.admin(Method::POST, &format!("/api/v1/users/{user}/password-reset"), None).await.expect(201);
}
