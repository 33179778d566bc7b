//! Argon2 (RFC 9106) of all three types, as a PHC string, with or without Django's `argon2` in front of it.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier};

use super::stored::HashKind;
use super::{PasswordCost, PasswordError};

pub(super) struct Argon2Hash {
    hash: PasswordHash,
    algorithm: Algorithm,
}

impl Argon2Hash {
    pub(super) fn parse(text: &str) -> Result<Self, PasswordError> {
        let text = text.strip_prefix("argon2").unwrap_or(text);
        let hash = PasswordHash::new(text).map_err(|_| PasswordError::Stored)?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| PasswordError::Stored)?;
        let params = Params::try_from(&hash).map_err(|_| PasswordError::Stored)?;
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(PasswordError::Stored);
        }
        let cost = PasswordCost {
            memory_kib: params.m_cost(),
            iterations: params.t_cost(),
            parallelism: params.p_cost(),
        };
        if !cost.is_affordable() {
            return Err(PasswordError::Cost);
        }
        Ok(Self { hash, algorithm })
    }

    pub(super) fn kind(&self) -> HashKind {
        match self.algorithm {
            Algorithm::Argon2d => HashKind::Argon2d,
            Algorithm::Argon2i => HashKind::Argon2i,
            Algorithm::Argon2id => HashKind::Argon2id,
        }
    }

    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, PasswordError> {
        match Argon2::default().verify_password(password, &self.hash) {
            Ok(()) => Ok(true),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(_) => Err(PasswordError::Stored),
        }
    }
}
