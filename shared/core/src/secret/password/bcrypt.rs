//! bcrypt: `$2a$`, `$2b$` and `$2y$` (one computation under three names), and Django's `bcrypt$` and
//! `bcrypt_sha256$`. OpenBSD's first `$2$` and the faulty `$2x$` are not taken.

use sha2::{Digest, Sha256};

use super::PasswordError;
use super::stored::{HashKind, from_base64, is_same, number, parts};

/// The highest cost, a power of two: 14 is a second or two of an instance.
const MAX_COST: u32 = 14;

/// The lowest that implementations make.
const MIN_COST: u32 = 4;

/// How much of a password bcrypt looks at, its closing NUL included.
const MAX_KEY_BYTES: usize = 72;

/// How many of the computed 24 bytes are stored.
const STORED_BYTES: usize = 23;

pub(super) struct BcryptHash {
    cost: u32,
    salt: [u8; 16],
    hash: Vec<u8>,
    is_over_sha256: bool,
}

impl BcryptHash {
    pub(super) fn parse(text: &str) -> Result<Self, PasswordError> {
        let (is_over_sha256, text) = match text.strip_prefix("bcrypt_sha256$") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("bcrypt$").unwrap_or(text)),
        };
        let [before, version, cost, rest] = parts::<4>(text)?;
        if !before.is_empty() || !["2a", "2b", "2y"].contains(&version) || cost.len() != 2 {
            return Err(PasswordError::Stored);
        }
        let cost = number(cost.strip_prefix('0').unwrap_or(cost))?;
        let (salt, hash) = rest.split_at_checked(22).ok_or(PasswordError::Stored)?;
        let salt = from_base64(&base64::alphabet::BCRYPT, salt)?;
        let hash = from_base64(&base64::alphabet::BCRYPT, hash)?;
        let salt = salt.try_into().map_err(|_| PasswordError::Stored)?;
        if hash.len() != STORED_BYTES {
            return Err(PasswordError::Stored);
        }
        if !(MIN_COST..=MAX_COST).contains(&cost) {
            return Err(PasswordError::Cost);
        }
        Ok(Self { cost, salt, hash, is_over_sha256 })
    }

    pub(super) fn kind(&self) -> HashKind {
        if self.is_over_sha256 { HashKind::BcryptSha256 } else { HashKind::Bcrypt }
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let mut key = if self.is_over_sha256 { hex(&Sha256::digest(password)) } else { password.to_vec() };
        key.push(0);
        key.truncate(MAX_KEY_BYTES);
        let computed = bcrypt::bcrypt(self.cost, self.salt, &key);
        zeroize::Zeroize::zeroize(&mut key);
        computed.get(..STORED_BYTES).is_some_and(|computed| is_same(computed, &self.hash))
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
