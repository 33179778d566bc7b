//! A Vault that is written to: what is rotated and sealed anew there, and texts that count as none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::hostile::{Stand, TOKEN, honest, now, secrets};
use super::{ADMIN, master_key, sign_in, start};

/// The versions of a secret in a Vault, the newest last.
type Versions = Arc<Mutex<Vec<Value>>>;

/// A Vault that is written to, and seals: `vault:v1:` and `vault:v2:` before a plain text in base64 open to
/// it. All versions are old: nobody has to wait for instances to follow.
fn writable(first: Value) -> (Stand, Versions) {
    let versions: Versions = Arc::new(Mutex::new(vec![first]));
    let kept = Arc::clone(&versions);
    let stand = Stand::reading(move |path, body| {
        if path.starts_with("/v1/transit/") {
            let sealed = body["ciphertext"].as_str().unwrap();
            let Some(plain) = sealed.strip_prefix("vault:v1:").filter(|plain| *plain != "refused") else {
                return now(400, &json!({"errors": ["invalid ciphertext"]}));
            };
            let data = json!({"plaintext": plain, "ciphertext": format!("vault:v2:{plain}")});
            return now(200, &json!({"data": data}));
        }
        let mut versions = kept.lock().unwrap();
        if let Some(data) = body.get("data") {
            if body["options"]["cas"] != versions.len() {
                let mismatch = "check-and-set parameter did not match the current version";
                return now(400, &json!({"errors": [mismatch]}));
            }
            versions.push(data.clone());
        }
        let metadata = json!({"version": versions.len(), "created_time": "2026-11-01T00:00:00Z",
            "deletion_time": "", "destroyed": false});
        match (path, body.get("data")) {
            (_, Some(_)) => now(200, &json!({"data": metadata})),
            ("/v1/secret/data/edge-iam/secrets", None) => {
                now(200, &json!({"data": {"data": versions.last(), "metadata": metadata}}))
            }
            (path, None) => honest(json!({}))(path),
        }
    });
    (stand, versions)
}

fn sealed(text: &str) -> String {
    let engine = &base64::engine::general_purpose::STANDARD;
    format!("vault:v1:{}", base64::engine::Engine::encode(engine, text))
}

#[tokio::test]
async fn a_master_key_is_rotated_by_call() {
    let key = master_key();
    let (stand, versions) = writable(json!({"IAM_MASTER_KEY": key, "OTHER": "stays"}));
    let (deployment, host) = start(&secrets(&stand.address, &["vault", "host"]), &[TOKEN]);
    let signed_in = sign_in(&deployment).await.expect(200);
    let admin = deployment.client().with(signed_in.text_at("/access_token"));
    let rotate = |step: &str, version: u64| {
        let (admin, body) = (admin.clone(), json!({"step": step, "version": version}));
        async move { admin.post(&format!("{ADMIN}/master-key/rotate"), &body).await }
    };
    let newest = || versions.lock().unwrap().last().cloned().unwrap();
    let follow = || tokio::time::sleep(Duration::from_millis(1_100));
    rotate("switch", 1).await.expect_problem(409, "nothing_announced");
    let answer = rotate("announce", 1).await.expect(200);
    assert_eq!(answer.json["version"], 2);
    // An instance that is cut off seals under what it knows for `max_age` and `max_stale`; a minute is for
    // the clocks.
    assert_eq!(answer.text_at("/seen_everywhere_at"), "2026-11-01T01:01:01Z");
    let announced = newest();
    assert_eq!((&announced["IAM_MASTER_KEY"], &announced["OTHER"]), (&json!(key), &json!("stays")));
    follow().await;
    sign_in(&deployment).await.expect(200);

    // Asked for twice, done once: a second exchange would put the old key back.
    let (one, two) = tokio::join!(rotate("switch", 2), rotate("switch", 2));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.text, two.text);
    rotate("switch", 2).await.expect_problem(409, "version_conflict");
    assert_eq!(newest()["IAM_MASTER_KEY"], announced["IAM_MASTER_KEY_PREVIOUS"]);
    assert_eq!(newest()["IAM_MASTER_KEY_PREVIOUS"], json!(key));
    follow().await;
    sign_in(&deployment).await.expect(200);

    // The signing key opens under the old one alone, until the job has sealed it anew.
    rotate("finish", 3).await.expect_problem(409, "still_needed");
    deployment.internal().post("/internal/scheduled/reseal", &json!({})).await.expect(204);
    assert_eq!(rotate("finish", 3).await.expect(200).json["version"], 4);
    assert_eq!(newest().as_object().unwrap().len(), 2);
    follow().await;
    iam_tests::native::restart(&host, &[], &[]);
    sign_in(&deployment).await.expect(200);
    assert_eq!(admin.get("/api/v1/keyring").await.expect(200).text_at("/previous_master_key"), "absent");
    assert!(!host.take_log().join("\n").contains(&key));
    deployment.check().await;
}

