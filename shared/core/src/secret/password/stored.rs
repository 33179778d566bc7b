//! Which kind of password hash a stored text is, told by how it begins.

use base64::Engine as _;
use base64::alphabet::Alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use subtle::ConstantTimeEq;

use super::PasswordError;
use super::argon2id::Argon2Hash;
use super::bcrypt::BcryptHash;
use super::pbkdf2::Pbkdf2Hash;
use super::scrypt::ScryptHash;

/// The longest stored text that is looked at, in bytes.
const MAX_STORED_BYTES: usize = 512;

/// The longest salt, in bytes.
const MAX_SALT_BYTES: usize = 128;

/// The shortest hash: a shorter one is found by trying, whatever the password.
const MIN_HASH_BYTES: usize = 16;

/// The longest hash, in bytes: what SHA-512 gives.
const MAX_HASH_BYTES: usize = 64;

/// What computes a stored password hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// Argon2id (RFC 9106), what is made here.
    Argon2id,
    /// Argon2i.
    Argon2i,
    /// Argon2d.
    Argon2d,
    /// bcrypt, which looks at 72 bytes of a password.
    Bcrypt,
    /// bcrypt over the SHA-256 of the password, as Django does it.
    BcryptSha256,
    /// scrypt (RFC 7914).
    Scrypt,
    /// PBKDF2 (RFC 8018) with HMAC-SHA-1.
    Pbkdf2Sha1,
    /// PBKDF2 with HMAC-SHA-256.
    Pbkdf2Sha256,
    /// PBKDF2 with HMAC-SHA-512.
    Pbkdf2Sha512,
}

impl HashKind {
    /// Its word in records and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Argon2id => "argon2id",
            Self::Argon2i => "argon2i",
            Self::Argon2d => "argon2d",
            Self::Bcrypt => "bcrypt",
            Self::BcryptSha256 => "bcrypt_sha256",
            Self::Scrypt => "scrypt",
            Self::Pbkdf2Sha1 => "pbkdf2_sha1",
            Self::Pbkdf2Sha256 => "pbkdf2_sha256",
            Self::Pbkdf2Sha512 => "pbkdf2_sha512",
        }
    }
}

/// A stored hash, taken apart and within bounds.
pub(super) enum StoredHash {
    Argon2(Box<Argon2Hash>),
    Bcrypt(BcryptHash),
    Scrypt(ScryptHash),
    Pbkdf2(Pbkdf2Hash),
}

impl StoredHash {
    /// Takes a stored text apart. Whoever can write a hash must not be able to stop an instance with one, so
    /// every cost that verification would pay is bounded here.
    pub(super) fn parse(text: &str) -> Result<Self, PasswordError> {
        if text.len() > MAX_STORED_BYTES {
            return Err(PasswordError::Stored);
        }
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        if begins(&["$argon2", "argon2$"]) {
            Argon2Hash::parse(text).map(|hash| Self::Argon2(Box::new(hash)))
        } else if begins(&["$2", "bcrypt$", "bcrypt_sha256$"]) {
            BcryptHash::parse(text).map(Self::Bcrypt)
        } else if begins(&["$scrypt$", "scrypt$"]) {
            ScryptHash::parse(text).map(Self::Scrypt)
        } else if begins(&["$pbkdf2", "pbkdf2_"]) {
            Pbkdf2Hash::parse(text).map(Self::Pbkdf2)
        } else {
            Err(PasswordError::Stored)
        }
    }

    pub(super) fn kind(&self) -> HashKind {
        match self {
            Self::Argon2(hash) => hash.kind(),
            Self::Bcrypt(hash) => hash.kind(),
            Self::Scrypt(_) => HashKind::Scrypt,
            Self::Pbkdf2(hash) => hash.kind(),
        }
    }

    /// In a hash of another algorithm than Argon2 a password with a NUL in it is never right: C ends a text
    /// there, and HMAC takes NULs at the end for none.
    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, PasswordError> {
        if !matches!(self, Self::Argon2(_)) && password.contains(&0) {
            return Ok(false);
        }
        match self {
            Self::Argon2(hash) => hash.verify(password),
            Self::Bcrypt(hash) => Ok(hash.verify(password)),
            Self::Scrypt(hash) => hash.verify(password),
            Self::Pbkdf2(hash) => hash.verify(password),
        }
    }
}

/// Splits a text at `$` into exactly so many parts.
pub(super) fn parts<const N: usize>(text: &str) -> Result<[&str; N], PasswordError> {
    let parts: Vec<&str> = text.split('$').take(N.saturating_add(1)).collect();
    parts.try_into().map_err(|_| PasswordError::Stored)
}

/// A number as hashes write it: digits alone, no leading zero.
pub(super) fn number(text: &str) -> Result<u32, PasswordError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = digits && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(PasswordError::Stored)
}

/// A salt of a length that implementations make.
pub(super) fn salt(bytes: Vec<u8>) -> Result<Vec<u8>, PasswordError> {
    if bytes.is_empty() || bytes.len() > MAX_SALT_BYTES { Err(PasswordError::Stored) } else { Ok(bytes) }
}

