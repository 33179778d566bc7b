//! Signatures by the host, where it offers them: Workers, through Web Crypto. Elsewhere every call says so.
//!
//! Signing with RSA in wasm is slow and not in constant time (RUSTSEC-2023-0071), so RS256 is offered only
//! here. Verifying is four times quicker than in wasm, and a module that leaves signatures to the host is
//! spared the elliptic curves.

use std::fmt;

use zeroize::Zeroizing;

/// A key pair the host made, written as its [`Scheme`] says.
pub struct KeyPair {
    /// The private key.
    pub private: Zeroizing<Vec<u8>>,
    /// The public key.
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

/// What a signature is made with, and how its keys are written: the public one, and the private one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 with SHA-256; SubjectPublicKeyInfo and PKCS#8, DER.
    Rs256,
    /// ECDSA on P-256 with SHA-256, the signature as two numbers of 32 bytes; the uncompressed point and the
    /// scalar.
    Es256,
    /// Ed25519; 32 bytes each, the private one being the seed.
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

    /// Makes a key pair; one of RSA has 2048 bits.
    ///
    /// # Errors
    /// Always: this host has no Web Crypto.
    pub async fn generate(_scheme: Scheme) -> Result<KeyPair, WebCryptoError> {
        Err(WebCryptoError::Unsupported)
    }

    /// Signs.
    ///
    /// # Errors
    /// Always: this host has no Web Crypto.
    pub async fn sign(_scheme: Scheme, _private: &[u8], _message: &[u8]) -> Result<Vec<u8>, WebCryptoError> {
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
    use iam_core::encoding::from_base64url;
    use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
    use wasm_bindgen::prelude::*;
    use worker::send::SendFuture;
    use zeroize::Zeroizing;

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
            algorithm: &Object,
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

    const RSA: &str = "RSASSA-PKCS1-v1_5";

    /// PKCS#8 (RFC 5208) of a scalar of P-256, up to the scalar; the private key's structure is that of RFC
    /// 5915, without the public key, which the host computes.
    const P256_PRIVATE: &[u8] = &[
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04,
        0x20,
    ];

    /// PKCS#8 of an Ed25519 seed (RFC 8410 section 7), up to the seed.
    const ED25519_PRIVATE: &[u8] =
        &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

    impl Scheme {
        fn algorithm(self) -> Result<Object, WebCryptoError> {
            match self {
                Self::Rs256 => object(&[("name", RSA), ("hash", "SHA-256")]),
                Self::Es256 => object(&[("name", "ECDSA"), ("namedCurve", "P-256"), ("hash", "SHA-256")]),
                Self::Ed25519 => object(&[("name", "Ed25519")]),
            }
        }

        fn public_format(self) -> &'static str {
            match self {
                Self::Rs256 => "spki",
                Self::Es256 | Self::Ed25519 => "raw",
            }
        }

        /// As the host wants it.
        fn pkcs8(self, private: &[u8]) -> Zeroizing<Vec<u8>> {
            let before = match self {
                Self::Rs256 => &[],
                Self::Es256 => P256_PRIVATE,
                Self::Ed25519 => ED25519_PRIVATE,
            };
            Zeroizing::new([before, private].concat())
        }
    }

    /// Makes a key pair; one of RSA has 2048 bits.
    ///
    /// # Errors
    /// When the host refuses.
    pub async fn generate(scheme: Scheme) -> Result<KeyPair, WebCryptoError> {
        SendFuture::new(async {
            let parameters = scheme.algorithm()?;
            if scheme == Scheme::Rs256 {
                set(&parameters, "modulusLength", &JsValue::from(2048))?;
                set(&parameters, "publicExponent", &Uint8Array::from([1, 0, 1].as_slice()))?;
            }
            let usages = Array::of2(&"sign".into(), &"verify".into());
            let pair = settle(SUBTLE.with(|subtle| subtle.generate_key(&parameters, true, &usages))).await?;
            let (private, public) = (get(&pair, "privateKey")?, get(&pair, "publicKey")?);
            let private = match scheme {
                Scheme::Rs256 => bytes(&exported("pkcs8", &private).await?),
                // A JWK (RFC 7518 section 6.2.2, RFC 8037 section 2) has the number alone.
                Scheme::Es256 | Scheme::Ed25519 => {
                    let number = get(&exported("jwk", &private).await?, "d")?.as_string().unwrap_or_default();
                    let refused = || WebCryptoError::Refused("the host exported no key".to_owned());
                    from_base64url(&number).ok_or_else(refused)?
                }
            };
            let public = bytes(&exported(scheme.public_format(), &public).await?);
            Ok(KeyPair { private: Zeroizing::new(private), public })
        })
        .await
    }

    /// Signs.
    ///
    /// # Errors
    /// When the host refuses the key.
    pub async fn sign(scheme: Scheme, private: &[u8], message: &[u8]) -> Result<Vec<u8>, WebCryptoError> {
        SendFuture::new(async {
            let algorithm = scheme.algorithm()?;
            let key = import("pkcs8", &scheme.pkcs8(private), &algorithm, "sign").await?;
            let message = Uint8Array::from(message);
            let signature = settle(SUBTLE.with(|subtle| subtle.sign(&algorithm, &key, &message))).await?;
            Ok(bytes(&signature))
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
            let algorithm = scheme.algorithm()?;
            let key = import(scheme.public_format(), public, &algorithm, "verify").await?;
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

    async fn exported(format: &str, key: &JsValue) -> Result<JsValue, WebCryptoError> {
        settle(SUBTLE.with(|subtle| subtle.export_key(format, key))).await
    }

    fn bytes(buffer: &JsValue) -> Vec<u8> {
        Uint8Array::new(buffer).to_vec()
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
