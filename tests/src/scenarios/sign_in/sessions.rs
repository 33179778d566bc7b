//! Sessions: a browser's cookie, and what a person sees and ends.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{Answer, Client, Deployment};

const SESSIONS: &str = "/api/v1/sessions";
const ME: &str = "/api/v1/auth/me";
const LOGOUT: &str = "/api/v1/auth/logout";
const OURS: &str = "https://console.example.com";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// A request with a cookie, as a browser sends it.
fn with_cookie(client: &Client, method: Method, path: &str, cookie: &str) -> RequestBuilder {
    client.request(method, path).header("cookie", cookie)
}

/// Signs a browser in; the answer and the cookie.
async fn browse(deployment: &Deployment, client: &Client) -> (Answer, String) {
    let (username, password) = deployment.new_user().await;
    let request = client.request(Method::POST, SESSIONS).header("origin", OURS);
    let body = json!({"username": username, "password": password});
    let answer = client.send(request.json(&body)).await.expect(201);
    let set = answer.headers["set-cookie"].to_str().unwrap();
    let cookie = set.split(';').next().unwrap().to_owned();
    (answer, cookie)
}

/// The credential is in the cookie alone, with the attributes that keep it to this host and its own pages.
pub async fn a_browser_signs_in_with_a_cookie(deployment: &Deployment) {
    let client = deployment.client();
    let (answer, cookie) = browse(deployment, &client).await;
    let value = cookie.strip_prefix("CRONOS_SESSION=cronos_st_").unwrap();
    assert_eq!(
        answer.headers["set-cookie"].to_str().unwrap(),
        format!("{cookie}; Path=/; Max-Age=28800; Secure; HttpOnly; SameSite=Strict")
    );
    assert!(!answer.text.contains(value) && !answer.text.contains("token"), "{}", answer.text);
    assert!(answer.text_at("/session/session_id").starts_with("sess_"));
    assert_eq!(
        (answer.text_at("/session/status"), &answer.json["session"]["current"]),
        ("active", &json!(true))
    );
    let me = client.send(with_cookie(&client, Method::GET, ME, &cookie)).await.expect(200);
    assert_eq!(me.json["user_id"], answer.json["user"]["user_id"]);

    let scim = with_cookie(&client, Method::GET, "/api/scim/v2/Users", &cookie);
    client.send(scim).await.expect(401);
    for bad in [format!("{cookie}; {cookie}"), format!("{cookie}; CRONOS_SESSION=x")] {
        let answer = client.send(with_cookie(&client, Method::GET, ME, &bad)).await;
        answer.expect_problem(400, "ambiguous_cookie");
    }
    let forged = client.send(with_cookie(&client, Method::GET, ME, "CRONOS_SESSION=cronos_st_x")).await;
    forged.expect_problem(401, "invalid_token");

    let log_out = with_cookie(&client, Method::POST, LOGOUT, &cookie).header("origin", OURS);
    let out = client.send(log_out).await.expect(204);
    assert!(out.headers["set-cookie"].to_str().unwrap().starts_with("CRONOS_SESSION=; Path=/; Max-Age=0;"));
    client.send(with_cookie(&client, Method::GET, ME, &cookie)).await.expect_problem(401, "invalid_token");
}

/// What a page of another site makes a browser send changes nothing.
pub async fn another_site_changes_nothing(deployment: &Deployment) {
    let client = deployment.client();
    let (_, cookie) = browse(deployment, &client).await;
    let log_out = || with_cookie(&client, Method::POST, LOGOUT, &cookie);
    for request in [
        log_out(),
        log_out().header("origin", "https://evil.example.com"),
        log_out().header("origin", "null"),
        log_out().header("sec-fetch-site", "cross-site"),
        log_out().header("sec-fetch-site", "same-site"),
        with_cookie(&client, Method::DELETE, SESSIONS, &cookie),
    ] {
        client.send(request).await.expect_problem(403, "cross_site_request");
    }
    client.send(with_cookie(&client, Method::GET, ME, &cookie)).await.expect(200);

    let sign_in = client.request(Method::POST, SESSIONS).header("origin", "https://evil.example.com");
    let body = json!({"username": "a@example.com", "password": "x"});
    client.send(sign_in.json(&body)).await.expect_problem(403, "cross_site_request");

    // Our own pages do, on every path, whichever component answers it.
    let own = with_cookie(&client, Method::DELETE, &format!("{SESSIONS}?except_current=true"), &cookie);
    client.send(own.header("origin", &deployment.base_url)).await.expect(200);
    client.send(log_out().header("origin", &deployment.base_url)).await.expect(204);
    let (_, cookie) = browse(deployment, &client).await;
    let fetched = with_cookie(&client, Method::POST, LOGOUT, &cookie).header("sec-fetch-site", "same-origin");
    client.send(fetched).await.expect(204);
}

/// Signs in with a user agent and a device id.
async fn sign_in(client: &Client, (username, password): &(String, String), device_id: &str) -> Answer {
    let request = client.request(Method::POST, "/api/v1/auth/login").header("user-agent", FIREFOX);
    let body = json!({"username": username, "password": password, "device_id": device_id});
    client.send(request.json(&body)).await
}

async fn sessions(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("{SESSIONS}{query}")).await.expect(200);
    answer.json["sessions"].as_array().unwrap().clone()
}

fn id(session: &Value) -> &str {
    session["session_id"].as_str().unwrap()
}