/// A hash of a length that means something.
pub(super) fn output(bytes: Vec<u8>) -> Result<Vec<u8>, PasswordError> {
    let fits = (MIN_HASH_BYTES..=MAX_HASH_BYTES).contains(&bytes.len());
    if fits { Ok(bytes) } else { Err(PasswordError::Stored) }
}

/// Base 64 with or without padding. Bits beyond the last byte are let be: some implementations leave them
/// set.
pub(super) fn from_base64(alphabet: &Alphabet, text: &str) -> Result<Vec<u8>, PasswordError> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, lenient).decode(text).map_err(|_| PasswordError::Stored)
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub(super) fn is_same(computed: &[u8], stored: &[u8]) -> bool {
    computed.ct_eq(stored).into()
}

#[cfg(test)]
mod tests {
    use super::super::{PasswordError, is_outdated, recognise, verify};

    const BCRYPT: &str = "9rabA/pxwNqM3xLiO63JW.FiNT3tEhphfGPAE/2VUupjC2GRfPN1q";
    const HASH: &str = "gvYZYM7DQPACZBG4xQ9ZsuIwU/ilyMS5Rl1mmQ6kk.Y";

    /// Refused before anything is computed, whatever the password.
    fn refusal(stored: &str) -> PasswordError {
        let error = recognise(stored).unwrap_err();
        assert_eq!(verify("password", stored), Err(error), "{stored}");
        error
    }

    #[test]
    fn no_stored_cost_is_paid_beyond_its_bound() {
        for stored in [
            format!("$2b$15${BCRYPT}"),
            format!("$2b$31${BCRYPT}"),
            format!("$2b$03${BCRYPT}"),
            format!("$scrypt$ln=17,r=8,p=1$c2FsdA${HASH}"),
            format!("$scrypt$ln=16,r=8,p=5$c2FsdA${HASH}"),
            format!("$scrypt$ln=64,r=8,p=1$c2FsdA${HASH}"),
            format!("$scrypt$ln=1,r=4294967295,p=4294967295$c2FsdA${HASH}"),
            format!("$scrypt$ln=1,r=0,p=1$c2FsdA${HASH}"),
            format!("$scrypt$ln=1,r=1,p=0$c2FsdA${HASH}"),
            format!("scrypt$131072$salt$8$1${HASH}"),
            format!("$pbkdf2-sha256$2000001$c2FsdA${HASH}"),
            format!("$pbkdf2-sha1$1000001$c2FsdA${HASH}"),
            format!("pbkdf2_sha256$4294967295$salt${HASH}"),
            format!("pbkdf2_sha256$0$salt${HASH}"),
        ] {
            assert_eq!(refusal(&stored), PasswordError::Cost, "{stored}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for stored in [
            String::new(),
            "secret".to_owned(),
            "$".to_owned(),
            "$1$salt$hash".to_owned(),
            "$6$salt$hash".to_owned(),
            format!("$2x$04${BCRYPT}"),
            format!("$2$04${BCRYPT}"),
            format!("$2b$4${BCRYPT}"),
            format!("$2b$04${BCRYPT}A"),
            format!("bcrypt$2b$04${BCRYPT}"),
            "$2b$04$short".to_owned(),
            format!("$scrypt$r=8,ln=4,p=1$c2FsdA${HASH}"),
            format!("$scrypt$ln=04,r=8,p=1$c2FsdA${HASH}"),
            format!("$scrypt$ln=4,r=8,p=1,x=1$c2FsdA${HASH}"),
            format!("scrypt$1000$salt$8$1${HASH}"),
            "$scrypt$ln=4,r=8,p=1$c2FsdA$c2hvcnQ".to_owned(),
            format!("$pbkdf2-md5$1000$c2FsdA${HASH}"),
            format!("$pbkdf2_sha256$1000$c2FsdA${HASH}"),
            format!("pbkdf2-sha256$1000$c2FsdA${HASH}"),
            format!("$pbkdf2-sha256$+1000$c2FsdA${HASH}"),
            format!("$pbkdf2-sha256$1000$${HASH}"),
            format!("$pbkdf2-sha256$1000$c2FsdA${HASH}$"),
            format!("pbkdf2_sha256$1000${}${HASH}", "s".repeat(129)),
            format!("pbkdf2_sha256$1000${}${HASH}", "s".repeat(600)),
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ".to_owned(),
            "$argon2x$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        ] {
            assert_eq!(refusal(&stored), PasswordError::Stored, "{stored}");
            assert!(is_outdated(&stored, crate::secret::password::PasswordCost::default()));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_looked_at(
            text in "(\\$argon2id|argon2|\\$2b|bcrypt\\$|\\$scrypt|scrypt|\\$pbkdf2-sha256|pbkdf2_sha1)?\
                     [$,=a-z0-9A-Z./+é]{0,120}"
        ) {
            let _ = recognise(&text);
        }

        #[test]
        fn what_changes_in_a_hash_never_panics(at in 0_usize..60, with: char) {
            let mut text: Vec<char> = format!("$2b$04${BCRYPT}").chars().collect();
            text[at.min(59)] = with;
            let text: String = text.into_iter().collect();
            let _ = recognise(&text);
        }
    }
}
