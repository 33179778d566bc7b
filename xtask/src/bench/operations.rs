//! What is measured, and against what.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::client::{Call, Client, text_at};
use super::server::Server;

/// The bench modules' names as workers.
const BASELINE: &str = "iam-bench-baseline";
const TOKEN_CHECK: &str = "iam-bench-token-check";

/// Of argon2id's cost a twentieth part of the requests tells as much as all of them.
const EXPENSIVE: u32 = 20;

/// Sends one request.
pub(super) type Send = Box<dyn FnMut() -> Result<()>>;

/// One row of the table.
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// As its log lines name it.
    pub(super) route: &'static str,
    /// How many times the select's CPU time it may take.
    pub(super) select_budget: Option<f64>,
    /// How many times argon2id's CPU time it may take; measured beside it where it is given.
    pub(super) argon2id_budget: Option<f64>,
    pub(super) round_trip_budget: Option<u64>,
    /// Only one of so many requests is sent.
    pub(super) divisor: u32,
    pub(super) send: Send,
}

/// What operations are compared to.
pub(super) struct Baseline {
    pub(super) bare: Send,
    pub(super) select: Send,
    pub(super) argon2id: Send,
}

impl Baseline {
    pub(super) fn new(server: &Server, client: &Client) -> Result<Self> {
        let url = server.url(BASELINE)?;
        Ok(Self {
            bare: same(client, Call::get(format!("{url}/bare"))),
            select: same(client, Call::get(format!("{url}/select"))),
            argon2id: same(client, Call::post(format!("{url}/argon2id"), &json!({}))),
        })
    }
}

/// What an operation leaves for another: tokens to check, keys to revoke, users to delete.
#[derive(Clone, Default)]
struct Pool(Rc<RefCell<Vec<String>>>);

impl Pool {
    fn put(&self, text: String) {
        self.0.borrow_mut().push(text);
    }

    fn take(&self) -> Result<String> {
        self.0.borrow_mut().pop().context("the operation before made too few")
    }
}

/// What the operations share.
struct Actors<'a> {
    server: &'a Server,
    client: &'a Client,
    access_token: String,
    refresh_token: String,
}

/// All of them, in an order in which each finds what it needs.
pub(super) fn all(server: &Server, client: &Client) -> Result<Vec<Operation>> {
    let credentials = &server.credentials;
    let tokens = client.json(&login_call(server, &credentials.username, &credentials.password)?)?;
    let actors = Actors {
        server,
        client,
        access_token: text_at(&tokens, "/access_token")?,
        refresh_token: text_at(&tokens, "/refresh_token")?,
    };
    let fresh_tokens = Pool::default();
    let mut operations = vec![actors.health()?, actors.key_verify()?, actors.token_check()?];
    operations.extend([actors.profile()?, actors.refresh(&fresh_tokens)?, actors.first_check(fresh_tokens)?]);
    operations.extend(actors.keys()?);
    operations.extend(actors.scim()?);
    operations.push(actors.login()?);
    Ok(operations)
}

/// Those that ask a filled directory, for its last user as well as for its first.
pub(super) fn in_directory(server: &Server, client: &Client, users: u32) -> Result<Vec<Operation>> {
    // Everybody has the administrator's password.
    let mut number = 0_u32;
    let (url, password) =
        (format!("{}/api/v1/auth/login", server.url("iam-login")?), server.credentials.password.clone());
    let caller = client.clone();
    let login = Box::new(move || {
        number = number.wrapping_add(7919);
        let username = format!("scale-{}", number.checked_rem(users).unwrap_or_default().saturating_add(1));
        caller
            .send(&Call::post(url.clone(), &json!({ "username": username, "password": password })))
            .map(drop)
    });
    let login = Operation::new("login of many", "POST /api/v1/auth/login", login);
    let credentials = &server.credentials;
    let tokens = client.json(&login_call(server, &credentials.username, &credentials.password)?)?;
    let token = text_at(&tokens, "/access_token")?;
    let list = format!("{}/api/v1/users", server.url("iam-users")?);
    let sessions = format!("{}/api/v1/sessions", server.url("iam-sessions")?);
    let ask = |name: &'static str, route: &'static str, url: String| {
        Operation::new(name, route, same(client, Call::get(url).with(&token)))
    };
    let users_route = "GET /api/v1/users";
    let last = format!("user_{users:026}");
    Ok(vec![
        ask("users, a page of 20", users_route, format!("{list}?limit=20")),
        ask("users by e-mail address", users_route, format!("{list}?email=scale-{users}%40example.com")),
        ask("users by role, 20", users_route, format!("{list}?role=analyst&limit=20")),
        ask(
            "users by role and prefix",
            users_route,
            format!("{list}?role=analyst&username_prefix=scale-99&limit=20"),
        ),
        ask("user by id", "GET /api/v1/users/{user_id}", format!("{list}/{last}")),
        ask("sessions of a user", "GET /api/v1/sessions", format!("{sessions}?user_id={last}")),
        create_users(server, client, token.clone())?,
        Operation { divisor: EXPENSIVE, ..login },
    ])
}

