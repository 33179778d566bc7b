use http::Method;
use iam_core::directory::role_mapping::RoleMapping;
use serde_json::{Value as Json, json};

use super::support::{Answer, Installation};

const JOB: &str = "/internal/jobs/scim-roles";

fn rules() -> Json {
    json!([{"group": "Engineering", "role": "developer"}, {"pattern": "iam-*", "role": "*"}])
}

fn mapping() -> RoleMapping {
    RoleMapping::read(&rules()).unwrap()
}

async fn installation(rules: &Json) -> Installation {
    let installation = Installation::with_scim(json!({"role_mappings": rules})).await;
    installation.role("developer", &["protocols.read.all"]).await;
    installation.role("auditor", &["compliance.*"]).await;
    installation
}

async fn run_job(installation: &Installation) -> Answer {
    installation.send(Method::POST, JOB, &"t".repeat(32), None).await.expect(204)
}

#[tokio::test]
async fn groups_give_roles_and_take_them() {
    let installation = installation(&rules()).await;
    let user = installation.person("ada", &["viewer"]).await;
    let engineering = installation.scim_group("ENGINEERING", &mapping()).await;
    let auditors = installation.scim_group("iam-Auditor", &mapping()).await;
    assert_eq!(installation.roles_of(&user).await, ["viewer"]);
    for group in [&engineering, &auditors] {
        installation.join(&user, group).await;
    }
    assert_eq!(installation.roles_of(&user).await, ["auditor", "developer", "viewer"]);
    // Renamed: the roles follow the name, for those who are in it and those who come.
    installation
        .query(
            "UPDATE groups SET display_name = 'Sales', display_name_key = 'sales' WHERE org_id = \
        ?1 AND group_id = ?2",
            &[engineering.as_str()],
        )
        .await;
    // By the old name nothing is given any more.
    installation.map(&engineering, "Engineering", &mapping()).await;
    installation.map(&engineering, "Sales", &mapping()).await;
    assert_eq!(installation.roles_of(&user).await, ["auditor", "viewer"]);
    let other = installation.person("bob", &[]).await;
    installation.join(&other, &auditors).await;
    assert_eq!(installation.roles_of(&other).await, ["auditor"]);
    installation.leave(&user, &auditors).await;
    assert_eq!(installation.roles_of(&user).await, ["viewer"]);
    // A role that is deleted by force goes from the group and from its members.
    installation.admin(Method::DELETE, "/api/v1/roles/auditor", None).await.problem(409, "role_in_use");
    installation.admin(Method::DELETE, "/api/v1/roles/auditor?force=true", None).await.expect(204);
    assert_eq!(installation.roles_of(&other).await, Vec::<String>::new());
    let given = "SELECT COUNT(*) AS count FROM group_roles WHERE org_id = ?1";
    assert_eq!(installation.count(given, &[]).await, 0);
}

