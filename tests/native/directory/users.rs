//! Users on the native host: what needs the host's inside, a deployment of its own, or many tries.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use iam_core::sql::Statement;
use iam_edge::native::TestHost;
use iam_tests::deployment::Setup;
use iam_tests::{Answer, Client, Deployment};
use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};

const USERS: &str = "/api/v1/users";
const JOB: &str = "/internal/scheduled/directory-purge";
const PASSWORD: &str = "Initial-Password-1";

fn start(directory: Value) -> (Deployment, TestHost) {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["directory"] = directory;
    iam_tests::native::start(Setup::new(&configuration))
}

async fn create(admin: &Client, username: &str, roles: &[&str]) -> Answer {
    admin.post(USERS, &json!({"username": username, "roles": roles, "password": PASSWORD})).await.expect(201)
}

fn path(user: &Answer) -> String {
    format!("{USERS}/{}", user.text_at("/user_id"))
}

async fn run(host: &TestHost, sql: String) {
    host.request().db("").run(Statement::new(sql)).await.unwrap();
}

/// The last administrator who may act stays, whatever is tried; a suspended one is none.
#[tokio::test]
async fn the_last_administrator_stays() {
    let (deployment, _host) = start(json!({}));
    let admin = deployment.administrator().await;
    let first = admin.get(&format!("{USERS}?username={}", deployment.setup.username)).await.expect(200);
    let first = format!("{USERS}/{}", first.text_at("/users/0/user_id"));
    let refuse_all = async || {
        let answers = [
            admin.delete(&first).await,
            admin.post(&format!("{first}/suspend"), &json!({})).await,
            admin.patch(&first, &json!({"roles": ["viewer"]})).await,
            admin.patch(&first, &json!({"roles": []})).await,
        ];
        for answer in answers {
            answer.expect_problem(409, "last_administrator");
        }
    };
    refuse_all().await;
    let second = create(&admin, "second", &["admin"]).await;
    admin.post(&format!("{}/suspend", path(&second)), &json!({})).await.expect(200);
    refuse_all().await;
    admin.post(&format!("{}/activate", path(&second)), &json!({})).await.expect(200);
    admin.patch(&first, &json!({"roles": ["viewer"]})).await.expect(200);
    // It gave its own power away.
    admin.patch(&first, &json!({"roles": ["admin"]})).await.expect_problem(403, "permission_denied");
    deployment.check().await;
}

/// Two administrators who suspend each other at the same moment: one stays.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_administrators_one_stays() {
    for _ in 0..6 {
        let (deployment, _host) = start(json!({}));
        let first = deployment.administrator().await;
        let second = create(&first, "second", &["admin"]).await;
        let login = deployment.client().login("second", PASSWORD).await.expect(200);
        let client = deployment.client().with(login.text_at("/access_token"));
        let found = client.get(&format!("{USERS}?username={}", deployment.setup.username)).await.expect(200);
        let paths = [
            format!("{}/suspend", path(&second)),
            format!("{USERS}/{}/suspend", found.text_at("/users/0/user_id")),
        ];
        let nothing = json!({});
        tokio::join!(first.post(&paths[0], &nothing), client.post(&paths[1], &nothing));
        let count = "SELECT COUNT(*) AS count FROM users WHERE status = 'active' AND deleted_at IS NULL";
        assert_eq!(deployment.count(count), 1);
    }
}