/// Users without a password: hashing would hide everything else.
fn create_users(server: &Server, client: &Client, token: String) -> Result<Operation> {
    let (url, client, mut number) =
        (format!("{}/api/v1/users", server.url("iam-user-create")?), client.clone(), 0_u64);
    let create = Box::new(move || {
        number = number.saturating_add(1);
        let user = json!({ "username": format!("created-{number}"), "roles": ["viewer"] });
        client.send(&Call::post(url.clone(), &user).with(&token).expect(201)).map(drop)
    });
    Ok(Operation::new("user create", "POST /api/v1/users", create))
}

impl Actors<'_> {
    fn health(&self) -> Result<Operation> {
        let call = Call::get(format!("{}/health", self.server.url("iam-health")?));
        Ok(Operation::new("health", "GET /health", same(self.client, call)))
    }

    fn key_verify(&self) -> Result<Operation> {
        let key = text_at(&self.client.json(&self.create_key()?)?, "/api_key")?;
        let url = format!("{}/api/v1/auth/keys/verify", self.server.url("iam-key-verify")?);
        let call = Call::post(url, &json!({ "api_key": key }));
        let operation =
            Operation::new("key verify", "POST /api/v1/auth/keys/verify", same(self.client, call));
        Ok(Operation { select_budget: Some(1.5), round_trip_budget: Some(1), ..operation })
    }

    fn token_check(&self) -> Result<Operation> {
        let send = same(self.client, self.check_call()?.with(&self.access_token));
        let operation = Operation::new("access-token check", "GET /bench/token-check", send);
        Ok(Operation { select_budget: Some(1.5), round_trip_budget: Some(1), ..operation })
    }

    /// The same with a token that the instance has never seen: its signature is verified too.
    fn first_check(&self, tokens: Pool) -> Result<Operation> {
        let (client, call) = (self.client.clone(), self.check_call()?);
        let send = Box::new(move || client.send(&call.clone().with(&tokens.take()?)).map(drop));
        Ok(Operation::new("access-token check, first", "GET /bench/token-check", send))
    }

    fn check_call(&self) -> Result<Call> {
        Ok(Call::get(format!("{}/bench/token-check", self.server.url(TOKEN_CHECK)?)).expect(204))
    }

    fn profile(&self) -> Result<Operation> {
        let url = format!("{}/api/v1/auth/me", self.server.url("iam-profile")?);
        let send = same(self.client, Call::get(url).with(&self.access_token));
        Ok(Operation::new("profile", "GET /api/v1/auth/me", send))
    }

    fn refresh(&self, tokens: &Pool) -> Result<Operation> {
        let url = format!("{}/api/v1/auth/refresh", self.server.url("iam-token-refresh")?);
        let (client, tokens, mut refresh_token) =
            (self.client.clone(), tokens.clone(), self.refresh_token.clone());
        let send = Box::new(move || {
            let answer = client.json(&Call::post(url.clone(), &json!({ "refresh_token": refresh_token })))?;
            refresh_token = text_at(&answer, "/refresh_token")?;
            tokens.put(text_at(&answer, "/access_token")?);
            Ok(())
        });
        let operation = Operation::new("refresh", "POST /api/v1/auth/refresh", send);
        Ok(Operation { round_trip_budget: Some(3), ..operation })
    }

    fn create_key(&self) -> Result<Call> {
        let url = format!("{}/api/v1/auth/keys", self.server.url("iam-key-create")?);
        let permission = json!({ "resource": "api_keys", "action": "write", "scope": "own" });
        // Its limit holds, but is never reached.
        let key = json!({ "name": "bench", "permissions": [permission], "rate_limit": 1_000_000 });
        Ok(Call::post(url, &key).with(&self.access_token).expect(201))
    }

    fn keys(&self) -> Result<[Operation; 2]> {
        let created = Pool::default();
        let create = producer(self.client, self.create_key()?, "/key_id", &created);
        let url = format!("{}/api/v1/auth/keys", self.server.url("iam-key-revoke")?);
        let (client, token) = (self.client.clone(), self.access_token.clone());
        let revoke = Box::new(move || {
            client.send(&Call::delete(format!("{url}/{}", created.take()?)).with(&token)).map(drop)
        });
        Ok([
            Operation::new("key create", "POST /api/v1/auth/keys", create),
            Operation::new("key revoke", "DELETE /api/v1/auth/keys/{key_id}", revoke),
        ])
    }

    fn scim(&self) -> Result<[Operation; 3]> {
        let url = format!("{}/api/scim/v2/Users", self.server.url("iam-scim")?);
        let token = self.server.credentials.scim_token.clone();
        let (created, client) = (Pool::default(), self.client.clone());
        let (users, put, mut number) = (url.clone(), created.clone(), 0_u64);
        let bearer = token.clone();
        let create = Box::new(move || {
            number = number.saturating_add(1);
            let call = create_user(&users, &bearer, &json!({ "userName": format!("user-{number}") }));
            put.put(text_at(&client.json(&call)?, "/id")?);
            Ok(())
        });
        let filter = "filter=userName%20eq%20%22admin%40example.com%22";
        let list = same(self.client, Call::get(format!("{url}?{filter}")).with(&token));
        let client = self.client.clone();
        let delete = Box::new(move || {
            let call = Call::delete(format!("{url}/{}", created.take()?));
            client.send(&call.with(&token).expect(204)).map(drop)
        });
        let create = Operation::new("SCIM create", "POST /api/scim/v2/Users", create);
        Ok([
            Operation { round_trip_budget: Some(4), ..create },
            Operation::new("SCIM list by userName", "GET /api/scim/v2/Users", list),
            Operation::new("SCIM delete", "DELETE /api/scim/v2/Users/{id}", delete),
        ])
    }

    /// Somebody else than the administrator, whose session would end: a user has a few at most.
    fn login(&self) -> Result<Operation> {
        let (username, password) = ("login", "plume-Anvil-1-quartz");
        let users = format!("{}/api/scim/v2/Users", self.server.url("iam-scim")?);
        let user = json!({ "userName": username, "password": password, "active": true });
        self.client.send(&create_user(&users, &self.server.credentials.scim_token, &user))?;
        let send = same(self.client, login_call(self.server, username, password)?);
        let operation = Operation::new("login", "POST /api/v1/auth/login", send);
        Ok(Operation {
            argon2id_budget: Some(1.3),
            round_trip_budget: Some(4),
            divisor: EXPENSIVE,
            ..operation
        })
    }
}

