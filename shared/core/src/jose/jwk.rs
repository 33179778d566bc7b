//! Public keys as others read them: JWK (RFC 7517) with the parameters of RFC 7518 section 6 and RFC 8037 section 2.

use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{Decode as _, Reader as _, SliceReader};
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use schemars::JsonSchema;
use serde::Serialize;

use crate::encoding::base64url;
use crate::id::SigningKeyId;
use crate::jose::jwt::{Algorithm, PublicKey, TokenError};

/// A public key. Which parameters it has is told by `kty`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Jwk {
    /// The key type: `EC`, `OKP` or `RSA`.
    pub kty: &'static str,
    /// Always `sig`: it verifies signatures.
    #[serde(rename = "use")]
    pub public_key_use: &'static str,
    /// What it verifies: `ES256`, `EdDSA` or `RS256`.
    pub alg: &'static str,
    /// The `kid` of the tokens it verifies.
    pub kid: SigningKeyId,
    /// The curve: `P-256` or `Ed25519`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<&'static str>,
    /// The x coordinate, or the whole Ed25519 key, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The y coordinate, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The RSA modulus, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The RSA exponent, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

impl Jwk {
    /// Writes a key.
    ///
    /// # Errors
    /// When its bytes are no key of its algorithm.
    pub fn new(kid: &SigningKeyId, key: &PublicKey) -> Result<Self, TokenError> {
        let mut jwk = Self {
            kty: "OKP",
            public_key_use: "sig",
            alg: key.algorithm.as_str(),
            kid: kid.clone(),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
        };
        match key.algorithm {
            Algorithm::Es256 => {
                let (x, y) = coordinates(&key.bytes).ok_or(TokenError::Key)?;
                (jwk.kty, jwk.crv) = ("EC", Some("P-256"));
                (jwk.x, jwk.y) = (Some(base64url(x)), Some(base64url(y)));
            }
            Algorithm::EdDsa => {
                let whole = Some(&key.bytes).filter(|bytes| bytes.len() == 32).ok_or(TokenError::Key)?;
                (jwk.crv, jwk.x) = (Some("Ed25519"), Some(base64url(whole)));
            }
            Algorithm::Rs256 => {
                let (n, e) = modulus_and_exponent(&key.bytes).map_err(|_| TokenError::Key)?;
                (jwk.kty, jwk.n, jwk.e) = ("RSA", Some(base64url(&n)), Some(base64url(&e)));
            }
        }
        Ok(jwk)
    }
}

/// Of an uncompressed SEC 1 point.
fn coordinates(point: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, rest) = point.split_first()?;
    (*tag == 4 && rest.len() == 64).then(|| rest.split_at_checked(32)).flatten()
}

/// Of a SubjectPublicKeyInfo that holds an RSAPublicKey (RFC 8017 appendix A.1.1).
fn modulus_and_exponent(info: &[u8]) -> Result<(Vec<u8>, Vec<u8>), p256::pkcs8::der::Error> {
    let info = SubjectPublicKeyInfoRef::from_der(info)?;
    let mut reader = SliceReader::new(info.subject_public_key.raw_bytes())?;
    reader.sequence(|reader| {
        let modulus = UintRef::decode(reader)?.as_bytes().to_vec();
        Ok((modulus, UintRef::decode(reader)?.as_bytes().to_vec()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::from_base64url;
    use crate::time::EPOCH;

    fn kid() -> SigningKeyId {
        SigningKeyId::new(EPOCH, [1; 10])
    }

    fn jwk(algorithm: Algorithm, bytes: Vec<u8>) -> Result<serde_json::Value, TokenError> {
        Jwk::new(&kid(), &PublicKey { algorithm, bytes }).map(|jwk| serde_json::json!(jwk))
    }

    /// RFC 7515 appendix A.3.1, RFC 8037 appendix A.2.
    #[test]
    fn keys_of_the_standards_are_written_as_there() {
        let (x, y) =
            ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let point = [vec![4], from_base64url(x).unwrap(), from_base64url(y).unwrap()].concat();
        let expected = serde_json::json!({
            "kty": "EC", "use": "sig", "alg": "ES256", "kid": kid().as_str(), "crv": "P-256", "x": x, "y": y
        });
        assert_eq!(jwk(Algorithm::Es256, point).unwrap(), expected);
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let expected = serde_json::json!({
            "kty": "OKP", "use": "sig", "alg": "EdDSA", "kid": kid().as_str(), "crv": "Ed25519", "x": x
        });
        assert_eq!(jwk(Algorithm::EdDsa, from_base64url(x).unwrap()).unwrap(), expected);
    }

    /// The key of RFC 7515 appendix A.2.1, as OpenSSL writes it.
    #[test]
    fn an_rsa_key_is_taken_apart() {
        let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
                 T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-\
                 UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFk\
                 MLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
        let modulus = from_base64url(n).unwrap();
        let mut info =
            vec![0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
        info.extend([5, 0, 0x03, 0x82, 0x01, 0x0f, 0, 0x30, 0x82, 0x01, 0x0a, 2, 0x82, 1, 1, 0]);
        info.extend(&modulus);
        info.extend([2, 3, 1, 0, 1]);
        let jwk = jwk(Algorithm::Rs256, info).unwrap();
        assert_eq!(
            (jwk["kty"].as_str(), jwk["n"].as_str(), jwk["e"].as_str()),
            (Some("RSA"), Some(n), Some("AQAB"))
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_no_key_is_refused(bytes in proptest::collection::vec(0_u8..=255, 0..100)) {
            for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
                let fits = match algorithm {
                    Algorithm::Es256 => bytes.len() == 65 && bytes.first() == Some(&4),
                    Algorithm::EdDsa => bytes.len() == 32,
                    Algorithm::Rs256 => false,
                };
                proptest::prop_assert_eq!(jwk(algorithm, bytes.clone()).is_ok(), fits);
            }
        }
    }
}
