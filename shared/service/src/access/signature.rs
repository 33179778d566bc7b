//! Signatures of tokens: by the host where it verifies them, by the module itself where not, and each token
//! once.

use iam_core::id::OrganizationId;
use iam_core::jose::jwt::{Algorithm, Jws, PublicKey, TokenError, UnverifiedToken};
use iam_core::oauth::keyring::StoredKey;
use iam_core::sql::{Answers, Batch};
use iam_edge::web_crypto::{self, Scheme};
use sha2::{Digest, Sha256};

use crate::context::Context;
use crate::instance::signing_keys::{LookUp, public_key};
use crate::request::error::ApiError;

/// Verifies a token's signature and asks `batch` about its session and its limits: in one round trip, whether
/// the keys are at hand or have to be read with it. Where they are, a token that is made up asks nothing.
///
/// # Errors
/// 401 when the key is unknown or the signature is not its own.
pub(super) async fn verify_with(
    context: &Context,
    organization: &OrganizationId,
    text: &str,
    token: &UnverifiedToken<'_>,
    mut batch: Batch,
) -> Result<Answers, ApiError> {
    let refused = |error: TokenError| ApiError::invalid_token(error.reason());
    let (db, known) = (context.db(organization), &context.instance.signing_keys);
    let key = match known.look_up(organization, token, context.now) {
        LookUp::Known(key) => key,
        LookUp::Unknown => return Err(refused(TokenError::UnknownKey)),
        LookUp::Unread => {
            let keys = batch.ask(StoredKey::all(organization, context.now));
            let answers = db.batch(batch).await?;
            let keys = known.hold(organization, answers.all(keys)?, context.now);
            let key = public_key(&keys, token, context.now);
            let key = key.ok_or_else(|| refused(TokenError::UnknownKey))?;
            verify_once(context, text, token, &key).await.map_err(refused)?;
            return Ok(answers);
        }
    };
    verify_once(context, text, token, &key).await.map_err(refused)?;
    Ok(db.batch(batch).await?)
}

/// Verifies the signature of a token that this instance has not verified yet.
async fn verify_once(
    context: &Context,
    text: &str,
    token: &UnverifiedToken<'_>,
    key: &PublicKey,
) -> Result<(), TokenError> {
    let known = &context.instance.signing_keys;
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    if !known.is_verified(&digest, context.now) {
        verify_signature(token.jws(), key).await?;
        known.remember(digest, token.claims().exp, context.now);
    }
    Ok(())
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
    let scheme = scheme(key.algorithm);
    match web_crypto::verify(scheme, &key.bytes, input.as_bytes(), &signature).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(TokenError::Signature),
    }
}

/// What the host calls an algorithm.
pub(crate) fn scheme(algorithm: Algorithm) -> Scheme {
    match algorithm {
        Algorithm::Es256 => Scheme::Es256,
        Algorithm::EdDsa => Scheme::Ed25519,
        Algorithm::Rs256 => Scheme::Rs256,
    }
}
