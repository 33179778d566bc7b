//! Switches of deployments of their own, which others need not bear: natively.

use std::process::Command;
use std::time::Duration;

use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use iam_tests::native::{restart, start};
use iam_tests::scenarios::operation::flags;
use serde_json::{Value, json};

const FLAGS: &str = "/api/v1/flags";

/// Says to a test, run as a program of its own, that it is one.
const IS_CHILD: &str = "IAM_TEST_IS_CHILD";

#[tokio::test]
async fn maintenance_turns_away() {
    flags::maintenance_turns_away(&start(flags::setup()).0).await;
}

#[tokio::test]
async fn limits_are_switched() {
    flags::limits_are_switched(&start(flags::setup()).0).await;
}

async fn key(deployment: &Deployment) -> String {
    let permission = |action: &str| json!({"resource": "flags", "action": action, "scope": "all"});
    let body = json!({"name": "operator", "permissions": [permission("read"), permission("manage")]});
    let created = deployment.administrator().await.post("/api/v1/auth/keys", &body).await.expect(201);
    created.text_at("/api_key").to_owned()
}

/// Maintenance by configuration closes health and administration too where it says so; the switches stay
/// within reach, and what they say goes before it, from the first request of an instance.
#[tokio::test]
async fn configured_maintenance_ends_at_run_time() {
    let (deployment, host) = start(flags::setup());
    let operator = deployment.client().with(&key(&deployment).await);
    let mut configuration: Value = serde_json::from_str(&deployment.setup.configuration).unwrap();
    configuration["operational"]["maintenance_mode"] = json!(true);
    configuration["operational"]["maintenance_serves"] = json!(["webhooks"]);
    restart(&host, &[], &[("IAM_CONFIG", &configuration.to_string())]);
    let setup = &deployment.setup;
    let sign_in = || async { deployment.client().login(&setup.username, &setup.password).await };
    sign_in().await.expect_problem(503, "maintenance");
    for path in ["/health", "/ready", "/api/v1/users"] {
        deployment.client().get(path).await.expect_problem(503, "maintenance");
    }
    let flags = operator.get(FLAGS).await.expect(200);
    assert_eq!(flags.json["flags"]["maintenance_mode"]["source"], "configuration");
    assert_eq!(flags.json["maintenance_serves"], json!(["webhooks"]));
    operator.patch(FLAGS, &json!({"maintenance_mode": false})).await.expect(200);
    // New instances start with what is configured, and hear before they refuse.
    restart(&host, &[], &[]);
    sign_in().await.expect(200);
    deployment.client().get("/health").await.expect(200);
}

/// An instance that never heard of the switches enforces no limit that was switched off, and one that was
/// switched on.
#[tokio::test]
async fn new_instances_hear_with_their_first_question() {
    let (deployment, host) = start(flags::setup());
    let operator = deployment.client().with(&key(&deployment).await);
    operator.patch(FLAGS, &json!({"rate_limiting_enabled": false})).await.expect(200);
    restart(&host, &[], &[]);
    assert!(!operator.get(FLAGS).await.expect(200).headers.contains_key("ratelimit"));
    let mut configuration: Value = serde_json::from_str(&deployment.setup.configuration).unwrap();
    configuration["operational"]["rate_limiting_enabled"] = json!(false);
    operator.patch(FLAGS, &json!({"rate_limiting_enabled": true})).await.expect(200);
    restart(&host, &[], &[("IAM_CONFIG", &configuration.to_string())]);
    assert!(operator.get(FLAGS).await.expect(200).headers.contains_key("ratelimit"));
}

/// What a new instance serves before it heard of an organization's limit counts towards that all the same.
#[tokio::test]
async fn new_instances_count_from_the_first_request() {
    let (deployment, host) = start(flags::setup());
    let operator = deployment.client().with(&key(&deployment).await);
    operator.patch(FLAGS, &json!({"rate_limit_per_minute": 5})).await.expect(200);
    let taken = "SELECT COALESCE(SUM(taken), 0) AS count FROM rate_windows WHERE subject = 'organization'";
    for number in 1..=5 {
        restart(&host, &[], &[]);
        operator.get(FLAGS).await.expect(200);
        assert_eq!(deployment.count(taken), number);
    }
    operator.get(FLAGS).await.expect_problem(429, "rate_limited");
    // One that was configured and is now another is not what refuses.
    let mut configuration: Value = serde_json::from_str(&deployment.setup.configuration).unwrap();
    configuration["operational"]["rate_limit_per_minute"] = json!(1);
    restart(&host, &[], &[("IAM_CONFIG", &configuration.to_string())]);
    operator.get(FLAGS).await.expect(200);
    operator.get(FLAGS).await.expect_problem(429, "rate_limited");
    deployment.check().await;
}

/// Of changes at once none is lost, and each is recorded once with what it changed.
#[tokio::test]
async fn changes_at_once_all_hold() {
    let (deployment, _host) = start(flags::setup());
    let operator = deployment.client().with(&key(&deployment).await);
    let patches = [
        json!({"verbose_logging": true}),
        json!({"maintenance_message": "M"}),
        json!({"maintenance_retry_after": "10s"}),
    ];
    let tries = patches.map(|patch| {
        let operator = operator.clone();
        tokio::spawn(async move { operator.patch(FLAGS, &patch).await.status })
    });
    for one in tries {
        assert_eq!(one.await.unwrap(), 200);
    }
    let flags = operator.get(FLAGS).await.expect(200).json;
    for name in ["verbose_logging", "maintenance_message", "maintenance_retry_after"] {
        assert_eq!(flags["flags"][name]["source"], "run_time", "{flags}");
    }
    assert_eq!(deployment.recorded("flags.change", "success", "org_000000001"), 3);
    deployment.check().await;
}

/// Where errors alone are logged, everything is once that is switched on, and no longer once it is taken
/// back. A deployment logs to its process's standard error, so it is run as a program of its own.
#[tokio::test]
async fn everything_is_logged_while_wanted() {
    if std::env::var_os(IS_CHILD).is_some() {
        let mut configuration = iam_tests::scenarios::configuration();
        configuration["operational"] = json!({"flags_max_age": "1s"});
        let (deployment, _host) = start(Setup::new(&configuration));
        let admin = deployment.administrator().await;
        for (moment, verbose) in [("before", json!(null)), ("during", json!(true)), ("after", json!(null))] {
            admin.patch(FLAGS, &json!({"verbose_logging": verbose})).await.expect(200);
            // The first request after the bound hears of it.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            admin.get("/api/v1/auth/me").await.expect(200);
            let request = admin.request(reqwest::Method::GET, "/api/v1/auth/me");
            admin.send(request.header("x-request-id", format!("moment-{moment}"))).await.expect(200);
        }
        return;
    }
    let test = Command::new(std::env::current_exe().unwrap())
        .args(["operation::flags::everything_is_logged_while_wanted", "--exact", "--nocapture"])
        .env(IS_CHILD, "1")
        .output()
        .unwrap();
    let logged = String::from_utf8(test.stderr).unwrap();
    assert!(test.status.success(), "{logged}");
    assert!(logged.contains("moment-during"), "{logged}");
    assert!(!logged.contains("moment-before") && !logged.contains("moment-after"), "{logged}");
}
