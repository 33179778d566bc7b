//! Encrypting to somebody's public key: JWE compact serialization (RFC 7516 section 7.1) with ECDH-ES in its
//! direct mode (RFC 7518 section 4.6) over P-256, and A256GCM. It encrypts alone: nothing of ours is a
//! receiver.

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Nonce, Payload};
use aes_gcm::{Aes256Gcm, Key};
use p256::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::encoding::{base64url, from_base64url};

/// How much randomness one encryption takes: the ephemeral private key, then the initialization vector.
pub const ENTROPY_BYTES: usize = 32 + 12;

/// The longest `kid`, in bytes.
const MAX_KEY_ID_BYTES: usize = 128;

const ENCRYPTION: &str = "A256GCM";

/// A receiver's public key as a JWK (RFC 7517): `EC` on `P-256`. Other members, a private `d` first of all,
/// are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverKey {
    /// `EC`.
    pub kty: String,
    /// `P-256`.
    pub crv: String,
    /// The x coordinate: 32 bytes, base64url.
    pub x: String,
    /// The y coordinate: 32 bytes, base64url.
    pub y: String,
    /// Which of the receiver's keys it is: told in the header of what is encrypted to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

/// Why nothing was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JweError {
    /// The receiver's key is no point of P-256.
    Key,
    /// The randomness is no private key (once in 2^32), or the cipher refused.
    Encryption,
}

impl fmt::Display for JweError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Key => "an EC public key on P-256 is needed: `kty`, `crv`, `x`, `y` and at most `kid`",
            Self::Encryption => "encryption failed",
        })
    }
}

impl std::error::Error for JweError {}

impl ReceiverKey {
    /// Reads it: the coordinates must be of a point on the curve (RFC 7518 section 6.2.1, against
    /// invalid-curve attacks).
    ///
    /// # Errors
    /// Whatever else it is.
    pub fn check(&self) -> Result<(), JweError> {
        self.point().map(drop)
    }

    fn point(&self) -> Result<PublicKey, JweError> {
        let kid_fits = self.kid.as_ref().is_none_or(|kid| (1..=MAX_KEY_ID_BYTES).contains(&kid.len()));
        if self.kty != "EC" || self.crv != "P-256" || !kid_fits {
            return Err(JweError::Key);
        }
        let mut point = vec![4];
        for coordinate in [&self.x, &self.y] {
            let bytes = from_base64url(coordinate).filter(|bytes| bytes.len() == 32).ok_or(JweError::Key)?;
            point.extend(bytes);
        }
        PublicKey::from_sec1_bytes(&point).map_err(|_| JweError::Key)
    }

    /// Encrypts to its holder. `entropy` must be fresh randomness.
    ///
    /// # Errors
    /// When the key is none, or the cipher refuses.
    pub fn encrypt(&self, plain: &[u8], entropy: &[u8; ENTROPY_BYTES]) -> Result<String, JweError> {
        let receiver = self.point()?;
        let (ephemeral, vector) = entropy.split_first_chunk::<32>().ok_or(JweError::Encryption)?;
        let ephemeral = SecretKey::from_slice(ephemeral).map_err(|_| JweError::Encryption)?;
        let header = base64url(self.header(&ephemeral.public_key())?.to_string().as_bytes());
        let shared = diffie_hellman(ephemeral.to_nonzero_scalar(), receiver.as_affine());
        let key = derive(shared.raw_secret_bytes(), ENCRYPTION, b"", b"", 256);
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key));
        let nonce = Nonce::<Aes256Gcm>::try_from(vector).map_err(|_| JweError::Encryption)?;
        let sealed = cipher
            .encrypt(&nonce, Payload { msg: plain, aad: header.as_bytes() })
            .map_err(|_| JweError::Encryption)?;
        let (text, tag) =
            sealed.split_at_checked(sealed.len().saturating_sub(16)).ok_or(JweError::Encryption)?;
        // In direct mode there is no encrypted key: the second part is empty.
        Ok(format!("{header}..{}.{}.{}", base64url(vector), base64url(text), base64url(tag)))
    }

    fn header(&self, ephemeral: &PublicKey) -> Result<serde_json::Value, JweError> {
        let point = ephemeral.to_sec1_point(false);
        let (x, y) = point.x().zip(point.y()).ok_or(JweError::Encryption)?;
        let mut header = serde_json::json!({
            "alg": "ECDH-ES", "enc": ENCRYPTION,
            "epk": {"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)},
        });
        if let (Some(kid), Some(members)) = (&self.kid, header.as_object_mut()) {
            members.insert("kid".to_owned(), kid.as_str().into());
        }
        Ok(header)
    }
}

