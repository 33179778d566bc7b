//! The limit of sessions against a small model, and sign-in as the native host alone can see it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;

use iam_core::config::SessionConfiguration;
use iam_core::id::{OrganizationId, SessionId, UserId};
use iam_core::sign_in::session::{self, LiveSession, NewSession, SessionKind};
use iam_core::sql::Statement;
use iam_core::time::{Duration, Timestamp};
use iam_edge::native::TestHost;
use iam_tests::deployment::Setup;
use iam_tests::{Answer, Deployment};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
enum Step {
    SignIn(SessionKind),
    Use(usize),
    End(usize),
    EndAllBut(usize),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        5 => Just(SessionKind::Interactive),
        1 => Just(SessionKind::Client),
        1 => Just(SessionKind::BreakGlass),
    ];
    prop_oneof![
        6 => kind.prop_map(Step::SignIn),
        3 => (0..64_usize).prop_map(Step::Use),
        2 => (0..64_usize).prop_map(Step::End),
        1 => (0..64_usize).prop_map(Step::EndAllBut),
        3 => prop_oneof![Just(1), Just(60_000), Just(1_800_000), Just(28_800_000)].prop_map(Step::Wait),
    ]
}

struct Modelled {
    id: SessionId,
    kind: SessionKind,
    began: i64,
    used: i64,
    ended: bool,
}

impl Modelled {
    fn is_alive(&self, configuration: &SessionConfiguration, now: i64) -> bool {
        let idle = now - self.used >= configuration.idle_timeout.as_millis();
        !self.ended
            && now < self.began + configuration.timeout.as_millis()
            && (self.kind == SessionKind::Client || !idle)
    }
}

struct Bench {
    host: TestHost,
    organization: OrganizationId,
    user: UserId,
    configuration: SessionConfiguration,
}

impl Bench {
    fn new(most: u32) -> Self {
        let host = TestHost::new_in_memory().unwrap();
        host.apply(iam_edge::native::SCHEMA).unwrap();
        let user = UserId::new(Timestamp::from_millis(0), [1; 10]);
        host.apply(&format!(
            "INSERT INTO users (org_id, user_id, username, username_key, status, managed_by, created_at, \
             updated_at) VALUES ('org_000000001', '{user}', 'a', 'a', 'active', 'manual', 0, 0)"
        ))
        .unwrap();
        let configuration =
            SessionConfiguration { max_sessions_per_user: most, ..SessionConfiguration::default() };
        Self { host, organization: "org_000000001".parse().unwrap(), user, configuration }
    }

    async fn run(&self, statements: Vec<Statement>) {
        self.host.request().db("").batch(statements).await.unwrap();
    }

    async fn begin(&self, id: &SessionId, kind: SessionKind, now: i64) {
        let session = NewSession {
            organization: &self.organization,
            session_id: id,
            user_id: &self.user,
            kind,
            client_id: None,
            scope: None,
            token_hash: None,
            life: self.configuration.timeout,
            ip_address: None,
            user_agent: None,
            mfa_verified: false,
            now: Timestamp::from_millis(now),
        };
        let mut batch = vec![session.begin()];
        if kind == SessionKind::Interactive {
            batch.push(session.end_oldest(&self.configuration));
        }
        self.run(batch).await;
    }

    async fn is_alive(&self, id: &SessionId, now: i64) -> bool {
        let find = LiveSession::find(&self.organization, id);
        let found: LiveSession = self
            .host
            .request()
            .db("")
            .run(find.into_statement())
            .await
            .unwrap()
            .decode_first()
            .unwrap()
            .unwrap();
        found.is_alive(&self.configuration, Timestamp::from_millis(now))
    }
}

async fn play(most: u32, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let bench = Bench::new(most);
    let (mut model, mut now) = (Vec::<Modelled>::new(), 1_800_000_000_000_i64);
    for (number, step) in steps.into_iter().enumerate() {
        let moment = Timestamp::from_millis(now);
        match step {
            Step::SignIn(kind) => {
                let mut entropy = [0; 10];
                entropy[2..].copy_from_slice(&(number as u64).to_be_bytes());
                let id = SessionId::new(moment, entropy);
                bench.begin(&id, kind, now).await;
                model.push(Modelled { id, kind, began: now, used: now, ended: false });
                if kind == SessionKind::Interactive {
                    let kept = |session: &&mut Modelled| session.kind == kind && !session.ended;
                    for oldest in model.iter_mut().rev().filter(kept).skip(most as usize) {
                        oldest.ended = true;
                    }
                }
            }
            Step::Use(_) | Step::End(_) | Step::EndAllBut(_) if model.is_empty() => {}
            Step::Use(which) => {
                let count = model.len();
                let session = &mut model[which % count];
                if session.is_alive(&bench.configuration, now) {
                    bench
                        .run(vec![LiveSession::note_activity(&bench.organization, &session.id, moment)])
                        .await;
                    session.used = now;
                }
            }
            Step::End(which) => {
                let count = model.len();
                let session = &mut model[which % count];
                bench.run(vec![session::end(&bench.organization, &session.id, "terminated", moment)]).await;
                session.ended = true;
            }
            Step::EndAllBut(which) => {
                let except = model[which % model.len()].id.clone();
                let end = session::end_all_but(
                    &bench.organization,
                    &bench.user,
                    Some(&except),
                    "terminated",
                    moment,
                );
                bench.run(vec![end]).await;
                model
                    .iter_mut()
                    .filter(|session| session.id != except)
                    .for_each(|session| session.ended = true);
            }
            Step::Wait(milliseconds) => now += milliseconds,
        }
        let mut interactive = 0;
        for session in &model {
            let alive = bench.is_alive(&session.id, now).await;
            prop_assert_eq!(alive, session.is_alive(&bench.configuration, now), "{}", session.id);
            interactive += u32::from(alive && session.kind == SessionKind::Interactive);
        }
        prop_assert!(interactive <= most);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_allowed_and_the_oldest_goes(
        most in 1_u32..6,
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(most, steps))?;
    }
}

