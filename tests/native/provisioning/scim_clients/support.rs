use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use iam_core::config::Configuration;
use iam_core::directory::role_mapping::{RoleMapping, set_group_roles};
use iam_core::id::{GroupId, LogId, OrganizationId, UserId};
use iam_core::operation::bootstrap::{Entropy, FirstOrganization};
use iam_core::sql::{Rows, Statement};
use iam_edge::native::TestHost;
use iam_service::{Access, Function, RoundTrips, Route, ScimClient, Service};
use serde_json::{Value as Json, json};

pub(crate) const CLIENTS: &str = "/api/v1/scim/clients";
pub(crate) const PROBE: &str = "/api/scim/v2/Probe";
pub(crate) const PASSWORD: &str = "Correct-horse-9-battery";

/// Hashing costs next to nothing here.
pub(crate) fn configuration() -> Json {
    json!({"password": {"argon2": {"memory_kib": 8, "iterations": 1, "parallelism": 1}}})
}

/// An installation with one organization.
pub(crate) struct Installation {
    pub(crate) host: TestHost,
    pub(crate) organization: OrganizationId,
    pub(crate) scim_token: String,
    services: Vec<(&'static str, Service)>,
    /// The administrator's access token.
    pub(crate) administrator: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Json,
}

/// What any SCIM client may call.
fn probe() -> Function {
    let handler = |client: ScimClient| async move { format!("\"{}\"", client.name) };
    let route = Route::get(PROBE, Access::scim(), handler).round_trips(1).scim_errors();
    Function::new("probe", "Tells a SCIM client its name").uses_database().route(route)
}

fn services() -> Vec<(&'static str, Service)> {
    [
        ("/api/v1/scim/", iam_scim_clients::function()),
        ("/internal/jobs/scim-roles", iam_scim_clients::function()),
        (PROBE, probe()),
        ("/api/v1/auth/login", iam_login::function()),
        ("/api/v1/auth/password/change", iam_password::function()),
        ("/api/v1/auth/me", iam_profile::function()),
        ("/api/v1/groups", iam_groups::function()),
        ("POST /api/v1/users", iam_user_create::function()),
        ("/api/v1/users/import", iam_user_import::function()),
        ("/password-reset", iam_password_issue::function()),
        ("/api/v1/users", iam_users::function()),
        ("/api/v1/roles", iam_roles::function()),
    ]
    .map(|(path, function)| (path, Service::new(function)))
    .into()
}

impl Installation {
    pub(crate) async fn new(configured: Json) -> Self {
        let host = TestHost::new_in_memory().unwrap();
        host.apply(iam_edge::native::SCHEMA).unwrap();
        host.set_variable("IAM_CONFIG", &configured.to_string());
        host.set_variable("IAM_MASTER_KEY", &iam_core::encoding::base64url(&[7; 32]));
        host.set_variable("IAM_INTERNAL_TOKEN", &"t".repeat(32));
        let configuration = Configuration::parse(&configured.to_string(), []).unwrap();
        let entropy = Entropy {
            ids: [[1; 10], [2; 10], [3; 10]],
            password: [4; 16],
            salt: [5; 16],
            scim_token: [6; 32],
        };
        let first =
            FirstOrganization::new("First", "admin@example.com", &configuration, &entropy, iam_edge::now())
                .unwrap();
        host.request().db("").batch(first.statements).await.unwrap();
        let mut installation = Self {
            host,
            organization: configuration.organization,
            scim_token: first.scim_token.reveal().to_owned(),
            services: services(),
            administrator: String::new(),
        };
        installation.administrator = installation.sign_in("admin@example.com", &first.password).await;
        installation
    }

    /// An installation whose configuration has this section `scim`.
    pub(crate) async fn with_scim(scim: Json) -> Self {
        let mut configured = configuration();
        configured["scim"] = scim;
        Self::new(configured).await
    }

    fn service(&self, method: &Method, path: &str) -> &Service {
        let named = format!("{method} {path}");
        let is_meant = |name: &str| path.starts_with(name) || path.ends_with(name) || named == name;
        &self.services.iter().find(|(name, _)| is_meant(name)).unwrap().1
    }