/// The Concat KDF of NIST SP 800-56A section 5.8.1 as RFC 7518 section 4.6.2 uses it, one round of SHA-256:
/// of the 32 bytes the first `bits / 8` are the key.
fn derive(shared: &[u8], algorithm: &str, party_u: &[u8], party_v: &[u8], bits: u32) -> Zeroizing<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update(1_u32.to_be_bytes());
    hash.update(shared);
    for text in [algorithm.as_bytes(), party_u, party_v] {
        hash.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(text);
    }
    hash.update(bits.to_be_bytes());
    Zeroizing::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(private: &[u8; 32]) -> ReceiverKey {
        let point = SecretKey::from_slice(private).unwrap().public_key().to_sec1_point(false);
        let coordinate = |bytes: Option<&_>| base64url(bytes.map(|bytes: &p256::FieldBytes| bytes).unwrap());
        ReceiverKey {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x: coordinate(point.x()),
            y: coordinate(point.y()),
            kid: Some("k1".to_owned()),
        }
    }

    fn decrypt(private: &[u8; 32], jwe: &str) -> Vec<u8> {
        let parts: Vec<&str> = jwe.split('.').collect();
        let [header, "", vector, text, tag] = parts[..] else { panic!("{jwe}") };
        let json: serde_json::Value = serde_json::from_slice(&from_base64url(header).unwrap()).unwrap();
        assert_eq!(
            (&json["alg"], &json["enc"], &json["kid"]),
            (&"ECDH-ES".into(), &"A256GCM".into(), &"k1".into())
        );
        let ephemeral: ReceiverKey = serde_json::from_value(json["epk"].clone()).unwrap();
        let private = SecretKey::from_slice(private).unwrap();
        let shared = diffie_hellman(private.to_nonzero_scalar(), ephemeral.point().unwrap().as_affine());
        let key = derive(shared.raw_secret_bytes(), ENCRYPTION, b"", b"", 256);
        let sealed = [from_base64url(text).unwrap(), from_base64url(tag).unwrap()].concat();
        let vector = from_base64url(vector).unwrap();
        Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
            .decrypt(
                &Nonce::<Aes256Gcm>::try_from(vector.as_slice()).unwrap(),
                Payload { msg: &sealed, aad: header.as_bytes() },
            )
            .unwrap()
    }

    /// RFC 7518 appendix C.
    #[test]
    fn the_key_is_derived_as_in_the_rfc() {
        let alice = from_base64url("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo").unwrap();
        let bob = ReceiverKey {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x: "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ".to_owned(),
            y: "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck".to_owned(),
            kid: None,
        };
        let private = SecretKey::from_slice(&alice).unwrap();
        let shared = diffie_hellman(private.to_nonzero_scalar(), bob.point().unwrap().as_affine());
        let key = derive(shared.raw_secret_bytes(), "A128GCM", b"Alice", b"Bob", 128);
        assert_eq!(base64url(&key[..16]), "VqqN6vgjbSBcIijNcacQGg");
    }

    #[test]
    fn what_is_no_point_is_refused() {
        let good = key(&[7; 32]);
        assert_eq!(good.check(), Ok(()));
        let flipped = |text: &str| {
            let mut bytes = from_base64url(text).unwrap();
            bytes[31] ^= 1;
            base64url(&bytes)
        };
        let zero = base64url(&[0; 32]);
        let all_ones = base64url(&[255; 32]);
        for bad in [
            ReceiverKey { y: flipped(&good.y), ..good.clone() },
            ReceiverKey { x: zero.clone(), y: zero, ..good.clone() },
            ReceiverKey { x: all_ones, ..good.clone() },
            ReceiverKey { x: String::new(), ..good.clone() },
            ReceiverKey { x: format!("AA{}", good.x), ..good.clone() },
            ReceiverKey { crv: "P-384".to_owned(), ..good.clone() },
            ReceiverKey { kty: "OKP".to_owned(), ..good.clone() },
            ReceiverKey { kid: Some("k".repeat(129)), ..good.clone() },
        ] {
            assert_eq!(bad.check(), Err(JweError::Key), "{bad:?}");
            assert_eq!(bad.encrypt(b"x", &[1; ENTROPY_BYTES]), Err(JweError::Key));
        }
        let private = serde_json::json!({"kty": "EC", "crv": "P-256", "x": good.x, "y": good.y, "d": good.x});
        assert!(serde_json::from_value::<ReceiverKey>(private).is_err());
    }

    proptest::proptest! {
        #[test]
        fn its_holder_reads_it(
            plain: Vec<u8>,
            mut entropy in proptest::array::uniform32(1_u8..255),
            vector: [u8; 12],
        ) {
            entropy[0] = 1;
            let entropy: [u8; ENTROPY_BYTES] = [entropy.as_slice(), &vector].concat().try_into().unwrap();
            let jwe = key(&[7; 32]).encrypt(&plain, &entropy).unwrap();
            proptest::prop_assert_eq!(decrypt(&[7; 32], &jwe), plain);
        }
    }
}
