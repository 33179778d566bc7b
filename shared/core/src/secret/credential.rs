//! Opaque credentials: API keys, refresh tokens and SCIM tokens.
//!
//! One form for all: `<prefix><organization hint, 9><secret, 43 to 86><checksum, 6>`, the last three in base
//! 62.
//!
//! - The prefix tells people and secret scanners what it is.
//! - The hint tells which organization's database to ask, so that no look-up needs a global index.
//! - The secret is 256 to 512 bits from the host's generator.
//! - The checksum (32 bits of SHA-256 over all before it) tells a typo from a revoked credential without a
//!   look-up, and gives secret scanners next to no false positives.
//!
//! Only the SHA-256 of the whole text is stored. With 256 random bits and more there is nothing to guess, so
//! a slow hash would cost time and protect nothing.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::encoding::{base62, base64url, is_base62};
use crate::id::{ORGANIZATION_HINT_LENGTH, OrganizationId};
use crate::sql::Value;

/// How much randomness a credential takes: 256 bits.
pub const SECRET_BYTES: usize = 32;

/// The most that one can be configured to take: 512 bits.
pub const MAX_SECRET_BYTES: usize = 64;

/// How many digits of base 62 so many bytes fill: the least that holds them all.
const fn secret_length(bytes: usize) -> usize {
    // A digit holds log2(62) = 5.9541… bits.
    (bytes * 8 * 10_000).div_ceil(59_541)
}

const CHECKSUM_LENGTH: usize = 6;

/// The prefix of refresh tokens.
pub const REFRESH_TOKEN_PREFIX: &str = "cronos_rt_";

/// The prefix of session cookies.
pub const SESSION_TOKEN_PREFIX: &str = "cronos_st_";

/// The prefix of password reset tokens.
pub const RESET_TOKEN_PREFIX: &str = "cronos_pr_";

/// The prefix of emergency credentials.
pub const BREAK_GLASS_PREFIX: &str = "cronos_bg_";

/// The prefix of OAuth client secrets.
pub const CLIENT_SECRET_PREFIX: &str = "cronos_cs_";

/// The prefix of SCIM bearer tokens.
pub const SCIM_TOKEN_PREFIX: &str = "cronos_scim_";

/// A credential as its holder has it. Never logged, never stored; wiped when dropped.
pub struct Credential {
    text: Zeroizing<String>,
    organization: OrganizationId,
}

impl Credential {
    /// Makes a new credential of 256 bits.
    #[must_use]
    pub fn new(prefix: &str, organization: &OrganizationId, entropy: &[u8; SECRET_BYTES]) -> Self {
        Self::of_entropy(prefix, organization, entropy)
    }

    /// Makes a new credential of the first `secret_bytes` of `entropy`, 256 bits at least.
    #[must_use]
    pub fn with_length(
        prefix: &str,
        organization: &OrganizationId,
        entropy: &[u8; MAX_SECRET_BYTES],
        secret_bytes: u32,
    ) -> Self {
        let length = usize::try_from(secret_bytes).unwrap_or(SECRET_BYTES).max(SECRET_BYTES);
        Self::of_entropy(prefix, organization, entropy.get(..length).unwrap_or(entropy))
    }

    fn of_entropy(prefix: &str, organization: &OrganizationId, entropy: &[u8]) -> Self {
        let secret = Zeroizing::new(base62(entropy, secret_length(entropy.len())));
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 128));
        text.push_str(prefix);
        text.push_str(organization.hint());
        text.push_str(&secret);
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self { text, organization: organization.clone() }
    }

    /// Reads what a caller sent. `None` where it is not a credential with this prefix, or its checksum
    /// tells that it was mistyped: nothing then reaches the database.
    #[must_use]
    pub fn parse(prefix: &str, text: &str) -> Option<Self> {
        let body = text.strip_prefix(prefix)?;
        let secret = body.len().checked_sub(ORGANIZATION_HINT_LENGTH + CHECKSUM_LENGTH)?;
        let lengths = secret_length(SECRET_BYTES)..=secret_length(MAX_SECRET_BYTES);
        if !lengths.contains(&secret) || !is_base62(body) {
            return None;
        }
        let (signed, given) = text.split_at_checked(text.len().checked_sub(CHECKSUM_LENGTH)?)?;
        if !bool::from(checksum(signed).as_bytes().ct_eq(given.as_bytes())) {
            return None;
        }
        let organization = OrganizationId::from_hint(body.get(..ORGANIZATION_HINT_LENGTH)?)?;
        Some(Self { text: Zeroizing::new(text.to_owned()), organization })
    }

    /// The organization whose credential this is.
    #[must_use]
    pub fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// What is stored and looked up.
    #[must_use]
    pub fn hash(&self) -> CredentialHash {
        CredentialHash(base64url(&Sha256::digest(self.text.as_bytes())))
    }

    /// The text, for the one answer that shows it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credential([redacted] of {})", self.organization)
    }
}

