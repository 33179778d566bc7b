//! Vaults that are down, slow or lying. In front of them stands one of our own, which says what it is told
//! to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use serde_json::{Value, json};

use super::{ADMIN, READ, ask, master_key, sign_in, start};

/// What it does with a request: status, body, and after how long.
type Say = dyn Fn(&str, &Value) -> (u16, String, Duration) + Send + Sync;

/// A Vault of ours.
pub(super) struct Stand {
    pub(super) address: String,
    say: Arc<Mutex<Arc<Say>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stand {
    pub(super) fn start(say: impl Fn(&str) -> (u16, String, Duration) + Send + Sync + 'static) -> Self {
        Self::reading(move |path, _| say(path))
    }

    /// One that reads what it is sent.
    pub(super) fn reading(
        say: impl Fn(&str, &Value) -> (u16, String, Duration) + Send + Sync + 'static,
    ) -> Self {
        let (sender, started) = std::sync::mpsc::channel();
        let say: Arc<Mutex<Arc<Say>>> = Arc::new(Mutex::new(Arc::new(say)));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (said, noted) = (Arc::clone(&say), Arc::clone(&asked));
        std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                let handler = axum::Router::new().fallback(move |request: Request<Body>| {
                    let path = request.uri().path().to_owned();
                    noted.lock().unwrap().push(path.clone());
                    let say = said.lock().unwrap().clone();
                    async move {
                        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        let (status, body, pause) = say(&path, &body);
                        tokio::time::sleep(pause).await;
                        Response::builder().status(status).body(Body::from(body)).unwrap()
                    }
                });
                axum::serve(listener, handler).await.unwrap();
            });
        });
        Self { address: format!("http://{}", started.recv().unwrap()), say, asked }
    }

    fn now_says(&self, say: impl Fn(&str) -> (u16, String, Duration) + Send + Sync + 'static) {
        *self.say.lock().unwrap() = Arc::new(move |path: &str, _: &Value| say(path));
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

pub(super) fn now(status: u16, body: &Value) -> (u16, String, Duration) {
    (status, body.to_string(), Duration::ZERO)
}

/// As a Vault answers that holds these secrets.
pub(super) fn honest(data: Value) -> impl Fn(&str) -> (u16, String, Duration) + Send + Sync + 'static {
    move |path: &str| {
        let metadata = json!({"version": 1, "created_time": "2026-11-01T00:00:00Z", "deletion_time": "",
            "destroyed": false});
        now(
            200,
            &match path {
                "/v1/auth/token/lookup-self" => json!({"data": {"ttl": 0, "renewable": false}}),
                "/v1/sys/health" => {
                    json!({"initialized": true, "sealed": false, "standby": false, "version": "2.7"})
                }
                _ => json!({"data": {"data": data, "metadata": metadata}}),
            },
        )
    }
}

pub(super) fn secrets(address: &str, order: &[&str]) -> Value {
    json!({"order": order, "max_age": "1s", "max_stale": "1h",
        "vault": {"address": address, "auth": "token", "timeout": "1s"}})
}

pub(super) const TOKEN: (&str, &str) = ("IAM_VAULT_TOKEN", "s.token");

