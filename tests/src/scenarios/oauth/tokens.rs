//! Tokens for OAuth clients: issued, narrowed, introspected, revoked, validated.

use iam_core::encoding::{base64url, from_base64url};
use iam_core::jose::jwt::{Algorithm, PrivateKey, key_pair, sign};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::scenarios::oauth::service_accounts::{new_account, new_client};
use crate::{Answer, Client, Deployment};

const TOKEN: &str = "/api/v1/oauth/token";
const INTROSPECT: &str = "/api/v1/oauth/introspect";
const REVOKE: &str = "/api/v1/oauth/revoke";
const VALIDATE: &str = "/api/v1/auth/validate";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The fields of a request, and the status and error it comes to.
type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);

fn encoded(fields: &[(&str, &str)]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

fn form(client: &Client, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let request = client.request(Method::POST, path);
    request.header("content-type", "application/x-www-form-urlencoded").body(encoded(fields))
}

async fn post(client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    client.send(form(client, path, fields)).await
}

/// A token for a client, by `client_secret_post`.
pub async fn issue(deployment: &Deployment, client: &Answer, scope: Option<&str>) -> Answer {
    let mut fields = vec![
        ("grant_type", "client_credentials"),
        ("client_id", client.text_at("/client_id")),
        ("client_secret", client.text_at("/client_secret")),
    ];
    fields.extend(scope.map(|scope| ("scope", scope)));
    post(&deployment.client(), TOKEN, &fields).await
}

fn expect_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.text_at("/error")), (status, error), "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(!answer.text_at("/error_description").is_empty());
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
}

