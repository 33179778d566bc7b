//! Passwords: Argon2id (RFC 9106), stored as PHC strings, at a cost from configuration. What other software
//! stored is verified too, so that people can be brought along with their passwords; their next sign-in
//! hashes anew.

mod argon2id;
mod bcrypt;
mod pbkdf2;
mod scrypt;
mod stored;

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use stored::HashKind;
use stored::StoredHash;

/// How much randomness a salt takes.
pub const SALT_BYTES: usize = 16;

/// The longest password that is looked at, in bytes. Hashing is linear in it only once (BLAKE2b first), but
/// an unbounded input is never a good idea.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// What hashing one password costs. The defaults are OWASP's (2023) second choice: 19 MiB, two passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordCost {
    /// Memory in KiB: 8 for each lane to 65536. An isolate has 128 MiB, and its memory never shrinks.
    pub memory_kib: u32,
    /// Passes over that memory. 1 to 10.
    pub iterations: u32,
    /// Lanes. More than one buys nothing on a single-threaded host. 1 to 4.
    pub parallelism: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

/// The highest cost that is ever paid, for stored hashes too: whoever can write a hash (an import) must
/// not be able to stop an instance with one. Memory in KiB, passes, lanes.
const HIGHEST: PasswordCost = PasswordCost { memory_kib: 65_536, iterations: 10, parallelism: 4 };

impl PasswordCost {
    fn is_affordable(self) -> bool {
        self.memory_kib <= HIGHEST.memory_kib
            && self.iterations <= HIGHEST.iterations
            && self.parallelism <= HIGHEST.parallelism
    }

    fn hasher(self) -> Result<Argon2<'static>, PasswordError> {
        if !self.is_affordable() {
            return Err(PasswordError::Cost);
        }
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, None)
            .map_err(|_| PasswordError::Cost)?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    /// Whether this cost can be paid here.
    ///
    /// # Errors
    /// When Argon2 does not know it or it is above the bound.
    pub fn check(self) -> Result<(), PasswordError> {
        self.hasher().map(|_| ())
    }
}

/// Hashes a password.
///
/// # Errors
/// When the cost can't be paid or the password is longer than [`MAX_PASSWORD_BYTES`].
pub fn hash(password: &str, salt: &[u8; SALT_BYTES], cost: PasswordCost) -> Result<String, PasswordError> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordError::TooLong);
    }
    cost.hasher()?
        .hash_password_with_salt(password.as_bytes(), salt)
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordError::Cost)
}

/// Whether a password is the one that was hashed.
///
/// # Errors
/// When the stored text is no hash that is known here, or one whose cost can't be paid.
pub fn verify(password: &str, stored: &str) -> Result<bool, PasswordError> {
    let stored = StoredHash::parse(stored)?;
    if password.len() > MAX_PASSWORD_BYTES {
        return Ok(false);
    }
    stored.verify(password.as_bytes())
}

/// What compares a password with a stored hash: [`verify`] or [`verify_argon2`].
pub type Verify = fn(&str, &str) -> Result<bool, PasswordError>;

/// [`verify`] for hashes that are Argon2's alone. Whoever is signed in with a password has one, since signing
/// in replaced any other; a module that needs no more does not carry the rest.
///
/// # Errors
/// When the stored text is no Argon2 hash, or one whose cost can't be paid.
pub fn verify_argon2(password: &str, stored: &str) -> Result<bool, PasswordError> {
    let stored = argon2id::Argon2Hash::parse(stored)?;
    if password.len() > MAX_PASSWORD_BYTES {
        return Ok(false);
    }
    stored.verify(password.as_bytes())
}

/// What kind of hash a stored text is: whether [`verify`] would take it. Nothing is computed.
///
/// # Errors
/// When it is no hash that is known here, or one whose cost can't be paid.
pub fn recognise(stored: &str) -> Result<HashKind, PasswordError> {
    StoredHash::parse(stored).map(|stored| stored.kind())
}

/// Pays what a verification costs, for nothing. Where there is no user there is no hash, and an answer that
/// came sooner would tell so.
///
/// # Errors
/// When the cost can't be paid.
pub fn verify_nothing(password: &str, cost: PasswordCost) -> Result<(), PasswordError> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Ok(());
    }
    hash(password, &[0; SALT_BYTES], cost).map(|_| ())
}

/// Whether a stored hash is not Argon2id at today's cost, and the password, now that it is known, should be
/// hashed anew.
#[must_use]
pub fn is_outdated(stored: &str, cost: PasswordCost) -> bool {
    let Ok(hash) = PasswordHash::new(stored) else { return true };
    let is_whole = hash.salt.is_some() && hash.hash.is_some();
    if !is_whole
        || hash.algorithm != Algorithm::Argon2id.ident()
        || hash.version != Some(Version::V0x13.into())
    {
        return true;
    }
    Params::try_from(&hash).map_or(true, |params| {
        (params.m_cost(), params.t_cost(), params.p_cost())
            != (cost.memory_kib, cost.iterations, cost.parallelism)
    })
}

/// Why a password could not be hashed or compared. No variant holds the password or the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// The cost is above the bound, or the algorithm does not know it.
    Cost,
    /// The password is longer than [`MAX_PASSWORD_BYTES`].
    TooLong,
    /// The stored text is no password hash that is known here.
    Stored,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cost => "the password hash's cost is out of bounds",
            Self::TooLong => "the password is longer than 1024 bytes",
            Self::Stored => "the stored text is no password hash that is known here",
        })
    }
}

impl std::error::Error for PasswordError {}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, iterations: 1, parallelism: 1 };

    #[test]
    fn the_right_password_and_no_other() {
        let stored = hash("correct horse", &[1; SALT_BYTES], CHEAP).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert_eq!(verify("correct horse", &stored), Ok(true));
        assert_eq!(verify("correct horsf", &stored), Ok(false));
        assert_eq!(verify(&"a".repeat(MAX_PASSWORD_BYTES + 1), &stored), Ok(false));
    }

    #[test]
    fn a_hash_of_another_software_verifies() {
        // From the test vectors of the reference implementation in C (phc-winner-argon2, src/test.c).
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(verify("password", stored), Ok(true));
    }

    #[test]
    fn a_stored_cost_beyond_the_bound_is_never_paid() {
        let stored =
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(verify("password", stored), Err(PasswordError::Cost));
        assert_eq!(verify("password", "not a hash"), Err(PasswordError::Stored));
    }

    #[test]
    fn a_raised_policy_outdates_a_hash() {
        let stored = hash("p", &[1; SALT_BYTES], CHEAP).unwrap();
        assert!(!is_outdated(&stored, CHEAP));
        // Found by fuzzing: the parameters are the default ones where there are none.
        assert!(is_outdated("$argon2id$v=19", PasswordCost::default()));
        assert!(is_outdated(&stored, PasswordCost { iterations: 2, ..CHEAP }));
    }
}
