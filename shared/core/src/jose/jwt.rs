//! Access tokens: JWTs (RFC 7519) of the profile of RFC 9068, signed as JWS (RFC 7515).
//!
//! The algorithm is pinned by the key, never taken from the token. `jku`, `x5u` and `jwk` headers are never
//! followed, a `crit` header is refused, and so is a second member of the same name. The time is passed in.
//! Only ES256 and EdDSA are linked here; RS256 is signed and verified by the host, where it can do so in
//! constant time.

pub(super) mod provider;
#[cfg(test)]
mod wycheproof;

use std::fmt;

use ed25519_dalek as ed25519;
use jsonwebtoken::EncodingKey;
use p256::ecdsa;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use super::jws::{Jws, NumericDate};
use crate::encoding::base64url;
use crate::id::{OrganizationId, SessionId, TokenId, UserId};
use crate::time::{Duration, Timestamp};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// How far clocks may disagree.
pub const LEEWAY: Duration = Duration::from_seconds(30);

/// The longest an access token may live, as far as its claims say: what configuration allows at most.
pub const MAX_LIFETIME: Duration = Duration::from_days(1);

/// The `typ` of an access token (RFC 9068 section 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, by the host.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// Its name in a JWS header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa, Self::Rs256].into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    pub(super) fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

/// A private key: 32 bytes for ES256 (the scalar) and EdDSA (the seed), PKCS#8 for RS256.
pub struct PrivateKey {
    /// What it signs with.
    pub algorithm: Algorithm,
    /// The key itself.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// A public key: the uncompressed SEC 1 point for ES256, 32 bytes for EdDSA, SubjectPublicKeyInfo for RS256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What it verifies.
    pub algorithm: Algorithm,
    /// The key itself.
    pub bytes: Vec<u8>,
}

/// Makes a key pair for ES256 or EdDSA from 32 random bytes.
///
/// # Errors
/// For RS256, which the host makes, and with a chance of 2^-32 when the bytes are no scalar of P-256.
pub fn key_pair(algorithm: Algorithm, entropy: &[u8; 32]) -> Result<(PrivateKey, PublicKey), TokenError> {
    let public = match algorithm {
        Algorithm::Es256 => {
            let key = ecdsa::SigningKey::from_slice(entropy).map_err(|_| TokenError::Key)?;
            key.verifying_key().to_sec1_point(false).as_bytes().to_vec()
        }
        Algorithm::EdDsa => ed25519::SigningKey::from_bytes(entropy).verifying_key().to_bytes().to_vec(),
        Algorithm::Rs256 => return Err(TokenError::Algorithm),
    };
    let private = PrivateKey { algorithm, bytes: Zeroizing::new(entropy.to_vec()) };
    Ok((private, PublicKey { algorithm, bytes: public }))
}

/// The claims of an access token (RFC 9068 section 2.2, and our session and organization).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Who issued it.
    pub iss: String,
    /// Whom it speaks for.
    pub sub: UserId,
    /// For whom it is meant.
    pub aud: Audience,
    /// Not after this, seconds since the epoch.
    pub exp: i64,
    /// Not before this, seconds since the epoch.
    pub nbf: i64,
    /// When it was issued, seconds since the epoch.
    pub iat: i64,
    /// Its own id.
    pub jti: TokenId,
    /// The session it belongs to: what is terminated there is refused here.
    pub sid: SessionId,
    /// The organization it works in.
    pub org: OrganizationId,
    /// The OAuth client it was issued to, where it was one (RFC 9068 section 2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What it is narrowed to, grants separated by spaces (RFC 9068 section 2.2.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// One audience or several (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// A single one, as a string.
    One(String),
    /// Several, as an array.
    Many(Vec<String>),
}

impl Audience {
    fn meets(&self, expected: &[String]) -> bool {
        match self {
            Self::One(audience) => expected.contains(audience),
            Self::Many(audiences) => audiences.iter().any(|audience| expected.contains(audience)),
        }
    }

