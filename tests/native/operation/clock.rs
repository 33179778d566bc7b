//! The clock and the one runner of all jobs.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use iam_core::sql::Statement;
use iam_edge::native::{TestHost, logged};
use iam_tests::deployment::Setup;
use iam_tests::native::start;
use iam_tests::{Answer, Deployment};
use serde_json::json;

async fn run(deployment: &Deployment, job: &str) -> Answer {
    deployment.internal().post(&format!("/internal/scheduled/{job}"), &json!({})).await
}

fn deployment() -> (Deployment, TestHost) {
    start(Setup::new(&iam_tests::scenarios::configuration()))
}

/// A user of an organization that was deleted long ago, before those with a higher number.
async fn put_deleted_user(host: &TestHost, organization: &str, user_id: &str, number: i64) {
    let insert = Statement::new(
        "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
         updated_at, deleted_at) VALUES (?1, ?2, ?2, ?2, 'active', 'manual', 0, 0, ?3)",
    );
    host.request().db("").run(insert.bind(organization).bind(user_id).bind(number)).await.unwrap();
}

fn users_of(deployment: &Deployment, organization: &str) -> i64 {
    deployment.count(&format!("SELECT COUNT(*) AS count FROM users WHERE org_id = '{organization}'"))
}

#[tokio::test]
async fn each_job_has_one_address_and_one_owner() {
    let (deployment, _host) = deployment();
    let described = iam_service::catalogue::describe(&iam_catalogue::functions());
    let functions = described["functions"].as_array().unwrap();
    let clock = functions.iter().find(|function| function["name"] == "clock").unwrap();
    let schedules = clock["schedules"].as_array().unwrap();
    assert!(schedules.len() >= 7, "{schedules:?}");
    for schedule in schedules {
        let job = schedule["job"].as_str().unwrap();
        run(&deployment, job).await.expect(204);
        let path = format!("/internal/scheduled/{job}");
        deployment.client().post(&path, &json!({})).await.expect_problem(401, "invalid_token");
        // What only the clock calls is led to by no way from outside.
        let own = format!("/internal/jobs/{job}");
        deployment.internal().post(&own, &json!({})).await.expect(404);
    }
    let others = functions.iter().filter(|function| function["name"] != "clock");
    assert!(others.into_iter().all(|function| function["schedules"] == json!([])));
    run(&deployment, "no-such-job").await.expect_problem(404, "not_found");
    deployment.check().await;
}

/// What a step fails at keeps those behind it from nothing, and is told.
#[tokio::test]
async fn a_step_that_fails_stops_no_other() {
    let (deployment, host) = deployment();
    let old = [
        "INSERT INTO sessions (org_id, session_id, user_id, kind, created_at, expires_at, last_activity, \
         mfa_verified) VALUES ('org_000000001', 'old', 'user', 'interactive', 1, 1, 1, 0)",
        "INSERT INTO refresh_tokens (org_id, token_hash, session_id, issued_at, expires_at) VALUES \
         ('org_000000001', 'old', 'old', 1, 1)",
        "DROP INDEX sessions_by_end",
    ];
    old.into_iter().for_each(|sql| host.apply(sql).unwrap());
    let left = |table: &str| {
        deployment.count(&format!("SELECT COUNT(*) AS count FROM {table} WHERE expires_at = 1"))
    };
    run(&deployment, "directory-purge").await.expect(500);
    assert_eq!((left("sessions"), left("refresh_tokens")), (1, 0));
    assert!(!logged("job directory-purge: step expired-sessions failed").is_empty());
    host.apply("CREATE INDEX sessions_by_end ON sessions (expires_at)").unwrap();
    run(&deployment, "directory-purge").await.expect(204);
    assert_eq!(left("sessions"), 0);
}

