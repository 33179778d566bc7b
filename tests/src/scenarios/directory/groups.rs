//! Groups.

use reqwest::Method;
use serde_json::{Value, json};

use crate::Deployment;
use crate::scenarios::directory::roles::{GROUPS, encoded, name, person, person_with, put};

/// Groups: made, found by name, changed by version, deleted.
pub async fn groups_live(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let stem = name("Gruppe Ä");
    let made = admin.post(GROUPS, &json!({"display_name": format!(" {stem} 1 "), "description": "d"})).await;
    let made = made.expect(201);
    assert_eq!(made.text_at("/display_name"), format!("{stem} 1"));
    assert_eq!(made.headers["etag"], "\"1\"");
    let group_id = made.text_at("/group_id");
    let path = format!("{GROUPS}/{group_id}");
    assert_eq!(admin.get(&path).await.expect(200).json, made.json);
    let twin = json!({"display_name": format!("{} 1", stem.to_uppercase())});
    admin.post(GROUPS, &twin).await.expect_problem(409, "group_exists");
    let other = admin.post(GROUPS, &json!({"display_name": format!("{stem} 2")})).await.expect(201);

    let patch = |version: &'static str, body: Value| {
        admin.send(admin.request(Method::PATCH, &path).header("if-match", version).json(&body))
    };
    let changed = patch("\"1\"", json!({"display_name": format!("{stem} 3")})).await.expect(200);
    assert_eq!((&changed.json["version"], &changed.json["description"]), (&json!(2), &json!("d")));
    assert_eq!(changed.headers["etag"], "\"2\"");
    for stale in ["\"1\"", "\"nonsense\"", "W/\"2\""] {
        patch(stale, json!({"description": null})).await.expect_problem(412, "version_mismatch");
    }
    patch("\"2\"", json!({"display_name": format!("{stem} 2")})).await.expect_problem(409, "group_exists");
    let changed = patch("*", json!({"description": null})).await.expect(200);
    assert_eq!((&changed.json["version"], &changed.json["description"]), (&json!(3), &Value::Null));
    // Its own name in other letters is no collision.
    let upper = stem.to_uppercase();
    admin.patch(&path, &json!({"display_name": format!("{upper} 3")})).await.expect(200);
    assert_eq!(deployment.recorded("group.update", "success", group_id), 3);

    let found = async |query: &str, text: &str| {
        admin.get(&format!("{GROUPS}?{query}={}&limit=1", encoded(text))).await.expect(200)
    };
    let exact = found("display_name", &format!("{stem} 2")).await;
    assert_eq!(exact.json["groups"], json!([other.json]));
    let first = found("display_name_prefix", &stem.to_lowercase()).await;
    assert_eq!(first.json["groups"][0]["group_id"], other.json["group_id"]);
    let cursor = first.text_at("/next_cursor");
    let next = format!("{GROUPS}?display_name_prefix={}&cursor={cursor}", encoded(&stem));
    let next = admin.get(&next).await.expect(200);
    assert_eq!(next.text_at("/groups/0/group_id"), group_id);
    assert!(next.json["groups"].as_array().unwrap().len() == 1 && next.json["next_cursor"].is_null());
    assert_eq!(found("display_name_prefix", &name("nothing")).await.json["groups"], json!([]));
    admin.get(&format!("{GROUPS}?cursor=%21")).await.expect_problem(400, "invalid_query");

    for name in [String::new(), "  ".to_owned(), "a\u{7}b".to_owned(), "a".repeat(129)] {
        let refused = admin.post(GROUPS, &json!({"display_name": name})).await;
        assert_eq!(
            refused.expect_problem(422, "invalid_field").text_at("/errors/0/pointer"),
            "/display_name"
        );
    }
    for id in [group_id, other.text_at("/group_id")] {
        admin.delete(&format!("{GROUPS}/{id}")).await.expect(204);
        admin.delete(&format!("{GROUPS}/{id}")).await.expect_problem(404, "not_found");
        assert_eq!(deployment.recorded("group.delete", "success", id), 1);
    }
    admin.patch(&path, &json!({})).await.expect_problem(404, "not_found");
}

/// Users come into a group and leave it, one by one or many at once; who is in a group sees it.
pub async fn groups_have_members(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (teammate, user_id, _) = person_with(deployment, &admin, &["groups.read.team"]).await;
    let (_, other_id) = person(deployment).await;
    let made = admin.post(GROUPS, &json!({"display_name": name("team")})).await.expect(201);
    let group_id = made.text_at("/group_id");
    let (path, members) = (format!("{GROUPS}/{group_id}"), format!("{GROUPS}/{group_id}/members"));
    teammate.get(&path).await.expect_problem(404, "not_found");
    teammate.get(&members).await.expect_problem(404, "not_found");
    for _ in 0..2 {
        put(&admin, &format!("{members}/{user_id}")).await.expect(204);
    }
    assert_eq!(deployment.recorded("group.member.add", "success", group_id), 1);
    teammate.get(&path).await.expect(200);
    teammate.get(GROUPS).await.expect_problem(403, "permission_denied");
    let refused = put(&teammate, &format!("{members}/{other_id}")).await;
    refused.expect_problem(403, "permission_denied");

    let unknown = "user_00000000000000000000000000";
    let body = json!({"user_ids": [other_id, user_id, unknown, other_id]});
    let report = admin.post(&members, &body).await.expect(200);
    assert_eq!(
        report.json["results"],
        json!([
            {"user_id": other_id, "result": "added"},
            {"user_id": user_id, "result": "already_member"},
            {"user_id": unknown, "result": "unknown_user"},
            {"user_id": other_id, "result": "added"},
        ])
    );
    assert_eq!(deployment.recorded("group.member.add", "success", group_id), 2);
    let first = teammate.get(&format!("{members}?limit=1")).await.expect(200);
    let rest = format!("{members}?limit=1&cursor={}", first.text_at("/next_cursor"));
    let rest = teammate.get(&rest).await.expect(200);
    let mut listed = [first.text_at("/members/0/user_id"), rest.text_at("/members/0/user_id")];
    listed.sort_unstable();
    let mut expected = [user_id.as_str(), other_id.as_str()];
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert!(rest.json["next_cursor"].is_null());

    for _ in 0..2 {
        admin.delete(&format!("{members}/{other_id}")).await.expect(204);
    }
    assert_eq!(deployment.recorded("group.member.remove", "success", group_id), 1);
    put(&admin, &format!("{members}/{unknown}")).await.expect_problem(404, "not_found");
    admin.delete(&format!("{members}/{unknown}")).await.expect_problem(404, "not_found");
    admin.post(&members, &json!({"user_ids": []})).await.expect_problem(422, "invalid_field");
    let many = json!({"user_ids": vec![unknown; 501]});
    admin.post(&members, &many).await.expect_problem(422, "invalid_field");
    let me = teammate.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(me.json["groups"], json!([made.text_at("/display_name")]));
    admin.delete(&path).await.expect(204);
    put(&admin, &format!("{members}/{user_id}")).await.expect_problem(404, "not_found");
    assert_eq!(teammate.get("/api/v1/auth/me").await.expect(200).json["groups"], json!([]));
}
