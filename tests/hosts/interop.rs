//! Tokens of ours read by other software, and assertions that other software made: npm's `jose` and PyPI's
//! PyJWT.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use iam_edge::native::TestHost;
use iam_tests::Deployment;
use iam_tests::deployment::Setup;
use iam_tests::hosts::root;
use iam_tests::scenarios::oauth::{algorithms, service_accounts};
use serde_json::{Value, json};

const ISSUER: &str = "cronos-auth";

/// Another's implementation of JOSE, as a program.
#[derive(Clone, Copy, Debug)]
enum Library {
    Jose,
    PyJwt,
}

const LIBRARIES: [Library; 2] = [Library::Jose, Library::PyJwt];

impl Library {
    /// Asks for several things at once; each comes to `Ok` or `Err` with what the library says.
    fn ask(self, requests: &Value) -> Vec<Result<Value, String>> {
        let (program, script) = match self {
            Self::Jose => ("node_modules/node/bin/node", "tests/interop/jose.mjs"),
            Self::PyJwt => (".venv/bin/python", "tests/interop/pyjwt.py"),
        };
        let mut child = Command::new(root().join(program))
            .arg(root().join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program is there: `cargo xtask test` installs it");
        child.stdin.take().unwrap().write_all(requests.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{self:?} ended with {}", output.status);
        let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let read = |mut answer: Value| match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].take()),
        };
        answers.into_iter().map(read).collect()
    }

    fn ask_one(self, request: Value) -> Result<Value, String> {
        self.ask(&json!([request])).remove(0)
    }
}

fn start(algorithm: &str) -> (Deployment, TestHost) {
    let mut configuration = algorithms::configuration_with(algorithm);
    configuration["public_url"] = json!("https://iam.example.com");
    iam_tests::native::start(Setup::new(&configuration))
}

#[tokio::test]
async fn others_verify_our_tokens() {
    for algorithm in ["ES256", "EdDSA"] {
        let (deployment, _host) = start(algorithm);
        let setup = &deployment.setup;
        let login = deployment.client().login(&setup.username, &setup.password).await.expect(200);
        let token = login.text_at("/access_token");
        let jwks = deployment.client().get("/.well-known/jwks.json").await.expect(200).json;
        let (input, signature) = token.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{input}.{flipped}{}", signature.get(1..).unwrap());
        let verify = |token: &str, issuer: &str, audience: &str| {
            json!({"command": "verify", "alg": algorithm, "jwks": jwks, "token": token, "issuer": issuer,
                "audience": audience})
        };
        let requests = json!([
            verify(token, ISSUER, "cronos-api"),
            verify(&forged, ISSUER, "cronos-api"),
            verify(token, "somebody", "cronos-api"),
            verify(token, ISSUER, "somebody"),
        ]);
        for library in LIBRARIES {
            let answers = library.ask(&requests);
            let claims =
                answers[0].as_ref().unwrap_or_else(|error| panic!("{library:?}, {algorithm}: {error}"));
            assert_eq!(claims["sub"], login.json["user"]["user_id"]);
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
            assert!(answers[1..].iter().all(Result::is_err), "{library:?}, {algorithm}: {answers:?}");
        }
    }
}