/// Of two organizations one fails, with more that is due, and longer, than a question for who is due gives
/// rows: the other is served in the same run, and the one that fails is asked once.
#[tokio::test]
async fn an_organization_that_fails_stops_no_other() {
    let (deployment, host) = deployment();
    for number in 0..300 {
        put_deleted_user(&host, "org_clockbad1", &format!("unreadable {number}"), number).await;
    }
    put_deleted_user(&host, "org_clockgood", "user_01fwhe4ydgfk1shh6w1g60eecf", 1000).await;
    run(&deployment, "directory-purge").await.expect(500);
    assert_eq!((users_of(&deployment, "org_clockbad1"), users_of(&deployment, "org_clockgood")), (300, 0));
    assert_eq!(logged("job directory-purge: step users failed: org_clockbad1").len(), 1);
    assert!(logged("org_clockgood").is_empty());
    host.apply("DELETE FROM users WHERE org_id = 'org_clockbad1'").unwrap();
    run(&deployment, "directory-purge").await.expect(204);
    deployment.check().await;
}

/// A run ends with its round trips; the next one goes on where it ended, and both say so.
#[tokio::test]
async fn what_a_run_leaves_the_next_one_takes() {
    const ORGANIZATIONS: i64 = 300;
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["monitoring"]["logging"]["level"] = json!("WARNING");
    let (deployment, host) = start(Setup::new(&configuration));
    let many = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ORGANIZATIONS}) INSERT \
         INTO sign_in_attempts (org_id, subject, tries, window_began_at, window_ends_at) SELECT 'org_left' \
         || printf('%05d', n), 'old', 1, 1, 1 FROM n"
    );
    host.apply(&many).unwrap();
    let left = || deployment.count("SELECT COUNT(*) AS count FROM sign_in_attempts WHERE window_ends_at = 1");
    let mut before = left();
    assert_eq!(before, ORGANIZATIONS);
    run(&deployment, "directory-purge").await.expect(204);
    assert!((1..before).contains(&left()), "{} are left", left());
    assert!(!logged("step sign-in-attempts leaves work to the next run").is_empty());
    while before > 0 {
        run(&deployment, "directory-purge").await.expect(204);
        assert!(left() < before || before == 0);
        before = left();
    }
    deployment.check().await;
}

/// What only forgets: kept answers, usage that is no longer shown, and what was taken of the limits of keys
/// that ended.
#[tokio::test]
async fn housekeeping_forgets_what_is_old() {
    let (deployment, host) = deployment();
    for organization in ["org_000000001", "org_000000002"] {
        for sql in [
            "INSERT INTO idempotent_answers (org_id, subject_id, idempotency_key, request_hash, \
             sealed_answer, created_at) VALUES ('$', 'a', 'old', '', '', 1), ('$', 'a', 'new', '', '', \
             9999999999999)",
            "INSERT INTO api_key_usage (org_id, key_id, day, accepted, refused) VALUES ('$', 'k', 1, 1, 0), \
             ('$', 'k', 99999, 1, 0)",
            "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, \
             status, life_ms, created_at, expires_at, revoked_at) VALUES ('$', 'k', 'h', '', '', '[]', 1, \
             'revoked', 1, 1, 1, 9999999999999)",
            "INSERT INTO rate_windows (org_id, subject, slot, second, taken, lease) VALUES ('$', 'key:k', 1, \
             1, 1, 1), ('$', 'key:other', 1, 1, 1, 1)",
        ] {
            host.apply(&sql.replace('$', organization)).unwrap();
        }
    }
    run(&deployment, "housekeeping").await.expect(204);
    for (table, left) in [
        ("idempotent_answers WHERE created_at = 9999999999999", 2),
        ("idempotent_answers", 2),
        ("api_key_usage WHERE day = 99999", 2),
        ("api_key_usage", 2),
        ("rate_windows WHERE subject = 'key:other'", 2),
        ("rate_windows WHERE subject = 'key:k'", 0),
    ] {
        assert_eq!(deployment.count(&format!("SELECT COUNT(*) AS count FROM {table}")), left, "{table}");
    }
    deployment.check().await;
}
