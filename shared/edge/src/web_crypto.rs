//! Signatures by the host, where it offers them: Workers, through Web Crypto. Elsewhere every call says so.
//!
//! Signing with RSA in wasm is slow and not in constant time (RUSTSEC-2023-0071), so RS256 is offered only here.
//! Verifying is four times quicker than in wasm, and spares a module 40 KB of elliptic curves.

use std::fmt;

/// An RSA key pair the host made.
pub struct KeyPair {
    /// PKCS#8, DER.
    pub private: Vec<u8>,
    /// SubjectPublicKeyInfo, DER.
    pub public: Vec<u8>,
}

/// Cryptography that this host does not offer, or a key that it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebCryptoError {
    /// This host has no Web Crypto.
    Unsupported,
    /// The host refused.
    Refused(String),
}

impl fmt::Display for WebCryptoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => formatter.write_str("this host has no Web Crypto"),
            Self::Refused(message) => write!(formatter, "Web Crypto refused: {message}"),
        }
    }
}

impl std::error::Error for WebCryptoError {}

/// What a signature was made with, and how its public key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 with SHA-256; SubjectPublicKeyInfo, DER.
    Rs256,
    /// ECDSA on P-256 with SHA-256, the signature as two numbers of 32 bytes; the uncompressed point.
    Es256,
    /// Ed25519; 32 bytes.
    Ed25519,
}

/// Whether this host offers it.
pub const IS_SUPPORTED: bool = cfg!(all(target_arch = "wasm32", target_os = "unknown"));

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use subtle::{generate, sign, verify};

#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
pub use unsupported::{generate, sign, verify};

#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
mod unsupported {
    use super::{KeyPair, Scheme, WebCryptoError};

    /// Makes a key pair of 2048 bits.
    ///
    /// # Errors
    /// Always: this host has no Web Crypto.
    pub async fn generate() -> Result<KeyPair, WebCryptoError> {
        Err(WebCryptoError::Unsupported)
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256.
    ///
    /// # Errors
    /// Always: this host has no Web Crypto.
    pub async fn sign(_private: &[u8], _message: &[u8]) -> Result<Vec<u8>, WebCryptoError> {
        Err(WebCryptoError::Unsupported)
    }

    /// Verifies a signature.
    ///
    /// # Errors
    /// Always: this host has no Web Crypto.
    pub async fn verify(
        _scheme: Scheme,
        _public: &[u8],
        _message: &[u8],
        _signature: &[u8],
    ) -> Result<bool, WebCryptoError> {
        Err(WebCryptoError::Unsupported)
    }
}

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod subtle {
    use js_sys::{Array, ArrayBuffer, Object, Promise, Reflect, Uint8Array};
    use wasm_bindgen::prelude::*;
    use worker::send::SendFuture;

    use super::{KeyPair, Scheme, WebCryptoError};

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
            algorithm: &Object,
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
    pub async fn generate() -> Result<KeyPair, WebCryptoError> {
        SendFuture::new(async {
            let parameters = rsa()?;
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
    pub async fn sign(private: &[u8], message: &[u8]) -> Result<Vec<u8>, WebCryptoError> {
        SendFuture::new(async {
            let key = import("pkcs8", private, &rsa()?, "sign").await?;
            let message = Uint8Array::from(message);
            let signature = settle(SUBTLE.with(|subtle| subtle.sign(ALGORITHM, &key, &message))).await?;
            Ok(Uint8Array::new(&signature).to_vec())
        })
        .await
    }

    /// Verifies a signature.
    ///
    /// # Errors
    /// When the host refuses the key.
    pub async fn verify(
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, WebCryptoError> {
        SendFuture::new(async {
            let (format, algorithm) = match scheme {
                Scheme::Rs256 => ("spki", rsa()?),
                Scheme::Es256 => {
                    ("raw", object(&[("name", "ECDSA"), ("namedCurve", "P-256"), ("hash", "SHA-256")])?)
                }
                Scheme::Ed25519 => ("raw", object(&[("name", "Ed25519")])?),
            };
            let key = import(format, public, &algorithm, "verify").await?;
            let (signature, message) = (Uint8Array::from(signature), Uint8Array::from(message));
            let verdict = SUBTLE.with(|subtle| subtle.verify(&algorithm, &key, &signature, &message));
            Ok(settle(verdict).await?.is_truthy())
        })
        .await
    }

    async fn import(
        format: &str,
        key: &[u8],
        algorithm: &Object,
        usage: &str,
    ) -> Result<JsValue, WebCryptoError> {
        let usages = Array::of1(&usage.into());
        let key = Uint8Array::from(key);
        settle(SUBTLE.with(|subtle| subtle.import_key(format, &key, algorithm, false, &usages))).await
    }

    async fn export(format: &str, key: &JsValue) -> Result<Vec<u8>, WebCryptoError> {
        let exported = settle(SUBTLE.with(|subtle| subtle.export_key(format, key))).await?;
        Ok(Uint8Array::new(&ArrayBuffer::from(exported)).to_vec())
    }

    fn rsa() -> Result<Object, WebCryptoError> {
        object(&[("name", ALGORITHM), ("hash", "SHA-256")])
    }

    fn object(members: &[(&str, &str)]) -> Result<Object, WebCryptoError> {
        let object = Object::new();
        for (name, value) in members {
            set(&object, name, &JsValue::from_str(value))?;
        }
        Ok(object)
    }

    fn set(object: &Object, name: &str, value: &JsValue) -> Result<(), WebCryptoError> {
        Reflect::set(object, &name.into(), value).map(|_| ()).map_err(|thrown| refused(&thrown))
    }

    fn get(object: &JsValue, name: &str) -> Result<JsValue, WebCryptoError> {
        Reflect::get(object, &name.into()).map_err(|thrown| refused(&thrown))
    }

    async fn settle(promise: Result<Promise, JsValue>) -> Result<JsValue, WebCryptoError> {
        let promise = promise.map_err(|thrown| refused(&thrown))?;
        worker::wasm_bindgen_futures::JsFuture::from(promise).await.map_err(|thrown| refused(&thrown))
    }

    fn refused(thrown: &JsValue) -> WebCryptoError {
        let message = thrown.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
        WebCryptoError::Refused(message.unwrap_or_default())
    }
}
