//! Against a real OpenBao.

use std::time::Duration;

use iam_core::sql::Statement;
use iam_tests::scenarios::keys::key_rotation::{new_key, put};
use iam_tests::vault::{ROOT, Vault};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ADMIN, READ, ask, master_key, sign_in, start};

const TOKEN: (&str, &str) = ("IAM_VAULT_TOKEN", ROOT);
const WRITE: &str = "/internal/secrets/write";

fn with_token(vault: &Vault, path: &str) -> Value {
    json!({"order": ["vault", "host"], "max_age": "1s",
        "vault": {"address": vault.address, "auth": "token", "path": path, "timeout": "4s"}})
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn the_master_key_lives_in_the_vault() {
    let vault = Vault::shared().await;
    let key = master_key();
    vault.put("master/secrets", &json!({"IAM_MASTER_KEY": key, "SOMETHING_ELSE": "else"})).await;
    let (deployment, host) = start(&with_token(vault, "master/secrets"), &[TOKEN]);
    let admin = deployment.administrator().await;
    let listed = admin.get(ADMIN).await.expect(200);
    assert!(!listed.text.contains(&key) && !listed.text.contains("\"else\""), "{}", listed.text);
    let stores = &listed.json["stores"];
    assert_eq!((&stores[0]["store"], &stores[0]["status"]), (&json!("vault"), &json!("healthy")));
    assert!(stores[0]["version"].as_str().unwrap().starts_with("2."));
    let secrets = listed.json["secrets"].as_array().unwrap();
    let of = |name: &str| secrets.iter().find(|secret| secret["name"] == name).unwrap();
    let master = of("IAM_MASTER_KEY");
    assert_eq!(
        (&master["store"], &master["version"], &master["age_days"]),
        (&json!("vault"), &json!(1), &json!(0))
    );
    assert_eq!(of("SOMETHING_ELSE")["store"], "vault");
    let (status, answer, _) =
        ask(&deployment, &host, READ, &json!({"names": ["SOMETHING_ELSE", "NONE"]})).await;
    assert_eq!((status, answer), (200, json!({"secrets": {"SOMETHING_ELSE": "else"}})));
    // The same key from the host opens what was sealed under it.
    iam_tests::native::restart(&host, &[], &[("IAM_MASTER_KEY", &key), ("IAM_VAULT_TOKEN", "none")]);
    sign_in(&deployment).await.expect(200);
    deployment.check().await;
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn secrets_are_versions() {
    let vault = Vault::shared().await;
    let (deployment, host) = start(&with_token(vault, "versions/secrets"), &[TOKEN]);
    let write = |data: Value, check: Value| {
        let body = json!({"mount": "secret", "path": "versions/x", "data": data, "check_and_set": check});
        let (deployment, host) = (&deployment, &host);
        async move { ask(deployment, host, WRITE, &body).await }
    };
    assert_eq!(write(json!({"a": "1"}), Value::Null).await.1, json!({"version": 1}));
    assert_eq!(write(json!({"a": "2", "none": null}), json!(1)).await.1, json!({"version": 2}));
    let (status, problem, _) = write(json!({"a": "3"}), json!(1)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("version_conflict")));
    assert_eq!(vault.read("secret/data/versions/x").await["data"]["data"], json!({"a": "2", "none": null}));
    // An engine that nobody mounted is a bad request, and a secret that nobody wrote has no names.
    let nowhere = json!({"mount": "nowhere", "path": "x", "data": {"a": "b"}});
    let (status, problem, _) = ask(&deployment, &host, WRITE, &nowhere).await;
    assert_eq!((status, &problem["code"]), (422, &json!("vault_refused")));
    let (status, answer, _) = ask(&deployment, &host, READ, &json!({"names": ["A"]})).await;
    assert_eq!((status, answer), (200, json!({"secrets": {}})));
    // Deleted is as good as never written.
    vault.put("versions/secrets", &json!({"A": "b"})).await;
    assert_eq!(
        ask(&deployment, &host, READ, &json!({"names": ["A"]})).await.1,
        json!({"secrets": {"A": "b"}})
    );
    vault.ask(Method::DELETE, "secret/data/versions/secrets", &Value::Null).await;
    assert_eq!(ask(&deployment, &host, READ, &json!({"names": ["A"]})).await.1, json!({"secrets": {}}));
}

/// A secret that may well exist behind a slip in the configuration is not an absent one: the next store's
/// master key would take its place, and nothing would look wrong.
#[tokio::test]
#[ignore = "needs OpenBao"]
async fn a_mount_or_namespace_that_is_none_is_said_to_be() {
    let vault = Vault::shared().await;
    let key = master_key();
    vault.put("slip/secrets", &json!({"IAM_MASTER_KEY": key})).await;
    for slip in [json!({"kv_mount": "nowhere"}), json!({"namespace": "nowhere"})] {
        let mut secrets = with_token(vault, "slip/secrets");
        secrets["order"] = json!(["host", "vault"]);
        for (name, value) in slip.as_object().unwrap() {
            secrets["vault"][name] = value.clone();
        }
        let (deployment, host) = start(&secrets, &[TOKEN]);
        let (status, problem, _) = ask(&deployment, &host, READ, &json!({"names": ["IAM_MASTER_KEY"]})).await;
        assert_eq!((status, &problem["code"]), (503, &json!("vault_unavailable")), "{slip}");
        sign_in(&deployment).await.expect_problem(503, "secrets_unavailable");
        iam_tests::native::restart(&host, &[], &[("IAM_MASTER_KEY", &key)]);
        let admin = deployment.administrator().await;
        let listed = admin.get(ADMIN).await.expect(200);
        let store = &listed.json["stores"][1];
        assert_eq!((&store["status"], &store["problem"]), (&json!("unhealthy"), &json!("misconfigured")));
    }
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn an_app_role_reads_what_its_policy_allows_and_no_more() {
    let vault = Vault::shared().await;
    let policy = r#"path "secret/data/role/secrets" { capabilities = ["read"] }"#;
    let (role_id, secret_id) = vault.app_role("reader", policy, "1h").await;
    vault.put("role/secrets", &json!({"A": "b"})).await;
    let secrets = json!({"vault": {"address": vault.address, "role_id": role_id, "path": "role/secrets"}});
    let (deployment, host) = start(&secrets, &[("IAM_VAULT_SECRET_ID", &secret_id)]);
    let names = json!({"names": ["A"]});
    let read = || ask(&deployment, &host, READ, &names);
    assert_eq!(read().await.1, json!({"secrets": {"A": "b"}}));
    let denied = json!({"mount": "secret", "path": "role/other", "data": {"a": "b"}});
    let (status, problem, _) = ask(&deployment, &host, WRITE, &denied).await;
    assert_eq!((status, &problem["code"]), (403, &json!("vault_denied")));
    // Every token is revoked: the next question logs in again. Young sessions are not given up for a 403.
    tokio::time::sleep(Duration::from_secs(6)).await;
    vault.write("sys/leases/revoke-prefix/auth/approle/login", &json!({})).await;
    assert_eq!(read().await.1, json!({"secrets": {"A": "b"}}));
    // A secret id that is none.
    iam_tests::native::restart(&host, &["secrets"], &[("IAM_VAULT_SECRET_ID", "none")]);
    let (status, problem, _) = read().await;
    assert_eq!((status, &problem["code"]), (403, &json!("vault_denied")));
    iam_tests::native::restart(&host, &["secrets"], &[("IAM_VAULT_SECRET_ID", "")]);
    assert_eq!(read().await.0, 503);
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn a_lease_is_renewed_before_it_ends() {
    let vault = Vault::start().await;
    let policy = r#"path "secret/data/lease" { capabilities = ["read"] }"#;
    let (role_id, secret_id) = vault.app_role("short", policy, "12s").await;
    vault.put("lease", &json!({"A": "b"})).await;
    let secrets = json!({"vault": {"address": vault.address, "role_id": role_id, "path": "lease"}});
    let (deployment, host) = start(&secrets, &[("IAM_VAULT_SECRET_ID", &secret_id)]);
    let tokens = || async {
        let listed = vault.ask(Method::GET, "auth/token/accessors?list=true", &Value::Null).await;
        listed["data"]["keys"].as_array().unwrap().len()
    };
    let before = tokens().await;
    for seconds in [0, 9, 9] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let (status, answer, _) = ask(&deployment, &host, READ, &json!({"names": ["A"]})).await;
        assert_eq!((status, answer), (200, json!({"secrets": {"A": "b"}})));
        assert_eq!(tokens().await, before + 1, "it logged in again");
    }
    // Nobody asked while it ended: a new one.
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert_eq!(ask(&deployment, &host, READ, &json!({"names": ["A"]})).await.0, 200);
}

/// For hosts where every request logs in anew.
#[tokio::test]
#[ignore = "needs OpenBao"]
async fn batch_tokens_leave_nothing_behind() {
    let vault = Vault::start().await;
    let policy = r#"path "secret/data/batch" { capabilities = ["read"] }"#;
    let (role_id, secret_id) = vault.app_role("batch", policy, "1m").await;
    vault.write("auth/approle/role/batch", &json!({"token_type": "batch"})).await;
    vault.put("batch", &json!({"A": "b"})).await;
    let secrets = json!({"vault": {"address": vault.address, "role_id": role_id, "path": "batch"}});
    let (deployment, host) = start(&secrets, &[("IAM_VAULT_SECRET_ID", &secret_id)]);
    let tokens = || async {
        let listed = vault.ask(Method::GET, "auth/token/accessors?list=true", &Value::Null).await;
        listed["data"]["keys"].as_array().unwrap().len()
    };
    let before = tokens().await;
    for _ in 0..3 {
        let (status, answer, _) = ask(&deployment, &host, READ, &json!({"names": ["A"]})).await;
        assert_eq!((status, answer), (200, json!({"secrets": {"A": "b"}})));
        iam_tests::native::restart(&host, &["secrets"], &[]);
    }
    assert_eq!(tokens().await, before);
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn a_service_account_logs_in() {
    let vault = Vault::shared().await;
    // The method is OpenBao's own; behind it a Kubernetes that knows one account.
    let reviewed = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": {
        "authenticated": true, "user": {"username": "system:serviceaccount:iam:edge", "uid": "u-1",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:iam", "system:authenticated"]}}});
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubernetes = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let review = move || async move { (axum::http::StatusCode::CREATED, reviewed.to_string()) };
        axum::serve(listener, axum::Router::new().fallback(review)).await.unwrap();
    });
    vault.write("sys/auth/cluster", &json!({"type": "kubernetes"})).await;
    // Any authority does: what it would vouch for is not encrypted here.
    vault.write("sys/mounts/cluster-ca", &json!({"type": "pki"})).await;
    let authority = json!({"common_name": "Cluster", "key_type": "ec"});
    let authority = vault.write("cluster-ca/root/generate/internal", &authority).await;
    let config = json!({"kubernetes_host": kubernetes, "disable_local_ca_jwt": true,
        "disable_iss_validation": true, "kubernetes_ca_cert": authority["data"]["certificate"]});
    vault.write("auth/cluster/config", &config).await;
    let policy = r#"path "secret/data/kubernetes" { capabilities = ["read"] }"#;
    vault.write("sys/policies/acl/kubernetes", &json!({"policy": policy})).await;
    let role = json!({"bound_service_account_names": ["edge"], "bound_service_account_namespaces": ["iam"],
        "token_policies": ["kubernetes"], "token_ttl": "1h"});
    vault.write("auth/cluster/role/edge", &role).await;
    vault.put("kubernetes", &json!({"A": "b"})).await;

    let part = |value: Value| iam_core::encoding::base64url(value.to_string().as_bytes());
    let claims = json!({"iss": "https://kubernetes.default.svc", "iat": 1, "nbf": 1,
        "exp": 4_000_000_000_u64, "sub": "system:serviceaccount:iam:edge",
        "kubernetes.io": {"namespace": "iam", "serviceaccount": {"name": "edge", "uid": "u-1"}}});
    let jwt = format!("{}.{}.c2lnbmF0dXJl", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
    let secrets = json!({"vault": {"address": vault.address, "auth": "kubernetes", "auth_mount": "cluster",
        "role": "edge", "path": "kubernetes", "timeout": "4s"}});
    let (deployment, host) = start(&secrets, &[("IAM_VAULT_JWT", &jwt)]);
    let (status, answer, _) = ask(&deployment, &host, READ, &json!({"names": ["A"]})).await;
    assert_eq!((status, answer), (200, json!({"secrets": {"A": "b"}})));
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn namespaces_are_apart() {
    let vault = Vault::shared().await;
    for namespace in ["team-one", "team-two"] {
        vault.write(&format!("sys/namespaces/{namespace}"), &json!({})).await;
        let mount = json!({"type": "kv", "options": {"version": "2"}});
        vault.write(&format!("{namespace}/sys/mounts/kv"), &mount).await;
    }
    let data = json!({"data": {"A": "of team one"}});
    // A new engine of version 2 is upgraded a moment after it was mounted.
    tokio::time::sleep(Duration::from_millis(500)).await;
    vault.write("team-one/kv/data/secrets", &data).await;
    for (namespace, expected) in [("team-one", json!({"A": "of team one"})), ("team-two", json!({}))] {
        let secrets = json!({"vault": {"address": vault.address, "auth": "token", "namespace": namespace,
            "kv_mount": "kv", "path": "secrets"}});
        let (deployment, host) = start(&secrets, &[TOKEN]);
        let (status, answer, _) = ask(&deployment, &host, READ, &json!({"names": ["A"]})).await;
        assert_eq!((status, answer), (200, json!({"secrets": expected})), "{namespace}");
    }
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn the_host_keeps_a_master_key_that_only_the_vault_opens() {
    let vault = Vault::shared().await;
    vault.write("sys/mounts/transit", &json!({"type": "transit"})).await;
    vault.write("transit/keys/edge-iam", &json!({})).await;
    let key = master_key();
    let plain = base64::engine::Engine::encode(&base64::engine::general_purpose::STANDARD, &key);
    let sealed = vault.write("transit/encrypt/edge-iam", &json!({"plaintext": plain})).await;
    let sealed = sealed["data"]["ciphertext"].as_str().unwrap();
    let secrets = json!({"order": ["host", "vault"], "max_age": "1s", "vault": {"address": vault.address,
        "auth": "token", "path": "transit/secrets", "transit_key": "edge-iam"}});
    let (deployment, host) = start(&secrets, &[TOKEN, ("IAM_MASTER_KEY", sealed)]);
    let admin = deployment.administrator().await;
    let listed = admin.get(ADMIN).await.expect(200);
    assert!(
        listed.text.contains(r#""transit_key_version":1"#) && !listed.text.contains(&key),
        "{}",
        listed.text
    );

    // The transit key is rotated: sealed anew, the old version may go.
    vault.write("transit/keys/edge-iam/rotate", &json!({})).await;
    let rewrap = format!("{ADMIN}/IAM_MASTER_KEY/rewrap");
    let anew = admin.post(&rewrap, &json!({})).await.expect(200);
    assert_eq!((&anew.json["key_version"], &anew.json["stored"]), (&json!(2), &json!(false)));
    assert_eq!(deployment.recorded("secrets.rewrap", "success", "IAM_MASTER_KEY"), 1);
    vault.write("transit/keys/edge-iam/config", &json!({"min_decryption_version": 2})).await;
    // Who has it open goes on: the Vault is not asked again for a text that was opened before.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    sign_in(&deployment).await.expect(200);
    iam_tests::native::restart(&host, &[], &[]);
    sign_in(&deployment).await.expect_problem(503, "secrets_unavailable");
    let anew = anew.text_at("/ciphertext");
    assert!(anew.starts_with("vault:v2:"));
    iam_tests::native::restart(&host, &[], &[("IAM_MASTER_KEY", anew)]);
    sign_in(&deployment).await.expect(200);

    // In the Vault's own KV engine it is put in its place.
    vault.put("transit/secrets", &json!({"OTHER": "stays", "SEALED": anew})).await;
    vault.write("transit/keys/edge-iam/rotate", &json!({})).await;
    let again = admin.post(&format!("{ADMIN}/SEALED/rewrap"), &json!({})).await.expect(200);
    assert_eq!((&again.json["stored"], &again.json["ciphertext"]), (&json!(true), &Value::Null));
    let kept = vault.read("secret/data/transit/secrets").await;
    assert!(kept["data"]["data"]["SEALED"].as_str().unwrap().starts_with("vault:v3:"));
    assert_eq!(
        (&kept["data"]["data"]["OTHER"], &kept["data"]["metadata"]["version"]),
        (&json!("stays"), &json!(2))
    );
    admin.post(&format!("{ADMIN}/OTHER/rewrap"), &json!({})).await.expect_problem(409, "not_sealed");
    admin.post(&format!("{ADMIN}/NOBODY/rewrap"), &json!({})).await.expect_problem(404, "not_found");
    deployment.check().await;
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn certificates_are_issued() {
    let vault = Vault::shared().await;
    vault.write("sys/mounts/pki", &json!({"type": "pki"})).await;
    vault
        .write("pki/root/generate/internal", &json!({"common_name": "Tests", "key_type": "ec", "ttl": "1h"}))
        .await;
    let (deployment, host) = start(&json!({}), &[("IAM_MASTER_KEY", &master_key())]);
    let admin = deployment.administrator().await;
    let certificates = format!("{ADMIN}/certificates");
    let ask =
        |name: &str| json!({"common_name": name, "alternative_names": ["b.example.com"], "ttl_seconds": 600});
    admin.post(&certificates, &ask("a.example.com")).await.expect_problem(503, "vault_unavailable");
    for kind in ["ec", "rsa", "ed25519"] {
        let bits = if kind == "rsa" { 2048 } else { 0 };
        let role = json!({"allowed_domains": ["example.com"], "allow_subdomains": true, "key_type": kind,
            "key_bits": bits, "max_ttl": "30m"});
        vault.write(&format!("pki/roles/{kind}"), &role).await;
        let secrets =
            json!({"vault": {"address": vault.address, "auth": "token", "pki_role": kind, "timeout": "4s"}});
        let mut configuration = iam_tests::scenarios::configuration();
        configuration["secrets"] = secrets;
        iam_tests::native::restart(&host, &[], &[TOKEN, ("IAM_CONFIG", &configuration.to_string())]);
        let issued = admin.post(&certificates, &ask("a.example.com")).await.expect(200).json;
        assert_eq!(issued["private_key_type"], kind);
        assert!(issued["private_key"].as_str().unwrap().contains("PRIVATE KEY"));
        assert!(issued["certificate"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
        let left = issued["expiration"].as_i64().unwrap() - iam_edge::now().as_seconds();
        assert!((500..=600).contains(&left), "{left}");
        let serial = issued["serial_number"].as_str().unwrap();
        assert_eq!(deployment.recorded("secrets.certificate", "success", serial), 1);
    }
    admin.post(&certificates, &ask("a.example.net")).await.expect_problem(422, "vault_refused");
    for (field, value) in [
        ("common_name", json!("a b")),
        ("alternative_names", json!(vec!["a"; 33])),
        ("ttl_seconds", json!(59)),
    ] {
        let mut asked = ask("a.example.com");
        asked[field] = value;
        admin.post(&certificates, &asked).await.expect_problem(422, "invalid_field");
    }
    assert!(!host.take_log().join("\n").contains("PRIVATE KEY"));
    deployment.check().await;
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn a_vault_that_is_sealed_is_said_to_be() {
    let vault = Vault::start().await;
    let key = master_key();
    vault.put("sealed", &json!({"IAM_MASTER_KEY": key})).await;
    let (deployment, host) = start(&with_token(&vault, "sealed"), &[TOKEN]);
    let admin = deployment.administrator().await;
    vault.write("sys/seal", &json!({})).await;
    let listed = admin.get(ADMIN).await.expect(200);
    let store = &listed.json["stores"][0];
    assert_eq!((&store["status"], &store["problem"]), (&json!("unhealthy"), &json!("sealed")));
    // Those who know it go on, those who come do not.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    sign_in(&deployment).await.expect(200);
    iam_tests::native::restart(&host, &[], &[]);
    sign_in(&deployment).await.expect_problem(503, "secrets_unavailable");
    let (status, problem, _) = ask(&deployment, &host, READ, &json!({"names": ["A"]})).await;
    assert_eq!((status, &problem["code"]), (503, &json!("vault_unavailable")));
}

/// The whole way: a key that is rotated by schedule arrives in the Vault, after a while in which that did not
/// serve.
#[tokio::test]
#[ignore = "needs OpenBao"]
async fn a_rotated_key_is_delivered() {
    let vault = Vault::shared().await;
    let policy = r#"path "secret/data/edge-iam/+/teams/*" { capabilities = ["create", "update"] }"#;
    let (role_id, secret_id) = vault.app_role("deliveries", policy, "1h").await;
    let secrets = json!({"vault": {"address": vault.address, "role_id": role_id, "timeout": "4s"}});
    let key = master_key();
    let (deployment, host) = start(&secrets, &[("IAM_MASTER_KEY", &key)]);
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "vault").await;
    let schedule = json!({"period_days": 1, "overlap_hours": 0,
        "delivery": {"kind": "vault", "mount": "secret", "path": "teams/payments/key"}});
    put(&admin, created.text_at("/key_id"), &schedule).await.expect(200);
    let run = |sql: &'static str| {
        let host = host.clone();
        async move { host.request().db("").run(Statement::new(sql)).await.unwrap() }
    };
    run("UPDATE api_keys SET created_at = created_at - 172800000").await;
    run("UPDATE api_key_rotations SET due_at = due_at - 172800000").await;
    let job = || async {
        deployment.internal().post("/internal/scheduled/key-rotation", &json!({})).await.expect(204);
        run("UPDATE api_key_deliveries SET next_attempt_at = 0 WHERE next_attempt_at IS NOT NULL").await;
    };
    // Nobody gave us the secret id yet.
    job().await;
    let open = admin.get("/api/v1/auth/keys/deliveries").await.expect(200);
    assert_eq!(open.json["deliveries"][0]["last_error"], "the Vault did not take it: 503 vault_unavailable");
    host.set_variable("IAM_VAULT_SECRET_ID", &secret_id);
    job().await;
    let arrived = vault.read("secret/data/edge-iam/org_000000001/teams/payments/key").await;
    let data = &arrived["data"]["data"];
    let verify = |key: String| {
        let client = deployment.client();
        async move {
            client.post("/api/v1/auth/keys/verify", &json!({"api_key": key})).await.json["valid"] == true
        }
    };
    assert!(verify(data["api_key"].as_str().unwrap().to_owned()).await);
    assert!(!verify(created.text_at("/api_key").to_owned()).await);
    assert_eq!(
        deployment.count("SELECT COUNT(*) AS count FROM api_key_deliveries WHERE state = 'delivered'"),
        1
    );
    assert!(
        admin.get("/api/v1/auth/keys/deliveries").await.json["deliveries"].as_array().unwrap().is_empty()
    );
    deployment.check().await;
}

#[tokio::test]
#[ignore = "needs OpenBao"]
async fn the_master_key_is_rotated_by_call() {
    let vault = Vault::shared().await;
    vault.write("sys/mounts/transit-rotation", &json!({"type": "transit"})).await;
    vault.write("transit-rotation/keys/edge-iam", &json!({})).await;
    let key = master_key();
    let plain = base64::engine::Engine::encode(&base64::engine::general_purpose::STANDARD, &key);
    let sealed = vault.write("transit-rotation/encrypt/edge-iam", &json!({"plaintext": plain})).await;
    vault
        .put("rotation/secrets", &json!({"IAM_MASTER_KEY": sealed["data"]["ciphertext"], "OTHER": "stays"}))
        .await;
    let secrets = json!({"order": ["vault", "host"], "max_age": "1s", "vault": {"address": vault.address,
        "auth": "token", "path": "rotation/secrets", "transit_mount": "transit-rotation",
        "transit_key": "edge-iam", "timeout": "4s"}});
    let (deployment, host) = start(&secrets, &[TOKEN]);
    let signed_in = sign_in(&deployment).await.expect(200);
    let token = signed_in.text_at("/access_token");
    let admin = deployment.client().with(token);
    let rotate = |step: &str, version: u64| {
        let (admin, body) = (admin.clone(), json!({"step": step, "version": version}));
        async move { admin.post(&format!("{ADMIN}/master-key/rotate"), &body).await }
    };
    rotate("switch", 1).await.expect_problem(409, "nothing_announced");
    rotate("announce", 2).await.expect_problem(409, "version_conflict");
    let (one, two) = tokio::join!(rotate("announce", 1), rotate("announce", 1));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.text, two.text);
    rotate("announce", 2).await.expect_problem(409, "rotation_pending");
    rotate("switch", 2).await.expect_problem(409, "too_early");
    rotate("finish", 2).await.expect_problem(409, "too_early");
    let kept = || async { vault.read("secret/data/rotation/secrets").await["data"]["data"].clone() };
    let announced = kept().await;
    assert!(announced["IAM_MASTER_KEY_PREVIOUS"].as_str().unwrap().starts_with("vault:v1:"));
    assert_eq!((&announced["OTHER"], announced.as_object().unwrap().len()), (&json!("stays"), 3));

    // The host's is not asked first, so the Vault's is the one.
    host.set_variable("IAM_MASTER_KEY", &key);
    rotate("announce", 2).await.expect_problem(409, "rotation_pending");
    deployment.check().await;
}
