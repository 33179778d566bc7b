//! `private_key_jwt`: a client proves itself by a JWT that it signed itself (RFC 7523 section 2.2, OpenID
//! Connect Core section 9).
//!
//! The keys are those that were registered for the client, public ones of P-256 and Ed25519. RSA is not among
//! them: it would cost every module that links it a big-integer library, and verifying it elsewhere is the
//! host's affair.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::encoding::base64url;
use crate::id::{ClientId, OrganizationId, TokenId};
use crate::jose::jwk::JwkSet;
use crate::jose::jwt::{Audience, Jws, LEEWAY, NumericDate, PublicKey, TokenError};
use crate::sql::Statement;
use crate::time::{Duration, Timestamp};

/// How many keys a client has at most: the one in use and those that come and go beside it.
pub const MAX_KEYS: usize = 4;

/// The longest `kid`, in bytes.
pub const MAX_KEY_ID_BYTES: usize = 128;

/// The longest `jti`, in bytes.
const MAX_JTI_BYTES: usize = 256;

/// How far ahead an assertion's end may be.
pub const MAX_LIFE: Duration = Duration::from_seconds(300);

/// How many assertions past their time each new one sweeps away.
const SWEEP: u32 = 4;

/// Why a key is refused: where it is, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwkError {
    /// The index of the key; `None` where it is the set.
    pub index: Option<usize>,
    /// What is allowed.
    pub allowed: &'static str,
}

/// Checks a client's keys as they are registered.
///
/// # Errors
/// The first key that is none of ours, weak, private, or of a name that another has.
pub fn check_keys(set: &JwkSet) -> Result<(), JwkError> {
    if set.keys.is_empty() || set.keys.len() > MAX_KEYS {
        return Err(JwkError { index: None, allowed: "1 to 4 keys" });
    }
    for (index, key) in set.keys.iter().enumerate() {
        let refuse = |allowed| JwkError { index: Some(index), allowed };
        key.public_key().map_err(refuse)?;
        if key.kid.is_empty() || key.kid.len() > MAX_KEY_ID_BYTES {
            return Err(refuse("a `kid` of 1 to 128 bytes"));
        }
        if set.keys.iter().take(index).any(|other| other.kid == key.kid) {
            return Err(refuse("a `kid` that no other key of the client has"));
        }
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    iat: Option<NumericDate>,
    jti: String,
}

/// An assertion that was read but not verified: good for finding the client's keys, and for nothing else.
#[derive(Debug)]
pub struct UnverifiedAssertion<'a> {
    jws: Jws<'a>,
    claims: Claims,
    client_id: ClientId,
}

/// An assertion whose signature and claims hold. It still has to be used up: [`UsedAssertion::store`].
#[derive(Debug)]
pub struct UsedAssertion {
    client_id: ClientId,
    jti_hash: String,
    expires_at: Timestamp,
}

impl<'a> UnverifiedAssertion<'a> {
    /// Reads an assertion without believing it.
    ///
    /// # Errors
    /// When it is malformed, of another type (an access token, say), or its issuer is no client or not its
    /// subject.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        let jws = Jws::parse(text)?;
        let media_type = jws.media_type().map(str::to_ascii_lowercase);
        let media_type = media_type.as_deref().map(|text| text.strip_prefix("application/").unwrap_or(text));
        if !matches!(media_type, None | Some("jwt" | "client-authentication+jwt")) {
            return Err(TokenError::Type);
        }
        let claims: Claims = jws.claims()?;
        if claims.iss != claims.sub {
            return Err(TokenError::Issuer);
        }
        if claims.jti.is_empty() || claims.jti.len() > MAX_JTI_BYTES {
            return Err(TokenError::Malformed);
        }
        let client_id = claims.iss.parse().map_err(|_| TokenError::Issuer)?;
        Ok(Self { jws, claims, client_id })
    }

    /// The client that it says it is.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Checks claims, and finds the key. Each name in `aud` must be one of ours: an assertion that also
    /// speaks to somebody else could come from there.
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn check(
        self,
        keys: &JwkSet,
        ours: &[String],
        now: Timestamp,
    ) -> Result<CheckedAssertion<'a>, TokenError> {
        let claims = &self.claims;
        if !claims.aud.is_only(ours) {
            return Err(TokenError::Audience);
        }
        let (seconds, leeway) = (now.as_seconds(), LEEWAY.as_seconds());
        if seconds >= claims.exp.0 {
            return Err(TokenError::Expired);
        }
        let since = claims.nbf.max(claims.iat).map_or(i64::MIN, |since| since.0);
        if seconds.saturating_add(leeway) < since {
            return Err(TokenError::NotYetValid);
        }
        if since > claims.exp.0 || claims.exp.0.saturating_sub(seconds) > MAX_LIFE.as_seconds() + leeway {
            return Err(TokenError::Lifetime);
        }
        let key = keys.find(self.jws.key_id()).ok_or(TokenError::UnknownKey)?;
        Ok(CheckedAssertion {
            key: key.read().map_err(|_| TokenError::Key)?,
            jws: self.jws,
            used: UsedAssertion {
                client_id: self.client_id,
                jti_hash: base64url(&Sha256::digest(claims.jti.as_bytes())),
                expires_at: Timestamp::from_seconds(claims.exp.0),
            },
        })
    }
}