    /// Whether it is meant for these and nobody else.
    #[must_use]
    pub fn is_only(&self, expected: &[String]) -> bool {
        match self {
            Self::One(audience) => expected.contains(audience),
            Self::Many(audiences) => {
                !audiences.is_empty() && audiences.iter().all(|audience| expected.contains(audience))
            }
        }
    }
}

/// The JOSE header (RFC 7515 section 4) of our own tokens.
#[derive(Serialize)]
struct NewHeader<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// What is signed: the encoded header and claims.
///
/// # Errors
/// When they do not serialize (never for these types).
pub fn signing_input(
    key_id: &str,
    algorithm: Algorithm,
    claims: &AccessClaims,
) -> Result<String, TokenError> {
    let header = NewHeader { alg: algorithm.as_str(), typ: ACCESS_TOKEN_TYPE, kid: key_id };
    let part = |json: serde_json::Result<Vec<u8>>| {
        json.map(|json| base64url(&json)).map_err(|_| TokenError::Malformed)
    };
    Ok(format!("{}.{}", part(serde_json::to_vec(&header))?, part(serde_json::to_vec(claims))?))
}

/// Signs with ES256 or EdDSA and gives the whole token. (RS256: the host signs, [`attach`] makes the token.)
///
/// # Errors
/// When the key is not one of those algorithms.
pub fn sign(input: &str, key: &PrivateKey) -> Result<String, TokenError> {
    let library_key = match key.algorithm {
        Algorithm::Es256 => EncodingKey::from_ec_der(&key.bytes),
        Algorithm::EdDsa => EncodingKey::from_ed_der(&key.bytes),
        Algorithm::Rs256 => return Err(TokenError::Algorithm),
    };
    provider::install();
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &library_key, key.algorithm.of_library())
        .map_err(|_| TokenError::Key)?;
    Ok(format!("{input}.{signature}"))
}

/// The token of an input and the signature the host made over it.
#[must_use]
pub fn attach(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", base64url(signature))
}

/// A token that was read but not verified: good for finding the keys and the session to ask for, and for
/// nothing else. [`UnverifiedToken::check`] the claims and the signature before any other use.
#[derive(Debug)]
pub struct UnverifiedToken<'a> {
    key_id: String,
    claims: AccessClaims,
    jws: Jws<'a>,
}

impl<'a> UnverifiedToken<'a> {
    /// Reads a token without believing it.
    ///
    /// # Errors
    /// When it is too long, malformed, of another type, or demands an extension (`crit`).
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        let jws = Jws::parse(token)?;
        if jws.media_type() != Some(ACCESS_TOKEN_TYPE) {
            return Err(TokenError::Type);
        }
        let key_id = jws.key_id().ok_or(TokenError::UnknownKey)?.to_owned();
        let claims = jws.claims()?;
        Ok(Self { key_id, claims, jws })
    }

    /// The key it says it was signed with.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The claims, unverified.
    #[must_use]
    pub fn claims(&self) -> &AccessClaims {
        &self.claims
    }

    /// What was signed, and the signature.
    #[must_use]
    pub fn jws(&self) -> &Jws<'a> {
        &self.jws
    }

    /// Whether the claims hold here and now. The signature is another question.
    ///
    /// # Errors
    /// When issuer, audience or time do not fit.
    pub fn check(&self, issuer: &str, audience: &[String], now: Timestamp) -> Result<(), TokenError> {
        if self.claims.iss != issuer {
            return Err(TokenError::Issuer);
        }
        if !self.claims.aud.meets(audience) {
            return Err(TokenError::Audience);
        }
        let (claims, now, leeway) = (&self.claims, now.as_seconds(), LEEWAY.as_seconds());
        if now >= claims.exp {
            return Err(TokenError::Expired);
        }
        if now.saturating_add(leeway) < claims.nbf.max(claims.iat) {
            return Err(TokenError::NotYetValid);
        }
        if claims.iat.max(claims.nbf) > claims.exp
            || claims.exp.saturating_sub(claims.iat) > MAX_LIFETIME.as_seconds()
        {
            return Err(TokenError::Lifetime);
        }
        Ok(())
    }

    /// Verifies an ES256 or EdDSA signature.
    ///
    /// # Errors
    /// When the token names another algorithm than the key's, or the signature is not this key's.
    pub fn verify(&self, key: &PublicKey) -> Result<(), TokenError> {
        self.jws.verify(key)
    }
}

