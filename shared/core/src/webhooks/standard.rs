//! Standard Webhooks (<https://www.standardwebhooks.com>), symmetric: what we sign our own messages with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";

/// The signature of a message, `v1,` and base64: HMAC-SHA-256 over its id, its time in seconds and its body.
#[must_use]
pub fn sign(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    let mac = mac.chain_update(format!("{id}.{timestamp}.")).chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The key in a secret: base64 with or without padding, with or without `whsec_` before it. `None` where it
/// is none.
#[must_use]
pub fn key(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
    let mut padded = Zeroizing::new(text.trim_end_matches('=').to_owned());
    while !padded.len().is_multiple_of(4) {
        padded.push('=');
    }
    STANDARD.decode(padded.as_str()).ok().filter(|key| !key.is_empty()).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries:
    /// `libraries/python/tests/test_webhooks.py` in <https://github.com/standard-webhooks/standard-webhooks>.
    #[test]
    fn the_signature_is_the_specifications() {
        for secret in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let body = br#"{"test": 2432232314}"#;
            assert_eq!(
                sign(&key(secret).unwrap(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
            );
        }
    }

    #[test]
    fn keys_are_base64() {
        assert_eq!(key("whsec_AQ==").unwrap().as_slice(), [1]);
        assert_eq!(key("whsec_AQ").unwrap().as_slice(), [1]);
        for text in ["", "whsec_", "whsec_*", "whsec_A", "\u{e9}"] {
            assert!(key(text).is_none(), "{text}");
        }
    }
}
