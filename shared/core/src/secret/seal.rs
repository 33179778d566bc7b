//! Secrets that must be read again (signing keys, stored answers) are sealed with AES-256-GCM under a key
//! derived from the host's master key, and bound to the place they are stored at.
//!
//! A sealed text is `v1.<master key id>.<base64url of nonce, ciphertext and tag>`. The purpose (table and
//! row) is authenticated, so a sealed value that is copied to another row does not open.
//!
//! A host has one master key, and while it is rotated the previous one too: new texts are sealed under
//! the current one, and the id in a sealed text tells which one opens it.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Nonce, Payload};
use aes_gcm::{Aes256Gcm, Key};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::encoding::{base64url, from_base64url};

/// How much randomness sealing takes.
pub const NONCE_BYTES: usize = 12;

/// How long the id of a master key is, in characters: it stands at the fourth character of a sealed text, and
/// the database's indexes read it there.
pub const MASTER_KEY_ID_LENGTH: usize = 8;

/// The host's master keys: what seals and opens.
#[derive(Debug)]
pub struct MasterKeys {
    current: MasterKey,
    previous: Option<MasterKey>,
}

impl MasterKeys {
    /// The key that seals, and the one it takes over from while there are texts that only that one opens.
    #[must_use]
    pub fn new(current: MasterKey, previous: Option<MasterKey>) -> Self {
        let previous = previous.filter(|previous| previous.id != current.id);
        Self { current, previous }
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    /// The id of the key that only opens, where there is one.
    #[must_use]
    pub fn previous_id(&self) -> Option<&str> {
        self.previous.as_ref().map(|key| key.id.as_str())
    }

    /// Seals under the current key.
    ///
    /// # Errors
    /// As [`MasterKey::seal`].
    pub fn seal(&self, purpose: &str, plain: &[u8], nonce: [u8; NONCE_BYTES]) -> Result<String, SealError> {
        self.current.seal(purpose, plain, nonce)
    }

    /// Opens under the key that the sealed text names.
    ///
    /// # Errors
    /// When it is neither of these keys', was sealed for another purpose, or changed since.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut refusal = SealError::OtherMasterKey;
        for key in self.each() {
            match key.open(purpose, sealed) {
                Err(SealError::OtherMasterKey) => {}
                Err(error) => refusal = error,
                opened => return opened,
            }
        }
        Err(refusal)
    }

    /// 32 bytes that follow from a secret text and nobody else can tell: under the current key first, then
    /// under the previous one where there is one.
    pub fn derive(&self, text: &str) -> impl Iterator<Item = Zeroizing<[u8; 32]>> {
        self.each().map(|key| key.derive(text))
    }

    fn each(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

/// A master key: 32 bytes, from the host's secrets (`IAM_MASTER_KEY`, base64url).
pub struct MasterKey {
    id: String,
    sealing: Zeroizing<[u8; 32]>,
    deriving: Zeroizing<[u8; 64]>,
}

/// The id of the master key that a text was sealed under, where it is a sealed text.
#[must_use]
pub fn sealed_under(sealed: &str) -> Option<&str> {
    sealed.strip_prefix("v1.")?.split_once('.').map(|(id, _)| id)
}

impl MasterKey {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not 32 bytes in base64url.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(from_base64url(text.trim()).ok_or(SealError::MasterKey)?);
        if bytes.len() != 32 {
            return Err(SealError::MasterKey);
        }
        let derivation = Hkdf::<Sha256>::new(None, &bytes);
        let (mut sealing, mut deriving) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 64]));
        derivation
            .expand(b"edge-iam/seal/v1", sealing.as_mut_slice())
            .and_then(|()| derivation.expand(b"edge-iam/successor/v1", deriving.as_mut_slice()))
            .map_err(|_| SealError::MasterKey)?;
        let id = Sha256::digest(sealing.as_slice());
        Ok(Self { id: base64url(id.get(..6).unwrap_or_default()), sealing, deriving })
    }

    /// HMAC-SHA-256 of a text, under a key that serves nothing else.
    fn derive(&self, text: &str) -> Zeroizing<[u8; 32]> {
        let mac = Hmac::<Sha256>::new(&(*self.deriving).into()).chain_update(text.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// Seals `plain` for `purpose`. The nonce must be fresh randomness.
    ///
    /// # Errors
    /// When the cipher refuses (never for texts of a sane length).
    pub fn seal(&self, purpose: &str, plain: &[u8], nonce: [u8; NONCE_BYTES]) -> Result<String, SealError> {
        let sealed = self
            .cipher()
            .encrypt(&Nonce::<Aes256Gcm>::from(nonce), Payload { msg: plain, aad: purpose.as_bytes() })
            .map_err(|_| SealError::Broken)?;
        Ok(format!("v1.{}.{}", self.id, base64url(&[nonce.as_slice(), &sealed].concat())))
    }

    /// Opens what was sealed for `purpose`.
    ///
    /// # Errors
    /// When it was sealed under another master key, for another purpose, or changed since.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (id, body) =
            sealed.strip_prefix("v1.").and_then(|rest| rest.split_once('.')).ok_or(SealError::Broken)?;
        if id != self.id {
            return Err(SealError::OtherMasterKey);
        }
        let bytes = from_base64url(body).ok_or(SealError::Broken)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or(SealError::Broken)?;
        let nonce = Nonce::<Aes256Gcm>::try_from(nonce).map_err(|_| SealError::Broken)?;
        self.cipher()
            .decrypt(&nonce, Payload { msg: sealed, aad: purpose.as_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| SealError::Broken)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&Key::<Aes256Gcm>::from(*self.sealing))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MasterKey({})", self.id)
    }
}

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The master key is not 32 bytes in base64url.
    MasterKey,
    /// Sealed under another master key than the host has now.
    OtherMasterKey,
    /// Malformed, changed, or sealed for another purpose.
    Broken,
}

