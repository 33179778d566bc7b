//! Schedules of API keys that are rotated by themselves.

use iam_core::config::FIRST_ORGANIZATION;
use iam_core::encoding::base64url;
use iam_core::id::{KeyId, OrganizationId};
use iam_core::keys::Target;
use iam_core::secret::credential::Credential;
use iam_core::secret::seal::MasterKey;
use iam_core::sql::Statement;
use iam_core::time::Duration;
use reqwest::Method;
use serde_json::{Value, json};

use crate::deployment::{Setup, random};
use crate::receiver::Receiver;
use crate::{Answer, Client, Deployment};

const KEYS: &str = "/api/v1/auth/keys";

/// The public half of the private key whose bytes are all 7.
#[must_use]
pub fn public_key() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "receiver-1",
        "x": "HhhTL9R1TALzBB2cdc6zO4P_2BrHzk_ogsyxyYvFiW4",
        "y": "pGwxHE4v9A3ZajZT5uRURdMt_khuztdcepDGoYiBwKM",
    })
}

/// A schedule that delivers to `url`.
#[must_use]
pub fn webhook(url: &str) -> Value {
    json!({"period_days": 30, "overlap_hours": 24,
        "delivery": {"kind": "webhook", "url": url, "public_key": public_key()}})
}

/// PUT with a JSON body.
pub async fn put(client: &Client, key_id: &str, body: &Value) -> Answer {
    client.send(client.request(Method::PUT, &format!("{KEYS}/{key_id}/rotation")).json(body)).await
}

/// A new key of the client's.
pub async fn new_key(client: &Client, name: &str) -> Answer {
    let body = json!({"name": name, "expires_in_days": 90,
        "permissions": [{"resource": "profile", "action": "read", "scope": "own"}]});
    client.post(KEYS, &body).await.expect(201)
}

/// Set, shown without its secret, set again, handed on by a rotation, ended.
pub async fn schedules_are_set(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "rotated").await;
    let key_id = created.text_at("/key_id");
    let path = format!("{KEYS}/{key_id}/rotation");
    admin.get(&path).await.expect_problem(404, "not_found");

    let schedule = webhook("https://hooks.example.com/keys");
    let set = put(&admin, key_id, &schedule).await.expect(200);
    assert!(set.text_at("/signing_secret").starts_with("whsec_"));
    assert_eq!(set.json["delivery"], schedule["delivery"]);
    assert!(!set.text_at("/due_at").is_empty());
    let shown = admin.get(&path).await.expect(200);
    assert!(!shown.text.contains("whsec_") && !shown.text.contains("secret"), "{}", shown.text);
    assert_eq!((&shown.json["period_days"], &shown.json["overlap_hours"]), (&json!(30), &json!(24)));
    // The same target keeps its secret; another has another.
    let mut again = schedule.clone();
    again["period_days"] = json!(60);
    assert_eq!(put(&admin, key_id, &again).await.expect(200).json["signing_secret"], Value::Null);
    let moved = put(&admin, key_id, &webhook("https://hooks.example.com/elsewhere")).await.expect(200);
    assert_ne!(moved.text_at("/signing_secret"), set.text_at("/signing_secret"));

    let rotated = admin.post(&format!("{KEYS}/{key_id}/rotate"), &json!({})).await.expect(200);
    let new_key_id = rotated.text_at("/new_key_id");
    assert_eq!(admin.get(&path).await.expect(200).json["due_at"], Value::Null);
    put(&admin, key_id, &schedule).await.expect_problem(404, "not_found");
    let path = format!("{KEYS}/{new_key_id}/rotation");
    let handed = admin.get(&path).await.expect(200);
    assert_eq!(handed.json["delivery"]["url"], "https://hooks.example.com/elsewhere");
    assert!(!handed.text_at("/due_at").is_empty());

    admin.delete(&path).await.expect(204);
    admin.delete(&path).await.expect_problem(404, "not_found");
    admin.get(&path).await.expect_problem(404, "not_found");
    assert_eq!(deployment.recorded("api_key.rotation_set", "success", key_id), 3);
    assert_eq!(deployment.recorded("api_key.rotation_end", "success", new_key_id), 1);
    for id in [key_id, new_key_id] {
        admin.delete(&format!("{KEYS}/{id}")).await.expect(200);
    }
    put(&admin, new_key_id, &schedule).await.expect_problem(404, "not_found");
    admin.get(&format!("{KEYS}/deliveries?limit=5")).await.expect(200);
    admin.get(&format!("{KEYS}/deliveries?limit=0")).await.expect_problem(400, "invalid_query");
    let retry = format!("{KEYS}/deliveries/kdlv_00000000000000000000000000/retry");
    admin.post(&retry, &json!({})).await.expect_problem(404, "not_found");
}