impl Operation {
    pub(super) fn new(name: &'static str, route: &'static str, send: Send) -> Self {
        Self {
            name,
            route,
            select_budget: None,
            argon2id_budget: None,
            round_trip_budget: None,
            divisor: 1,
            send,
        }
    }
}

fn login_call(server: &Server, username: &str, password: &str) -> Result<Call> {
    let url = format!("{}/api/v1/auth/login", server.url("iam-login")?);
    Ok(Call::post(url, &json!({ "username": username, "password": password })))
}

fn create_user(users: &str, bearer: &str, attributes: &Value) -> Call {
    let mut user = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"] });
    if let (Some(user), Some(attributes)) = (user.as_object_mut(), attributes.as_object()) {
        user.extend(attributes.clone());
    }
    Call::post(users.to_owned(), &user).with(bearer).expect(201)
}

/// The same request every time.
pub(super) fn same(client: &Client, call: Call) -> Send {
    let client = client.clone();
    Box::new(move || client.send(&call).map(drop))
}

/// The same request every time; what each made is kept.
fn producer(client: &Client, call: Call, pointer: &'static str, pool: &Pool) -> Send {
    let (client, pool) = (client.clone(), pool.clone());
    Box::new(move || {
        pool.put(text_at(&client.json(&call)?, pointer)?);
        Ok(())
    })
}
