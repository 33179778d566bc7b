//! What anybody may read: keys, metadata, the description of the API.

use iam_core::encoding::from_base64url;
use iam_core::jose::jwt::{Algorithm, PublicKey, UnverifiedToken};
use reqwest::Method;

use crate::scenarios::oauth::keyring::key_of;
use crate::{Answer, Client, Deployment};

const KEYS: &str = "/.well-known/jwks.json";
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// The public key of this id, as a verifier reads it.
fn public_key(key_set: &Answer, key_id: &str) -> PublicKey {
    let key = key_set.json["keys"].as_array().unwrap().iter().find(|key| key["kid"] == key_id).unwrap();
    assert_eq!(key["use"], "sig");
    let bytes = |name: &str| from_base64url(key[name].as_str().unwrap()).unwrap();
    match key["alg"].as_str().unwrap() {
        "ES256" => {
            assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some("EC"), Some("P-256")));
            let bytes = [vec![4], bytes("x"), bytes("y")].concat();
            PublicKey { algorithm: Algorithm::Es256, bytes }
        }
        "EdDSA" => {
            assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some("OKP"), Some("Ed25519")));
            PublicKey { algorithm: Algorithm::EdDsa, bytes: bytes("x") }
        }
        other => panic!("{other} is no algorithm of this test"),
    }
}

/// Whether a verifier that reads the published keys accepts a token.
pub async fn verifies(deployment: &Deployment, token: &str) -> bool {
    let key_set = deployment.client().get(KEYS).await.expect(200);
    UnverifiedToken::parse(token).unwrap().verify(&public_key(&key_set, &key_of(token))).is_ok()
}

/// A verifier needs nothing but the published keys; they have nothing but public parts.
pub async fn keys_verify_tokens(deployment: &Deployment) {
    let setup = &deployment.setup;
    let login = deployment.client().login(&setup.username, &setup.password).await.expect(200);
    assert!(verifies(deployment, login.text_at("/access_token")).await);
    let key_set = deployment.client().get(KEYS).await.expect(200);
    assert_eq!(key_set.headers["content-type"], "application/jwk-set+json");
    for key in key_set.json["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "k"] {
            assert!(key.get(private).is_none());
        }
    }
    let organization = iam_core::config::FIRST_ORGANIZATION;
    let named = deployment.client().get(&format!("/.well-known/{organization}/jwks.json")).await.expect(200);
    assert!(named.json["keys"].as_array().is_some_and(|keys| !keys.is_empty()));
    for nobody in ["org_zzzzzzzzz", "nonsense", "%00"] {
        let answer = deployment.client().get(&format!("/.well-known/{nobody}/jwks.json")).await;
        answer.expect_problem(404, "not_found");
    }
}

async fn get(client: &Client, path: &str, headers: [(&str, &str); 2]) -> Answer {
    let request = headers
        .iter()
        .fold(client.request(Method::GET, path), |request, (name, value)| request.header(*name, *value));
    client.send(request).await
}

/// Caches keep what they get, ask whether it is current, and give it to every origin.
pub async fn copies_are_kept(deployment: &Deployment) {
    let client = deployment.client();
    for (path, cache_control) in [
        (KEYS, "public, max-age=300"),
        (METADATA, "public, max-age=3600"),
        ("/openapi.json", "public, max-age=3600"),
    ] {
        let mut is_current = false;
        // The keys may change between two requests; they don't do so for ever.
        for _ in 0..3 {
            let first = client.get(path).await.expect(200);
            let tag = first.headers["etag"].to_str().unwrap();
            let again =
                get(&client, path, [("if-none-match", tag), ("origin", "https://anywhere.example")]).await;
            for answer in [&first, &again] {
                assert_eq!(answer.headers["cache-control"], cache_control);
                assert_eq!(answer.headers["access-control-allow-origin"], "*");
            }
            is_current = again.status == 304 && again.text.is_empty() && again.headers["etag"] == tag;
            if is_current {
                break;
            }
        }
        assert!(is_current, "{path}");
        let known = ("origin", "https://console.example.com");
        let stale = get(&client, path, [("if-none-match", "\"other\""), known]).await.expect(200);
        assert_eq!(stale.headers["access-control-allow-origin"], "*");
    }
}

/// The metadata leads to the endpoints.
pub async fn metadata_names_the_endpoints(deployment: &Deployment) {
    let metadata = deployment.client().get(METADATA).await.expect(200);
    assert_eq!(metadata.text_at("/issuer"), "cronos-auth");
    let base = metadata.text_at("/jwks_uri").strip_suffix(KEYS).unwrap();
    assert_eq!(base, deployment.base_url);
    for (field, path) in [
        ("token_endpoint", "/api/v1/oauth/token"),
        ("introspection_endpoint", "/api/v1/oauth/introspect"),
        ("revocation_endpoint", "/api/v1/oauth/revoke"),
    ] {
        assert_eq!(metadata.json[field], format!("{base}{path}"));
    }
    assert_eq!(metadata.json["response_types_supported"], serde_json::json!([]));
    deployment.client().get("/.well-known/openid-configuration").await.expect(404);
}

/// The description of the API is the tracked one.
pub async fn the_description_is_served(deployment: &Deployment) {
    let description = deployment.client().get("/openapi.json").await.expect(200);
    assert_eq!(description.json["openapi"], "3.1.0");
    assert!(description.json["paths"]["/openapi.json"]["get"].is_object());
}
