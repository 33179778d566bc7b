//! What makes a report believable: a signature over its bytes by a key that its sender publishes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde::{Deserialize, Serialize};

/// How many keys a sender may publish.
const MAX_KEYS: usize = 64;

/// The longest key, in bytes of PEM, and the longest name of one.
const MAX_KEY_BYTES: usize = 1024;
const MAX_IDENTIFIER_BYTES: usize = 128;

/// The longest signature, in base64: of 72 bytes.
const MAX_SIGNATURE_BYTES: usize = 96;

/// A published key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublishedKey {
    #[serde(rename = "key_identifier")]
    pub(crate) identifier: String,
    /// PEM of a SubjectPublicKeyInfo (RFC 7468 section 13).
    #[serde(rename = "key")]
    pem: String,
}

/// The document that they are published in.
#[derive(Deserialize)]
struct Published {
    public_keys: Vec<PublishedKey>,
}

/// Reads the published document. What is too large in it is left out.
pub(crate) fn read_keys(json: &[u8]) -> Result<Vec<PublishedKey>, serde_json::Error> {
    let published: Published = serde_json::from_slice(json)?;
    let is_sound = |key: &PublishedKey| {
        key.pem.len() <= MAX_KEY_BYTES && (1..=MAX_IDENTIFIER_BYTES).contains(&key.identifier.len())
    };
    Ok(published.public_keys.into_iter().filter(is_sound).take(MAX_KEYS).collect())
}

impl PublishedKey {
    /// Whether it signed `body`: `signature` is base64 of an ECDSA signature with SHA-256 over P-256 in DER.
    pub(crate) fn signed(&self, body: &[u8], signature: &str) -> bool {
        if signature.len() > MAX_SIGNATURE_BYTES {
            return false;
        }
        let Ok(key) = VerifyingKey::from_public_key_pem(&self.pem) else { return false };
        let Ok(bytes) = STANDARD.decode(signature) else { return false };
        Signature::from_der(&bytes).is_ok_and(|signature| key.verify(body, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation, "Secret scanning partner program", section "Create a secret
    /// alert service", with the test key given there.
    const BODY: &str =
        r#"[{"token":"some_token","type":"some_type","url":"some_url","source":"some_source"}]"#;
    const SIGNATURE: &str =
        "MEUCIFLZzeK++IhS+y276SRk2Pe5LfDrfvTXu6iwKKcFGCrvAiEAhHN2kDOhy2I6eGkOFmxNkOJ+L2y8oQ9A2T9GGJo6WJY=";
    const KEYS: &str = concat!(
        r#"{"public_keys":[{"key_identifier":"#,
        r#""f9525bf080f75b3506ca1ead061add62b8633a346606dc5fe544e29231c6ee0d","#,
        r#""key":"-----BEGIN PUBLIC KEY-----\n"#,
        r"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsz9ugWDj5jK5ELBK42ynytbo38gP\n",
        r#"HzZFI03Exwz8Lh/tCfL3YxwMdLjB+bMznsanlhK0RwcGP3IDb34kQDIo3Q==\n-----END PUBLIC KEY-----\n","#,
        r#""is_current":true}]}"#
    );

    #[test]
    fn the_documented_example_holds() {
        let key = &read_keys(KEYS.as_bytes()).unwrap()[0];
        assert!(key.identifier.starts_with("f9525bf0"));
        assert!(key.signed(BODY.as_bytes(), SIGNATURE));
        assert!(!key.signed(BODY.replace("some_token", "some_tokem").as_bytes(), SIGNATURE));
        assert!(!key.signed(format!("{BODY}\n").as_bytes(), SIGNATURE));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let key = &read_keys(KEYS.as_bytes()).unwrap()[0];
        let long = "A".repeat(4096);
        let zero = STANDARD.encode([0x30, 6, 2, 1, 0, 2, 1, 0]);
        for signature in
            ["", "=", "AAAA", &zero, &long, SIGNATURE.trim_start_matches("ME"), &SIGNATURE.replace('M', "N")]
        {
            assert!(!key.signed(BODY.as_bytes(), signature), "{signature}");
        }
        let other = PublishedKey { identifier: "x".to_owned(), pem: "-----BEGIN PUBLIC KEY-----".to_owned() };
        assert!(!other.signed(BODY.as_bytes(), SIGNATURE));
    }

    #[test]
    fn documents_are_bounded() {
        for document in ["", "[]", "{}", r#"{"public_keys":{}}"#, r#"{"public_keys":[{"key_identifier":1}]}"#]
        {
            assert!(read_keys(document.as_bytes()).is_err(), "{document}");
        }
        let key = |identifier: &str, pem: &str| serde_json::json!({"key_identifier": identifier, "key": pem});
        let document =
            serde_json::json!({"public_keys": [key("", "x"), key("a", &"x".repeat(1025)), key("b", "x")]});
        let keys = read_keys(document.to_string().as_bytes()).unwrap();
        assert_eq!(keys.iter().map(|key| key.identifier.as_str()).collect::<Vec<_>>(), ["b"]);
        let many: Vec<_> = (0..100).map(|_| key("a", "x")).collect();
        let document = serde_json::json!({"public_keys": many}).to_string();
        assert_eq!(read_keys(document.as_bytes()).unwrap().len(), MAX_KEYS);
    }
}