fn start(configuration: &Value) -> (Deployment, TestHost) {
    iam_tests::native::start(Setup::new(configuration))
}

/// Who is no trusted proxy may say about addresses what it likes.
#[tokio::test]
async fn a_spoofed_address_changes_nothing() {
    let mut configuration = iam_tests::scenarios::configuration();
    configuration["network"] = json!({"trusted_proxies": ["10.0.0.0/8"]});
    let (deployment, _host) = start(&configuration);
    for number in 0..6 {
        let client = deployment.client().from_address(&format!("192.0.2.{number}"));
        let answer = client.login(&format!("nobody-{number}@example.com"), "Wr0ng-guess!").await;
        assert_eq!(answer.status, if number < 5 { 401 } else { 429 });
    }
    let recorded =
        "SELECT COUNT(*) AS count FROM audit_events WHERE action = 'login' AND ip_address = '127.0.0.1'";
    assert_eq!(deployment.count(recorded), 5);
}

/// A session that idled out is refused, with its token and with its cookie; one that is used goes on.
#[tokio::test]
async fn an_idle_session_is_refused() {
    let (deployment, host) = start(&iam_tests::scenarios::configuration());
    let setup = &deployment.setup;
    let client = deployment.client();
    let token = client.login(&setup.username, &setup.password).await.expect(200);
    let body = json!({"username": setup.username, "password": setup.password});
    let browser = client.post("/api/v1/sessions", &body).await.expect(201);
    let cookie = browser.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let both = || async {
        let with_token = client.with(token.text_at("/access_token")).get("/api/v1/auth/me").await;
        let request = client.request(reqwest::Method::GET, "/api/v1/auth/me").header("cookie", &cookie);
        [with_token.status, client.send(request).await.status]
    };
    let idle_for = |duration: Duration| {
        let since = iam_edge::now().before(duration).as_millis();
        host.apply(&format!("UPDATE sessions SET last_activity = {since}")).unwrap();
    };
    idle_for(Duration::from_seconds(29 * 60));
    assert_eq!(both().await, [200, 200]);
    host.settle().await;
    let noted = "SELECT COUNT(*) AS count FROM sessions WHERE last_activity > created_at - 60000";
    assert_eq!(deployment.count(noted), 2);
    idle_for(Duration::from_seconds(30 * 60));
    assert_eq!(both().await, [401, 401]);
}

/// A password beyond its age opens nothing but the way to change it.
#[tokio::test]
async fn an_old_password_has_to_be_changed() {
    let (deployment, host) = start(&iam_tests::scenarios::configuration());
    let setup = &deployment.setup;
    let set = |days: i64| {
        let at = iam_edge::now().before(Duration::from_days(days)).as_millis();
        host.apply(&format!("UPDATE users SET password_changed_at = {at}")).unwrap();
    };
    set(89);
    deployment.client().login(&setup.username, &setup.password).await.expect(200);
    set(91);
    let client = deployment.client();
    client.login(&setup.username, "Wr0ng-guess!").await.expect_problem(401, "invalid_credentials");
    let expired =
        client.login(&setup.username, &setup.password).await.expect_problem(403, "password_expired");
    // Whoever knew the password can set another one, once.
    let confirm = json!({"token": expired.text_at("/reset_token"), "new_password": "plume-Anvil-7-quartz"});
    let path = "/api/v1/auth/password/reset/confirm";
    client.post(path, &confirm).await.expect(204);
    client.login(&setup.username, "plume-Anvil-7-quartz").await.expect(200);
    client.post(path, &confirm).await.expect_problem(401, "invalid_reset_token");
}

/// Whatever is wrong: the same answer, after the same statements.
#[tokio::test]
async fn failures_are_told_apart_by_nothing() {
    let suspended = "UPDATE users SET status = 'suspended'";
    let states = [
        ("a wrong password", "", "Wr0ng-guess!"),
        ("a suspended user", suspended, ""),
        ("a locked user", "UPDATE users SET status = 'locked'", ""),
        ("no such user", "UPDATE users SET username_key = 'somebody else'", ""),
        ("a deleted user", "UPDATE users SET deleted_at = 1", ""),
        ("no password", "UPDATE users SET password_hash = NULL", ""),
        ("an unusable hash", "UPDATE users SET password_hash = '{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M='", ""),
    ];
    let mut expected: Option<(Told, BTreeSet<String>)> = None;
    for (what, change, password) in states {
        let (deployment, host) = start(&iam_tests::scenarios::configuration());
        host.apply(change).unwrap();
        let password = if password.is_empty() { deployment.setup.password.as_str() } else { password };
        let answer = deployment.client().login(&deployment.setup.username, password).await;
        let told = (
            told(answer.expect_problem(401, "invalid_credentials")),
            host.plans().into_keys().collect::<BTreeSet<_>>(),
        );
        assert_eq!(&told, expected.get_or_insert_with(|| told.clone()), "{what}");
    }
}

/// The body and the headers of an answer.
type Told = (Value, Vec<(String, String)>);

/// An answer without what belongs to its moment.
fn told(answer: Answer) -> Told {
    let mut body = answer.json;
    body["request_id"] = Value::Null;
    let moment = ["date", "x-request-id", "content-length"];
    let headers = answer.headers.iter().filter(|(name, _)| !moment.contains(&name.as_str()));
    (body, headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect())
}
