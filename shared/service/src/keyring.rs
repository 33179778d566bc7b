//! The signing keys as an instance holds them, and the signatures it has already verified.
//!
//! Verifying ES256 in wasm takes about a millisecond, more than everything else on a hot path together. A token
//! comes many times, so the instance remembers the digest of each exact token whose signature it verified, until
//! the token's own `exp`. It never remembers anything of the session: that is read at every request.

use std::collections::HashMap;
use std::sync::Mutex;

use iam_core::id::{OrganizationId, SigningKeyId, TokenId};
use iam_core::jwt::{self, AccessClaims, Algorithm, Audience, PublicKey, TokenError, UnverifiedToken};
use iam_core::keyring::StoredKey;
use iam_core::sql::{Rows, Statement};
use iam_core::time::{Duration, Timestamp};
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::error::ApiError;
use crate::instance::lock;

/// How long keys that were read are used before they are read again.
const KEYS_LIFE: Duration = Duration::from_seconds(60);

/// Of how many organizations an instance holds the keys at most.
const MAX_ORGANIZATIONS: usize = 256;

/// How many verified tokens an instance remembers at most: 40 bytes each.
const MAX_VERIFIED: usize = 4096;

/// What an instance knows of keys and signatures.
#[derive(Default)]
pub struct Keyring {
    keys: Mutex<HashMap<OrganizationId, HeldKeys>>,
    verified: Mutex<HashMap<[u8; 32], i64>>,
}

#[derive(Clone)]
struct HeldKeys {
    keys: Vec<StoredKey>,
    read_at: Timestamp,
}

impl Keyring {
    /// Verifies a token's signature and runs `question` about its session: in one round trip, whether the keys
    /// are at hand or have to be read with it.
    ///
    /// # Errors
    /// 401 when the key is unknown or the signature is not its own.
    pub async fn verify_with(
        &self,
        context: &Context,
        organization: &OrganizationId,
        text: &str,
        token: &UnverifiedToken<'_>,
        question: Statement,
    ) -> Result<Rows, ApiError> {
        let refused = |error: TokenError| ApiError::invalid_token(error.reason());
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let db = context.db(organization);
        if self.is_verified(&digest, context.now) {
            return Ok(db.run(question).await?);
        }
        if let Some(key) = self.held(organization, context.now).and_then(|keys| public_key(&keys, token)) {
            verify(context, token, &key).await.map_err(refused)?;
            self.remember(digest, token.claims().exp, context.now);
            return Ok(db.run(question).await?);
        }
        let [keys, rows] = two(db.batch(vec![StoredKey::all(organization), question]).await?)?;
        let keys = self.hold(organization, keys.decode()?, context.now);
        let key = public_key(&keys, token).ok_or_else(|| refused(TokenError::UnknownKey))?;
        verify(context, token, &key).await.map_err(refused)?;
        self.remember(digest, token.claims().exp, context.now);
        Ok(rows)
    }

    /// The statement that reads an organization's keys, to run with others of the request, or none where they
    /// are at hand. Give its rows to [`Keyring::sign`].
    #[must_use]
    pub fn question(&self, organization: &OrganizationId, now: Timestamp) -> Option<Statement> {
        self.held(organization, now).is_none().then(|| StoredKey::all(organization))
    }

    /// Signs an access token. The first of an organization makes its key: one round trip, once.
    ///
    /// # Errors
    /// 500 when the key can't be read, made or opened.
    pub async fn sign(
        &self,
        context: &Context,
        organization: &OrganizationId,
        read: Option<&Rows>,
        claims: &AccessClaims,
    ) -> Result<String, ApiError> {
        let keys = match read {
            Some(rows) => self.hold(organization, rows.decode()?, context.now),
            None => self.held(organization, context.now).unwrap_or_default(),
        };
        let algorithm = context.configuration().jwt.algorithm;
        let in_use = |keys: &[StoredKey]| {
            keys.iter().find(|key| !key.is_retired && key.public.algorithm == algorithm).cloned()
        };
        let key = match in_use(&keys) {
            Some(key) => key,
            None => {
                let keys = self.make(context, organization, algorithm).await?;
                in_use(&keys).ok_or_else(|| ApiError::internal("no signing key after one was made"))?
            }
        };
        let private = key.open(organization, context.instance.master_key()?)?;
        let input = jwt::signing_input(key.key_id.as_str(), algorithm, claims).map_err(internal)?;
        match algorithm {
            Algorithm::Es256 | Algorithm::EdDsa => jwt::sign(&input, &private).map_err(internal),
            Algorithm::Rs256 => {
                let signature = iam_edge::rsa::sign(&private.bytes, input.as_bytes()).await;
                Ok(jwt::attach(&input, &signature.map_err(|error| ApiError::internal(error.to_string()))?))
            }
        }
    }

