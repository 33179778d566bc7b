//! The whole product behind one address.

use std::sync::Arc;

use iam_core::config::Configuration;
use iam_core::encoding::base64url;
use iam_core::operation::bootstrap::{Entropy, FirstOrganization};
use iam_core::sql::{Statement, Value};
use serde_json::json;

use crate::client::{Answer, Client};

/// A running product, and what its first administrator knows.
pub struct Deployment {
    /// Where it listens.
    pub base_url: String,
    /// What it was started with.
    pub setup: Setup,
    /// What a host has to say that clients don't see: routes that took more round trips than they may.
    pub(crate) violations: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Asks the database itself, for what no route shows yet: a statement that gives one number.
    pub(crate) count: Arc<dyn Fn(&str) -> i64 + Send + Sync>,
    /// One sign-in of the administrator at a time: each comes from somewhere else, and of several at once the
    /// lockout would take the surplus for guesses.
    pub(crate) administrator: tokio::sync::Mutex<()>,
}

/// What a deployment starts with.
#[derive(Clone)]
pub struct Setup {
    /// The configuration document, as JSON.
    pub configuration: String,
    /// The secret that seals; empty where the host has none.
    pub master_key: String,
    /// What signs in to a Vault with an `AppRole`; empty without one.
    pub vault_secret_id: String,
    /// The secret between functions.
    pub internal_token: String,
    /// The secrets of webhook services, as JSON.
    pub webhook_secrets: String,
    /// The administrator's name.
    pub username: String,
    /// Its password.
    pub password: String,
    /// A SCIM client's token.
    pub scim_token: String,
    /// What fills the empty database.
    pub statements: Vec<Statement>,
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

impl Setup {
    /// A first organization for a configuration.
    #[must_use]
    pub fn new(configuration: &serde_json::Value) -> Self {
        let document = configuration.to_string();
        let configuration = Configuration::parse(&document, []).unwrap();
        let entropy = Entropy {
            ids: [random(), random(), random()],
            password: random(),
            salt: random(),
            scim_token: random(),
        };
        let first =
            FirstOrganization::new("Tests", "admin@example.com", &configuration, &entropy, iam_edge::now())
                .unwrap();
        Self {
            configuration: document,
            master_key: base64url(&random::<32>()),
            vault_secret_id: String::new(),
            internal_token: base64url(&random::<32>()),
            webhook_secrets: crate::scenarios::webhooks::intake::secrets().to_string(),
            username: first.username.clone(),
            password: first.password.to_string(),
            scim_token: first.scim_token.reveal().to_owned(),
            statements: first.statements,
        }
    }

    /// The statements as JSON: `{sql, parameters}` each.
    #[must_use]
    pub fn statements_as_json(&self) -> serde_json::Value {
        let parameter = |value: &Value| match value {
            Value::Null => serde_json::Value::Null,
            Value::Integer(integer) => json!(integer),
            Value::Text(text) => json!(text),
        };
        let statement = |statement: &Statement| {
            let parameters: Vec<_> = statement.parameters().iter().map(parameter).collect();
            json!({"sql": statement.text(), "parameters": parameters})
        };
        self.statements.iter().map(statement).collect()
    }
}

impl Deployment {
    /// A client without a credential.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.base_url)
    }

    /// A client with the internal token.
    #[must_use]
    pub fn internal(&self) -> Client {
        self.client().with(&self.setup.internal_token)
    }

    /// A SCIM client.
    #[must_use]
    pub fn scim(&self) -> Client {
        self.client().with(&self.setup.scim_token)
    }

    /// The administrator, signed in anew.
    pub async fn administrator(&self) -> Client {
        let answer = self.sign_in_administrator().await;
        self.client().with(answer.text_at("/access_token"))
    }

    /// The answer to the administrator's sign-in.
    pub async fn sign_in_administrator(&self) -> Answer {
        let _one_at_a_time = self.administrator.lock().await;
        self.client().login(&self.setup.username.to_uppercase(), &self.setup.password).await.expect(200)
    }

    /// A new user, made over SCIM, and its password.
    pub async fn new_user(&self) -> (String, String) {
        let username = format!("user-{}@example.com", base64url(&random::<9>()).to_lowercase());
        let password = format!("Pw-{}-1", base64url(&random::<12>()));
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": username, "password": password, "active": true,
        });
        self.scim().post("/api/scim/v2/Users", &user).await.expect(201);
        (username, password)
    }

    /// How many audit records there are of an act on a thing.
    #[must_use]
    pub fn recorded(&self, action: &str, result: &str, resource_id: &str) -> i64 {
        (self.count)(&format!(
            "SELECT COUNT(*) AS count FROM audit_events WHERE action = '{action}' AND result = '{result}' \
             AND resource_id IS '{resource_id}'"
        ))
    }

    /// One number from the database.
    #[must_use]
    pub fn count(&self, sql: &str) -> i64 {
        (self.count)(sql)
    }

    /// Fails when the host saw something a client can't see.
    pub async fn check(&self) {
        let violations = (self.violations)();
        assert!(violations.is_empty(), "more round trips than declared: {violations:?}");
    }
}