/// A name, an address, and what was asked there.
type Hostile = (&'static str, String, Arc<Mutex<Vec<String>>>);

fn milliseconds_since(moment: iam_core::time::Timestamp) -> i64 {
    iam_edge::now().as_millis() - moment.as_millis()
}

fn hostile_vaults() -> Vec<Hostile> {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut vaults = vec![("unreachable", (format!("http://{closed}"), Arc::default()))];
    let lie = |say: fn(&str) -> (u16, String, Duration)| {
        let stand = Stand::start(say);
        (stand.address, stand.asked)
    };
    vaults.extend([
        ("hangs", lie(|_| (200, "{}".to_owned(), Duration::from_secs(60)))),
        ("sealed", lie(|_| now(503, &json!({"errors": ["Vault is sealed"]})))),
        ("a page", lie(|_| (200, "<html><title>Sign in</title></html>".to_owned(), Duration::ZERO))),
        ("a page with 404", lie(|_| (404, "<html>not found</html>".to_owned(), Duration::ZERO))),
        (
            "no such engine",
            lie(|path| match path {
                "/v1/auth/token/lookup-self" => now(200, &json!({"data": {"ttl": 0, "renewable": false}})),
                "/v1/sys/health" => now(
                    200,
                    &json!({"initialized": true, "sealed": false, "standby": false, "version": "2.7"}),
                ),
                _ => now(404, &json!({"errors": ["no handler for route \"secret/data/x\""]})),
            }),
        ),
        ("redirects", lie(|_| (307, String::new(), Duration::ZERO))),
        ("huge", lie(|_| (200, format!("{{\"data\": \"{}\"}}", "x".repeat(2 << 20)), Duration::ZERO))),
        ("empty", lie(|_| (200, String::new(), Duration::ZERO))),
        ("overloaded", lie(|_| now(429, &json!({"errors": ["request limit"]})))),
        ("broken", lie(|_| now(500, &json!({"errors": ["internal error"]})))),
        (
            "wrong types",
            lie(|path| match path {
                "/v1/auth/token/lookup-self" => now(200, &json!({"data": {"ttl": 0, "renewable": false}})),
                _ => now(
                    200,
                    &json!({"data": {"data": {"IAM_MASTER_KEY": {"a": 1}}, "metadata": {"version": 1}}}),
                ),
            }),
        ),
        (
            "version one",
            lie(|path| match path {
                "/v1/auth/token/lookup-self" => now(200, &json!({"data": {"ttl": 0, "renewable": false}})),
                _ => now(200, &json!({"data": {"IAM_MASTER_KEY": "a text"}, "lease_duration": 2_764_800})),
            }),
        ),
        ("a bad token", lie(|_| now(403, &json!({"errors": ["permission denied"]})))),
    ]);
    vaults.into_iter().map(|(name, (address, asked))| (name, address, asked)).collect()
}

#[tokio::test]
async fn a_bad_vault_gives_way_to_the_next_store() {
    let key = master_key();
    for (name, address, asked) in hostile_vaults() {
        let (deployment, _) =
            start(&secrets(&address, &["vault", "host"]), &[("IAM_MASTER_KEY", &key), TOKEN]);
        let began = iam_edge::now();
        sign_in(&deployment).await.expect(200);
        assert!(milliseconds_since(began) < 3_000, "{name}: {} ms", milliseconds_since(began));
        // Not asked again at once.
        let before = asked.lock().unwrap().len();
        sign_in(&deployment).await.expect(200);
        assert_eq!(asked.lock().unwrap().len(), before, "{name}");
        deployment.check().await;
    }
}

#[tokio::test]
async fn where_nothing_else_has_it_the_answer_is_503() {
    for (name, address, _) in hostile_vaults() {
        let (deployment, host) = start(&secrets(&address, &["host", "vault"]), &[TOKEN]);
        let began = iam_edge::now();
        let answer = sign_in(&deployment).await.expect_problem(503, "secrets_unavailable");
        assert!(milliseconds_since(began) < 3_000, "{name}: {} ms", milliseconds_since(began));
        assert_eq!(answer.headers["retry-after"], "5", "{name}");
        assert!(!answer.text.contains(&address) && !answer.text.to_lowercase().contains("vault"), "{name}");
        deployment.client().get("/health").await.expect(200);
        let (status, problem, retry) =
            ask(&deployment, &host, READ, &json!({"names": ["IAM_MASTER_KEY"]})).await;
        if name == "a bad token" {
            assert_eq!((status, &problem["code"]), (403, &json!("vault_denied")));
        } else {
            assert_eq!(
                (status, &problem["code"], retry.as_deref()),
                (503, &json!("vault_unavailable"), Some("5")),
                "{name}"
            );
        }
        assert!(!host.take_log().join("\n").contains(TOKEN.1));
    }
}

/// On Spin every request would wait for it.
#[tokio::test]
async fn whose_master_key_is_in_the_host_never_asks_the_vault_for_the_previous_one() {
    let (current, previous) = (master_key(), master_key());
    let stand = Stand::start(honest(json!({"IAM_MASTER_KEY_PREVIOUS": previous})));
    let (deployment, host) =
        start(&secrets(&stand.address, &["host", "vault"]), &[("IAM_MASTER_KEY", &current), TOKEN]);
    sign_in(&deployment).await.expect(200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let signed_in = sign_in(&deployment).await.expect(200);
    assert_eq!(stand.asked(), 0);
    // Nor is another store's used, and the list says so.
    let admin = deployment.client().with(signed_in.text_at("/access_token"));
    let listed = admin.get(ADMIN).await.expect(200);
    let names = listed.json["secrets"].as_array().unwrap();
    let of = names.iter().find(|secret| secret["name"] == "IAM_MASTER_KEY_PREVIOUS").unwrap();
    assert_eq!(of["store"], Value::Null, "{of}");
    assert_eq!(admin.get("/api/v1/keyring").await.expect(200).text_at("/previous_master_key"), "absent");
    host.set_variable("IAM_MASTER_KEY_PREVIOUS", &previous);
    iam_tests::native::restart(&host, &[], &[]);
    assert_ne!(admin.get("/api/v1/keyring").await.expect(200).text_at("/previous_master_key"), "absent");
    deployment.check().await;
}

/// One secret whose ciphertext the Vault refuses is no reason to take the others for unreachable.
#[tokio::test]
async fn a_ciphertext_that_is_refused_marks_nothing_else() {
    let key = master_key();
    let given = key.clone();
    let stand = Stand::reading(move |path, body| match path {
        "/v1/transit/decrypt/edge-iam" if body["ciphertext"] == "vault:v1:good" => {
            let plain = base64::engine::Engine::encode(&base64::engine::general_purpose::STANDARD, &given);
            now(200, &json!({"data": {"plaintext": plain}}))
        }
        "/v1/transit/decrypt/edge-iam" => now(400, &json!({"errors": ["invalid ciphertext"]})),
        path => honest(json!({}))(path),
    });
    let mut configuration = secrets(&stand.address, &["host", "vault"]);
    configuration["vault"]["transit_key"] = json!("edge-iam");
    let (deployment, _) = start(
        &configuration,
        &[TOKEN, ("IAM_MASTER_KEY_PREVIOUS", "vault:v1:bad"), ("IAM_MASTER_KEY", "vault:v1:good")],
    );
    sign_in(&deployment).await.expect(200);
    let asked = stand.asked();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    sign_in(&deployment).await.expect(200);
    assert!(stand.asked() <= asked + 4, "{} questions", stand.asked());
    deployment.check().await;
}

#[tokio::test]
async fn what_the_vault_said_last_outlives_it() {
    let (vaults, hosts) = (master_key(), master_key());
    let stand = Stand::start(honest(json!({"IAM_MASTER_KEY": vaults})));
    let (deployment, host) =
        start(&secrets(&stand.address, &["vault", "host"]), &[("IAM_MASTER_KEY", &hosts), TOKEN]);
    let token = sign_in(&deployment).await.expect(200);
    let asked = stand.asked();
    for _ in 0..3 {
        sign_in(&deployment).await.expect(200);
    }
    let under = |deployment: &iam_tests::Deployment| {
        deployment.count("SELECT COUNT(DISTINCT substr(sealed_private_key, 4, 8)) AS count FROM signing_keys")
    };
    assert!(stand.asked() <= asked + 4, "{} questions", stand.asked());
    stand.now_says(|_| now(503, &json!({"errors": ["Vault is sealed"]})));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // The host's is another key: what is sealed would not open under it.
    sign_in(&deployment).await.expect(200);
    assert_eq!(under(&deployment), 1);
    deployment.client().with(token.text_at("/access_token")).get("/api/v1/auth/me").await.expect(200);
    // An instance that comes only now knows nothing of it, and the other key opens nothing.
    iam_tests::native::restart(&host, &[], &[]);
    assert_eq!(sign_in(&deployment).await.status, 500);
    stand.now_says(honest(json!({"IAM_MASTER_KEY": vaults})));
    iam_tests::native::restart(&host, &[], &[]);
    sign_in(&deployment).await.expect(200);
    deployment.check().await;
}

#[tokio::test]
async fn a_key_that_is_rotated_in_the_vault_breaks_nothing() {
    let (first, second) = (master_key(), master_key());
    let stand = Stand::start(honest(json!({"IAM_MASTER_KEY": first})));
    let (deployment, _) = start(&secrets(&stand.address, &["vault"]), &[TOKEN]);
    let signed_in = sign_in(&deployment).await.expect(200);
    let admin = deployment.client().with(signed_in.text_at("/access_token"));
    // Announced, while it only opens; then the two change places.
    for (current, previous) in [(&first, &second), (&second, &first)] {
        stand.now_says(honest(json!({"IAM_MASTER_KEY": current, "IAM_MASTER_KEY_PREVIOUS": previous})));
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        sign_in(&deployment).await.expect(200);
    }
    deployment.internal().post("/internal/scheduled/reseal", &json!({})).await.expect(204);
    let keyring = admin.get("/api/v1/keyring").await.expect(200);
    assert_eq!(keyring.json["keys"][0]["sealed_under_current_master"], true);
    stand.now_says(honest(json!({"IAM_MASTER_KEY": second})));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    sign_in(&deployment).await.expect(200);
    // A text that is none keeps nobody from working with the one before.
    stand.now_says(honest(json!({"IAM_MASTER_KEY": "a slip of the hand"})));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    sign_in(&deployment).await.expect(200);
    deployment.check().await;
}

#[tokio::test]
async fn the_view_says_what_is_wrong() {
    let key = master_key();
    let words = [
        ("unreachable", "unreachable"),
        ("hangs", "timeout"),
        ("a page", "lying"),
        ("huge", "lying"),
        ("no such engine", "misconfigured"),
        ("wrong types", "lying"),
        ("a bad token", "denied"),
    ];
    for (name, address, _) in hostile_vaults() {
        let Some((_, word)) = words.iter().find(|(known, _)| *known == name) else { continue };
        let (deployment, _) =
            start(&secrets(&address, &["host", "vault"]), &[("IAM_MASTER_KEY", &key), TOKEN]);
        let admin = deployment.administrator().await;
        let listed = admin.get(ADMIN).await.expect(200);
        assert_eq!(listed.json["stores"][0]["status"], "healthy");
        let vault = &listed.json["stores"][1];
        assert_eq!((&vault["status"], &vault["problem"]), (&json!("unhealthy"), &json!(word)), "{name}");
        assert!(!listed.text.contains(&key) && !listed.text.contains(TOKEN.1), "{name}");
        deployment.check().await;
    }
}

#[tokio::test]
async fn only_good_questions_are_asked() {
    let stand = Stand::start(honest(json!({"IAM_VAULT_TOKEN": "no", "IAM_INTERNAL_TOKEN": "no", "A": "b"})));
    let (deployment, host) = start(&secrets(&stand.address, &["host", "vault"]), &[TOKEN]);
    for (path, body) in [
        (READ, json!({"names": []})),
        (READ, json!({"names": ["../a"]})),
        (READ, json!({"names": ["IAM_VAULT_TOKEN"]})),
        (READ, json!({"names": ["IAM_INTERNAL_TOKEN"]})),
        (READ, json!({"names": vec!["A"; 33]})),
        ("/internal/secrets/write", json!({"mount": "sys", "path": "a", "data": {"a": "b"}})),
        ("/internal/secrets/write", json!({"mount": "auth/token", "path": "a", "data": {"a": "b"}})),
        ("/internal/secrets/write", json!({"mount": "secret", "path": "../sys", "data": {"a": "b"}})),
        ("/internal/secrets/write", json!({"mount": "secret", "path": "a%2fb", "data": {"a": "b"}})),
        (
            "/internal/secrets/write",
            json!({"mount": "secret", "path": "edge-iam/secrets", "data": {"a": "b"}}),
        ),
        (
            "/internal/secrets/write",
            json!({"mount": "secret", "path": "edge-iam/secrets/a", "data": {"a": "b"}}),
        ),
        ("/internal/secrets/write", json!({"mount": "secret", "path": "a", "data": {}})),
        (
            "/internal/secrets/write",
            json!({"mount": "secret", "path": "a", "data": {"a": "x".repeat(40_000)}}),
        ),
        ("/internal/secrets/decrypt", json!({"ciphertext": "vault:v1:abc"})),
    ] {
        let (status, problem, _) = ask(&deployment, &host, path, &body).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_field")), "{path} {body}");
    }
    assert_eq!(stand.asked(), 0);
    let (status, answer, _) = ask(&deployment, &host, READ, &json!({"names": ["A", "B"]})).await;
    assert_eq!((status, answer), (200, json!({"secrets": {"A": "b"}})));
}
