//! How bytes are written as text: base64url for stored things, base62 for what people copy and paste.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// base64url without padding (RFC 4648 section 5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; `None` where it isn't.
#[must_use]
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Base 62, big-endian, exactly `width` digits (the lowest ones where the number is larger). The digits
/// are in ASCII order, so numbers of one width sort as their texts do.
#[must_use]
pub fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = Vec::with_capacity(width);
    for _ in 0..width {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = (remainder << 8) | u32::from(*byte);
            // value < 62 * 256, so the quotient fits a byte.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        digits.push(BASE62.get(remainder as usize).copied().unwrap_or(b'0'));
    }
    zeroize::Zeroize::zeroize(&mut number);
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

/// Whether every character is a base-62 digit.
#[must_use]
pub fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base62_is_positional() {
        assert_eq!(base62(&[0], 2), "00");
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&[0x0f, 0x03], 3), "0zz");
        assert_eq!(base62(&[0x0f, 0x04], 3), "100");
        assert_eq!(base62(&[0xff; 32], 43).len(), 43);
    }

    proptest::proptest! {
        #[test]
        fn base62_keeps_the_order(a: u64, b: u64) {
            let (left, right) = (base62(&a.to_be_bytes(), 11), base62(&b.to_be_bytes(), 11));
            proptest::prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        }
    }
}