/// A working master key never makes room for a text that is none.
#[tokio::test]
async fn what_is_no_key_never_becomes_the_master_key() {
    let key = master_key();
    let (stand, versions) = writable(json!({"IAM_MASTER_KEY": key, "IAM_MASTER_KEY_PREVIOUS": " "}));
    let mut configuration = secrets(&stand.address, &["vault", "host"]);
    configuration["vault"]["transit_key"] = json!("edge-iam");
    let (deployment, host) = start(&configuration, &[TOKEN]);
    let signed_in = sign_in(&deployment).await.expect(200);
    let admin = deployment.client().with(signed_in.text_at("/access_token"));
    let rotate = |step: &str| {
        let body = json!({"step": step, "version": versions.lock().unwrap().len()});
        let admin = admin.clone();
        async move { admin.post(&format!("{ADMIN}/master-key/rotate"), &body).await }
    };
    let count = || versions.lock().unwrap().len();
    // What is there of it counts as absent, as it does for those who seal.
    rotate("switch").await.expect_problem(409, "nothing_announced");
    rotate("finish").await.expect_problem(409, "nothing_announced");
    rotate("announce").await.expect(200);
    let announced = versions.lock().unwrap().last().cloned().unwrap();
    assert_eq!(announced["IAM_MASTER_KEY"], json!(key));
    assert_ne!(announced["IAM_MASTER_KEY_PREVIOUS"], json!(" "));

    let slips =
        ["a slip of the hand", "vault:v1:refused", "vault:v1:", &sealed("a slip of the hand"), &sealed(" ")];
    for slip in slips {
        versions.lock().unwrap().push(json!({"IAM_MASTER_KEY": key, "IAM_MASTER_KEY_PREVIOUS": slip}));
        let before = count();
        let problem = rotate("switch").await.expect_problem(409, "previous_is_no_key");
        assert!(problem.text.contains("IAM_MASTER_KEY_PREVIOUS"), "{slip}: {}", problem.text);
        assert!(!problem.text.contains(slip), "{slip}: {}", problem.text);
        assert_eq!(count(), before, "{slip}");
    }
    assert_eq!(deployment.recorded("secrets.master_key_rotate", "success", "IAM_MASTER_KEY"), 1);
    assert!(!host.take_log().join("\n").contains("slip of the hand"));

    // Without a current key there is nothing to rotate.
    let text = json!({"IAM_MASTER_KEY": " ", "IAM_MASTER_KEY_PREVIOUS": key});
    versions.lock().unwrap().push(text);
    for step in ["announce", "switch", "finish"] {
        rotate(step).await.expect_problem(409, "not_in_vault");
    }
    // Blanks around a key are none of it, sealed or not.
    let next = master_key();
    for previous in [format!(" {}\n", sealed(&next)), format!("{next}\n")] {
        let text = json!({"IAM_MASTER_KEY": format!("{key}\n"), "IAM_MASTER_KEY_PREVIOUS": previous});
        versions.lock().unwrap().push(text);
        rotate("switch").await.expect(200);
        let switched = versions.lock().unwrap().last().cloned().unwrap();
        let expected = json!({"IAM_MASTER_KEY": previous.trim(), "IAM_MASTER_KEY_PREVIOUS": key});
        assert_eq!(switched, expected);
    }
    deployment.check().await;
}

#[tokio::test]
async fn what_serves_with_blanks_around_it_is_sealed_anew() {
    let (vaults, hosts) = (sealed(&master_key()), sealed("of the host"));
    let (stand, versions) = writable(json!({"IAM_MASTER_KEY": format!("{vaults}\n"),
        "IAM_NOTIFICATION_TOKEN": " \n"}));
    let mut configuration = secrets(&stand.address, &["vault", "host"]);
    configuration["vault"]["transit_key"] = json!("edge-iam");
    let (deployment, _) = start(&configuration, &[TOKEN, ("IAM_NOTIFICATION_TOKEN", &hosts)]);
    let admin = deployment.administrator().await;
    // Blanks in the Vault are absent: the host's is the one.
    let anew = admin.post(&format!("{ADMIN}/IAM_NOTIFICATION_TOKEN/rewrap"), &json!({})).await.expect(200);
    assert_eq!((anew.text_at("/store"), &anew.json["stored"]), ("host", &json!(false)));
    assert_eq!(anew.text_at("/ciphertext"), hosts.replace("vault:v1:", "vault:v2:"));
    // The text that serves is the one that is sealed anew.
    let anew = admin.post(&format!("{ADMIN}/IAM_MASTER_KEY/rewrap"), &json!({})).await.expect(200);
    assert_eq!((anew.text_at("/store"), &anew.json["stored"]), ("vault", &json!(true)));
    let newest = versions.lock().unwrap().last().cloned().unwrap();
    assert_eq!(newest["IAM_MASTER_KEY"], json!(vaults.replace("vault:v1:", "vault:v2:")));
    deployment.check().await;
}

/// The list names the store whose text is used.
#[tokio::test]
async fn a_text_of_blanks_is_in_no_store() {
    let key = master_key();
    let stand = Stand::start(honest(json!({"IAM_MASTER_KEY": " ", "IAM_NOTIFICATION_TOKEN": "\n",
        "IAM_WEBHOOK_SECRETS": "\n vault:v7:abc\n", "OTHER": "\t"})));
    let mut configuration = secrets(&stand.address, &["configuration", "vault", "host"]);
    configuration["values"] = json!({"IAM_NOTIFICATION_TOKEN": " ", "IAM_WEBHOOK_SECRETS": "  "});
    let hosts = [TOKEN, ("IAM_MASTER_KEY", &key), ("IAM_NOTIFICATION_TOKEN", "used")];
    let (deployment, _) = start(&configuration, &hosts);
    let listed = deployment.administrator().await.get(ADMIN).await.expect(200);
    let names = listed.json["secrets"].as_array().unwrap();
    let of = |name: &str| names.iter().find(|secret| secret["name"] == name);
    for name in ["IAM_MASTER_KEY", "IAM_NOTIFICATION_TOKEN"] {
        let secret = of(name).unwrap();
        assert_eq!((&secret["store"], &secret["also_in"]), (&json!("host"), &json!([])), "{secret}");
        assert_eq!(secret.get("version"), None, "{secret}");
    }
    let sealed = of("IAM_WEBHOOK_SECRETS").unwrap();
    assert_eq!((&sealed["store"], &sealed["transit_key_version"]), (&json!("vault"), &json!(7)));
    assert_eq!(of("OTHER"), None);
    deployment.check().await;
}
