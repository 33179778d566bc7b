//! Roles and groups.

use iam_core::encoding::from_base64url;
use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::random;
use crate::scenarios::directory::organizations::new_organization;
use crate::{Answer, Client, Deployment};

pub(crate) const ROLES: &str = "/api/v1/roles";
pub(crate) const GROUPS: &str = "/api/v1/groups";

/// Scenarios share one deployment: each takes names of its own.
pub(crate) fn name(stem: &str) -> String {
    let [a, b, c, d] = random();
    format!("{stem}-{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// A text as it stands in a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

pub(crate) async fn put(client: &Client, path: &str) -> Answer {
    client.send(client.request(Method::PUT, path)).await
}

pub(crate) async fn create_role(client: &Client, role: &str, grants: &[&str], inherits: &[&str]) -> Answer {
    client.post(ROLES, &json!({"role": role, "grants": grants, "inherits": inherits})).await
}

/// A new user, signed in, and its id.
pub(crate) async fn person(deployment: &Deployment) -> (Client, String) {
    let (username, password) = deployment.new_user().await;
    let answer = deployment.client().login(&username, &password).await.expect(200);
    (deployment.client().with(answer.text_at("/access_token")), answer.text_at("/user/user_id").to_owned())
}

/// The session of a signed-in client, as its access token names it.
pub(crate) fn session_of(client: &Client) -> String {
    let claims = client.bearer().unwrap().split('.').nth(1).and_then(from_base64url).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

/// A new user with a role of these grants.
pub(crate) async fn person_with(
    deployment: &Deployment,
    admin: &Client,
    grants: &[&str],
) -> (Client, String, String) {
    let role = name("role");
    create_role(admin, &role, grants, &[]).await.expect(201);
    let (client, user_id) = person(deployment).await;
    put(admin, &format!("{ROLES}/{role}/members/{user_id}")).await.expect(204);
    (client, user_id, role)
}

/// A role grants what it inherits, however far; a change holds at the next request of everybody who has it.
pub async fn roles_inherit(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (base, middle, top) = (name("base"), name("middle"), name("top"));
    create_role(&admin, &base, &["groups.read.organization"], &[]).await.expect(201);
    create_role(&admin, &middle, &["protocols.*"], &[&base]).await.expect(201);
    let made = create_role(&admin, &top, &[], &[&middle]).await.expect(201);
    assert_eq!(made.json["effective_grants"], json!(["groups.read.organization", "protocols.*"]));
    assert_eq!(made.json["built_in"], false);
    assert_eq!(admin.get(&format!("{ROLES}/{top}")).await.expect(200).json, made.json);

    let (user, user_id) = person(deployment).await;
    user.get(GROUPS).await.expect_problem(403, "permission_denied");
    let member = format!("{ROLES}/{top}/members/{user_id}");
    for _ in 0..2 {
        put(&admin, &member).await.expect(204);
    }
    assert_eq!(deployment.recorded("role.member.add", "success", &top), 1);
    user.get(GROUPS).await.expect(200);

    let path = format!("{ROLES}/{base}");
    let changed =
        admin.patch(&path, &json!({"grants": ["roles.read.organization"], "description": "b"})).await;
    assert_eq!(changed.expect(200).json["description"], "b");
    user.get(GROUPS).await.expect_problem(403, "permission_denied");
    let seen = user.get(&format!("{ROLES}/{top}")).await.expect(200);
    assert_eq!(seen.json["effective_grants"], json!(["protocols.*", "roles.read.organization"]));
    let changed = admin.patch(&path, &json!({"description": null})).await.expect(200);
    assert_eq!(changed.json["description"], Value::Null);
    assert_eq!(changed.json["grants"], json!(["roles.read.organization"]));

    for _ in 0..2 {
        admin.delete(&member).await.expect(204);
    }
    assert_eq!(deployment.recorded("role.member.remove", "success", &top), 1);
    user.get(ROLES).await.expect_problem(403, "permission_denied");
}

/// No role comes to inherit from itself, nor do two changes at once make it so.
pub async fn roles_never_go_round(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (a, b, c) = (name("a"), name("b"), name("c"));
    create_role(&admin, &a, &["x.*"], &[]).await.expect(201);
    create_role(&admin, &b, &[], &[&a]).await.expect(201);
    create_role(&admin, &c, &[], &[&b]).await.expect(201);
    for parent in [&a, &b, &c] {
        let body = json!({"inherits": [parent]});
        admin.patch(&format!("{ROLES}/{a}"), &body).await.expect_problem(409, "role_cycle");
    }
    create_role(&admin, &name("d"), &[], &["no-such-role"]).await.expect_problem(422, "invalid_field");

    let (left, right) = (name("left"), name("right"));
    create_role(&admin, &left, &[], &[]).await.expect(201);
    create_role(&admin, &right, &[], &[]).await.expect(201);
    let link = async |from: &str, to: &str| {
        admin.patch(&format!("{ROLES}/{from}"), &json!({"inherits": [to]})).await.status
    };
    let (first, second) = tokio::join!(link(&left, &right), link(&right, &left));
    let mut statuses = [first, second];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

/// Nobody gives, changes or takes away what it does not hold: not directly, not by inheritance, not by the
/// parent of a role it has.
pub async fn nobody_grants_what_it_lacks(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (clerk, clerk_id, own) =
        person_with(deployment, &admin, &["roles.*.organization", "groups.read.organization"]).await;
    let (strong, weak) = (name("strong"), name("weak"));
    create_role(&admin, &strong, &["users.delete.all"], &[]).await.expect(201);
    create_role(&clerk, &weak, &["groups.read.team", "roles.read.own"], &[]).await.expect(201);

    for (grants, inherits) in [
        (vec!["*"], vec![]),
        (vec!["groups.*"], vec![]),
        (vec!["groups.read.all"], vec![]),
        (vec!["read.*"], vec![]),
        (vec!["*.read.own"], vec![]),
        (vec![], vec![strong.as_str()]),
        (vec![], vec!["admin"]),
        (vec![], vec![own.as_str(), "viewer"]),
    ] {
        let refused = create_role(&clerk, &name("wide"), &grants, &inherits).await;
        refused.expect_problem(403, "grant_not_held");
    }
    for (role, body) in [
        (own.as_str(), json!({"grants": ["*"]})),
        (own.as_str(), json!({"inherits": [strong]})),
        (weak.as_str(), json!({"inherits": ["admin"]})),
        (weak.as_str(), json!({"grants": ["groups.write.organization"]})),
        (strong.as_str(), json!({"grants": []})),
        (strong.as_str(), json!({"description": "mine"})),
        ("admin", json!({"inherits": [weak]})),
    ] {
        let refused = clerk.patch(&format!("{ROLES}/{role}"), &body).await;
        refused.expect_problem(403, "grant_not_held");
    }
    clerk.delete(&format!("{ROLES}/{strong}")).await.expect_problem(403, "grant_not_held");
    for role in [strong.as_str(), "admin"] {
        let member = format!("{ROLES}/{role}/members/{clerk_id}");
        put(&clerk, &member).await.expect_problem(403, "grant_not_held");
        clerk.delete(&member).await.expect_problem(403, "grant_not_held");
    }
    // What it holds it may give on, and a parent of its own role it may change as far as that goes.
    clerk.patch(&format!("{ROLES}/{own}"), &json!({"inherits": [weak]})).await.expect(200);
    let raised = clerk.patch(&format!("{ROLES}/{weak}"), &json!({"grants": ["users.read.own"]})).await;
    raised.expect_problem(403, "grant_not_held");
    put(&clerk, &format!("{ROLES}/{weak}/members/{clerk_id}")).await.expect(204);
    clerk.delete(&format!("{ROLES}/{weak}?force=true")).await.expect_problem(409, "role_inherited");
}

/// Creating twice with one `Idempotency-Key` creates once; bad fields are named; lists go in pages.
pub async fn roles_are_administered(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let role = name("once");
    let body = json!({"role": role, "description": "d", "grants": ["b.*", "a.*", "b.*"]});
    let post = || admin.send(admin.request(Method::POST, ROLES).header("idempotency-key", &role).json(&body));
    let (first, again) = (post().await.expect(201), post().await.expect(201));
    assert_eq!(first.json, again.json);
    assert_eq!(first.json["grants"], json!(["a.*", "b.*"]));
    assert_eq!(deployment.recorded("role.create", "success", &role), 1);
    create_role(&admin, &role, &[], &[]).await.expect_problem(409, "role_exists");

    for (body, pointer) in [
        (json!({"role": "Upper"}), "/role"),
        (json!({"role": "a".repeat(65)}), "/role"),
        (json!({"role": "x", "grants": ["a.*", "nonsense"]}), "/grants/1"),
        (json!({"role": "x", "grants": vec!["a.*"; 65]}), "/grants"),
        (json!({"role": "x", "inherits": vec!["a"; 17]}), "/inherits"),
        (json!({"role": "x", "inherits": ["no-such-role"]}), "/inherits/0"),
        (json!({"role": "x", "description": "d".repeat(513)}), "/description"),
        (json!({"role": "x", "built_in": true}), "/built_in"),
    ] {
        let refused = admin.post(ROLES, &body).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{body}");
    }
    let (mut found, mut path) = (Vec::new(), format!("{ROLES}?limit=3"));
    loop {
        let page = admin.get(&path).await.expect(200);
        let roles = page.json["roles"].as_array().unwrap();
        found.extend(roles.iter().map(|role| role["role"].as_str().unwrap().to_owned()));
        match page.json["next_cursor"].as_str() {
            Some(cursor) => path = format!("{ROLES}?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert!(found.is_sorted() && found.contains(&role) && found.iter().any(|role| role == "viewer"));
    admin.get(&format!("{ROLES}?limit=51")).await.expect_problem(400, "invalid_query");
    for path in ["/no-such-role", "/Nonsense", "/no-such-role/members"] {
        admin.get(&format!("{ROLES}{path}")).await.expect_problem(404, "not_found");
    }
    admin.patch(&format!("{ROLES}/no-such-role"), &json!({})).await.expect_problem(404, "not_found");
    assert_eq!(admin.get(&format!("{ROLES}/viewer")).await.expect(200).json["built_in"], true);
}

/// What a role grants with all that it inherits is bounded, wherever the change is made.
pub async fn roles_are_bounded(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (stem, heir, extra) = (name("wide"), name("heir"), name("extra"));
    let parents: Vec<String> = (0..5).map(|number| format!("{stem}-{number}")).collect();
    for (number, parent) in parents.iter().enumerate() {
        let grants: Vec<String> = (0..64).map(|grant| format!("g{number}-{grant}.*")).collect();
        admin.post(ROLES, &json!({"role": parent, "grants": grants})).await.expect(201);
    }
    let refused = admin.post(ROLES, &json!({"role": heir, "inherits": parents})).await;
    refused.expect_problem(422, "invalid_field");
    let made = admin.post(ROLES, &json!({"role": heir, "inherits": parents[..4]})).await.expect(201);
    assert_eq!(made.json["effective_grants"].as_array().unwrap().len(), 256);

    create_role(&admin, &extra, &["one.more.own"], &[]).await.expect(201);
    let parent = format!("{ROLES}/{}", parents[0]);
    let refused = admin.patch(&parent, &json!({"inherits": [extra]})).await;
    refused.expect_problem(409, "role_too_large");
    assert_eq!(admin.get(&parent).await.expect(200).json["inherits"], json!([]));
    for role in [&heir, &extra].into_iter().chain(&parents) {
        admin.delete(&format!("{ROLES}/{role}")).await.expect(204);
    }
}

/// A role that users have, or that others inherit from, is not deleted by the way.
pub async fn roles_in_use_stay(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let (_, user_id, role) = person_with(deployment, &admin, &["a.*"]).await;
    let (path, heir) = (format!("{ROLES}/{role}"), name("heir"));
    create_role(&admin, &heir, &[], &[&role]).await.expect(201);
    let members = admin.get(&format!("{path}/members")).await.expect(200);
    assert_eq!(members.text_at("/members/0/user_id"), user_id);
    assert!(members.json["members"].as_array().unwrap().len() == 1 && members.json["next_cursor"].is_null());

    admin.delete(&format!("{path}?force=true")).await.expect_problem(409, "role_inherited");
    admin.delete(&format!("{ROLES}/{heir}")).await.expect(204);
    admin.delete(&path).await.expect_problem(409, "role_in_use");
    admin.delete(&format!("{path}?force=true")).await.expect(204);
    admin.delete(&format!("{path}?force=true")).await.expect_problem(404, "not_found");
    let taken = deployment.count(&format!(
        "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'role.delete' AND resource_id = '{role}' \
         AND details ->> 'taken_from' = 1"
    ));
    assert_eq!(taken, 1);
    // Whoever had it does not get it back with another role of that name.
    create_role(&admin, &role, &["a.*"], &[]).await.expect(201);
    let members = admin.get(&format!("{path}/members")).await.expect(200);
    assert_eq!(members.json["members"], json!([]));
}

/// The administrators' role stays, keeps its `*`, and somebody who may act keeps the role.
pub async fn an_administrator_remains(deployment: &Deployment) {
    let operator = deployment.administrator().await;
    let (admin, admin_id, _) = new_organization(deployment, &operator).await;
    let path = format!("{ROLES}/admin");
    admin.delete(&format!("{path}?force=true")).await.expect_problem(409, "administrator_role");
    for grants in [json!([]), json!(["security.*"])] {
        admin.patch(&path, &json!({"grants": grants})).await.expect_problem(409, "administrator_role");
    }
    let member = format!("{path}/members/{admin_id}");
    admin.delete(&member).await.expect_problem(409, "last_administrator");
    assert_eq!(
        admin.get(&format!("{path}/members")).await.expect(200).text_at("/members/0/user_id"),
        admin_id
    );

    // In the deployment's own organization there is another one, so a second may come and go.
    let (_, user_id) = person(deployment).await;
    let member = format!("{path}/members/{user_id}");
    put(&operator, &member).await.expect(204);
    operator.delete(&member).await.expect(204);
}
