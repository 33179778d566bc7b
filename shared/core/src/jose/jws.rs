//! JWS in its compact form (RFC 7515), read strictly and verified with a key that brings its algorithm along.
//!
//! Exactly three parts, canonical base64url without padding, no member of one name twice at any depth,
//! nothing that a `crit` header demands. Whatever else a token says of its own key (`jku`, `x5u`, `jwk`,
//! `x5c`) is not read.

use std::collections::BTreeSet;
use std::fmt;

use jsonwebtoken::DecodingKey;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::jwt::{Algorithm, MAX_TOKEN_BYTES, PublicKey, TokenError, provider};
use crate::encoding::from_base64url;

/// The length of an ES256 signature (RFC 7518 section 3.4) and of an Ed25519 signature (RFC 8032 section
/// 5.1.6).
const SIGNATURE_BYTES: usize = 64;

/// The part of a JOSE header (RFC 7515 section 4) that is looked at.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    /// Whether there is one, whatever it holds: even a `null` is not ignored.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A JWS that was read but not verified.
#[derive(Debug)]
pub struct Jws<'a> {
    algorithm: Algorithm,
    header: Header,
    payload: Vec<u8>,
    input: &'a str,
    signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Reads a JWS without believing it.
    ///
    /// # Errors
    /// When it is longer than [`MAX_TOKEN_BYTES`], malformed, of an unknown algorithm, or demands an
    /// extension.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_BYTES || text.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(TokenError::Malformed);
        }
        let (input, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = input.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| from_base64url(part).ok_or(TokenError::Malformed);
        let header: Header = read_object(&decode(header)?)?;
        if header.crit {
            return Err(TokenError::Type);
        }
        let algorithm = Algorithm::from_name(&header.alg).ok_or(TokenError::Algorithm)?;
        if algorithm != Algorithm::Rs256 && decode(signature)?.len() != SIGNATURE_BYTES {
            return Err(TokenError::Signature);
        }
        Ok(Self { algorithm, header, payload: decode(payload)?, input, signature })
    }

    /// What it says it is: `typ`.
    #[must_use]
    pub fn media_type(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// The key it says it was signed with: `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The payload as it was signed, unverified.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload as claims, unverified.
    ///
    /// # Errors
    /// When it is no JSON object, has a member twice, or does not fit.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, TokenError> {
        read_object(&self.payload)
    }

    /// What was signed, and the signature, for a host that verifies.
    ///
    /// # Errors
    /// When the token names another algorithm than the key's, or the signature is not base64url.
    pub fn signed_parts(&self, algorithm: Algorithm) -> Result<(&'a str, Vec<u8>), TokenError> {
        if algorithm != self.algorithm {
            return Err(TokenError::Algorithm);
        }
        from_base64url(self.signature).map(|signature| (self.input, signature)).ok_or(TokenError::Malformed)
    }

    /// Verifies an ES256 or EdDSA signature.
    ///
    /// # Errors
    /// When the token names another algorithm than the key's, or the signature is not this key's.
    pub fn verify(&self, key: &PublicKey) -> Result<(), TokenError> {
        if key.algorithm != self.algorithm {
            return Err(TokenError::Algorithm);
        }
        verify_text(key, self.input.as_bytes(), self.signature)
    }
}

pub(super) fn verify_text(key: &PublicKey, message: &[u8], signature: &str) -> Result<(), TokenError> {
    let library_key = match key.algorithm {
        Algorithm::Es256 => DecodingKey::from_ec_der(&key.bytes),
        Algorithm::EdDsa => DecodingKey::from_ed_der(&key.bytes),
        Algorithm::Rs256 => return Err(TokenError::Algorithm),
    };
    provider::install();
    let algorithm = key.algorithm.of_library();
    match jsonwebtoken::crypto::verify(signature, message, &library_key, algorithm) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(TokenError::Signature),
    }
}

/// Decodes a JSON object in which no member comes twice: two readers could otherwise believe different ones.
fn read_object<T: DeserializeOwned>(json: &[u8]) -> Result<T, TokenError> {
    let starts = json.iter().find(|byte| !byte.is_ascii_whitespace());
    if starts != Some(&b'{') {
        return Err(TokenError::Malformed);
    }
    serde_json::from_slice::<UniqueMembers>(json).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(json).map_err(|_| TokenError::Malformed)
}

/// JSON in which no object has two members of one name.
struct UniqueMembers;

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueMembersVisitor)
    }
}

struct UniqueMembersVisitor;

impl<'de> Visitor<'de> for UniqueMembersVisitor {
    type Value = UniqueMembers;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMembers, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a member comes twice"));
            }
            map.next_value::<UniqueMembers>()?;
        }
        Ok(UniqueMembers)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<UniqueMembers, A::Error> {
        while sequence.next_element::<UniqueMembers>()?.is_some() {}
        Ok(UniqueMembers)
    }

    fn visit_bool<E>(self, _: bool) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_i64<E>(self, _: i64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_u64<E>(self, _: u64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_f64<E>(self, _: f64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_str<E>(self, _: &str) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_unit<E>(self) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }
}

/// A moment in claims that others made (RFC 7519 section 2, `NumericDate`): seconds since the epoch. A
/// fraction is allowed there and cut off here; texts, infinities and numbers beyond ±2^53 are refused. (Our
/// own tokens hold whole seconds, and nothing else is accepted in them.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NumericDate(pub i64);

const LARGEST_EXACT: i64 = 1 << 53;

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        #[expect(clippy::cast_possible_truncation, reason = "the bound is checked first")]
        let whole = |float: f64| (float.abs() <= LARGEST_EXACT as f64).then_some(float.floor() as i64);
        let seconds = number.as_i64().or_else(|| number.as_f64().and_then(whole));
        seconds
            .filter(|seconds| (-LARGEST_EXACT..=LARGEST_EXACT).contains(seconds))
            .map(Self)
            .ok_or_else(|| de::Error::custom("not a NumericDate"))
    }
}