    /// Sends a request and holds its answer to the route's budget of round trips.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        credential: &str,
        body: Option<Json>,
    ) -> Answer {
        let mut request =
            Request::builder().method(method.clone()).uri(path).header("host", "iam.example.com");
        if !credential.is_empty() {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        let media_type = if path.ends_with("/import") { "application/x-ndjson" } else { "application/json" };
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.header("content-type", media_type).body(body).unwrap();
        let path = path.split('?').next().unwrap();
        let response = self.service(&method, path).handle(self.host.request(), request).await;
        if let Some(round_trips) = response.extensions().get::<RoundTrips>() {
            assert!(round_trips.used <= round_trips.budget, "{method} {path}: {round_trips:?}");
        }
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Json::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// As the administrator.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<Json>) -> Answer {
        self.send(method, path, &self.administrator, body).await
    }

    pub(crate) async fn sign_in(&self, username: &str, password: &str) -> String {
        let body = json!({"username": username, "password": password});
        let answer = self.send(Method::POST, "/api/v1/auth/login", "", Some(body)).await.expect(200);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A SCIM client's call.
    pub(crate) async fn probe(&self, token: &str) -> Answer {
        self.send(Method::GET, PROBE, token, None).await
    }

    /// Creates a person with these roles, and gives its id.
    pub(crate) async fn person(&self, username: &str, roles: &[&str]) -> UserId {
        let body = json!({"username": username, "password": PASSWORD, "roles": roles});
        let answer = self.admin(Method::POST, "/api/v1/users", Some(body)).await.expect(201);
        answer.body["user_id"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn role(&self, role: &str, grants: &[&str]) {
        let body = json!({"role": role, "grants": grants});
        self.admin(Method::POST, "/api/v1/roles", Some(body)).await.expect(201);
    }

    /// The roles of a user, as the API shows them.
    pub(crate) async fn roles_of(&self, user: &UserId) -> Vec<String> {
        let answer = self.admin(Method::GET, &format!("/api/v1/users/{user}"), None).await.expect(200);
        serde_json::from_value(answer.body["roles"].clone()).unwrap()
    }

    /// Asks the database; the organization is `?1`.
    pub(crate) async fn query(&self, sql: &str, parameters: &[&str]) -> Rows {
        let statement = Statement::new(sql.to_owned()).bind(&self.organization);
        self.run(parameters.iter().fold(statement, |statement, parameter| statement.bind(*parameter))).await
    }

    pub(crate) async fn run(&self, statement: Statement) -> Rows {
        self.host.request().db("").run(statement).await.unwrap()
    }

    pub(crate) async fn count(&self, sql: &str, parameters: &[&str]) -> i64 {
        self.query(sql, parameters).await.first().unwrap().integer("count").unwrap()
    }

    /// A group that SCIM made, with what its name gives by this mapping.
    pub(crate) async fn scim_group(&self, name: &str, mapping: &RoleMapping) -> GroupId {
        let group_id = GroupId::new(iam_edge::now(), random());
        let sql = "INSERT INTO groups (org_id, group_id, display_name, display_name_key, managed_by, \
                   created_at, updated_at) VALUES (?1, ?2, ?3, lower(?3), 'scim', 1, 1)";
        self.query(sql, &[group_id.as_str(), name]).await;
        self.map(&group_id, name, mapping).await;
        group_id
    }

    /// What follows the creation or renaming of a group in its batch.
    pub(crate) async fn map(&self, group_id: &GroupId, name: &str, mapping: &RoleMapping) {
        let statements = set_group_roles(&self.organization, group_id, name, mapping);
        self.host.request().db("").batch(statements.into()).await.unwrap();
    }

    pub(crate) async fn join(&self, user: &UserId, group: &GroupId) {
        let sql = "INSERT INTO group_members (org_id, user_id, group_id) VALUES (?1, ?2, ?3)";
        self.query(sql, &[user.as_str(), group.as_str()]).await;
    }

    pub(crate) async fn leave(&self, user: &UserId, group: &GroupId) {
        let sql = "DELETE FROM group_members WHERE org_id = ?1 AND user_id = ?2 AND group_id = ?3";
        self.query(sql, &[user.as_str(), group.as_str()]).await;
    }

    /// Makes a user one that SCIM manages.
    pub(crate) async fn hand_over(&self, user: &UserId) {
        let sql = "UPDATE users SET managed_by = 'scim' WHERE org_id = ?1 AND user_id = ?2";
        self.query(sql, &[user.as_str()]).await;
    }
}

pub(crate) fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    iam_edge::random(&mut bytes).unwrap();
    bytes
}

pub(crate) fn log_id() -> LogId {
    LogId::new(iam_edge::now(), random())
}

impl Answer {
    /// This answer, if its status is that.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// This answer, if it is that problem.
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.body["code"], code, "{}", answer.body);
        answer
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap()
    }
}