/// Device and address are shown; an ended session's tokens open nothing.
pub async fn are_listed_and_ended(deployment: &Deployment) {
    let user = deployment.new_user().await;
    let anonymous = deployment.client().from_address("10.20.30.40");
    let (laptop, phone) = (
        sign_in(&anonymous, &user, "laptop").await.expect(200),
        sign_in(&anonymous, &user, "phone").await.expect(200),
    );
    sign_in(&anonymous, &user, &"x".repeat(129)).await.expect_problem(422, "invalid_field");
    let client = anonymous.with(laptop.text_at("/access_token"));
    let other = anonymous.with(phone.text_at("/access_token"));

    let all = sessions(&client, "").await;
    assert_eq!(all.len(), 2);
    let (first, second) = (&all[1], &all[0]);
    assert_eq!((&first["current"], &second["current"]), (&json!(true), &json!(false)));
    assert_eq!(second["device_id"], "phone");
    assert_eq!(second["device"], "Firefox on Linux");
    assert_eq!(second["user_agent"], FIREFOX);
    assert_eq!(second["ip_address"], "10.20.30.40");
    assert_eq!((&second["kind"], &second["status"]), (&json!("interactive"), &json!("active")));
    assert_eq!((&second["mfa_verified"], &second["ended_at"]), (&json!(false), &Value::Null));

    let page = client.get(&format!("{SESSIONS}?limit=1")).await.expect(200);
    let rest = sessions(&client, &format!("?limit=1&cursor={}", page.text_at("/next_cursor"))).await;
    assert_eq!((page.text_at("/sessions/0/session_id"), id(&rest[0])), (id(second), id(first)));
    client.get(&format!("{SESSIONS}?limit=0")).await.expect_problem(400, "invalid_query");

    let path = format!("{SESSIONS}/{}", id(second));
    other.get(ME).await.expect(200);
    for _ in 0..2 {
        client.delete(&path).await.expect(204);
    }
    assert_eq!(deployment.recorded("session.terminate", "success", id(second)), 1);
    other.get(ME).await.expect_problem(401, "invalid_token");
    let refresh = json!({"refresh_token": phone.text_at("/refresh_token")});
    anonymous.post("/api/v1/auth/refresh", &refresh).await.expect_problem(401, "invalid_refresh_token");
    let ended = client.get(&path).await.expect(200);
    assert_eq!((ended.text_at("/status"), ended.text_at("/ended_because")), ("ended", "terminated"));
    let listed = |query| {
        let client = &client;
        async move {
            sessions(client, query).await.iter().map(|session| id(session).to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(listed("?status=active").await, [id(first)]);
    assert_eq!(listed("?status=ended").await, [id(second)]);
}

/// Others' sessions are an administrator's business alone.
pub async fn are_their_owners(deployment: &Deployment) {
    let anonymous = deployment.client();
    let (mine, theirs) = (deployment.new_user().await, deployment.new_user().await);
    let mine = anonymous.with(sign_in(&anonymous, &mine, "a").await.expect(200).text_at("/access_token"));
    let answer = sign_in(&anonymous, &theirs, "b").await.expect(200);
    let (user_id, theirs) =
        (answer.text_at("/user/user_id"), anonymous.with(answer.text_at("/access_token")));
    let session = sessions(&theirs, "").await.remove(0);
    let (path, of_user) = (format!("{SESSIONS}/{}", id(&session)), format!("?user_id={user_id}"));

    mine.get(&path).await.expect_problem(404, "not_found");
    mine.delete(&path).await.expect_problem(404, "not_found");
    mine.get(&format!("{SESSIONS}/sess_00000000000000000000000000")).await.expect_problem(404, "not_found");
    mine.get(&format!("{SESSIONS}{of_user}")).await.expect_problem(403, "permission_denied");
    mine.delete(&format!("{SESSIONS}{of_user}")).await.expect_problem(403, "permission_denied");
    theirs.get(ME).await.expect(200);

    let admin = deployment.administrator().await;
    assert_eq!(id(&sessions(&admin, &of_user).await[0]), id(&session));
    admin.get(&path).await.expect(200);
    admin.delete(&path).await.expect(204);
    theirs.get(ME).await.expect_problem(401, "invalid_token");
}

/// Out everywhere else, then everywhere.
pub async fn end_everywhere(deployment: &Deployment) {
    let user = deployment.new_user().await;
    let anonymous = deployment.client();
    let mut clients = Vec::new();
    for device in ["a", "b", "c"] {
        let answer = sign_in(&anonymous, &user, device).await.expect(200);
        clients.push(anonymous.with(answer.text_at("/access_token")));
    }
    let answer = clients[0].delete(&format!("{SESSIONS}?except_current=true")).await.expect(200);
    assert_eq!(answer.json["terminated"], 2);
    clients[1].get(ME).await.expect_problem(401, "invalid_token");
    clients[0].get(ME).await.expect(200);
    let answer = clients[0].delete(SESSIONS).await.expect(200);
    assert_eq!(answer.json["terminated"], 1);
    clients[0].get(ME).await.expect_problem(401, "invalid_token");

    let answer = sign_in(&anonymous, &user, "d").await.expect(200);
    let client = anonymous.with(answer.text_at("/access_token"));
    client.send(client.request(Method::POST, LOGOUT)).await.expect(204);
    client.get(ME).await.expect_problem(401, "invalid_token");
}