/// No address that leads inside, no path that leads out, no key that is none.
pub async fn targets_are_checked(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "targets").await;
    let key_id = created.text_at("/key_id");
    for url in [
        "ftp://example.com/",
        "https://user:password@example.com/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://example.com/#x",
        "https://login.spin.internal/",
        "/relative",
        "",
    ] {
        let refused = put(&admin, key_id, &webhook(url)).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.text_at("/errors/0/pointer"), "/delivery/url", "{url}");
    }
    let mut private = webhook("https://example.com/");
    private["delivery"]["public_key"]["d"] = json!("AAAA");
    put(&admin, key_id, &private).await.expect_problem(422, "invalid_field");
    let mut off_curve = webhook("https://example.com/");
    off_curve["delivery"]["public_key"]["y"] = off_curve["delivery"]["public_key"]["x"].clone();
    let refused = put(&admin, key_id, &off_curve).await.expect_problem(422, "invalid_field");
    assert_eq!(refused.text_at("/errors/0/pointer"), "/delivery/public_key");
    let vault = |mount: &str, path: &str| {
        json!({"period_days": 1, "overlap_hours": 0,
        "delivery": {"kind": "vault", "mount": mount, "path": path}})
    };
    for (mount, path, pointer) in [
        ("sys", "a", "/delivery/mount"),
        ("auth/token", "a", "/delivery/mount"),
        ("team/auth", "a", "/delivery/mount"),
        ("", "a", "/delivery/mount"),
        ("secret", "../sys", "/delivery/path"),
        ("secret", "/a", "/delivery/path"),
        ("secret", "a b", "/delivery/path"),
        // There is no Vault here.
        ("secret", "teams/payments/key", "/delivery/kind"),
    ] {
        let refused = put(&admin, key_id, &vault(mount, path)).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{mount} {path}");
    }
    for (field, value) in [("period_days", 0), ("period_days", 367), ("overlap_hours", 2161)] {
        let mut bad = vault("secret", "a");
        bad[field] = json!(value);
        let refused = put(&admin, key_id, &bad).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.text_at("/errors/0/pointer"), format!("/{field}"));
    }
    admin.delete(&format!("{KEYS}/{key_id}")).await.expect(200);
}

/// Whoever may not change keys changes no schedule, and nobody's but its own without the right over all.
pub async fn are_not_for_everybody(deployment: &Deployment) {
    let admin = deployment.administrator().await;
    let created = new_key(&admin, "admins").await;
    let key_id = created.text_at("/key_id");
    let (username, password) = deployment.new_user().await;
    let login = deployment.client().login(&username, &password).await.expect(200);
    let nobody = deployment.client().with(login.text_at("/access_token"));
    let schedule = webhook("https://hooks.example.com/keys");
    put(&nobody, key_id, &schedule).await.expect_problem(403, "permission_denied");
    nobody.get(&format!("{KEYS}/deliveries")).await.expect_problem(403, "permission_denied");
    deployment.client().get(&format!("{KEYS}/deliveries")).await.expect_problem(401, "credential_missing");
    admin.delete(&format!("{KEYS}/{key_id}")).await.expect(200);
}

/// The key that [`aged`] put there, and what its deliveries are signed with.
pub struct Aged {
    /// What the deployment starts with.
    pub setup: Setup,
    /// The key itself.
    pub key: String,
    key_id: KeyId,
    signing_secret: String,
}

/// A deployment with a key of the administrator's that is older than its schedule allows, so that hosts whose
/// database no test can change have something to rotate. The new key goes to `url`.
#[must_use]
pub fn aged(url: &str) -> Aged {
    let mut configuration = crate::scenarios::configuration();
    configuration["outbound"] = json!({"allow_http": true, "allow_private_addresses": true});
    let mut setup = Setup::new(&configuration);
    let target: Target = serde_json::from_value(webhook(url)["delivery"].clone()).unwrap();
    let secret = random::<32>();
    let master = MasterKey::parse(&setup.master_key).unwrap();
    let purpose = target.signing_purpose(&FIRST_ORGANIZATION.parse().unwrap());
    let sealed = master.seal(&purpose, &secret, random()).unwrap();
    let (key, key_id) = put_aged_key(&mut setup, &target, Some(sealed));
    // Base64, padded, as it is shown: the other alphabet of what is at hand.
    let text = base64url(&secret).replace('-', "+").replace('_', "/");
    Aged { setup, key, key_id, signing_secret: format!("whsec_{text}=") }
}

