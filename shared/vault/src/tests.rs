use std::collections::VecDeque;
use std::future::Future;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use iam_core::time::{Duration, Timestamp};
use iam_edge::{FetchError, FetchLimits};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::auth::{Session, Step, Token, look_up, renew};
use crate::client::{Client, Transport};
use crate::engines::{Ciphertext, decrypt, encrypt, health, issue, rewrap};
use crate::error::VaultError;
use crate::question::{Server, is_mount, is_path};
use crate::{Login, SecretText, kv};

type Exchanged = Result<Response<Bytes>, FetchError>;

/// A Vault that says what it was told to, each answer after so many milliseconds.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<(i64, Exchanged)>>,
    asked: Mutex<Vec<(Request<Bytes>, FetchLimits)>>,
    now: Mutex<i64>,
}

impl Script {
    fn then(self, status: u16, body: Value) -> Self {
        self.after(10, status, body)
    }

    fn after(self, milliseconds: i64, status: u16, body: Value) -> Self {
        self.answers.lock().unwrap().push_back((milliseconds, Ok(answer(status, &body.to_string()))));
        self
    }

    fn failing(self, error: FetchError) -> Self {
        self.answers.lock().unwrap().push_back((10, Err(error)));
        self
    }

    fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(request, _)| request.uri().path().to_owned()).collect()
    }

    fn header(&self, index: usize, name: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        asked[index].0.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

impl Transport for Script {
    fn send(
        &self,
        request: Request<Bytes>,
        limits: FetchLimits,
    ) -> impl Future<Output = Result<Response<Bytes>, FetchError>> + Send {
        self.asked.lock().unwrap().push((request, limits));
        let (milliseconds, answer) =
            self.answers.lock().unwrap().pop_front().expect("nobody asks that often");
        let timeout = i64::from(limits.timeout_ms);
        *self.now.lock().unwrap() += milliseconds.min(timeout);
        std::future::ready(if milliseconds > timeout { Err(FetchError::Timeout) } else { answer })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(*self.now.lock().unwrap())
    }
}

fn answer(status: u16, body: &str) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

fn client() -> Client {
    let server = Server::new("https://vault.example.com:8200", Some("teams/iam")).unwrap();
    Client::new(server, Duration::from_seconds(2))
}

fn role() -> Login {
    Login::AppRole {
        mount: "approle".to_owned(),
        role_id: "role".to_owned(),
        secret_id: SecretText::new("the secret id".to_owned()),
    }
}

fn auth(token: &str, seconds: i64, renewable: bool) -> Value {
    json!({"auth": {"client_token": token, "lease_duration": seconds, "renewable": renewable}})
}

fn metadata(version: u64) -> Value {
    let created = "2026-11-23T08:16:17.804780245Z";
    json!({"version": version, "created_time": created, "deletion_time": "", "destroyed": false})
}

fn secret() -> Value {
    json!({"data": {"data": {"A": "a value"}, "metadata": metadata(3)}})
}

#[tokio::test]
async fn logs_in_once_and_asks() {
    let script =
        Script::default().then(200, auth("s.one", 3600, true)).then(200, secret()).then(200, secret());
    let (client, question) = (client(), kv::read("secret", "edge-iam/secrets").unwrap());
    for _ in 0..2 {
        let found = client.ask(&script, &role(), &question).await.unwrap().unwrap();
        assert_eq!(found.data.unwrap()["A"].expose(), "a value");
        assert_eq!(found.version.version, 3);
        assert_eq!(found.version.created_at.to_string(), "2026-11-23T08:16:17Z");
    }
    let paths = ["/v1/auth/approle/login", "/v1/secret/data/edge-iam/secrets"];
    assert_eq!(script.paths(), [paths[0], paths[1], paths[1]]);
    assert_eq!(script.header(0, "x-vault-token"), None);
    assert_eq!(script.header(0, "x-vault-namespace").unwrap(), "teams/iam");
    assert_eq!(script.header(1, "x-vault-token").unwrap(), "s.one");
    assert_eq!(script.header(1, "x-vault-request").unwrap(), "true");
    let printed = format!("{:?}", script.asked.lock().unwrap()[1].0.headers());
    assert!(!printed.contains("s.one"), "{printed}");
}

#[tokio::test]
async fn renews_before_the_lease_ends_and_logs_in_where_that_is_refused() {
    let script = Script::default()
        .then(200, auth("s.one", 60, true))
        .then(200, secret())
        .then(200, auth("s.one", 60, true))
        .then(200, secret())
        .then(403, json!({"errors": ["permission denied"]}))
        .then(200, auth("s.two", 60, false))
        .then(200, secret())
        .then(200, auth("s.three", 60, false))
        .then(200, secret());
    let (client, question) = (client(), kv::read("secret", "a").unwrap());
    for (moment, token) in [(0, "s.one"), (45_000, "s.one"), (90_000, "s.two"), (160_000, "s.three")] {
        *script.now.lock().unwrap() = moment;
        client.ask(&script, &role(), &question).await.unwrap();
        let last = script.paths().len() - 1;
        assert_eq!(script.header(last, "x-vault-token").unwrap(), token);
    }
    assert_eq!(script.paths()[2], "/v1/auth/token/renew-self");
    assert_eq!(script.paths()[4], "/v1/auth/token/renew-self");
    assert_eq!(script.paths().len(), 9);
}

#[tokio::test]
async fn a_renewal_that_fails_for_the_moment_costs_nobody_the_token() {
    let script = Script::default()
        .then(200, auth("s.one", 60, true))
        .then(200, secret())
        .then(502, json!({}))
        .then(200, secret());
    let (client, question) = (client(), kv::read("secret", "a").unwrap());
    for moment in [0, 45_000] {
        *script.now.lock().unwrap() = moment;
        client.ask(&script, &role(), &question).await.unwrap();
    }
    assert_eq!(script.header(3, "x-vault-token").unwrap(), "s.one");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once_and_a_policy_denies_at_once() {
    let denied = || json!({"errors": ["permission denied"]});
    let script = Script::default()
        .then(200, auth("s.one", 0, false))
        .then(403, denied())
        .then(403, denied())
        .then(200, auth("s.two", 0, false))
        .then(200, secret())
        .then(403, denied())
        .then(200, auth("s.three", 0, false))
        .then(403, denied());
    let (client, question) = (client(), kv::read("secret", "a").unwrap());
    // Fresh from the login: no second one.
    assert_eq!(client.ask(&script, &role(), &question).await, Err(VaultError::Denied));
    *script.now.lock().unwrap() = 60_000;
    assert!(client.ask(&script, &role(), &question).await.is_ok());
    *script.now.lock().unwrap() = 120_000;
    assert_eq!(client.ask(&script, &role(), &question).await, Err(VaultError::Denied));
    assert_eq!(script.paths().len(), 8);
}

#[tokio::test]
async fn a_token_is_looked_up_and_one_that_was_replaced_forgotten() {
    let lookup = || json!({"data": {"ttl": 0, "renewable": false}});
    let script = Script::default()
        .then(200, lookup())
        .then(200, secret())
        .then(200, secret())
        .then(200, lookup())
        .then(200, secret());
    let (client, question) = (client(), kv::read("secret", "a").unwrap());
    for given in ["one", "one", "two"] {
        let login = Login::Token(SecretText::new(given.to_owned()));
        client.ask(&script, &login, &question).await.unwrap();
    }
    assert_eq!(script.header(4, "x-vault-token").unwrap(), "two");
}

#[tokio::test]
async fn everything_together_ends_in_time() {
    let slow = Script::default().after(1_500, 200, auth("s.one", 60, true)).after(1_500, 200, secret());
    let question = kv::read("secret", "a").unwrap();
    assert_eq!(client().ask(&slow, &role(), &question).await, Err(VaultError::Timeout));
    assert_eq!(*slow.now.lock().unwrap(), 2_000);
    let hung = Script::default().failing(FetchError::Timeout);
    assert_eq!(client().ask(&hung, &role(), &question).await, Err(VaultError::Timeout));
    let huge = Script::default().failing(FetchError::TooLarge);
    assert!(matches!(client().ask(&huge, &role(), &question).await, Err(VaultError::Lying(_))));
    let limits = huge.asked.lock().unwrap()[0].1;
    assert_eq!(limits.max_response_bytes, crate::MAX_ANSWER_BYTES);
    let gone = Script::default().failing(FetchError::Unreachable("refused".to_owned()));
    assert!(client().ask(&gone, &role(), &question).await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_namespace_that_is_none_is_no_bad_credential() {
    for login in [role(), Login::Token(SecretText::new("s.given".to_owned()))] {
        let script = Script::default().then(404, json!({"errors": ["namespace not found"]}));
        let question = kv::read("secret", "a").unwrap();
        assert_eq!(client().ask(&script, &login, &question).await, Err(VaultError::NoEngine));
    }
}

#[tokio::test]
async fn bad_credentials_are_denied() {
    for status in [400, 403] {
        let script = Script::default().then(status, json!({"errors": ["invalid role or secret ID"]}));
        let question = kv::read("secret", "a").unwrap();
        assert_eq!(client().ask(&script, &role(), &question).await, Err(VaultError::Denied));
    }
}

#[test]
fn statuses_are_sorted() {
    let question = kv::write("secret", "a", &json!({"A": "b"}), Some(2)).unwrap();
    for (status, body, error) in [
        (
            400,
            r#"{"errors":["check-and-set parameter did not match the current version"]}"#,
            VaultError::OutOfDate,
        ),
        (400, r#"{"errors":["no"]}"#, VaultError::Refused(400)),
        (403, r#"{"errors":["permission denied"]}"#, VaultError::Denied),
        (404, r#"{"errors":[]}"#, VaultError::Absent),
        (404, "<html>", VaultError::Lying("404 from somebody else")),
        (429, "", VaultError::Busy(429)),
        (307, "", VaultError::Busy(307)),
        (502, "<html>", VaultError::Busy(502)),
        (503, r#"{"errors":["Vault is sealed"]}"#, VaultError::Sealed),
        (200, "<html>", VaultError::Lying("a body of another form")),
        (226, "{}", VaultError::Lying("a status that the API does not know")),
    ] {
        assert_eq!(question.read(&answer(status, body)).unwrap_err(), error, "{status} {body}");
    }
}

#[test]
fn lies_are_named() {
    let read = kv::read("secret", "a").unwrap();
    let with = |change: fn(&mut Value)| {
        let mut body = secret();
        change(&mut body);
        read.read(&answer(200, &body.to_string()))
    };
    assert!(with(|_| {}).is_ok());
    let lies: [fn(&mut Value); 9] = [
        |body| body["data"]["metadata"]["version"] = json!(0),
        |body| body["data"]["metadata"]["version"] = json!("3"),
        |body| body["data"]["metadata"]["version"] = json!(-1),
        |body| body["data"]["metadata"]["created_time"] = json!("yesterday"),
        |body| body["data"]["metadata"]["destroyed"] = json!(true),
        |body| body["data"]["data"] = json!(null),
        |body| body["data"]["data"] = json!({"A": 5}),
        |body| body["data"]["data"] = json!(["A"]),
        |body| *body = json!({"data": {"A": "version one of the engine"}}),
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        assert!(matches!(with(lie), Err(VaultError::Lying(_))), "{index}");
    }
    assert!(matches!(
        renew().unwrap().read(&answer(200, &auth("", 1, true).to_string())),
        Err(VaultError::Lying(_))
    ));
    for token in ["a b", "a\nb", "\u{e9}", &"a".repeat(5000)] {
        let body = auth(token, 1, true).to_string();
        assert!(matches!(renew().unwrap().read(&answer(200, &body)), Err(VaultError::Lying(_))));
    }
    for ttl in [json!(-1), json!("1h"), json!(i64::MAX)] {
        let body = json!({"data": {"ttl": ttl, "renewable": true}}).to_string();
        assert!(matches!(look_up().read(&answer(200, &body)), Err(VaultError::Lying(_))));
    }
    let sealed = Ciphertext::parse("vault:v1:abc").unwrap();
    let open = decrypt("transit", "k", &sealed).unwrap();
    assert!(matches!(open.read(&answer(200, r#"{"data":{"plaintext":"%%"}}"#)), Err(VaultError::Lying(_))));
    let again = rewrap("transit", "k", &sealed).unwrap();
    assert!(matches!(
        again.read(&answer(200, r#"{"data":{"ciphertext":"plain"}}"#)),
        Err(VaultError::Lying(_))
    ));
    let cut = json!({"data": {
        "certificate": "-----BEGIN CERTIFICATE-----", "issuing_ca": "-----BEGIN \
         CERTIFICATE-----", "ca_chain": [],
        "private_key": "none", "private_key_type": "ec", "serial_number": "1", "expiration": 1,
    }});
    let certificate = issue("pki", "edge", "a.example.com", &[], 60).unwrap();
    assert!(matches!(certificate.read(&answer(200, &cut.to_string())), Err(VaultError::Lying(_))));
    assert!(matches!(health().read(&answer(200, r#"{"sealed":"no"}"#)), Err(VaultError::Lying(_))));
}

#[test]
fn absent_and_deleted_secrets_are_told_apart() {
    let read = kv::read("secret", "a").unwrap();
    assert_eq!(read.read(&answer(404, r#"{"errors":[]}"#)), Ok(None));
    for missing in [
        r#"{"errors":["no handler for route \"nowhere/data/a\". route entry not found."]}"#,
        r#"{"errors":["namespace not found"]}"#,
        r#"{"errors":null}"#,
        r#"{"data":{}}"#,
    ] {
        assert_eq!(read.read(&answer(404, missing)), Err(VaultError::NoEngine), "{missing}");
    }
    let mut body = json!({"data": {"data": null, "metadata": metadata(2)}});
    body["data"]["metadata"]["deletion_time"] = json!("2026-11-23T09:00:00Z");
    let deleted = read.read(&answer(404, &body.to_string())).unwrap().unwrap();
    assert_eq!((deleted.data, deleted.version.version), (None, 2));
    assert!(deleted.version.deleted_at.is_some());
}

#[test]
fn mounts_and_paths_stay_where_they_are() {
    for good in ["secret", "a/b", "a.b/c_d-e", "..a/b"] {
        assert!(is_path(good) && is_mount(good), "{good}");
    }
    for bad in [
        "", "/", "/a", "a/", "a//b", "..", "a/../b", "a/./b", "a b", "a?b", "a#b", "a%2fb", "a\\b", "a\nb",
        "\u{e9}",
    ] {
        assert!(!is_path(bad), "{bad}");
        assert!(kv::read("secret", bad).is_err() && kv::read(bad, "a").is_err());
        assert!(encrypt("transit", bad, b"").is_err() && encrypt(bad, "k", b"").is_err());
    }
    for own in ["sys", "sys/raw", "auth/token", "identity", "cubbyhole", "team/sys/raw", "team/auth"] {
        assert!(!is_mount(own), "{own}");
    }
    for bad in ["", "vault", "ftp://a", "https://"] {
        assert!(Server::new(bad, None).is_err(), "{bad}");
    }
    assert!(Server::new("https://a", Some("a b")).is_err());
}

#[test]
fn ciphertexts_are_read() {
    assert_eq!(Ciphertext::parse("vault:v12:abc").unwrap().key_version(), 12);
    for bad in [
        "",
        "vault:",
        "vault:v:abc",
        "vault:v1:",
        "vault:v01:a",
        "vault:v1",
        "vault:v1:a b",
        "v1.a.b",
        "vault:v99999999999:a",
    ] {
        assert!(Ciphertext::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let text = SecretText::new("hunter2".to_owned());
    let login = Login::Token(text.clone());
    let token = Token { token: text, lease: Duration::from_seconds(1), renewable: true };
    assert!(!format!("{login:?}{token:?}").contains("hunter2"));
}

fn bodies() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("vault:v1:abc")),
        Just(json!("2026-11-23T08:16:17Z")),
    ];
    let name = prop_oneof![
        Just("data"),
        Just("metadata"),
        Just("auth"),
        Just("client_token"),
        Just("lease_duration"),
        Just("renewable"),
        Just("version"),
        Just("created_time"),
        Just("deletion_time"),
        Just("destroyed"),
        Just("ciphertext"),
        Just("plaintext"),
        Just("ttl"),
        Just("errors"),
    ];
    let json = leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    prop_oneof![json.prop_map(|value| value.to_string()), "\\PC{0,40}"]
}

proptest! {
    /// Whatever comes, it is read or named; what is read keeps the API's promises.
    #[test]
    fn no_answer_breaks_anything(status in 200u16..600, body in bodies()) {
        let answer = answer(status, &body);
        if let Ok(Some(secret)) = kv::read("secret", "a").unwrap().read(&answer) {
            prop_assert!(secret.version.version >= 1);
        }
        if let Ok(token) = renew().unwrap().read(&answer) {
            prop_assert!(!token.token.expose().is_empty() && token.lease.as_seconds() >= 0);
        }
        let sealed = Ciphertext::parse("vault:v1:abc").unwrap();
        if let Ok(text) = rewrap("transit", "k", &sealed).unwrap().read(&answer) {
            prop_assert!(Ciphertext::parse(text.as_str()).is_ok());
        }
        let decrypt = decrypt("transit", "k", &sealed).unwrap();
        let _ = (decrypt.read(&answer), look_up().read(&answer), health().read(&answer));
        let write = kv::write("secret", "a", &json!({}), None).unwrap();
        let issue = issue("pki", "r", "c", &[], 1).unwrap();
        let _ = (write.read(&answer), issue.read(&answer));
    }

    /// A session is never used past its end, and one for ever is never given up.
    #[test]
    fn leases_are_kept(lease in 0i64..100_000, renewable: bool, age_ms in -5_000i64..200_000_000) {
        let life = Duration::from_seconds(lease);
        let token = Token { token: SecretText::new("t".to_owned()), lease: life, renewable };
        let session = Session { token, since: Timestamp::from_millis(1_000_000_000) };
        let step = session.step(Timestamp::from_millis(1_000_000_000 + age_ms));
        if lease == 0 {
            prop_assert_eq!(step, Step::Use);
        } else if age_ms >= lease * 1000 - 1000 {
            prop_assert_eq!(step, Step::LogIn);
        } else if age_ms >= 0 && age_ms < lease * 1000 / 2 {
            prop_assert_eq!(step, Step::Use);
        }
        if step == Step::Renew {
            prop_assert!(renewable);
        }
    }
}
