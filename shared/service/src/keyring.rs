//! The signing keys as an instance holds them, and the signatures it has already verified.
//!
//! Keys are read anew with the first question to the database after [`KEYS_LIFE`], in the same round trip. Which one signs
//! is told by the time, so all instances agree; one that a token names and the instance does not know is looked for once
//! more before the token is refused.
//!
//! Verifying ES256 in wasm takes about a millisecond, more than everything else on a hot path together. A token
//! comes many times, so the instance remembers the digest of each exact token whose signature it verified, until
//! the token's own `exp`, and believes it as long as the key is published. It never remembers anything of the session: that is read at every request.

use std::collections::HashMap;
use std::sync::Mutex;

use iam_core::id::{OrganizationId, SigningKeyId, TokenId};
use iam_core::jose::jwt::{
    self, AccessClaims, Algorithm, Audience, Jws, PublicKey, TokenError, UnverifiedToken,
};
use iam_core::oauth::keyring::{KEYS_LIFE, Place, StoredKey, signing_key};
use iam_core::sql::{Batch, Rows, Statement, Ticket};
use iam_core::time::{Duration, Timestamp};
use iam_edge::web_crypto::{self, Scheme, WebCryptoError};
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::error::ApiError;
use crate::instance::lock;

/// Keys that were read this long ago are read again for a token that names an unknown one: made-up names cost at most
/// one reading a second and organization.
const KEYS_REREAD_AFTER: Duration = Duration::from_seconds(1);

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

/// What is known of the key that a token names.
enum LookUp {
    /// It is at hand.
    Known(PublicKey),
    /// There is none by that name: the keys were just read.
    Unknown,
    /// The keys have to be read.
    Unread,
}

struct HeldKeys {
    keys: Vec<StoredKey>,
    read_at: Timestamp,
}

impl Keyring {
    /// Verifies a token's signature and asks `questions` about its session and its limits: in one round trip, whether
    /// the keys are at hand or have to be read with it. Where they are, a token that is made up asks nothing.
    ///
    /// # Errors
    /// 401 when the key is unknown or the signature is not its own.
    pub async fn verify_with(
        &self,
        context: &Context,
        organization: &OrganizationId,
        text: &str,
        token: &UnverifiedToken<'_>,
        mut questions: Vec<Statement>,
    ) -> Result<Vec<Rows>, ApiError> {
        let refused = |error: TokenError| ApiError::invalid_token(error.reason());
        let db = context.db(organization);
        let (key, answers) = match self.look_up(organization, token, context.now) {
            LookUp::Known(key) => (key, None),
            LookUp::Unknown => return Err(refused(TokenError::UnknownKey)),
            LookUp::Unread => {
                questions.push(StoredKey::all(organization, context.now).into_statement());
                let mut answers = db.batch_of(std::mem::take(&mut questions)).await?;
                let keys = answers.pop().unwrap_or_default().decode()?;
                let key = public_key(&self.hold(organization, keys, context.now), token, context.now);
                (key.ok_or_else(|| refused(TokenError::UnknownKey))?, Some(answers))
            }
        };
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if !self.is_verified(&digest, context.now) {
            verify_signature(token.jws(), &key).await.map_err(refused)?;
            self.remember(digest, token.claims().exp, context.now);
        }
        match answers {
            Some(answers) => Ok(answers),
            None => Ok(db.batch_of(questions).await?),
        }
    }