/// Puts a key of the administrator's into a deployment to be, older than its schedule allows; the key and its
/// id.
#[must_use]
pub fn put_aged_key(setup: &mut Setup, target: &Target, sealed: Option<String>) -> (String, KeyId) {
    let organization: OrganizationId = FIRST_ORGANIZATION.parse().unwrap();
    let born = iam_edge::now().before(Duration::from_days(40));
    let key = Credential::new("cronos_sk_live_", &organization, &random());
    let key_id = KeyId::new(born, random());
    let (ages, period) = (Duration::from_days(90), Duration::from_days(30));
    let store = Statement::new(
        "INSERT INTO api_keys (org_id, key_id, key_hash, name, owner_id, permissions, rate_limit, status, \
         life_ms, created_at, expires_at) SELECT org_id, ?2, ?3, 'aged', user_id, \
         '[{\"resource\":\"profile\",\"action\":\"read\",\"scope\":\"own\"}]', 1000, 'active', ?4, ?5, ?6 \
         FROM users WHERE org_id = ?1",
    );
    let schedule = Statement::new(
        "INSERT INTO api_key_rotations (org_id, key_id, period_ms, overlap_ms, due_at, delivery, \
         sealed_signing_secret) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    );
    setup.statements.extend([
        store
            .bind(&organization)
            .bind(&key_id)
            .bind(&key.hash())
            .bind(ages.as_millis())
            .bind(born)
            .bind(born.after(ages)),
        schedule
            .bind(&organization)
            .bind(&key_id)
            .bind(period.as_millis())
            .bind(Duration::from_hours(24).as_millis())
            .bind(born.after(period))
            .bind(target.to_text())
            .bind(sealed),
    ]);
    (key.reveal().to_owned(), key_id)
}

/// The job rotates a key that is due and delivers its successor, signed and encrypted; both work. Of runs at
/// once one does, and later ones find nothing to do.
pub async fn an_aged_key_is_rotated(deployment: &Deployment, aged: &Aged, receiver: &Receiver) {
    const JOB: &str = "/internal/scheduled/key-rotation";
    let works = async |key: &str| {
        let answer = deployment.client().post(&format!("{KEYS}/verify"), &json!({"api_key": key})).await;
        answer.expect(200).json["valid"] == true
    };
    assert!(works(&aged.key).await);
    let run = async || deployment.internal().post(JOB, &json!({})).await.expect(204);
    tokio::join!(run(), run(), run());
    run().await;
    assert_eq!(receiver.count(), 1);
    let (id, json, new) = receiver.last_key(&aged.signing_secret);
    assert_eq!((&json["data"]["old_key_id"], &json["data"]["name"]), (&json!(aged.key_id), &json!("aged")));
    assert!(works(&aged.key).await && works(&new).await);
    for (action, resource) in [("api_key.rotate", aged.key_id.as_str()), ("api_key.delivered", new_id(&json))]
    {
        assert_eq!(deployment.recorded(action, "success", resource), 1, "{action}");
    }
    assert_eq!(deployment.count("SELECT COUNT(*) AS count FROM api_keys"), 2);
    assert_eq!(deployment.count("SELECT COUNT(sealed_key) AS count FROM api_key_deliveries"), 0);
    let admin = deployment.administrator().await;
    assert_eq!(admin.get(&format!("{KEYS}/deliveries")).await.expect(200).json["deliveries"], json!([]));
    let retry = format!("{KEYS}/deliveries/{id}/retry");
    admin.post(&retry, &json!({})).await.expect_problem(404, "not_found");
    let handed = admin.get(&format!("{KEYS}/{}/rotation", new_id(&json))).await.expect(200);
    assert_eq!(handed.json["delivery"]["url"], receiver.url.as_str());
    // The overlap began with the confirmation.
    let old = admin.get(&format!("{KEYS}/{}", aged.key_id)).await.expect(200);
    assert_eq!(old.text_at("/replaced_by"), new_id(&json));
    let tomorrow = iam_edge::now().after(Duration::from_hours(24)).to_string();
    assert!(old.text_at("/expires_at") <= tomorrow.as_str());
}

fn new_id(delivered: &Value) -> &str {
    delivered["data"]["key_id"].as_str().unwrap()
}