    /// Makes a key and reads back which one is in use: this one, or that of a request that was quicker.
    async fn make(
        &self,
        context: &Context,
        organization: &OrganizationId,
        algorithm: Algorithm,
    ) -> Result<Vec<StoredKey>, ApiError> {
        let (private, public) = match algorithm {
            Algorithm::Es256 | Algorithm::EdDsa => {
                jwt::key_pair(algorithm, &context.entropy()?).map_err(internal)?
            }
            Algorithm::Rs256 => {
                let pair =
                    iam_edge::rsa::generate().await.map_err(|error| ApiError::internal(error.to_string()))?;
                let private = jwt::PrivateKey { algorithm, bytes: pair.private.into() };
                (private, PublicKey { algorithm, bytes: pair.public })
            }
        };
        let key_id = context.new_id(SigningKeyId::new)?;
        let master = context.instance.master_key()?;
        let key = StoredKey::new(organization, key_id, &private, public, master, context.entropy()?)?;
        let statements = vec![key.store(organization, context.now), StoredKey::all(organization)];
        let [_, rows] = two(context.db(organization).batch(statements).await?)?;
        Ok(self.hold(organization, rows.decode()?, context.now))
    }

    fn held(&self, organization: &OrganizationId, now: Timestamp) -> Option<Vec<StoredKey>> {
        let held = lock(&self.keys);
        let keys = held.get(organization)?;
        (now < keys.read_at.after(KEYS_LIFE)).then(|| keys.keys.clone())
    }

    fn hold(&self, organization: &OrganizationId, keys: Vec<StoredKey>, now: Timestamp) -> Vec<StoredKey> {
        let mut held = lock(&self.keys);
        if held.len() >= MAX_ORGANIZATIONS {
            held.clear();
        }
        held.insert(organization.clone(), HeldKeys { keys: keys.clone(), read_at: now });
        keys
    }

    fn is_verified(&self, digest: &[u8; 32], now: Timestamp) -> bool {
        lock(&self.verified).get(digest).is_some_and(|exp| now.as_seconds() < *exp)
    }

    fn remember(&self, digest: [u8; 32], exp: i64, now: Timestamp) {
        let mut verified = lock(&self.verified);
        if verified.len() >= MAX_VERIFIED {
            verified.retain(|_, exp| now.as_seconds() < *exp);
        }
        if verified.len() >= MAX_VERIFIED {
            verified.clear();
        }
        verified.insert(digest, exp);
    }
}

/// The claims of a new access token.
///
/// # Errors
/// When the host has no randomness to give.
pub fn access_claims(
    context: &Context,
    organization: &OrganizationId,
    user_id: iam_core::id::UserId,
    session_id: iam_core::id::SessionId,
) -> Result<AccessClaims, ApiError> {
    let jwt = &context.configuration().jwt;
    let now = context.now.as_seconds();
    Ok(AccessClaims {
        iss: jwt.issuer.clone(),
        sub: user_id,
        aud: Audience::Many(jwt.audience.clone()),
        exp: now.saturating_add(jwt.access_token_expiry.as_seconds()),
        nbf: now,
        iat: now,
        jti: context.new_id(TokenId::new)?,
        sid: session_id,
        org: organization.clone(),
        client_id: None,
        scope: None,
    })
}

fn public_key(keys: &[StoredKey], token: &UnverifiedToken<'_>) -> Option<PublicKey> {
    keys.iter().find(|key| key.key_id.as_str() == token.key_id()).map(|key| key.public.clone())
}

async fn verify(_: &Context, token: &UnverifiedToken<'_>, key: &PublicKey) -> Result<(), TokenError> {
    if key.algorithm != Algorithm::Rs256 {
        return token.verify(key);
    }
    let (input, signature) = token.signed_parts(key.algorithm)?;
    match iam_edge::rsa::verify(&key.bytes, input.as_bytes(), &signature).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(TokenError::Signature),
    }
}

fn internal(error: TokenError) -> ApiError {
    ApiError::internal(error.to_string())
}

/// The answers to a batch of two.
fn two(rows: Vec<Rows>) -> Result<[Rows; 2], ApiError> {
    rows.try_into().map_err(|_| ApiError::internal("the database answered another number of statements"))
}