#[tokio::test]
async fn a_group_that_administrators_made_gives_nothing() {
    let installation = installation(&rules()).await;
    let user = installation.person("ada", &[]).await;
    let created = json!({"display_name": "iam-auditor"});
    let group = installation.admin(Method::POST, "/api/v1/groups", Some(created)).await.expect(201);
    let group_id = group.text("group_id").parse().unwrap();
    installation.map(&group_id, "iam-auditor", &mapping()).await;
    let member = format!("/api/v1/groups/{group_id}/members/{user}");
    installation.admin(Method::PUT, &member, None).await.expect(204);
    run_job(&installation).await;
    assert_eq!(installation.roles_of(&user).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_role_from_two_groups_and_by_itself_counts_once() {
    let installation = installation(&rules()).await;
    let user = installation.person("ada", &[]).await;
    let groups = [
        installation.scim_group("Engineering", &mapping()).await,
        installation.scim_group("iam-developer", &mapping()).await,
    ];
    let member = format!("/api/v1/roles/developer/members/{user}");
    installation.admin(Method::PUT, &member, None).await.expect(204);
    for group in &groups {
        installation.join(&user, group).await;
    }
    let rows = "SELECT COUNT(*) AS count FROM user_roles WHERE org_id = ?1 AND user_id = ?2";
    assert_eq!(installation.count(rows, &[user.as_str()]).await, 3);
    assert_eq!(installation.roles_of(&user).await, ["developer"]);
    let token = installation.sign_in("ada", super::support::PASSWORD).await;
    let me = installation.send(Method::GET, "/api/v1/auth/me", &token, None).await.expect(200);
    assert_eq!(me.body["roles"], json!(["developer"]));
    for list in ["/api/v1/roles/developer/members", "/api/v1/users?role=developer"] {
        let listed = installation.admin(Method::GET, list, None).await.expect(200);
        let field = if list.ends_with("members") { "members" } else { "users" };
        assert_eq!(listed.body[field].as_array().unwrap().len(), 1, "{list}");
    }
    // It can't be taken from the user while a group gives it.
    installation.admin(Method::DELETE, &member, None).await.problem(409, "given_by_group");
    installation.leave(&user, &groups[0]).await;
    installation.leave(&user, &groups[1]).await;
    assert_eq!(installation.roles_of(&user).await, ["developer"]);
    installation.admin(Method::DELETE, &member, None).await.expect(204);
    assert_eq!(installation.roles_of(&user).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_group_gives_stays_where_an_administrator_sets_roles() {
    let installation = installation(&rules()).await;
    let user = installation.person("ada", &["viewer"]).await;
    let group = installation.scim_group("Engineering", &mapping()).await;
    installation.join(&user, &group).await;
    let path = format!("/api/v1/users/{user}");
    let set = async |roles: &[&str]| {
        let answer =
            installation.admin(Method::PATCH, &path, Some(json!({"roles": roles}))).await.expect(200);
        (answer.body["roles"].clone(), answer.body["version"].clone())
    };
    // What was read may be written back, with more: what the group gives does not become the user's own.
    assert_eq!(set(&["developer", "viewer", "analyst"]).await.0, json!(["analyst", "developer", "viewer"]));
    let (roles, version) = set(&["analyst"]).await;
    assert_eq!(roles, json!(["analyst", "developer"]));
    assert_eq!(set(&["analyst", "developer"]).await, (roles.clone(), version.clone()));
    assert_eq!(set(&["analyst"]).await, (roles, version), "nothing changes");
    installation.leave(&user, &group).await;
    assert_eq!(installation.roles_of(&user).await, ["analyst"]);
    let before =
        "SELECT details FROM audit_events WHERE org_id = ?1 AND action = 'user.update' ORDER BY log_id";
    let details: Vec<Json> =
        installation.query(before, &[]).await.iter().map(|row| row.json("details").unwrap()).collect();
    assert_eq!(details.len(), 2);
    assert_eq!(details[0]["roles_before"], json!(["developer", "viewer"]));
}

#[tokio::test]
async fn an_administrator_by_group_is_one() {
    let installation =
        Installation::with_scim(json!({"role_mappings": [{"group": "Root", "role": "admin"}]})).await;
    let mapping = RoleMapping::read(&json!([{"group": "Root", "role": "admin"}])).unwrap();
    let me = installation.admin(Method::GET, "/api/v1/auth/me", None).await.expect(200);
    let me = format!("/api/v1/users/{}", me.text("user_id"));
    let drop_mine = || Some(json!({"roles": ["viewer"]}));
    installation.admin(Method::PATCH, &me, drop_mine()).await.problem(409, "last_administrator");
    let root = installation.scim_group("Root", &mapping).await;
    let other = installation.person("ada", &[]).await;
    installation.join(&other, &root).await;
    // What the group gives to itself stays anyway, so setting its own roles is no danger.
    let path = format!("/api/v1/users/{other}");
    let answer =
        installation.admin(Method::PATCH, &path, Some(json!({"roles": ["viewer"]}))).await.expect(200);
    assert_eq!(answer.body["roles"], json!(["admin", "viewer"]));
    installation.admin(Method::PATCH, &me, drop_mine()).await.expect(200);
    let ada = installation.sign_in("ada", super::support::PASSWORD).await;
    let suspend = format!("{path}/suspend");
    installation.send(Method::POST, &suspend, &ada, None).await.problem(409, "last_administrator");
}

#[tokio::test]
async fn a_changed_configuration_is_applied_by_the_job() {
    let installation = installation(&rules()).await;
    let user = installation.person("ada", &[]).await;
    let group = installation.scim_group("Engineering", &RoleMapping::default()).await;
    let later = installation.scim_group("iam-later", &mapping()).await;
    for group in [&group, &later] {
        installation.join(&user, group).await;
    }
    assert_eq!(installation.roles_of(&user).await, Vec::<String>::new());
    let recorded = "SELECT COUNT(*) AS count FROM audit_events WHERE org_id = ?1 AND action = 'group.roles'";
    for _ in 0..2 {
        run_job(&installation).await;
        assert_eq!(installation.roles_of(&user).await, ["developer"]);
        assert_eq!(installation.count(recorded, &[]).await, 1, "what there is not is no difference");
    }
    // A role that comes later than the group.
    installation.role("later", &["compliance.*"]).await;
    run_job(&installation).await;
    assert_eq!(installation.roles_of(&user).await, ["developer", "later"]);
    // A group that SCIM manages no longer gives nothing.
    installation.query("UPDATE groups SET managed_by = 'manual' WHERE org_id = ?1", &[]).await;
    run_job(&installation).await;
    assert_eq!(installation.roles_of(&user).await, Vec::<String>::new());
    assert_eq!(installation.count(recorded, &[]).await, 4);
    for (sql, steps) in installation.host.plans().into_iter().filter(|(sql, _)| sql.contains("group_roles")) {
        let is_wide = |step: &&String| {
            step.ends_with("(org_id=?)")
                || (step.starts_with("SCAN")
                    && !["VIRTUAL TABLE", "CONSTANT ROW", "held_role"]
                        .iter()
                        .any(|known| step.contains(known)))
        };
        assert_eq!(steps.iter().find(is_wide), None, "{sql}\n{steps:#?}");
    }
}