fn claims_of(token: &str) -> Value {
    serde_json::from_slice(&from_base64url(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// By either form of the secret a client gets a token that speaks for its service account.
pub async fn a_client_gets_tokens(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &["admin"]).await;
    let client = new_client(&admin, &account, None).await;
    let (id, secret) = (client.text_at("/client_id"), client.text_at("/client_secret"));
    let answer = issue(deployment, &client, None).await.expect(200);
    assert_eq!((answer.text_at("/token_type"), &answer.json["expires_in"]), ("Bearer", &json!(3600)));
    assert_eq!(
        (&answer.headers["cache-control"], &answer.headers["pragma"]),
        (&"no-store".parse().unwrap(), &"no-cache".parse().unwrap())
    );
    assert!(answer.json.get("scope").is_none() && answer.json.get("refresh_token").is_none());
    let token = answer.text_at("/access_token");
    let claims = claims_of(token);
    assert_eq!((&claims["client_id"], &claims["sub"]), (&client.json["client_id"], &client.json["user_id"]));
    assert_eq!(deployment.recorded("token.issue", "success", claims["sid"].as_str().unwrap()), 1);
    let robot = deployment.client().with(token);
    assert_eq!(robot.get("/api/v1/auth/me").await.expect(200).json["user_id"], client.json["user_id"]);
    robot.get(&account).await.expect(200);

    let fields = [("grant_type", "client_credentials")];
    let anybody = deployment.client();
    // RFC 6749 section 2.3.1: each is encoded before they are joined, even where it need not be.
    let escaped = |text: &str| text.replace('_', "%5F");
    let basic = |id: &str, secret: &str| form(&anybody, TOKEN, &fields).basic_auth(id, Some(secret));
    anybody.send(basic(id, secret)).await.expect(200);
    anybody.send(basic(&escaped(id), &escaped(secret))).await.expect(200);
    let wrong = secret.replace("cronos_cs_", "cronos_sk_");
    expect_error(&anybody.send(basic(id, &wrong)).await, 401, "invalid_client");
    admin.delete(&account).await.expect(204);
}

/// What is no proof of a client, or more than one, is refused with the errors of RFC 6749.
pub async fn bad_requests_are_refused(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &[]).await;
    let client = new_client(&admin, &account, None).await;
    let other = new_client(&admin, &account, None).await;
    let (id, secret) = (client.text_at("/client_id"), client.text_at("/client_secret"));
    let anybody = deployment.client();
    let grant = ("grant_type", "client_credentials");
    let whole = [grant, ("client_id", id), ("client_secret", secret)];
    let cases: [Case<'_>; 10] = [
        (&[], 400, "invalid_request"),
        (&[("grant_type", ""), ("client_id", id), ("client_secret", secret)], 400, "invalid_request"),
        (
            &[("grant_type", "password"), ("client_id", id), ("client_secret", secret)],
            400,
            "unsupported_grant_type",
        ),
        (
            &[("grant_type", "refresh_token"), ("client_id", id), ("client_secret", secret)],
            400,
            "invalid_grant",
        ),
        (&[grant, grant, ("client_id", id), ("client_secret", secret)], 400, "invalid_request"),
        (&[grant], 401, "invalid_client"),
        (&[grant, ("client_id", id)], 401, "invalid_client"),
        (&[grant, ("client_secret", secret)], 400, "invalid_request"),
        (
            &[grant, ("client_id", id), ("client_secret", other.text_at("/client_secret"))],
            401,
            "invalid_client",
        ),
        (
            &[
                grant,
                ("client_id", id),
                ("client_secret", secret),
                ("client_assertion", "a.b.c"),
                ("client_assertion_type", ASSERTION_TYPE),
            ],
            400,
            "invalid_request",
        ),
    ];
    for (fields, status, error) in cases {
        expect_error(&post(&anybody, TOKEN, fields).await, status, error);
    }
    assert_eq!(deployment.recorded("client.authenticate", "failure", id), 1);
    let twice = form(&anybody, TOKEN, &whole).basic_auth(id, Some(secret));
    expect_error(&anybody.send(twice).await, 400, "invalid_request");
    let contradicting = form(&anybody, TOKEN, &[grant, ("client_id", other.text_at("/client_id"))]);
    expect_error(&anybody.send(contradicting.basic_auth(id, Some(secret))).await, 400, "invalid_request");
    let bearer = form(&anybody.with(secret), TOKEN, &[grant]);
    expect_error(&anybody.send(bearer).await, 401, "invalid_client");
    expect_error(
        &anybody.post(TOKEN, &json!({"grant_type": "client_credentials"})).await,
        400,
        "invalid_request",
    );
    for malformed in ["Basic", "Basic !", "Basic bm9jb2xvbg==", "Negotiate x"] {
        let request = form(&anybody, TOKEN, &[grant]).header("authorization", malformed);
        expect_error(&anybody.send(request).await, 401, "invalid_client");
    }
    assert_eq!(post(&anybody, TOKEN, &whole).await.status, 200);
    admin.delete(&account).await.expect(204);
}

/// A scope narrows, for good: the token does what it says and no more.
pub async fn a_scope_narrows(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &["admin"]).await;
    let bound = "service_accounts.*.organization profile.read.own";
    let client = new_client(&admin, &account, Some(bound)).await;
    assert_eq!(issue(deployment, &client, None).await.expect(200).text_at("/scope"), bound);
    let wanted = "service_accounts.read.organization";
    let token = issue(deployment, &client, Some(wanted)).await.expect(200);
    assert_eq!(token.text_at("/scope"), wanted);
    assert_eq!(claims_of(token.text_at("/access_token"))["scope"], wanted);
    let reader = deployment.client().with(token.text_at("/access_token"));
    reader.get(&account).await.expect(200);
    reader.patch(&account, &json!({})).await.expect_problem(403, "permission_denied");
    reader.get("/api/v1/auth/me").await.expect_problem(403, "permission_denied");
    for scope in
        ["*", "service_accounts.read.all", "users.read.own", "nonsense", "profile.read.own  profile.read.own"]
    {
        expect_error(&issue(deployment, &client, Some(scope)).await, 400, "invalid_scope");
    }
    // What the account no longer has, the token no longer does.
    admin.patch(&account, &json!({"roles": []})).await.expect(200);
    reader.get(&account).await.expect_problem(403, "permission_denied");
    expect_error(&issue(deployment, &client, Some(wanted)).await, 400, "invalid_scope");
    let invalid = json!({"name": "a client", "scope": "two  spaces.read.own"});
    admin.post(&format!("{account}/clients"), &invalid).await.expect_problem(422, "invalid_field");
    admin.delete(&account).await.expect(204);
}

