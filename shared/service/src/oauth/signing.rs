//! Signing access tokens, and the keys that do it.

use iam_core::id::{OrganizationId, SessionId, SigningKeyId, TokenId, UserId};
use iam_core::jose::jwt::{self, AccessClaims, Audience, PublicKey, TokenError};
use iam_core::oauth::keyring::{Place, StoredKey, signing_key};
use iam_core::sql::{Batch, Ticket};
use iam_edge::web_crypto::{self, WebCryptoError};

use crate::access::scheme;
use crate::context::Context;
use crate::request::error::ApiError;

impl Context {
    /// Asks for an organization's keys with the other questions of a request, where they are not at hand.
    /// Give what was answered to [`Context::sign`].
    pub fn ask_signing_keys(
        &self,
        organization: &OrganizationId,
        batch: &mut Batch,
    ) -> Option<Ticket<StoredKey>> {
        let is_held = self.instance.signing_keys.held(organization, self.now).is_some();
        (!is_held).then(|| batch.ask(StoredKey::all(organization, self.now)))
    }

    /// Signs an access token, with the keys that [`Context::ask_signing_keys`] asked for. The first of an
    /// organization makes its key: one round trip, once.
    ///
    /// # Errors
    /// 500 when the key can't be made or opened.
    pub async fn sign(
        &self,
        organization: &OrganizationId,
        read: Option<Vec<StoredKey>>,
        claims: &AccessClaims,
    ) -> Result<String, ApiError> {
        let mut keys = match read {
            Some(keys) => self.take_signing_keys(organization, keys),
            None => self.instance.signing_keys.held(organization, self.now).unwrap_or_default(),
        };
        if keys.is_empty() {
            keys = self.make_first_key(organization).await?;
        }
        let key = signing_key(&keys, self.now)
            .ok_or_else(|| ApiError::internal(format!("no key of {organization} can sign")))?;
        let algorithm = key.public.algorithm;
        let private = key.open(organization, &*self.instance.master_key()?)?;
        let input = jwt::signing_input(key.key_id.as_str(), algorithm, claims).map_err(internal)?;
        if !web_crypto::IS_SUPPORTED {
            return jwt::sign(&input, &private).map_err(internal);
        }
        let signature = web_crypto::sign(scheme(algorithm), &private.bytes, input.as_bytes()).await;
        Ok(jwt::attach(&input, &signature.map_err(by_host)?))
    }

    /// The keys of an organization, read anew where what is at hand is too old; empty where there is no such
    /// organization. One that has none gets its first key here, so that nobody ever sees an empty set. One
    /// round trip at most; another for the first key.
    ///
    /// # Errors
    /// 500 when the keys can't be read or made.
    pub async fn published_keys(&self, organization: &OrganizationId) -> Result<Vec<StoredKey>, ApiError> {
        if let Some(held) = self.instance.signing_keys.held(organization, self.now) {
            return Ok(held);
        }
        let keys = self.db(organization).all(StoredKey::all(organization, self.now)).await?;
        let keys = self.take_signing_keys(organization, keys);
        if keys.is_empty() { self.make_first_key(organization).await } else { Ok(keys) }
    }

    /// Takes over keys that were just read.
    pub fn take_signing_keys(&self, organization: &OrganizationId, keys: Vec<StoredKey>) -> Vec<StoredKey> {
        self.instance.signing_keys.hold(organization, keys, self.now)
    }

    /// Makes the first key and reads back which it is: this one, or that of a request that was quicker.
    async fn make_first_key(&self, organization: &OrganizationId) -> Result<Vec<StoredKey>, ApiError> {
        let key = new_key(self, organization, Place::first(self.now)).await?;
        let mut batch = Batch::new();
        batch.then(key.store(organization));
        let keys = batch.ask(StoredKey::all(organization, self.now));
        let answers = self.db(organization).batch(batch).await?;
        Ok(self.take_signing_keys(organization, answers.all(keys)?))
    }
}

/// The claims of a new access token.
///
/// # Errors
/// When the host has no randomness to give.
pub fn access_claims(
    context: &Context,
    organization: &OrganizationId,
    user_id: UserId,
    session_id: SessionId,
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

fn by_host(error: WebCryptoError) -> ApiError {
    ApiError::internal(error.to_string())
}

fn internal(error: TokenError) -> ApiError {
    ApiError::internal(error.to_string())
}