impl fmt::Display for SealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::MasterKey => "the master key is not 32 bytes in base64url",
            Self::OtherMasterKey => "sealed under another master key",
            Self::Broken => "the sealed value does not open",
        })
    }
}

impl std::error::Error for SealError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::parse(&base64url(&[byte; 32])).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_under_the_same_key_and_purpose_only() {
        let sealed = key(1).seal("table/row", b"secret", [3; NONCE_BYTES]).unwrap();
        assert_eq!(key(1).open("table/row", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(key(1).open("table/other", &sealed).unwrap_err(), SealError::Broken);
        assert_eq!(key(2).open("table/row", &sealed).unwrap_err(), SealError::OtherMasterKey);
    }

    #[test]
    fn the_previous_key_opens_and_never_seals() {
        let old = MasterKeys::new(key(1), None).seal("p", b"secret", [3; NONCE_BYTES]).unwrap();
        let both = MasterKeys::new(key(2), Some(key(1)));
        assert_eq!(both.open("p", &old).unwrap().as_slice(), b"secret");
        assert_eq!(both.open("q", &old).unwrap_err(), SealError::Broken);
        let new = both.seal("p", b"secret", [4; NONCE_BYTES]).unwrap();
        assert_eq!(sealed_under(&new), Some(both.current_id()));
        assert_eq!(sealed_under(&old), both.previous_id());
        assert_eq!(both.current_id().len(), MASTER_KEY_ID_LENGTH);
        let alone = MasterKeys::new(key(2), None);
        assert_eq!(alone.open("p", &old).unwrap_err(), SealError::OtherMasterKey);
        assert_eq!(alone.open("p", &new).unwrap().as_slice(), b"secret");
    }

    #[test]
    fn what_is_derived_follows_from_text_and_key_alone() {
        let derive = |keys: MasterKeys, text: &str| keys.derive(text).map(|bytes| *bytes).collect::<Vec<_>>();
        let alone = derive(MasterKeys::new(key(1), None), "a");
        assert_eq!(alone.len(), 1);
        assert_eq!(derive(MasterKeys::new(key(2), Some(key(1))), "a").get(1), alone.first());
        assert_ne!(derive(MasterKeys::new(key(1), None), "b"), alone);
        assert_ne!(derive(MasterKeys::new(key(2), None), "a"), alone);
        // The same key twice is one key.
        assert_eq!(derive(MasterKeys::new(key(1), Some(key(1))), "a"), alone);
    }

    #[test]
    fn a_short_master_key_is_refused() {
        assert_eq!(MasterKey::parse("c2hvcnQ").unwrap_err(), SealError::MasterKey);
    }

    proptest::proptest! {
        #[test]
        fn a_changed_text_never_opens(position in 0_usize..80, byte in 33_u8..127) {
            let sealed = key(1).seal("p", b"a secret of some length", [3; NONCE_BYTES]).unwrap();
            let mut changed = sealed.clone().into_bytes();
            let position = position % changed.len();
            changed[position] = byte;
            let changed = String::from_utf8(changed).unwrap();
            // The last character of unpadded base64 may have spare bits, which the decoder refuses too.
            proptest::prop_assert_eq!(key(1).open("p", &changed).is_ok(), changed == sealed);
        }
    }
}