/// An assertion whose claims hold. Its signature is another question: verify `jws` with `key` before any use.
pub struct CheckedAssertion<'a> {
    /// What was signed.
    pub jws: Jws<'a>,
    /// The key that it names.
    pub key: PublicKey,
    /// What using it takes, once the signature is verified.
    pub used: UsedAssertion,
}

impl UsedAssertion {
    /// Uses it up, for one use alone; returns that use's id if it was unused. What the use does has to ask
    /// whether `used_assertions` names it.
    #[must_use]
    pub fn store(&self, organization: &OrganizationId, use_id: &TokenId) -> Statement {
        Statement::new(
            "INSERT INTO used_assertions (org_id, client_id, jti_hash, use_id, expires_at) VALUES (?1, ?2, \
             ?3, ?4, ?5) ON CONFLICT DO NOTHING RETURNING use_id",
        )
        .bind(organization)
        .bind(&self.client_id)
        .bind(self.jti_hash.as_str())
        .bind(use_id)
        .bind(self.expires_at)
    }

    /// The hash of its `jti`, as `used_assertions` has it.
    #[must_use]
    pub fn jti_hash(&self) -> &str {
        &self.jti_hash
    }
}

/// Forgets a few assertions that ended by themselves. Run with each new one, it keeps the table as small as
/// the assertions of five minutes.
#[must_use]
pub fn sweep(organization: &OrganizationId, now: Timestamp) -> Statement {
    Statement::new(
        "DELETE FROM used_assertions WHERE org_id = ?1 AND (client_id, jti_hash) IN (SELECT client_id, \
         jti_hash FROM used_assertions INDEXED BY used_assertions_by_expiry WHERE org_id = ?1 AND expires_at \
         < ?2 ORDER BY expires_at LIMIT ?3)",
    )
    .bind(organization)
    .bind(now)
    .bind(SWEEP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::jwt::{Algorithm, PrivateKey, key_pair, sign};
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_millis(1_763_800_000_000);
    const ENDPOINT: &str = "https://iam.example.com/api/v1/oauth/token";

    fn client_id() -> ClientId {
        ClientId::new(&"org_7Gk2QxAb0".parse().unwrap(), NOW, [4; 10])
    }

    fn key(algorithm: Algorithm, kid: &str) -> (PrivateKey, Value) {
        let (private, public) = key_pair(algorithm, &[42; 32]).unwrap();
        let jwk = match algorithm {
            Algorithm::Es256 => {
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": base64url(&public.bytes[1..33]),
                "y": base64url(&public.bytes[33..])})
            }
            _ => json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64url(&public.bytes)}),
        };
        (private, jwk)
    }

    fn keys(keys: &[&Value]) -> JwkSet {
        serde_json::from_value(json!({"keys": keys})).unwrap()
    }

    fn claims() -> Value {
        json!({"iss": client_id(), "sub": client_id(), "aud": ENDPOINT, "exp": NOW.as_seconds() + 300,
            "iat": NOW.as_seconds(), "jti": "once"})
    }

    fn signed(header: &Value, claims: &Value, key: &PrivateKey) -> String {
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        sign(&format!("{}.{}", part(header), part(claims)), key).unwrap()
    }

    fn outcome(assertion: &str, keys: &JwkSet) -> Result<UsedAssertion, TokenError> {
        let checked = UnverifiedAssertion::parse(assertion)?.check(keys, &[ENDPOINT.to_owned()], NOW)?;
        checked.jws.verify(&checked.key).map(|()| checked.used)
    }

    #[test]
    fn an_assertion_of_either_kind_holds() {
        for (algorithm, name) in [(Algorithm::Es256, "ES256"), (Algorithm::EdDsa, "EdDSA")] {
            let (private, jwk) = key(algorithm, "a");
            for header in [
                json!({"alg": name, "kid": "a"}),
                json!({"alg": name, "typ": "JWT"}),
                json!({"alg": name, "typ": "application/client-authentication+jwt"}),
            ] {
                let used = outcome(&signed(&header, &claims(), &private), &keys(&[&jwk])).unwrap();
                assert_eq!(used.expires_at.as_seconds(), NOW.as_seconds() + 300);
            }
        }
    }

    #[test]
    fn claims_that_do_not_hold_are_refused() {
        let (private, jwk) = key(Algorithm::Es256, "a");
        let at = |seconds: i64| json!(NOW.as_seconds() + seconds);
        let cases = [
            ("aud", json!("https://somebody.example.com/token"), TokenError::Audience),
            ("aud", json!([ENDPOINT, "https://somebody.example.com"]), TokenError::Audience),
            ("aud", json!([]), TokenError::Audience),
            ("aud", json!(7), TokenError::Malformed),
            ("exp", at(0), TokenError::Expired),
            ("exp", at(331), TokenError::Lifetime),
            ("exp", json!("1763800100"), TokenError::Malformed),
            ("exp", json!(1e300), TokenError::Malformed),
            ("exp", Value::Null, TokenError::Malformed),
            ("nbf", at(31), TokenError::NotYetValid),
            ("iat", at(31), TokenError::NotYetValid),
            ("sub", json!("somebody"), TokenError::Issuer),
            ("iss", json!("somebody"), TokenError::Issuer),
            ("jti", json!(""), TokenError::Malformed),
            ("jti", json!("x".repeat(257)), TokenError::Malformed),
            ("jti", Value::Null, TokenError::Malformed),
        ];
        for (claim, value, expected) in cases {
            let mut changed = claims();
            changed[claim] = value;
            let assertion = signed(&json!({"alg": "ES256", "kid": "a"}), &changed, &private);
            assert_eq!(
                outcome(&assertion, &keys(&[&jwk])).unwrap_err(),
                expected,
                "{claim} {}",
                changed[claim]
            );
        }
        for (claim, value) in [("aud", json!([ENDPOINT])), ("exp", json!(1_763_800_100.75)), ("nbf", at(30))]
        {
            let mut changed = claims();
            changed[claim] = value;
            outcome(&signed(&json!({"alg": "ES256"}), &changed, &private), &keys(&[&jwk])).unwrap();
        }
    }

    #[test]
    fn keys_and_headers_that_do_not_hold_are_refused() {
        let (private, jwk) = key(Algorithm::Es256, "a");
        let (_, other) = key(Algorithm::EdDsa, "b");
        let both = keys(&[&jwk, &other]);
        let with = |header: Value| outcome(&signed(&header, &claims(), &private), &both).unwrap_err();
        assert_eq!(with(json!({"alg": "ES256"})), TokenError::UnknownKey);
        assert_eq!(with(json!({"alg": "ES256", "kid": "c"})), TokenError::UnknownKey);
        assert_eq!(with(json!({"alg": "ES256", "kid": "b"})), TokenError::Algorithm);
        assert_eq!(with(json!({"alg": "EdDSA", "kid": "b"})), TokenError::Signature);
        assert_eq!(with(json!({"alg": "none", "kid": "a"})), TokenError::Algorithm);
        assert_eq!(with(json!({"alg": "HS256", "kid": "a"})), TokenError::Algorithm);
        assert_eq!(with(json!({"alg": "ES256", "kid": "a", "typ": "at+jwt"})), TokenError::Type);
        assert_eq!(with(json!({"alg": "ES256", "kid": "a", "crit": []})), TokenError::Type);
        assert_eq!(with(json!({"alg": "ES256", "kid": "a", "crit": null})), TokenError::Type);
        // A key that the assertion brings along is not looked at.
        let (stranger, public) = key_pair(Algorithm::Es256, &[43; 32]).unwrap();
        let brought = json!({"kty": "EC", "crv": "P-256", "x": base64url(&public.bytes[1..33]),
            "y": base64url(&public.bytes[33..])});
        let header =
            json!({"alg": "ES256", "kid": "a", "jwk": brought, "jku": "https://evil.example.com/jwks.json"});
        assert_eq!(
            outcome(&signed(&header, &claims(), &stranger), &both).unwrap_err(),
            TokenError::Signature
        );
    }

    #[test]
    fn only_sound_public_keys_are_registered() {
        let (_, good) = key(Algorithm::Es256, "a");
        let (_, edwards) = key(Algorithm::EdDsa, "b");
        assert_eq!(check_keys(&keys(&[&good, &edwards])), Ok(()));
        let refused = |member: &str, value: Value| {
            let mut changed = good.clone();
            changed[member] = value;
            check_keys(&keys(&[&changed])).unwrap_err()
        };
        for (member, value) in [
            ("d", json!("AAAA")),
            ("crv", json!("P-384")),
            ("kty", json!("oct")),
            ("alg", json!("EdDSA")),
            ("alg", json!("none")),
            ("use", json!("enc")),
            ("kid", json!("")),
            ("x", json!("AAAA")),
            ("y", good["x"].clone()),
            ("y", Value::Null),
        ] {
            assert_eq!(refused(member, value).index, Some(0), "{member}");
        }
        assert_eq!(check_keys(&keys(&[&good, &good])).unwrap_err().index, Some(1));
        assert_eq!(check_keys(&keys(&[])).unwrap_err().index, None);
        let mut weak = edwards;
        weak["x"] = json!(base64url(&[0; 32]));
        assert_eq!(check_keys(&keys(&[&weak])).unwrap_err().index, Some(0));
    }
}
