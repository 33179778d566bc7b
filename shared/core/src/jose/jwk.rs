//! Public keys as others read and write them: JWK (RFC 7517) with the parameters of RFC 7518 section 6 and
//! RFC 8037 section 2. One type for those that are published and those that clients register.

use std::borrow::Cow;

use ed25519_dalek as ed25519;
use p256::ecdsa;
use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{Decode as _, Reader as _, SliceReader};
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::encoding::{base64url, from_base64url};
use crate::id::SigningKeyId;
use crate::jose::jwt::{Algorithm, PublicKey, TokenError};

const P256_FORM: &str = "a point of P-256: `x` and `y`, 32 bytes each in base64url";
const ED25519_FORM: &str = "a key of Ed25519: `x`, 32 bytes in base64url";

/// A word of a standard: ours where a key is written, the sender's where one is read.
type Word = Cow<'static, str>;

/// A public key. Which parameters it has is told by `kty`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Jwk {
    /// The key type: `EC`, `OKP` or `RSA`.
    pub kty: Word,
    /// `sig`, where given: it verifies signatures.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub public_key_use: Option<Word>,
    /// What it verifies, where given: `ES256`, `EdDSA` or `RS256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<Word>,
    /// What tokens and assertions name it by.
    pub kid: String,
    /// The curve: `P-256` or `Ed25519`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<Word>,
    /// The point's x coordinate, or the whole Ed25519 key: 32 bytes, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The point's y coordinate, for `EC`: 32 bytes, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The RSA modulus, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The RSA exponent, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// The private half: refused where a key is read, nobody else may have it.
    #[serde(default, skip_serializing)]
    #[schemars(skip)]
    d: Option<IgnoredAny>,
}

/// A JWK Set (RFC 7517 section 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl JwkSet {
    /// The key that a token names, or the only one where it names none.
    #[must_use]
    pub fn find(&self, key_id: Option<&str>) -> Option<&Jwk> {
        match (key_id, self.keys.as_slice()) {
            (Some(key_id), keys) => keys.iter().find(|key| key.kid == key_id),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Jwk {
    /// Writes a key.
    ///
    /// # Errors
    /// When its bytes are no key of its algorithm.
    pub fn new(kid: &SigningKeyId, key: &PublicKey) -> Result<Self, TokenError> {
        let mut jwk = Self {
            kty: "OKP".into(),
            public_key_use: Some("sig".into()),
            alg: Some(key.algorithm.as_str().into()),
            kid: kid.to_string(),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
            d: None,
        };
        match key.algorithm {
            Algorithm::Es256 => {
                let (x, y) = coordinates(&key.bytes).ok_or(TokenError::Key)?;
                (jwk.kty, jwk.crv) = ("EC".into(), Some("P-256".into()));
                (jwk.x, jwk.y) = (Some(base64url(x)), Some(base64url(y)));
            }
            Algorithm::EdDsa => {
                let whole = Some(&key.bytes).filter(|bytes| bytes.len() == 32).ok_or(TokenError::Key)?;
                (jwk.crv, jwk.x) = (Some("Ed25519".into()), Some(base64url(whole)));
            }
            Algorithm::Rs256 => {
                let (n, e) = modulus_and_exponent(&key.bytes).map_err(|_| TokenError::Key)?;
                (jwk.kty, jwk.n, jwk.e) = ("RSA".into(), Some(base64url(&n)), Some(base64url(&e)));
            }
        }
        Ok(jwk)
    }

    /// The key of P-256 or Ed25519, with its algorithm, if it is sound: on its curve, and not weak.
    ///
    /// # Errors
    /// What is allowed, where it is something else.
    pub fn public_key(&self) -> Result<PublicKey, &'static str> {
        let key = self.read()?;
        match key.algorithm {
            // Refuses what is not on the curve.
            Algorithm::Es256 if ecdsa::VerifyingKey::from_sec1_bytes(&key.bytes).is_err() => Err(P256_FORM),
            Algorithm::EdDsa if is_weak(&key.bytes) => Err(ED25519_FORM),
            _ => Ok(key),
        }
    }

    /// The key as it is written. Whoever verifies with it, this module or the host, refuses a point that is
    /// none; what is weak is refused where a key is registered.
    ///
    /// # Errors
    /// What is allowed, where it is something else.
    pub fn read(&self) -> Result<PublicKey, &'static str> {
        if self.d.is_some() {
            return Err("a public key: this is a private one, take it out of use");
        }
        if self.public_key_use.as_deref().is_some_and(|word| word != "sig") {
            return Err("a key for signatures: `use` is `sig`");
        }
        let key = match (self.kty.as_ref(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => self.p256(),
            ("OKP", Some("Ed25519")) => self.ed25519(),
            _ => return Err("a key of P-256 (`EC`) or Ed25519 (`OKP`)"),
        }?;
        if self.alg.as_deref().is_some_and(|alg| alg != key.algorithm.as_str()) {
            return Err("an `alg` that fits the key: `ES256` or `EdDSA`");
        }
        Ok(key)
    }

    fn p256(&self) -> Result<PublicKey, &'static str> {
        let (x, y) = (number(self.x.as_deref()), number(self.y.as_deref()));
        let point = [vec![4], x.ok_or(P256_FORM)?, y.ok_or(P256_FORM)?].concat();
        Ok(PublicKey { algorithm: Algorithm::Es256, bytes: point })
    }

    fn ed25519(&self) -> Result<PublicKey, &'static str> {
        let bytes = number(self.x.as_deref()).filter(|_| self.y.is_none()).ok_or(ED25519_FORM)?;
        Ok(PublicKey { algorithm: Algorithm::EdDsa, bytes })
    }
}

/// 32 bytes in base64url.
fn number(text: Option<&str>) -> Option<Vec<u8>> {
    from_base64url(text?).filter(|bytes| bytes.len() == 32)
}

fn is_weak(ed25519_key: &[u8]) -> bool {
    let key = ed25519_key.try_into().ok().and_then(|bytes| ed25519::VerifyingKey::from_bytes(bytes).ok());
    key.is_none_or(|key| key.is_weak())
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
        let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt\
                 0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSX\
                 ndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5\
                 IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
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