/// Whatever stops a client stops its tokens with it.
pub async fn tokens_end_with_their_client(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &[]).await;
    let mut tokens = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = new_client(&admin, &account, None).await;
        let token = issue(deployment, &client, None).await.expect(200).text_at("/access_token").to_owned();
        tokens.push(deployment.client().with(&token));
        clients.push(client);
    }
    let revoked = format!("{account}/clients/{}", clients[0].text_at("/client_id"));
    admin.delete(&revoked).await.expect(204);
    admin.delete(&revoked).await.expect_problem(404, "not_found");
    tokens[0].get(VALIDATE).await.expect_problem(401, "invalid_token");
    expect_error(&issue(deployment, &clients[0], None).await, 401, "invalid_client");
    tokens[1].get(VALIDATE).await.expect(200);

    admin.post(&format!("{account}/suspend"), &json!({})).await.expect(200);
    tokens[1].get(VALIDATE).await.expect_problem(401, "invalid_token");
    expect_error(&issue(deployment, &clients[1], None).await, 401, "invalid_client");
    admin.post(&format!("{account}/activate"), &json!({})).await.expect(200);
    tokens[1].get(VALIDATE).await.expect_problem(401, "invalid_token");
    let again = issue(deployment, &clients[1], None).await.expect(200);
    let again = deployment.client().with(again.text_at("/access_token"));
    again.get(VALIDATE).await.expect(200);

    admin.delete(&account).await.expect(204);
    again.get(VALIDATE).await.expect_problem(401, "invalid_token");
    expect_error(&issue(deployment, &clients[1], None).await, 401, "invalid_client");
}

/// A client with a key of its own.
struct KeyClient {
    id: String,
    key: PrivateKey,
    audience: String,
}

impl KeyClient {
    async fn new(admin: &Client, account: &str, algorithm: Algorithm) -> Self {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).unwrap();
        let (key, public) = key_pair(algorithm, &entropy).unwrap();
        let jwk = match algorithm {
            Algorithm::Es256 => json!({"kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256", "use": "sig",
                "x": base64url(&public.bytes[1..33]), "y": base64url(&public.bytes[33..])}),
            _ => json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": base64url(&public.bytes)}),
        };
        let body = json!({"name": "by key", "auth_method": "private_key_jwt", "jwks": {"keys": [jwk]}});
        let created = admin.post(&format!("{account}/clients"), &body).await.expect(201);
        Self { id: created.text_at("/client_id").to_owned(), key, audience: "cronos-auth".to_owned() }
    }

    fn claims(&self) -> Value {
        let mut jti = [0; 12];
        getrandom::fill(&mut jti).unwrap();
        let now = iam_edge::now().as_seconds();
        json!({"iss": self.id, "sub": self.id, "aud": self.audience, "iat": now, "exp": now + 60,
            "jti": base64url(&jti)})
    }

    fn assertion(&self, claims: &Value) -> String {
        let header = json!({"alg": self.key.algorithm, "kid": "k", "typ": "JWT"});
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        sign(&format!("{}.{}", part(&header), part(claims)), &self.key).unwrap()
    }
}