/// Why a token is refused. Callers learn only that it is; logs learn this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not a JWS of a sane size with our claims.
    Malformed,
    /// Not an access token, or one with a critical extension.
    Type,
    /// Another algorithm than its key's.
    Algorithm,
    /// Signed with a key we do not have.
    UnknownKey,
    /// The signature is not this key's.
    Signature,
    /// Another issuer's.
    Issuer,
    /// Meant for somebody else.
    Audience,
    /// Past its time.
    Expired,
    /// Before its time.
    NotYetValid,
    /// A life that no token of ours has, or that ends before it begins.
    Lifetime,
    /// A key that can't sign.
    Key,
}

impl TokenError {
    /// A word for logs and metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Lifetime => "lifetime",
            Self::Key => "key",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the token is refused: {}", self.reason())
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_763_800_000_000);

    fn claims() -> AccessClaims {
        AccessClaims {
            iss: "cronos-auth".to_owned(),
            sub: UserId::new(NOW, [1; 10]),
            aud: Audience::Many(vec!["cronos-api".to_owned(), "cronos-console".to_owned()]),
            exp: NOW.as_seconds() + 3600,
            nbf: NOW.as_seconds(),
            iat: NOW.as_seconds(),
            jti: TokenId::new(NOW, [2; 10]),
            sid: SessionId::new(NOW, [3; 10]),
            org: "org_7Gk2QxAb0".parse().unwrap(),
            client_id: None,
            scope: None,
        }
    }

    fn token(algorithm: Algorithm) -> (String, PublicKey) {
        let (private, public) = key_pair(algorithm, &[42; 32]).unwrap();
        (sign(&signing_input("sig_1", algorithm, &claims()).unwrap(), &private).unwrap(), public)
    }

    #[test]
    fn a_token_is_read_back_and_verified() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let (token, public) = token(algorithm);
            let read = UnverifiedToken::parse(&token).unwrap();
            assert_eq!(read.claims(), &claims());
            assert_eq!(read.key_id(), "sig_1");
            assert_eq!(read.verify(&public), Ok(()));
            assert_eq!(read.check("cronos-auth", &["cronos-api".to_owned()], NOW), Ok(()));
        }
    }

    #[test]
    fn the_algorithm_is_the_keys() {
        let (token, _) = token(Algorithm::Es256);
        let (_, other) = key_pair(Algorithm::EdDsa, &[42; 32]).unwrap();
        assert_eq!(UnverifiedToken::parse(&token).unwrap().verify(&other), Err(TokenError::Algorithm));
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        let (token, _) = token(Algorithm::Es256);
        let claims = token.split('.').nth(1).unwrap();
        for header in
            [r#"{"alg":"none","typ":"at+jwt","kid":"a"}"#, r#"{"alg":"HS256","typ":"at+jwt","kid":"a"}"#]
        {
            let forged = format!("{}.{claims}.", base64url(header.as_bytes()));
            assert!(UnverifiedToken::parse(&forged).is_err(), "{header}");
        }
    }

    #[test]
    fn other_types_and_critical_extensions_are_refused() {
        let (token, _) = token(Algorithm::Es256);
        let claims = token.split('.').nth(1).unwrap();
        for header in [
            r#"{"alg":"ES256","typ":"JWT","kid":"a"}"#,
            r#"{"alg":"ES256","kid":"a"}"#,
            r#"{"alg":"ES256","typ":"at+jwt","kid":"a","crit":["exp"]}"#,
        ] {
            let other = format!("{}.{claims}.{}", base64url(header.as_bytes()), base64url(&[1; 64]));
            assert_eq!(UnverifiedToken::parse(&other).unwrap_err(), TokenError::Type, "{header}");
        }
    }

    #[test]
    fn claims_are_checked() {
        let (token, _) = token(Algorithm::EdDsa);
        let read = UnverifiedToken::parse(&token).unwrap();
        let audience = ["cronos-api".to_owned()];
        let check = |issuer: &str, audience: &[String], now| read.check(issuer, audience, now);
        assert_eq!(check("somebody", &audience, NOW), Err(TokenError::Issuer));
        assert_eq!(check("cronos-auth", &["other".to_owned()], NOW), Err(TokenError::Audience));
        let later = NOW.after(Duration::from_hours(1));
        assert_eq!(check("cronos-auth", &audience, later), Err(TokenError::Expired));
        let earlier = NOW.before(Duration::from_seconds(31));
        assert_eq!(check("cronos-auth", &audience, earlier), Err(TokenError::NotYetValid));
        assert_eq!(check("cronos-auth", &audience, NOW.before(Duration::from_seconds(29))), Ok(()));
    }

    #[test]
    fn a_life_that_no_token_of_ours_has_is_refused() {
        let (private, _) = key_pair(Algorithm::EdDsa, &[42; 32]).unwrap();
        let check = |change: fn(&mut AccessClaims)| {
            let mut claims = claims();
            change(&mut claims);
            let token = sign(&signing_input("sig_1", Algorithm::EdDsa, &claims).unwrap(), &private).unwrap();
            UnverifiedToken::parse(&token).unwrap().check("cronos-auth", &["cronos-api".to_owned()], NOW)
        };
        assert_eq!(check(|claims| claims.exp = claims.iat + MAX_LIFETIME.as_seconds()), Ok(()));
        assert_eq!(
            check(|claims| claims.exp = claims.iat + MAX_LIFETIME.as_seconds() + 1),
            Err(TokenError::Lifetime)
        );
        assert_eq!(check(|claims| claims.exp = i64::MAX), Err(TokenError::Lifetime));
        assert_eq!(check(|claims| claims.iat = i64::MIN), Err(TokenError::Lifetime));
        let late = |claims: &mut AccessClaims| {
            (claims.exp, claims.iat) = (NOW.as_seconds() + 5, NOW.as_seconds() + 10)
        };
        assert_eq!(check(late), Err(TokenError::Lifetime));
    }

    #[test]
    fn each_claim_is_there_and_of_its_type() {
        let (private, _) = key_pair(Algorithm::EdDsa, &[42; 32]).unwrap();
        let parse = |claims: &serde_json::Value| {
            let header = base64url(br#"{"alg":"EdDSA","typ":"at+jwt","kid":"a"}"#);
            let input = format!("{header}.{}", base64url(claims.to_string().as_bytes()));
            UnverifiedToken::parse(&sign(&input, &private).unwrap()).map(|_| ())
        };
        let whole = serde_json::to_value(claims()).unwrap();
        assert_eq!(parse(&whole), Ok(()));
        for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "org"] {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(claim);
            assert_eq!(parse(&without), Err(TokenError::Malformed), "{claim}");
            for value in [serde_json::json!(1.5), serde_json::json!(null), serde_json::json!({})] {
                let mut with = whole.clone();
                with[claim] = value;
                assert_eq!(parse(&with), Err(TokenError::Malformed), "{claim} {}", with[claim]);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_changed_token_is_refused(position in 0_usize..600, character in "[A-Za-z0-9_.-]") {
            let (token, public) = token(Algorithm::EdDsa);
            let position = position % token.len();
            let mut changed = token.clone();
            changed.replace_range(position..=position, &character);
            let verified = UnverifiedToken::parse(&changed).is_ok_and(|token| token.verify(&public).is_ok());
            proptest::prop_assert_eq!(verified, changed == token);
        }

        #[test]
        fn foreign_text_never_panics(text in ".{0,200}") {
            let _ = UnverifiedToken::parse(&text);
        }
    }
}
