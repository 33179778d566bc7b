//! What nobody should send.

use reqwest::Method;
use serde_json::json;

use crate::Deployment;

/// Bodies that are empty, truncated, huge, deep, not UTF-8 or of other types, at every route that takes one.
pub async fn bad_bodies_are_problems(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let routes = [
        "/api/v1/auth/login",
        "/api/v1/auth/refresh",
        "/api/v1/auth/keys",
        "/api/v1/auth/keys/verify",
        "/api/v1/auth/keys/key_00000000000000000000000000/rotate",
    ];
    let bodies: [(&str, Vec<u8>, u16, &str); 9] = [
        ("empty", Vec::new(), 400, "body_empty"),
        ("truncated", b"{\"username\": \"a".to_vec(), 400, "malformed_json"),
        ("two documents", b"{} {}".to_vec(), 422, "invalid_field"),
        ("2 MiB", vec![b' '; 2 << 20], 413, "body_too_large"),
        ("depth 10,000", [b"[".repeat(10_000), b"]".repeat(10_000)].concat(), 400, "json_too_deep"),
        ("invalid UTF-8", b"{\"username\": \"\xff\xfe\"}".to_vec(), 400, "malformed_json"),
        ("an array", b"[]".to_vec(), 422, "invalid_field"),
        ("a number", b"7".to_vec(), 422, "invalid_field"),
        (
            "wrong types",
            b"{\"username\": 1, \"name\": 1, \"api_key\": 1, \"refresh_token\": 1}".to_vec(),
            422,
            "invalid_field",
        ),
    ];
    for route in routes {
        for (what, body, status, code) in &bodies {
            let request = admin.request(Method::POST, route).header("content-type", "application/json");
            let answer = admin.send(request.body(body.clone())).await;
            let is_rotation = route.ends_with("rotate");
            // A rotation has no field that must be there, so two documents are only malformed.
            let (status, code) = match *what {
                "two documents" if is_rotation => (400, "malformed_json"),
                "invalid UTF-8" if answer.status == 422 => (422, "invalid_field"),
                "truncated" if answer.status == 422 => (422, "invalid_field"),
                _ => (*status, *code),
            };
            assert_eq!(answer.status, status, "{route} {what}: {}", answer.text);
            answer.expect_problem(status, code);
        }
        let request = admin.request(Method::POST, route).header("content-type", "text/plain").body("{}");
        admin.send(request).await.expect_problem(415, "unsupported_media_type");
    }
}

/// Unknown paths, wrong methods, long addresses, odd headers.
pub async fn bad_requests_are_problems(deployment: &Deployment) {
    let client = deployment.client();
    let nowhere = client.get("/api/v1/nothing").await.expect(404);
    assert_eq!(nowhere.text_at("/code"), "not_found");
    let wrong =
        client.send(client.request(Method::PUT, "/api/v1/auth/login").json(&json!({}))).await.expect(405);
    assert_eq!(wrong.text_at("/code"), "method_not_allowed");
    assert!(wrong.headers["allow"].to_str().unwrap().contains("POST"));
    client.get(&format!("/health?{}", "a".repeat(9000))).await.expect_problem(414, "uri_too_long");

    let named = client.send(client.request(Method::GET, "/health").header("x-request-id", "abc-123")).await;
    assert_eq!(named.headers["x-request-id"], "abc-123");
    let odd = client.send(client.request(Method::GET, "/health").header("x-request-id", "a b\"c")).await;
    assert!(odd.headers["x-request-id"].to_str().unwrap().starts_with("req_"));

    let preflight = |origin: &'static str| {
        client
            .request(Method::OPTIONS, "/api/v1/auth/login")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let allowed = client.send(preflight("https://console.example.com")).await.expect(204);
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://console.example.com");
    let refused = client.send(preflight("https://evil.example.com")).await;
    assert!(!refused.headers.contains_key("access-control-allow-origin"));

    for internal in ["/internal/telemetry", "/internal/nothing"] {
        assert_eq!(client.post(internal, &json!({})).await.status, 404);
    }
}

/// What a caller sent in secret does not come back in an error.
pub async fn secrets_stay_out_of_answers(deployment: &Deployment) {
    let client = deployment.client();
    let secret = "S3cret-that-nobody-repeats";
    for answer in [
        client.login("nobody@example.com", secret).await,
        client.post("/api/v1/auth/refresh", &json!({"refresh_token": secret})).await,
        client.post("/api/v1/auth/keys/verify", &json!({"api_key": secret})).await,
        client.with(secret).get("/api/v1/auth/me").await,
        client.post("/api/v1/auth/login", &json!({"username": "a", "password": [secret]})).await,
    ] {
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
}
