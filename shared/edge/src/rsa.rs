//! RS256 by the host. Signing with RSA in wasm is slow and not in constant time (RUSTSEC-2023-0071), so it is
//! offered only where the host does it: Workers, through Web Crypto. Elsewhere every call says so.

use std::fmt;

/// A key pair the host made.
pub struct KeyPair {
    /// PKCS#8, DER.
    pub private: Vec<u8>,
    /// SubjectPublicKeyInfo, DER.
    pub public: Vec<u8>,
}

/// RS256 that this host does not offer, or a key that it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RsaError {
    /// This host has no RSA of its own.
    Unsupported,
    /// The host refused.
    Refused(String),
}

impl fmt::Display for RsaError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => formatter.write_str("this host does not sign RS256 in constant time"),
            Self::Refused(message) => write!(formatter, "the host refused RS256: {message}"),
        }
    }
}

impl std::error::Error for RsaError {}

/// Whether this host offers RS256.
pub const IS_SUPPORTED: bool = cfg!(all(target_arch = "wasm32", target_os = "unknown"));

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use web_crypto::{generate, sign, verify};

#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
pub use unsupported::{generate, sign, verify};

#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
mod unsupported {
    use super::{KeyPair, RsaError};

    /// Makes a key pair of 2048 bits.
    ///
    /// # Errors
    /// Always: this host has no RSA of its own.
    pub async fn generate() -> Result<KeyPair, RsaError> {
        Err(RsaError::Unsupported)
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256.
    ///
    /// # Errors
    /// Always: this host has no RSA of its own.
    pub async fn sign(_private: &[u8], _message: &[u8]) -> Result<Vec<u8>, RsaError> {
        Err(RsaError::Unsupported)
    }

    /// Verifies RSASSA-PKCS1-v1_5 with SHA-256.
    ///
    /// # Errors
    /// Always: this host has no RSA of its own.
    pub async fn verify(_public: &[u8], _message: &[u8], _signature: &[u8]) -> Result<bool, RsaError> {
        Err(RsaError::Unsupported)
    }
}

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod web_crypto {
    use js_sys::{Array, ArrayBuffer, Object, Promise, Reflect, Uint8Array};
    use wasm_bindgen::prelude::*;
    use worker::send::SendFuture;

    use super::{KeyPair, RsaError};

    #[wasm_bindgen]
    extern "C" {
        type SubtleCrypto;

        #[wasm_bindgen(thread_local_v2, js_namespace = crypto, js_name = subtle)]
        static SUBTLE: SubtleCrypto;

        #[wasm_bindgen(method, catch, js_name = generateKey)]
        fn generate_key(
            this: &SubtleCrypto,
            algorithm: &Object,
            extractable: bool,
            usages: &Array,
        ) -> Result<Promise, JsValue>;

        #[wasm_bindgen(method, catch, js_name = exportKey)]
        fn export_key(this: &SubtleCrypto, format: &str, key: &JsValue) -> Result<Promise, JsValue>;

        #[wasm_bindgen(method, catch, js_name = importKey)]
        fn import_key(
            this: &SubtleCrypto,
            format: &str,
            key: &Uint8Array,
            algorithm: &Object,
            extractable: bool,
            usages: &Array,
        ) -> Result<Promise, JsValue>;

        #[wasm_bindgen(method, catch)]
        fn sign(
            this: &SubtleCrypto,
            algorithm: &str,
            key: &JsValue,
            message: &Uint8Array,
        ) -> Result<Promise, JsValue>;

        #[wasm_bindgen(method, catch)]
        fn verify(
            this: &SubtleCrypto,
            algorithm: &str,
            key: &JsValue,
            signature: &Uint8Array,
            message: &Uint8Array,
        ) -> Result<Promise, JsValue>;
    }

    const ALGORITHM: &str = "RSASSA-PKCS1-v1_5";

    /// Makes a key pair of 2048 bits.
    ///
    /// # Errors
    /// When the host refuses.
    pub async fn generate() -> Result<KeyPair, RsaError> {
        SendFuture::new(async {
            let parameters = algorithm()?;
            set(&parameters, "modulusLength", &JsValue::from(2048))?;
            set(&parameters, "publicExponent", &Uint8Array::from([1, 0, 1].as_slice()))?;
            let usages = Array::of2(&"sign".into(), &"verify".into());
            let pair = settle(SUBTLE.with(|subtle| subtle.generate_key(&parameters, true, &usages))).await?;
            Ok(KeyPair {
                private: export("pkcs8", &get(&pair, "privateKey")?).await?,
                public: export("spki", &get(&pair, "publicKey")?).await?,
            })
        })
        .await
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256.
    ///
    /// # Errors
    /// When the host refuses the key.
    pub async fn sign(private: &[u8], message: &[u8]) -> Result<Vec<u8>, RsaError> {
        SendFuture::new(async {
            let key = import("pkcs8", private, "sign").await?;
            let message = Uint8Array::from(message);
            let signature = settle(SUBTLE.with(|subtle| subtle.sign(ALGORITHM, &key, &message))).await?;
            Ok(Uint8Array::new(&signature).to_vec())
        })
        .await
    }

    /// Verifies RSASSA-PKCS1-v1_5 with SHA-256.
    ///
    /// # Errors
    /// When the host refuses the key.
    pub async fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<bool, RsaError> {
        SendFuture::new(async {
            let key = import("spki", public, "verify").await?;
            let (signature, message) = (Uint8Array::from(signature), Uint8Array::from(message));
            let verdict = SUBTLE.with(|subtle| subtle.verify(ALGORITHM, &key, &signature, &message));
            Ok(settle(verdict).await?.is_truthy())
        })
        .await
    }

    async fn import(format: &str, key: &[u8], usage: &str) -> Result<JsValue, RsaError> {
        let usages = Array::of1(&usage.into());
        let (key, algorithm) = (Uint8Array::from(key), algorithm()?);
        settle(SUBTLE.with(|subtle| subtle.import_key(format, &key, &algorithm, false, &usages))).await
    }

    async fn export(format: &str, key: &JsValue) -> Result<Vec<u8>, RsaError> {
        let exported = settle(SUBTLE.with(|subtle| subtle.export_key(format, key))).await?;
        Ok(Uint8Array::new(&ArrayBuffer::from(exported)).to_vec())
    }

    fn algorithm() -> Result<Object, RsaError> {
        let algorithm = Object::new();
        set(&algorithm, "name", &ALGORITHM.into())?;
        set(&algorithm, "hash", &"SHA-256".into())?;
        Ok(algorithm)
    }

    fn set(object: &Object, name: &str, value: &JsValue) -> Result<(), RsaError> {
        Reflect::set(object, &name.into(), value).map(|_| ()).map_err(|thrown| refused(&thrown))
    }

    fn get(object: &JsValue, name: &str) -> Result<JsValue, RsaError> {
        Reflect::get(object, &name.into()).map_err(|thrown| refused(&thrown))
    }

    async fn settle(promise: Result<Promise, JsValue>) -> Result<JsValue, RsaError> {
        let promise = promise.map_err(|thrown| refused(&thrown))?;
        worker::wasm_bindgen_futures::JsFuture::from(promise).await.map_err(|thrown| refused(&thrown))
    }

    fn refused(thrown: &JsValue) -> RsaError {
        let message = thrown.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
        RsaError::Refused(message.unwrap_or_default())
    }
}
