//! A real Vault (OpenBao), in its development mode: in memory, unsealed, with the root token `root`.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Attached, watched};

/// The token that may do everything.
pub const ROOT: &str = "root";

/// A running Vault.
pub struct Vault {
    /// Its address.
    pub address: String,
    _running: Attached,
}

impl Vault {
    /// One that the tests of a binary share: each uses paths, mounts and roles of its own.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceLock<Vault> = OnceLock::new();
        let vault = SHARED.get_or_init(Self::spawn);
        vault.wait().await;
        vault
    }

    /// One of the test's own.
    pub async fn start() -> Self {
        let vault = Self::spawn();
        vault.wait().await;
        vault
    }

    fn spawn() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = std::env::var_os("IAM_TEST_VAULT").expect("IAM_TEST_VAULT names OpenBao's bao");
        let child = watched(program)
            .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", ROOT])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("bao starts");
        Self { address: format!("http://127.0.0.1:{port}"), _running: Attached::new(child) }
    }

    async fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        // The engine at `secret/` is upgraded to version 2 a moment after the Vault serves.
        while self
            .try_ask(Method::GET, "secret/config", &Value::Null)
            .await
            .is_none_or(|(status, _)| status != 200)
        {
            assert!(Instant::now() < deadline, "bao does not serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_ask(&self, method: Method, path: &str, body: &Value) -> Option<(u16, Value)> {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let mut request =
            http.request(method, format!("{}/v1/{path}", self.address)).header("x-vault-token", ROOT);
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, serde_json::from_str(&response.text().await.ok()?).unwrap_or_default()))
    }

    /// Asks as root, and fails unless that works.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_ask(method, path, body).await.expect("bao answers");
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// Writes as root.
    pub async fn write(&self, path: &str, body: &Value) -> Value {
        self.ask(Method::POST, path, body).await
    }

    /// Reads as root.
    pub async fn read(&self, path: &str) -> Value {
        self.ask(Method::GET, path, &Value::Null).await
    }

    /// Writes a secret of the engine at `secret/`.
    pub async fn put(&self, path: &str, data: &Value) {
        self.write(&format!("secret/data/{path}"), &json!({"data": data})).await;
    }

    /// A role of `AppRole` with this policy: its id and its secret.
    pub async fn app_role(&self, name: &str, policy: &str, token_ttl: &str) -> (String, String) {
        // Whoever comes first mounts it.
        let _ = self.try_ask(Method::POST, "sys/auth/approle", &json!({"type": "approle"})).await;
        self.write(&format!("sys/policies/acl/{name}"), &json!({"policy": policy})).await;
        let role = json!({"token_policies": [name], "token_ttl": token_ttl, "token_max_ttl": "1h"});
        self.write(&format!("auth/approle/role/{name}"), &role).await;
        let id = self.read(&format!("auth/approle/role/{name}/role-id")).await;
        let secret = self.write(&format!("auth/approle/role/{name}/secret-id"), &json!({})).await;
        let text = |answer: &Value, field: &str| answer["data"][field].as_str().unwrap().to_owned();
        (text(&id, "role_id"), text(&secret, "secret_id"))
    }
}