/// A full pool of failed sign-ins shows as a lock, until it is emptied or its window ends.
#[tokio::test]
async fn a_locked_user_is_shown_and_unlocked() {
    let (deployment, host) = start(json!({}));
    let admin = deployment.administrator().await;
    let user = create(&admin, "locked", &[]).await;
    let id = user.text_at("/user_id");
    let organization = "SELECT org_id FROM users LIMIT 1";
    let soon = iam_edge::now().as_millis() + 60_000;
    for (subject, tries, ends) in [
        (format!("account:{id}"), 5, soon),
        (format!("known:{id}:10.0.0.1"), 5, soon),
        ("account:user_00000000000000000000000000".to_owned(), 5, soon),
        ("address:10.0.0.1".to_owned(), 5, soon),
    ] {
        let insert = "INSERT INTO sign_in_attempts (org_id, subject, tries, window_began_at, window_ends_at)";
        run(&host, format!("{insert} SELECT ({organization}), '{subject}', {tries}, 0, {ends}")).await;
    }
    let status = async || admin.get(&path(&user)).await.expect(200).text_at("/status").to_owned();
    let locked = async || {
        let page = admin.get(&format!("{USERS}?status=locked")).await.expect(200);
        page.json["users"].as_array().unwrap().iter().map(|user| user["user_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(status().await, "locked");
    assert_eq!(locked().await, [json!(id)]);
    let unlocked = admin.post(&format!("{}/unlock", path(&user)), &json!({})).await.expect(200);
    assert_eq!(unlocked.json["status"], "active");
    assert!(locked().await.is_empty());
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM sign_in_attempts WHERE tries = 5"), 2);
    assert_eq!(deployment.recorded("user.unlock", "success", id), 1);

    run(
        &host,
        format!("UPDATE sign_in_attempts SET subject = 'account:{id}' WHERE subject GLOB 'account:*'"),
    )
    .await;
    assert_eq!(status().await, "locked");
    run(&host, "UPDATE sign_in_attempts SET tries = 4".to_owned()).await;
    assert_eq!(status().await, "active");
    run(&host, "UPDATE sign_in_attempts SET tries = 5, window_ends_at = 1".to_owned()).await;
    assert_eq!(status().await, "active");
    deployment.internal().post(JOB, &json!({})).await.expect(204);
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM sign_in_attempts"), 0);
    deployment.check().await;
}

/// Within the grace a deleted user can be restored; after it the job purges it, once, and what is others'
/// stays.
#[tokio::test]
async fn deleted_users_are_purged() {
    let (deployment, host) = start(json!({"deletion_grace": "1h"}));
    let admin = deployment.administrator().await;
    let (gone, kept) = (create(&admin, "gone", &["viewer"]).await, create(&admin, "kept", &["viewer"]).await);
    deployment.client().login("gone", PASSWORD).await.expect(200);
    for user in [&gone, &kept] {
        admin.delete(&path(user)).await.expect(204);
    }
    deployment.internal().post(JOB, &json!({})).await.expect(204);
    let id = gone.text_at("/user_id");
    let hours_ago = iam_edge::now().as_millis() - 3_700_000;
    run(&host, format!("UPDATE users SET deleted_at = {hours_ago} WHERE user_id = '{id}'")).await;
    run(&host, format!("UPDATE sessions SET ended_at = 1 WHERE user_id = '{id}'")).await;
    admin.post(&format!("{}/restore", path(&gone)), &json!({})).await.expect_problem(404, "not_found");
    for _ in 0..2 {
        deployment.internal().post(JOB, &json!({})).await.expect(204);
    }
    for table in ["users", "user_roles", "sessions"] {
        let count = format!("SELECT COUNT(*) AS count FROM {table} WHERE user_id = '{id}'");
        assert_eq!(deployment.count(&count), 0, "{table}");
    }
    assert_eq!(deployment.recorded("user.purge", "success", id), 1);
    admin.post(&format!("{}/restore", path(&kept)), &json!({})).await.expect(200);
    deployment.client().login("kept", PASSWORD).await.expect(200);
    deployment.check().await;

    // The job's statements go by index, from the users that are due.
    let mut plans = host.plans();
    plans.retain(|sql, _| sql.contains("AS due"));
    assert_eq!(plans.len(), 6, "{plans:#?}");
    for step in plans.values().flatten().filter(|step| step.starts_with("SCAN")) {
        let is_list = ["VIRTUAL TABLE", "SCAN (subquery"].iter().any(|known| step.contains(known));
        assert!(is_list, "{plans:#?}");
    }
    let by_organization = |step: &&String| step.ends_with("(org_id=?)");
    assert_eq!(plans.values().flatten().find(by_organization), None);
}

/// A change that was checked against a role's grants does not happen where they grew meanwhile.
#[tokio::test]
async fn grants_that_grew_meanwhile_are_noticed() {
    use iam_core::directory::{TargetUser, UserAct, UserChange, UserChangeRefusal};
    use iam_core::sql::{Answers, Batch};
    let (deployment, host) = start(json!({}));
    let admin = deployment.administrator().await;
    let user = create(&admin, "grows", &["viewer"]).await;
    let configuration = iam_core::config::Configuration::parse(&deployment.setup.configuration, []).unwrap();
    let (organization, now) = (&configuration.organization, iam_edge::now());
    let user_id = user.text_at("/user_id").parse().unwrap();
    let db = host.request().db("");
    let target = db.run(TargetUser::find(organization, &user_id, 5, now).into_statement()).await.unwrap();
    let target = target.decode_first::<TargetUser>().unwrap().unwrap();
    run(&host, "UPDATE roles SET effective_grants = '[\"*\"]' WHERE role = 'viewer'".to_owned()).await;
    let edits = iam_core::directory::managed::LocalEdits::new(&configuration.scim).unwrap();
    let change = UserChange {
        organization,
        target: &target,
        act: &UserAct::Suspend,
        edits: &edits,
        lockout_threshold: 5,
        deletion_grace: configuration.directory.deletion_grace,
        now,
    };
    let event = iam_core::record::audit::AuditEvent {
        organization: organization.clone(),
        log_id: iam_core::id::LogId::new(now, [7; 10]),
        timestamp: now,
        actor: iam_core::record::audit::Actor::Manual,
        user_id: None,
        act: iam_core::directory::acts::USER_SUSPEND,
        resource_id: None,
        ip_address: None,
        user_agent: None,
        outcome: iam_core::record::audit::Outcome::Success,
        request_id: None,
        details: serde_json::Map::new(),
    };
    let mut batch = Batch::new();
    let tickets = change.ask(event, &mut batch);
    let answers = Answers::new(db.batch(batch.into_statements()).await.unwrap());
    assert_eq!(change.outcome(&answers, tickets).unwrap().unwrap_err(), UserChangeRefusal::Conflict);
    assert_eq!(admin.get(&path(&user)).await.expect(200).json["status"], "active");
}

/// Groups are named by id or by display name, replaced as a whole, and found by.
#[tokio::test]
async fn groups_are_joined_and_left() {
    let (deployment, host) = start(json!({}));
    let admin = deployment.administrator().await;
    let ids = ["group_00000000000000000000000001", "group_00000000000000000000000002"];
    for (id, name) in ids.iter().zip(["Engines", "Numbers"]) {
        let key = name.to_lowercase();
        let columns = "org_id, group_id, display_name, display_name_key, managed_by, created_at, updated_at";
        let values = format!("org_id, '{id}', '{name}', '{key}', 'manual', 1, 1");
        run(&host, format!("INSERT INTO groups ({columns}) SELECT {values} FROM organizations")).await;
    }
    let both = json!({"username": "ada", "groups": [ids[0], "numbers", "ENGINES"]});
    let user = admin.post(USERS, &both).await.expect(201);
    assert_eq!(user.json["groups"], json!(["Engines", "Numbers"]));
    assert_eq!(admin.get(&path(&user)).await.expect(200).json["groups"], user.json["groups"]);
    let line =
        json!({"username": "grace", "groups": ["engines"], "roles": ["viewer", "analyst"]}).to_string();
    let request = admin.request(Method::POST, &format!("{USERS}/import"));
    let imported = admin.send(request.header("content-type", "application/x-ndjson").body(line)).await;
    assert_eq!(imported.expect(200).json["created"], 1);
    let members = async |id: &str| {
        let page = admin.get(&format!("{USERS}?group={id}&status=active")).await.expect(200);
        let users = page.json["users"].as_array().unwrap().clone();
        users.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (members(ids[0]).await, members(ids[1]).await),
        (vec!["ada".into(), "grace".into()], vec!["ada".into()])
    );
    let changed = admin.patch(&path(&user), &json!({"groups": ["Numbers"]})).await.expect(200);
    assert_eq!(changed.json["groups"], json!(["Numbers"]));
    assert_eq!(members(ids[0]).await, ["grace"]);
    let refused = admin.patch(&path(&user), &json!({"groups": ["Numbers", "none"]})).await.expect(422);
    assert_eq!(refused.text_at("/errors/0/pointer"), "/groups/1");

    // Several roles, changed and suspended: what was read is recognised.
    let grace = admin.get(&format!("{USERS}?username=grace")).await.expect(200);
    let grace = format!("{USERS}/{}", grace.text_at("/users/0/user_id"));
    let more = json!({"roles": ["viewer", "analyst", "security_engineer"]});
    admin.patch(&grace, &more).await.expect(200);
    assert_eq!(
        admin.post(&format!("{grace}/suspend"), &json!({})).await.expect(200).json["status"],
        "suspended"
    );
    deployment.check().await;
}

/// What is editable of a user that a SCIM client keeps may be changed; the record says so, and the client
/// sees the change.
#[tokio::test]
async fn a_change_of_what_scim_keeps_is_said_to_be_one() {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["scim"] = json!({"locally_editable": ["email"]});
    let (deployment, _host) = iam_tests::native::start(Setup::new(&configuration));
    let admin = deployment.administrator().await;
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "kept",
        "emails": [{"value": "old@example.com", "primary": true}],
    });
    let created = deployment.scim().post("/api/scim/v2/Users", &body).await.expect(201);
    let id = created.text_at("/id");
    let changed =
        admin.patch(&format!("{USERS}/{id}"), &json!({"email": "new@example.com"})).await.expect(200);
    assert_eq!(changed.json["managed_by"], "scim");
    let kept = admin.patch(&format!("{USERS}/{id}"), &json!({"display_name": "Kept"})).await;
    kept.expect_problem(409, "managed_by_scim");
    let shown = deployment.scim().get(&format!("/api/scim/v2/Users/{id}")).await.expect(200);
    assert_eq!(shown.json["emails"][0]["value"], "new@example.com");
    let said = "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'user.update' AND details ->> \
         'managed_by' = 'scim'";
    assert_eq!(deployment.count(said), 1);
}

/// A line of an import: mostly good, some of a kind that is refused.
fn line() -> impl Strategy<Value = String> {
    let username = "[a-cA-C]{1,2}";
    let good = (username, prop::bool::ANY, prop::bool::ANY).prop_map(|(username, role, suspended)| {
        let roles: &[&str] = if role { &["viewer"] } else { &[] };
        let status = if suspended { "suspended" } else { "active" };
        json!({"username": username, "roles": roles, "status": status}).to_string()
    });
    let bad = prop_oneof![
        Just("{}".to_owned()),
        Just(String::new()),
        Just("{\"username\": \"a\", \"roles\": [\"nobody\"]}".to_owned()),
        "[^\r\n]{0,20}",
    ];
    prop_oneof![4 => good, 1 => bad]
}

/// Lines sent twice, in requests cut anywhere, leave what they leave when sent once.
#[test]
fn sent_twice_is_sent_once() {
    static ROUND: AtomicU64 = AtomicU64::new(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (deployment, _host) = start(json!({}));
    let admin = runtime.block_on(deployment.administrator());
    let import = |lines: &[String]| {
        let request = admin.request(Method::POST, &format!("{USERS}/import"));
        let request = request.header("content-type", "application/x-ndjson").body(lines.join("\n"));
        runtime.block_on(admin.send(request)).expect(200).json
    };
    let directory = |round: u64| -> Vec<Value> {
        let page = runtime.block_on(admin.get(&format!("{USERS}?username_prefix={round}-"))).expect(200);
        page.json["users"].as_array().unwrap().clone()
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(40));
    let cases = (prop::collection::vec(line(), 1..20), 0_usize..20);
    runner
        .run(&cases, |(lines, cut)| {
            let round = ROUND.fetch_add(1, Ordering::Relaxed);
            let lines: Vec<String> = lines
                .iter()
                .map(|line| line.replace("\"username\":\"", &format!("\"username\":\"{round}-")))
                .collect();
            let cut = cut.min(lines.len());
            let first = import(&lines);
            let stands = directory(round);
            let names: BTreeSet<String> =
                stands.iter().map(|user| user["username"].as_str().unwrap().to_lowercase()).collect();
            prop_assert_eq!(names.len(), stands.len(), "a user twice");
            prop_assert_eq!(&first["created"], &json!(stands.len()));
            let (head, tail) = (import(&lines[..cut]), import(&lines[cut..]));
            let sum = |name: &str| head[name].as_u64().unwrap() + tail[name].as_u64().unwrap();
            prop_assert_eq!(sum("created"), 0);
            prop_assert_eq!(
                sum("unchanged"),
                first["created"].as_u64().unwrap() + first["unchanged"].as_u64().unwrap()
            );
            prop_assert_eq!(directory(round), stands);
            Ok(())
        })
        .unwrap();
}