/// Asks for a token with an assertion: the status and the error.
async fn present(deployment: &Deployment, assertion: &str) -> (u16, String) {
    let body = format!(
        "grant_type=client_credentials&client_assertion_type=\
         urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={assertion}"
    );
    let client = deployment.client();
    let request = client
        .request(reqwest::Method::POST, "/api/v1/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let answer = client.send(request).await;
    (answer.status, answer.json["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn assertions_of_others_are_accepted_and_wrong_ones_are_not() {
    let (deployment, _host) = start("ES256");
    let admin = deployment.administrator().await;
    let account = service_accounts::new_account(&admin, &[]).await;
    let accepted = (200, String::new());
    let refused = (401, "invalid_client".to_owned());
    for library in LIBRARIES {
        for alg in ["ES256", "EdDSA"] {
            let pair = library.ask_one(json!({"command": "generate", "alg": alg})).unwrap();
            let mut public = pair["public"].clone();
            public["kid"] = json!("theirs");
            let body =
                json!({"name": "by key", "auth_method": "private_key_jwt", "jwks": {"keys": [public]}});
            let created = admin.post(&format!("{account}/clients"), &body).await.expect(201);
            let id = created.text_at("/client_id");
            let now = iam_edge::now().as_seconds();
            let claims = |jti: &str, aud: Value, life: i64| {
                let exp = now + life;
                json!({"iss": id, "sub": id, "aud": aud, "iat": now, "exp": exp, "jti": jti})
            };
            let endpoint = json!("https://iam.example.com/api/v1/oauth/token");
            let sign = |command: &str, claims: Value| {
                let key = if command == "sign" { &pair["private"] } else { &pair["public"] };
                json!({"command": command, "alg": alg, "kid": "theirs", "key": key, "claims": claims})
            };
            let other = library.ask_one(json!({"command": "generate", "alg": alg})).unwrap();
            let mut by_other = sign("sign", claims("other", endpoint.clone(), 60));
            by_other["key"] = other["private"].clone();
            let requests = json!([
                sign("sign", claims("endpoint", endpoint.clone(), 60)),
                sign("sign", claims("issuer", json!(ISSUER), 300)),
                sign("sign", claims("list", json!([endpoint]), 60)),
                sign("sign", claims("elsewhere", json!("https://somebody.example.com/token"), 60)),
                sign("sign", claims("expired", endpoint.clone(), -60)),
                sign("sign", claims("too long", endpoint.clone(), 3600)),
                sign("unsigned", claims("unsigned", endpoint.clone(), 60)),
                sign("sign_with_public_key", claims("confused", endpoint, 60)),
                by_other,
            ]);
            let signed: Vec<String> = library
                .ask(&requests)
                .into_iter()
                .map(|token| token.unwrap().as_str().unwrap().to_owned())
                .collect();
            for good in &signed[..3] {
                assert_eq!(present(&deployment, good).await, accepted, "{library:?}, {alg}: {good}");
                assert_eq!(present(&deployment, good).await, refused, "{library:?}, {alg}: replayed {good}");
            }
            for bad in &signed[3..] {
                assert_eq!(present(&deployment, bad).await, refused, "{library:?}, {alg}: {bad}");
            }
        }
    }
    deployment.check().await;
}

#[tokio::test]
async fn others_decrypt_what_we_encrypt() {
    let pair = || Library::Jose.ask_one(json!({"command": "generate", "alg": "ECDH-ES"})).unwrap();
    let (receiver, other) = (pair(), pair());
    let mut public = receiver["public"].clone();
    public["kid"] = json!("receiver-1");
    let key: iam_core::jose::jwe::ReceiverKey = serde_json::from_value(public).unwrap();
    let mut entropy = [0; iam_core::jose::jwe::ENTROPY_BYTES];
    getrandom::fill(&mut entropy).unwrap();
    let jwe = key.encrypt(b"cronos_sk_live_x", &entropy).unwrap();
    let flipped = if jwe.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{flipped}", jwe.get(..jwe.len() - 2).unwrap());
    let decrypt = |key: &Value, jwe: &str| json!({"command": "decrypt", "key": key, "jwe": jwe});
    let answers = Library::Jose.ask(&json!([
        decrypt(&receiver["private"], &jwe),
        decrypt(&other["private"], &jwe),
        decrypt(&receiver["private"], &forged),
    ]));
    assert_eq!(answers[0], Ok(json!({"text": "cronos_sk_live_x", "kid": "receiver-1"})));
    assert!(answers[1..].iter().all(Result::is_err), "{answers:?}");
}
