use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use iam_core::config::Configuration;
use iam_core::id::{OrganizationId, SessionId};
use iam_core::operation::bootstrap::{Entropy, FirstOrganization};
use iam_core::sql::{Rows, Statement};
use iam_edge::native::TestHost;
use iam_provisioning::schema::USER_URN;
use iam_service::{RoundTrips, Service};
use serde_json::{Value as Json, json};

/// Hashing costs next to nothing here.
const CONFIGURATION: &str =
    r#"{"password": {"argon2": {"memory_kib": 8, "iterations": 1, "parallelism": 1}}}"#;

pub(crate) const USERS: &str = "/api/scim/v2/Users";

/// An installation with one organization, and the function that is tested.
pub(crate) struct Installation {
    pub(crate) host: TestHost,
    service: Service,
    pub(crate) organization: OrganizationId,
    pub(crate) token: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Json,
    pub(crate) round_trips: RoundTrips,
}

impl Installation {
    pub(crate) async fn new() -> Self {
        Self::with(r#""environment": "live""#).await
    }

    /// With another section in the configuration.
    pub(crate) async fn with(section: &str) -> Self {
        let configuration = CONFIGURATION.replacen('{', &format!("{{{section}, "), 1);
        let host = TestHost::new_in_memory().unwrap();
        host.apply(iam_edge::native::SCHEMA).unwrap();
        host.set_variable("IAM_CONFIG", &configuration);
        host.set_variable("IAM_MASTER_KEY", &iam_core::encoding::base64url(&[7; 32]));
        host.set_variable("IAM_INTERNAL_TOKEN", &"t".repeat(32));
        let parsed = Configuration::parse(&configuration, []).unwrap();
        let entropy = Entropy {
            ids: [[1; 10], [2; 10], [3; 10]],
            password: [4; 16],
            salt: [5; 16],
            scim_token: [6; 32],
        };
        let first =
            FirstOrganization::new("First", "admin@example.com", &parsed, &entropy, iam_edge::now()).unwrap();
        let organization = parsed.organization;
        host.request().db(organization.as_str()).batch(first.statements).await.unwrap();
        let token = first.scim_token.reveal().to_owned();
        Self { host, service: Service::new(iam_scim::function()), organization, token }
    }

    /// Sends a request and holds its answer to the route's budget of round trips.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.service.handle(self.host.request(), request).await;
        let round_trips = *response.extensions().get::<RoundTrips>().unwrap();
        assert!(round_trips.used <= round_trips.budget, "{round_trips:?}");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Json::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body, round_trips }
    }

    pub(crate) fn request(&self, method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "iam.example.com")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/scim+json")
            .body(body.into())
            .unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, Body::empty())).await
    }

    pub(crate) async fn post(&self, user: Json) -> Answer {
        self.send(self.request(Method::POST, USERS, user.to_string())).await
    }

    pub(crate) async fn post_to(&self, path: &str, body: Json) -> Answer {
        self.send(self.request(Method::POST, path, body.to_string())).await
    }

    pub(crate) async fn put(&self, path: &str, body: Json) -> Answer {
        self.send(self.request(Method::PUT, path, body.to_string())).await
    }

    /// With one more header.
    pub(crate) async fn with_header(
        &self,
        method: Method,
        path: &str,
        header: (&str, &str),
        body: Json,
    ) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = self.request(method, path, body);
        let name = http::HeaderName::from_bytes(header.0.as_bytes()).unwrap();
        request.headers_mut().insert(name, header.1.parse().unwrap());
        self.send(request).await
    }

    pub(crate) async fn delete(&self, id: &str) -> Answer {
        self.send(self.request(Method::DELETE, &format!("{USERS}/{id}"), Body::empty())).await
    }

    pub(crate) async fn patch(&self, id: &str, operations: Json) -> Answer {
        let body =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        self.send(self.request(Method::PATCH, &format!("{USERS}/{id}"), body.to_string())).await
    }

    /// Creates a user and gives its id.
    pub(crate) async fn create(&self, username: &str) -> String {
        let answer = self.post(user(username)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.id()
    }

    pub(crate) async fn find(&self, filter: &str) -> Answer {
        self.get(&format!("{USERS}?filter={}", encoded(filter))).await
    }

    /// Asks the database; the organization is `?1`.
    pub(crate) async fn query(&self, sql: &'static str, parameters: &[&str]) -> Rows {
        let statement = Statement::new(sql).bind(&self.organization);
        let statement = parameters.iter().fold(statement, |statement, parameter| statement.bind(*parameter));
        self.host.request().db(self.organization.as_str()).run(statement).await.unwrap()
    }

    /// How SQLite carries a statement out, a line a step.
    pub(crate) async fn plan(&self, statement: &Statement) -> String {
        let explain = Statement::new(format!("EXPLAIN QUERY PLAN {}", statement.text()));
        let explain = statement.parameters().iter().cloned().fold(explain, Statement::bind);
        let rows = self.host.request().db(self.organization.as_str()).run(explain).await.unwrap();
        rows.iter().map(|row| format!("{}\n", row.text("detail").unwrap())).collect()
    }

    /// A session of a user, begun elsewhere.
    pub(crate) async fn begin_session(&self, user_id: &str) {
        let mut entropy = [0; 10];
        iam_edge::random(&mut entropy).unwrap();
        let session_id = SessionId::new(iam_edge::now(), entropy);
        let sql = "INSERT INTO sessions (org_id, session_id, user_id, created_at, expires_at, last_activity, \
                   mfa_verified, kind) VALUES (?1, ?2, ?3, 0, 9000000000000, 0, 0, 'interactive')";
        self.query(sql, &[session_id.as_str(), user_id]).await;
    }

    /// Why each of a user's sessions ended, `None` where it goes on.
    pub(crate) async fn sessions(&self, user_id: &str) -> Vec<Option<String>> {
        let sql = "SELECT ended_because FROM sessions WHERE org_id = ?1 AND user_id = ?2";
        let rows = self.query(sql, &[user_id]).await;
        rows.iter().map(|row| row.optional_text("ended_because").unwrap().map(str::to_owned)).collect()
    }

    /// The SCIM actions recorded of a user and their details, oldest first.
    pub(crate) async fn audit(&self, user_id: &str) -> Vec<(String, Json)> {
        let sql = "SELECT action, details FROM audit_events WHERE org_id = ?1 AND resource_id = ?2 AND \
                   user_id = ?2 AND actor = 'scim' AND result = 'success' AND resource = 'user' ORDER BY \
                   log_id";
        let rows = self.query(sql, &[user_id]).await;
        rows.iter()
            .map(|row| (row.text("action").unwrap().to_owned(), row.json("details").unwrap()))
            .collect()
    }
}

impl Answer {
    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }

    /// Status and `scimType`, of a well-formed SCIM error.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        assert_eq!(self.headers["content-type"], "application/scim+json");
        assert_eq!(self.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(self.body["status"], self.status.as_u16().to_string());
        assert!(self.body["detail"].is_string());
        (self.status.as_u16(), self.body["scimType"].as_str().unwrap_or_default())
    }
}

pub(crate) fn user(username: &str) -> Json {
    json!({"schemas": [USER_URN], "userName": username})
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
