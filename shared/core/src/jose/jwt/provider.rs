//! The cryptography behind `jsonwebtoken`: the two algorithms in use, so that no other is in the module.

use std::sync::Once;

use ed25519_dalek as ed25519;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, new_error};
use p256::ecdsa;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        jsonwebtoken::Algorithm::ES256 => ecdsa::SigningKey::from_slice(key.as_bytes())
            .map(|key| Box::new(Es256(key)) as Box<dyn JwtSigner>)
            .map_err(|_| new_error(ErrorKind::InvalidEcdsaKey)),
        jsonwebtoken::Algorithm::EdDSA => key
            .as_bytes()
            .try_into()
            .map(|seed| Box::new(EdDsa(ed25519::SigningKey::from_bytes(seed))) as Box<dyn JwtSigner>)
            .map_err(|_| new_error(ErrorKind::InvalidEddsaKey)),
        _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    },
    verifier_factory: |algorithm, key| {
        let bytes = key.try_get_as_bytes()?;
        match algorithm {
            jsonwebtoken::Algorithm::ES256 => ecdsa::VerifyingKey::from_sec1_bytes(bytes)
                .map(|key| Box::new(Es256(key)) as Box<dyn JwtVerifier>)
                .map_err(|_| new_error(ErrorKind::InvalidEcdsaKey)),
            jsonwebtoken::Algorithm::EdDSA => bytes
                .try_into()
                .ok()
                .and_then(|bytes| ed25519::VerifyingKey::from_bytes(bytes).ok())
                .map(|key| Box::new(EdDsa(key)) as Box<dyn JwtVerifier>)
                .ok_or_else(|| new_error(ErrorKind::InvalidEddsaKey)),
            _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        }
    },
    // Our keys are never read from JWKs by the library, so these only have to refuse without a panic.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        rsa_pub_components_from_public_key: |_| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        ec_pub_components_from_private_key: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        ed_pub_components_from_private_key: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
        compute_digest: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    },
};

/// Makes the provider the process's, once.
pub(in crate::jose) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // A second provider in the process (a test's) is as good: it was chosen on purpose.
        let _ = PROVIDER.install_default();
    });
}

struct Es256<K>(K);

struct EdDsa<K>(K);

impl signature::Signer<Vec<u8>> for Es256<ecdsa::SigningKey> {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signature: ecdsa::Signature =
            ecdsa::signature::Signer::try_sign(&self.0, message).map_err(|_| signature::Error::new())?;
        Ok(signature.to_bytes().to_vec())
    }
}

impl signature::Signer<Vec<u8>> for EdDsa<ed25519::SigningKey> {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signature = ed25519::Signer::try_sign(&self.0, message).map_err(|_| signature::Error::new())?;
        Ok(signature.to_bytes().to_vec())
    }
}

impl signature::Verifier<Vec<u8>> for Es256<ecdsa::VerifyingKey> {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let signature = ecdsa::Signature::from_slice(signature).map_err(|_| signature::Error::new())?;
        ecdsa::signature::Verifier::verify(&self.0, message, &signature).map_err(|_| signature::Error::new())
    }
}

impl signature::Verifier<Vec<u8>> for EdDsa<ed25519::VerifyingKey> {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let signature = ed25519::Signature::from_slice(signature).map_err(|_| signature::Error::new())?;
        // Strict: no small-order points, so one message has one signer.
        self.0.verify_strict(message, &signature).map_err(|_| signature::Error::new())
    }
}

macro_rules! library_algorithm {
    ($type:ident, $trait:ident, $key:ty, $algorithm:ident) => {
        impl $trait for $type<$key> {
            fn algorithm(&self) -> jsonwebtoken::Algorithm {
                jsonwebtoken::Algorithm::$algorithm
            }
        }
    };
}

library_algorithm!(Es256, JwtSigner, ecdsa::SigningKey, ES256);
library_algorithm!(Es256, JwtVerifier, ecdsa::VerifyingKey, ES256);
library_algorithm!(EdDsa, JwtSigner, ed25519::SigningKey, EdDSA);
library_algorithm!(EdDsa, JwtVerifier, ed25519::VerifyingKey, EdDSA);
