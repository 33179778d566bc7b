//! PBKDF2 (RFC 8018): passlib's `$pbkdf2-sha256$29000$salt$hash`, the PHC form
//! `$pbkdf2-sha256$i=29000$salt$hash` and Django's `pbkdf2_sha256$29000$salt$hash`, with HMAC over SHA-1,
//! SHA-256 or SHA-512.

use std::borrow::Cow;

use base64::alphabet::STANDARD;
use pbkdf2::hmac::Hmac;
use pbkdf2::pbkdf2;

use super::PasswordError;
use super::stored::{HashKind, from_base64, is_same, number, output, parts, salt};

/// The most rounds, over all blocks of the hash.
const MAX_ROUNDS: u32 = 2_000_000;

pub(super) struct Pbkdf2Hash {
    kind: HashKind,
    rounds: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Pbkdf2Hash {
    pub(super) fn parse(text: &str) -> Result<Self, PasswordError> {
        let [name, rounds, salt_text, hash] = parts::<4>(text.strip_prefix('$').unwrap_or(text))?;
        let (kind, block) = match name {
            "pbkdf2" | "pbkdf2-sha1" | "pbkdf2_sha1" => (HashKind::Pbkdf2Sha1, 20),
            "pbkdf2-sha256" | "pbkdf2_sha256" => (HashKind::Pbkdf2Sha256, 32),
            "pbkdf2-sha512" | "pbkdf2_sha512" => (HashKind::Pbkdf2Sha512, 64),
            _ => return Err(PasswordError::Stored),
        };
        let is_django = name.contains('_');
        if is_django == text.starts_with('$') {
            return Err(PasswordError::Stored);
        }
        let salt_bytes = if is_django { salt_text.as_bytes().to_vec() } else { from_ab64(salt_text)? };
        let (salt, hash) = (salt(salt_bytes)?, output(from_ab64(hash)?)?);
        let rounds = number(rounds.strip_prefix("i=").unwrap_or(rounds))?;
        let blocks = u32::try_from(hash.len().div_ceil(block)).map_err(|_| PasswordError::Cost)?;
        if rounds == 0 || rounds.checked_mul(blocks).is_none_or(|rounds| rounds > MAX_ROUNDS) {
            return Err(PasswordError::Cost);
        }
        Ok(Self { kind, rounds, salt, hash })
    }

    pub(super) fn kind(&self) -> HashKind {
        self.kind
    }

    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, PasswordError> {
        let mut computed = vec![0; self.hash.len()];
        let compute = match self.kind {
            HashKind::Pbkdf2Sha1 => pbkdf2::<Hmac<sha1::Sha1>>,
            HashKind::Pbkdf2Sha512 => pbkdf2::<Hmac<sha2::Sha512>>,
            _ => pbkdf2::<Hmac<sha2::Sha256>>,
        };
        compute(password, &self.salt, self.rounds, &mut computed).map_err(|_| PasswordError::Stored)?;
        Ok(is_same(&computed, &self.hash))
    }
}

/// Base 64, also as passlib writes it: with `.` for `+`.
fn from_ab64(text: &str) -> Result<Vec<u8>, PasswordError> {
    let text = if text.contains('.') { Cow::Owned(text.replace('.', "+")) } else { Cow::Borrowed(text) };
    from_base64(&STANDARD, &text)
}