    /// Asks for an organization's keys with the other questions of a request, where they are not at hand. Give what was
    /// answered to [`Keyring::sign`].
    pub fn ask(
        &self,
        organization: &OrganizationId,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Option<Ticket<StoredKey>> {
        self.held(organization, now).is_none().then(|| batch.ask(StoredKey::all(organization, now)))
    }

    /// Signs an access token. The first of an organization makes its key: one round trip, once.
    ///
    /// # Errors
    /// 500 when the key can't be read, made or opened.
    pub async fn sign(
        &self,
        context: &Context,
        organization: &OrganizationId,
        read: Option<Vec<StoredKey>>,
        claims: &AccessClaims,
    ) -> Result<String, ApiError> {
        let mut keys = match read {
            Some(keys) => self.hold(organization, keys, context.now),
            None => self.held(organization, context.now).unwrap_or_default(),
        };
        if keys.is_empty() {
            keys = self.make_first(context, organization).await?;
        }
        let key = signing_key(&keys, context.now)
            .ok_or_else(|| ApiError::internal(format!("no key of {organization} can sign")))?;
        let algorithm = key.public.algorithm;
        let private = key.open(organization, &*context.instance.master_key()?)?;
        let input = jwt::signing_input(key.key_id.as_str(), algorithm, claims).map_err(internal)?;
        if !web_crypto::IS_SUPPORTED {
            return jwt::sign(&input, &private).map_err(internal);
        }
        let signature = web_crypto::sign(scheme(algorithm), &private.bytes, input.as_bytes()).await;
        Ok(jwt::attach(&input, &signature.map_err(by_host)?))
    }

    /// The keys of an organization, read anew where what is at hand is older than [`KEYS_LIFE`]; empty where there is no
    /// such organization. One that has none gets its first key here, so that nobody ever sees an empty set. One round
    /// trip at most; another for the first key.
    ///
    /// # Errors
    /// 500 when the keys can't be read or made.
    pub async fn published(
        &self,
        context: &Context,
        organization: &OrganizationId,
    ) -> Result<Vec<StoredKey>, ApiError> {
        if let Some(held) = self.held(organization, context.now) {
            return Ok(held);
        }
        let keys = context.db(organization).all(StoredKey::all(organization, context.now)).await?;
        let keys = self.hold(organization, keys, context.now);
        if keys.is_empty() { self.make_first(context, organization).await } else { Ok(keys) }
    }

    /// Takes over keys that were just read.
    pub fn take(
        &self,
        context: &Context,
        organization: &OrganizationId,
        keys: Vec<StoredKey>,
    ) -> Vec<StoredKey> {
        self.hold(organization, keys, context.now)
    }

    /// Makes the first key and reads back which it is: this one, or that of a request that was quicker.
    async fn make_first(
        &self,
        context: &Context,
        organization: &OrganizationId,
    ) -> Result<Vec<StoredKey>, ApiError> {
        let key = new_key(context, organization, Place::first(context.now)).await?;
        let mut batch = Batch::new();
        batch.then(key.store(organization));
        let keys = batch.ask(StoredKey::all(organization, context.now));
        let answers = context.db(organization).batch(batch).await?;
        Ok(self.take(context, organization, answers.all(keys)?))
    }

    fn look_up(&self, organization: &OrganizationId, token: &UnverifiedToken<'_>, now: Timestamp) -> LookUp {
        let held = lock(&self.keys);
        let Some(held) = held.get(organization).filter(|held| now < held.read_at.after(KEYS_LIFE)) else {
            return LookUp::Unread;
        };
        match public_key(&held.keys, token, now) {
            Some(key) => LookUp::Known(key),
            None if now < held.read_at.after(KEYS_REREAD_AFTER) => LookUp::Unknown,
            None => LookUp::Unread,
        }
    }

    fn held(&self, organization: &OrganizationId, now: Timestamp) -> Option<Vec<StoredKey>> {
        let held = lock(&self.keys);
        let held = held.get(organization).filter(|held| now < held.read_at.after(KEYS_LIFE))?;
        Some(held.keys.clone())
    }

    fn hold(&self, organization: &OrganizationId, keys: Vec<StoredKey>, now: Timestamp) -> Vec<StoredKey> {
        let mut held = lock(&self.keys);
        // An organization that anybody made up takes nobody's place.
        if keys.is_empty() {
            held.remove(organization);
            return keys;
        }
        if held.len() >= MAX_ORGANIZATIONS {
            held.clear();
        }
        held.insert(organization.clone(), HeldKeys { keys: keys.clone(), read_at: now });
        keys
    }

    /// Reads everything anew when it is next needed: what is held was sealed under master keys that were replaced.
    pub(crate) fn forget_keys(&self) {
        lock(&self.keys).clear();
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

/// Makes and seals a key of the configured algorithm.
///
/// # Errors
/// 500 when the host has no randomness to give or refuses.
pub async fn new_key(
    context: &Context,
    organization: &OrganizationId,
    place: Place,
) -> Result<StoredKey, ApiError> {
    let algorithm = context.configuration().jwt.algorithm;
    let (private, public) = if web_crypto::IS_SUPPORTED {
        let pair = web_crypto::generate(scheme(algorithm)).await.map_err(by_host)?;
        let private = jwt::PrivateKey { algorithm, bytes: pair.private };
        (private, PublicKey { algorithm, bytes: pair.public })
    } else {
        jwt::key_pair(algorithm, &context.entropy()?).map_err(internal)?
    };
    let key_id = context.new_id(SigningKeyId::new)?;
    let (master, nonce) = (context.instance.master_key()?, context.entropy()?);
    Ok(StoredKey::new(organization, key_id, &private, public, place, &master, nonce)?)
}

fn public_key(keys: &[StoredKey], token: &UnverifiedToken<'_>, now: Timestamp) -> Option<PublicKey> {
    let named = keys.iter().find(|key| key.key_id.as_str() == token.key_id())?;
    named.phase(now).map(|_| named.public.clone())
}

/// Verifies a signature by the host where it does so, in the module itself where not.
///
/// # Errors
/// When another algorithm is named than the key's, or the signature is not this key's.
pub async fn verify_signature(jws: &Jws<'_>, key: &PublicKey) -> Result<(), TokenError> {
    if !web_crypto::IS_SUPPORTED {
        return jws.verify(key);
    }
    let (input, signature) = jws.signed_parts(key.algorithm)?;
    match web_crypto::verify(scheme(key.algorithm), &key.bytes, input.as_bytes(), &signature).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(TokenError::Signature),
    }
}

fn scheme(algorithm: Algorithm) -> Scheme {
    match algorithm {
        Algorithm::Es256 => Scheme::Es256,
        Algorithm::EdDsa => Scheme::Ed25519,
        Algorithm::Rs256 => Scheme::Rs256,
    }
}

fn by_host(error: WebCryptoError) -> ApiError {
    ApiError::internal(error.to_string())
}

fn internal(error: TokenError) -> ApiError {
    ApiError::internal(error.to_string())
}