async fn by_assertion(client: &Client, path: &str, field: (&str, &str), assertion: &str) -> Answer {
    let fields = [field, ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
    post(client, path, &fields).await
}

/// A client that signs its own assertions: each works once, and only as it was meant.
pub async fn assertions_work_once(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &[]).await;
    let anybody = deployment.client();
    let grant = ("grant_type", "client_credentials");
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let client = KeyClient::new(&admin, &account, algorithm).await;
        let assertion = client.assertion(&client.claims());
        let token = by_assertion(&anybody, TOKEN, grant, &assertion).await.expect(200);
        anybody.with(token.text_at("/access_token")).get(VALIDATE).await.expect(200);
        expect_error(&by_assertion(&anybody, TOKEN, grant, &assertion).await, 401, "invalid_client");
        let token = ("token", token.text_at("/access_token"));
        expect_error(&by_assertion(&anybody, INTROSPECT, token, &assertion).await, 401, "invalid_client");

        let changed = |claim: &str, value: Value| {
            let mut claims = client.claims();
            claims[claim] = value;
            client.assertion(&claims)
        };
        let now = iam_edge::now().as_seconds();
        for wrong in [
            changed("aud", json!("https://somebody.example.com")),
            changed("exp", json!(now - 1)),
            changed("exp", json!(now + 3600)),
            changed("sub", json!("somebody")),
            changed("jti", Value::Null),
            token.1.to_owned(),
            "a.b.c".to_owned(),
        ] {
            expect_error(&by_assertion(&anybody, TOKEN, grant, &wrong).await, 401, "invalid_client");
        }
        let unknown_type = [grant, ("client_assertion_type", "urn:x"), ("client_assertion", &assertion)];
        expect_error(&post(&anybody, TOKEN, &unknown_type).await, 400, "invalid_request");

        let introspected =
            by_assertion(&anybody, INTROSPECT, token, &client.assertion(&client.claims())).await;
        assert_eq!(introspected.expect(200).json["client_id"], client.id);
        by_assertion(&anybody, REVOKE, token, &client.assertion(&client.claims())).await.expect(200);
        anybody.with(token.1).get(VALIDATE).await.expect_problem(401, "invalid_token");
    }
    // Of many at once with one assertion, one gets a token.
    let client = KeyClient::new(&admin, &account, Algorithm::Es256).await;
    let assertion = client.assertion(&client.claims());
    let tries: Vec<_> = (0..6)
        .map(|_| {
            let (anybody, assertion) = (anybody.clone(), assertion.clone());
            tokio::spawn(async move { by_assertion(&anybody, TOKEN, grant, &assertion).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    admin.delete(&account).await.expect(204);
}

/// Introspection tells all of a token that holds, and nothing of one that does not.
pub async fn introspection_tells(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &[]).await;
    let client = new_client(&admin, &account, None).await;
    let token = issue(deployment, &client, None).await.expect(200);
    let token = token.text_at("/access_token");
    let claims = claims_of(token);
    let introspect = |token: String| {
        let request =
            form(&deployment.client(), INTROSPECT, &[("token", &token), ("token_type_hint", "nonsense")]);
        let request =
            request.basic_auth(client.text_at("/client_id"), Some(client.text_at("/client_secret")));
        let anybody = deployment.client();
        async move { anybody.send(request).await.expect(200) }
    };
    let told = introspect(token.to_owned()).await;
    assert_eq!((&told.json["active"], told.text_at("/token_type")), (&json!(true), "Bearer"));
    for claim in ["client_id", "exp", "iat", "nbf", "sub", "aud", "iss", "jti", "sid", "org"] {
        assert_eq!(told.json[claim], claims[claim], "{claim}");
    }
    let robot = admin.get(&account).await.expect(200);
    assert_eq!(told.json["username"], robot.json["username"]);
    // A caller with the permission may ask too, and nobody else.
    assert_eq!(post(&admin, INTROSPECT, &[("token", token)]).await.expect(200).json, told.json);
    expect_error(&post(&deployment.client(), INTROSPECT, &[("token", token)]).await, 401, "invalid_client");
    let forbidden = post(&deployment.client().with(token), INTROSPECT, &[("token", token)]).await;
    expect_error(&forbidden, 403, "insufficient_scope");
    expect_error(&post(&admin, INTROSPECT, &[]).await, 400, "invalid_request");

    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let refresh = login.text_at("/refresh_token").to_owned();
    let told = introspect(refresh.clone()).await;
    assert_eq!((&told.json["active"], told.text_at("/token_type")), (&json!(true), "refresh_token"));
    assert_eq!(told.json["sub"], login.json["user"]["user_id"]);
    deployment.client().post("/api/v1/auth/refresh", &json!({"refresh_token": refresh})).await.expect(200);

    let foreign = refresh.replace("cronos_rt_000000001", "cronos_rt_000000002");
    for inactive in [refresh, foreign, String::from("nonsense"), format!("{token}x"), String::from("a.b.c")] {
        assert_eq!(introspect(inactive).await.json, json!({"active": false}));
    }
    post(&deployment.client(), REVOKE, &[("token", login.text_at("/access_token"))]).await.expect(200);
    assert_eq!(introspect(login.text_at("/access_token").to_owned()).await.json, json!({"active": false}));
    admin.delete(&account).await.expect(204);
}

/// Revoking a token ends its session; a client's token is its client's alone to revoke.
pub async fn revocation_ends_the_session(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let account = new_account(&admin, &[]).await;
    let client = new_client(&admin, &account, None).await;
    let other = new_client(&admin, &account, None).await;
    let token = issue(deployment, &client, None).await.expect(200).text_at("/access_token").to_owned();
    let anybody = deployment.client();
    let revoke = |by: &Answer, token: &str| {
        let fields = [
            ("token", token),
            ("client_id", by.text_at("/client_id")),
            ("client_secret", by.text_at("/client_secret")),
        ];
        let (request, anybody) = (form(&anybody, REVOKE, &fields), anybody.clone());
        async move { anybody.send(request).await }
    };
    expect_error(&post(&anybody, REVOKE, &[("token", &token)]).await, 401, "invalid_client");
    expect_error(&revoke(&other, &token).await, 400, "unauthorized_client");
    anybody.with(&token).get(VALIDATE).await.expect(200);
    for _ in 0..2 {
        revoke(&client, &token).await.expect(200);
    }
    anybody.with(&token).get(VALIDATE).await.expect_problem(401, "invalid_token");
    let session = claims_of(&token)["sid"].as_str().unwrap().to_owned();
    assert_eq!(deployment.recorded("token.revoke", "success", &session), 1);

    // A refresh token is its own proof, and takes the access token with it.
    let (username, password) = deployment.new_user().await;
    let login = anybody.login(&username, &password).await.expect(200);
    let refresh = login.text_at("/refresh_token");
    expect_error(&revoke(&client, refresh).await, 400, "unauthorized_client");
    post(&anybody, REVOKE, &[("token", refresh), ("token_type_hint", "refresh_token")]).await.expect(200);
    let person = anybody.with(login.text_at("/access_token"));
    person.get(VALIDATE).await.expect_problem(401, "invalid_token");
    anybody.post("/api/v1/auth/refresh", &json!({"refresh_token": refresh})).await.expect(401);
    for unknown in ["nonsense", "a.b.c", &format!("{refresh}0")] {
        post(&anybody, REVOKE, &[("token", unknown)]).await.expect(200);
    }
    expect_error(&post(&anybody, REVOKE, &[]).await, 400, "invalid_request");
    admin.delete(&account).await.expect(204);
}

/// A token that holds is told its end; one that does not gets 401.
pub async fn validation_tells(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let token = login.text_at("/access_token");
    let told = deployment.client().with(token).get(VALIDATE).await.expect(200);
    let claims = claims_of(token);
    assert_eq!(told.json["valid"], true);
    assert_eq!(told.json["subject"], login.json["user"]["user_id"]);
    assert_eq!((&told.json["sessionId"], &told.json["organization"]), (&claims["sid"], &claims["org"]));
    let ends: iam_core::time::Timestamp = serde_json::from_value(told.json["expiresAt"].clone()).unwrap();
    assert_eq!(ends.as_seconds(), claims["exp"].as_i64().unwrap());
    assert!(told.json.get("scope").is_none() && told.json.get("agentId").is_none());
    deployment.client().get(VALIDATE).await.expect_problem(401, "credential_missing");
    deployment.client().with("nonsense").get(VALIDATE).await.expect_problem(401, "invalid_token");
}

/// RFC 6749 section 6 with the refresh token of a person's sign-in; a client has none.
pub async fn a_refresh_token_is_exchanged(deployment: &Deployment) {
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let first = login.text_at("/refresh_token");
    let refresh = |token: &str| {
        vec![("grant_type", "refresh_token"), ("refresh_token", token)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    };
    let send = async |fields: Vec<(String, String)>| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        post(&deployment.client(), TOKEN, &fields).await
    };
    let second = send(refresh(first)).await.expect(200);
    assert_ne!(second.text_at("/refresh_token"), first);
    deployment.client().with(second.text_at("/access_token")).get("/api/v1/auth/me").await.expect(200);
    let third = send(refresh(second.text_at("/refresh_token"))).await.expect(200);
    assert_eq!(third.json["token_type"], "Bearer");
    expect_error(&send(refresh("cronos_rt_nonsense")).await, 400, "invalid_grant");
    expect_error(
        &post(&deployment.client(), TOKEN, &[("grant_type", "refresh_token")]).await,
        400,
        "invalid_request",
    );
}