fn checksum(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    base62(digest.get(..4).unwrap_or_default(), CHECKSUM_LENGTH)
}

/// The SHA-256 of a credential, base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialHash(String);

impl CredentialHash {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&CredentialHash> for Value {
    fn from(hash: &CredentialHash) -> Self {
        Self::Text(hash.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization() -> OrganizationId {
        "org_7Gk2QxAb0".parse().unwrap()
    }

    #[test]
    fn a_credential_is_read_back() {
        let made = Credential::new("cronos_sk_live_", &organization(), &[7; SECRET_BYTES]);
        assert_eq!(made.reveal().len(), "cronos_sk_live_".len() + 58);
        let read = Credential::parse("cronos_sk_live_", made.reveal()).unwrap();
        assert_eq!(read.organization(), &organization());
        assert_eq!(read.hash(), made.hash());
        assert!(Credential::parse("cronos_rt_", made.reveal()).is_none());
    }

    #[test]
    fn longer_ones_are_read_back() {
        let made = Credential::with_length("p_", &organization(), &[0xff; MAX_SECRET_BYTES], 64);
        assert_eq!(made.reveal().len(), 2 + 9 + 86 + 6);
        assert_eq!(Credential::parse("p_", made.reveal()).unwrap().hash(), made.hash());
        let shortest = Credential::with_length("p_", &organization(), &[7; MAX_SECRET_BYTES], 0);
        assert_eq!(shortest.reveal(), Credential::new("p_", &organization(), &[7; SECRET_BYTES]).reveal());
        // No digit is lost: of the highest number of so many bytes, the first digit is not the one that would
        // be cut.
        for bytes in SECRET_BYTES..=MAX_SECRET_BYTES {
            let length = secret_length(bytes);
            assert_eq!(base62(&[0xff; MAX_SECRET_BYTES][..bytes], length + 1).as_bytes()[0], b'0', "{bytes}");
            assert_ne!(base62(&[0xff; MAX_SECRET_BYTES][..bytes], length).as_bytes()[0], b'0', "{bytes}");
        }
    }

    /// The regular expression that secret scanners are told fits what is made.
    #[test]
    fn scanners_are_told_what_keys_look_like() {
        let documented = include_str!("../../../../docs/keys.md");
        let defaults = crate::config::Configuration::default().api_keys;
        let fixed = ORGANIZATION_HINT_LENGTH + CHECKSUM_LENGTH;
        let (shortest, longest) = (secret_length(SECRET_BYTES), secret_length(MAX_SECRET_BYTES));
        let expected = format!(
            r"\b{}(?:live|test)_[0-9A-Za-z]{{{},{}}}\b",
            defaults.prefix,
            fixed + shortest,
            fixed + longest
        );
        assert!(documented.lines().any(|line| line == expected), "{expected}");
        for bytes in [SECRET_BYTES, MAX_SECRET_BYTES] {
            let entropy = [7; MAX_SECRET_BYTES];
            let bits = u32::try_from(bytes).unwrap();
            let made = Credential::with_length("cronos_sk_test_", &organization(), &entropy, bits);
            let body = made.reveal().strip_prefix("cronos_sk_test_").unwrap();
            assert!((fixed + shortest..=fixed + longest).contains(&body.len()) && is_base62(body));
        }
    }

    #[test]
    fn debug_output_has_no_secret() {
        let made = Credential::new("cronos_sk_live_", &organization(), &[7; SECRET_BYTES]);
        assert!(!format!("{made:?}").contains(made.reveal().get(24..40).unwrap()));
    }

    proptest::proptest! {
        #[test]
        fn a_typo_is_found(entropy: [u8; SECRET_BYTES], position in 0_usize..58, digit in "[0-9A-Za-z]") {
            let made = Credential::new("p_", &organization(), &entropy);
            let mut typed = made.reveal().to_owned();
            typed.replace_range(position + 2..position + 3, &digit);
            proptest::prop_assert_eq!(Credential::parse("p_", &typed).is_some(), typed == made.reveal());
        }

        #[test]
        fn foreign_text_never_panics(text in ".{0,120}") {
            let _ = Credential::parse("cronos_sk_live_", &text);
        }
    }
}
