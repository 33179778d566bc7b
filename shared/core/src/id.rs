//! Identifiers: a type prefix and a sortable unique part, as in `user_01kawk4x3eej5t2q6s8r0v9ywz`.
//!
//! The unique part is a UUIDv7 (RFC 9562 section 5.7) in Crockford's base 32, lower case, 26 characters
//! (the TypeID form): ids made later sort later, so rows arrive at the end of their index.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::encoding::{base62, is_base62};
use crate::sql::{RowError, Value};
use crate::time::Timestamp;

/// How much randomness an id takes.
pub const ENTROPY_BYTES: usize = 10;

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const UNIQUE_LENGTH: usize = 26;

fn unique_part(now: Timestamp, entropy: [u8; ENTROPY_BYTES]) -> String {
    let milliseconds = u128::from(now.as_millis().max(0).unsigned_abs()) & 0xffff_ffff_ffff;
    let random = entropy.iter().fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    let random_a = (random >> 62) & 0xfff;
    let random_b = random & 0x3fff_ffff_ffff_ffff;
    let uuid = (milliseconds << 80) | (7 << 76) | (random_a << 64) | (0b10 << 62) | random_b;
    (0..UNIQUE_LENGTH)
        .rev()
        .map(|position| (uuid >> (position * 5)) & 0x1f)
        .filter_map(|digit| CROCKFORD.get(usize::try_from(digit).ok()?))
        .map(|digit| char::from(*digit))
        .collect()
}

/// A text that is not an identifier of the kind that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError(&'static str);

impl fmt::Display for IdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not an identifier of the form `{}_…`", self.0)
    }
}

impl std::error::Error for IdError {}

macro_rules! identifiers {
    ($($(#[$documentation:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$documentation])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(transparent)]
        pub struct $name(String);

        impl $name {
            /// The type prefix, without its underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new one.
            #[must_use]
            pub fn new(now: Timestamp, entropy: [u8; ENTROPY_BYTES]) -> Self {
                Self(format!(concat!($prefix, "_{}"), unique_part(now, entropy)))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let unique = text.strip_prefix(concat!($prefix, "_")).ok_or(IdError($prefix))?;
                let known = unique.bytes().all(|digit| CROCKFORD.contains(&digit));
                if unique.len() == UNIQUE_LENGTH && known {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError($prefix))
                }
            }
        }

        text_identifier!($name);
    )*};
}

macro_rules! text_identifier {
    ($name:ident) => {
        impl $name {
            /// The whole identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Reads the identifier out of a column.
            ///
            /// # Errors
            /// When the column is not text or not such an identifier.
            pub fn from_column(row: &crate::sql::Row, column: &'static str) -> Result<Self, RowError> {
                row.text(column)?.parse().map_err(|_| RowError::unreadable(column))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl From<&$name> for Value {
            fn from(id: &$name) -> Self {
                Self::Text(id.0.clone())
            }
        }
    };
}

identifiers! {
    /// A person or service account.
    UserId = "user";
    /// An API key (not its secret).
    KeyId = "key";
    /// A session; also the family of its refresh tokens.
    SessionId = "sess";
    /// An audit record.
    LogId = "evt";
    /// A SCIM client.
    ScimClientId = "scimc";
    /// A SCIM client's bearer token (not its secret).
    ScimTokenId = "scim";
    /// A signing key (`kid`).
    SigningKeyId = "sig";
    /// A group.
    GroupId = "group";
    /// A password reset token (not its secret).
    ResetTokenId = "reset";
    /// A sealed emergency credential (not its secret).
    BreakGlassId = "glass";
    /// One secret of an OAuth client (not the secret itself).
    ClientSecretId = "csec";
    /// One issued access token (`jti`).
    TokenId = "tok";
    /// One HTTP request.
    RequestId = "req";
    /// A new API key on its way to its owner.
    KeyDeliveryId = "kdlv";
    /// A webhook on its way to its target.
    WebhookDeliveryId = "wdlv";
}

/// An organization (tenant): `org_` and nine base-62 digits, seven of the time and two random. It is short
/// because every opaque credential carries it (see [`crate::secret::credential`]), so that the credential
/// says which database to look into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(transparent)]
pub struct OrganizationId(String);

/// How many characters of a credential tell its organization.
pub const ORGANIZATION_HINT_LENGTH: usize = 9;

impl OrganizationId {
    /// A new one. Two made in the same millisecond collide once in 3,844 times; the primary key of
    /// `organizations` then refuses the second.
    #[must_use]
    pub fn new(now: Timestamp, entropy: [u8; 2]) -> Self {
        let time = base62(&now.as_millis().to_be_bytes(), 7);
        Self(format!("org_{time}{}", base62(&entropy, 2)))
    }

    /// The part that credentials carry.
    #[must_use]
    pub fn hint(&self) -> &str {
        self.0.strip_prefix("org_").unwrap_or_default()
    }

    /// The organization that a credential's hint tells.
    #[must_use]
    pub fn from_hint(hint: &str) -> Option<Self> {
        (hint.len() == ORGANIZATION_HINT_LENGTH && is_base62(hint)).then(|| Self(format!("org_{hint}")))
    }
}

impl FromStr for OrganizationId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix("org_").and_then(Self::from_hint).ok_or(IdError("org"))
    }
}

text_identifier!(OrganizationId);

/// An OAuth client: `client_`, the hint of its organization, and a sortable unique part. An assertion (RFC
/// 7523) says no more than this id, so the id has to tell which database to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(transparent)]
pub struct ClientId(String);

impl ClientId {
    /// A new one.
    #[must_use]
    pub fn new(organization: &OrganizationId, now: Timestamp, entropy: [u8; ENTROPY_BYTES]) -> Self {
        Self(format!("client_{}{}", organization.hint(), unique_part(now, entropy)))
    }

    /// The organization whose client this is.
    #[must_use]
    pub fn organization(&self) -> Option<OrganizationId> {
        let unique = self.0.strip_prefix("client_")?;
        OrganizationId::from_hint(unique.get(..ORGANIZATION_HINT_LENGTH)?)
    }
}

impl FromStr for ClientId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const FORM: IdError = IdError("client");
        let unique = text.strip_prefix("client_").ok_or(FORM)?;
        let (hint, unique) = unique.split_at_checked(ORGANIZATION_HINT_LENGTH).ok_or(FORM)?;
        let known = unique.bytes().all(|digit| CROCKFORD.contains(&digit));
        if is_base62(hint) && unique.len() == UNIQUE_LENGTH && known {
            Ok(Self(text.to_owned()))
        } else {
            Err(FORM)
        }
    }
}

text_identifier!(ClientId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7() {
        // RFC 9562 appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F.
        let now = Timestamp::from_millis(0x017F_22E2_79B0);
        let random: u128 = (0xCC3 << 62) | (0x18C4_DC0C_0C07_398F);
        let bytes = random.to_be_bytes();
        let entropy: [u8; ENTROPY_BYTES] = bytes[6..].try_into().unwrap();
        assert_eq!(UserId::new(now, entropy).as_str(), "user_01fwhe4ydgfk1shh6w1g60eecf");
    }

    #[test]
    fn foreign_texts_are_refused() {
        for text in ["", "user_", "key_01fwhe4ydgfk1shh6w1g60eecf", "user_01FWHE4YDGFK1SHH6W1G60EECF"] {
            assert!(text.parse::<UserId>().is_err(), "{text}");
        }
        assert!("org_short".parse::<OrganizationId>().is_err());
    }

    #[test]
    fn a_hint_names_its_organization() {
        let organization = OrganizationId::new(Timestamp::from_millis(1_763_000_000_000), [9, 9]);
        assert_eq!(OrganizationId::from_hint(organization.hint()), Some(organization));
    }

    #[test]
    fn a_client_names_its_organization() {
        let organization: OrganizationId = "org_7Gk2QxAb0".parse().unwrap();
        let client = ClientId::new(&organization, Timestamp::from_millis(1_763_000_000_000), [9; 10]);
        assert_eq!(client.as_str().len(), 42);
        assert_eq!(client.as_str().parse::<ClientId>().unwrap().organization(), Some(organization));
        for text in ["", "client_", "client_7Gk2QxAb0", "client_\u{e9}7Gk2QxAb001fwhe4ydgfk1shh6w1g60eecf"] {
            assert!(text.parse::<ClientId>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn later_ids_sort_later(a in 0_i64..1 << 47, b in 0_i64..1 << 47, entropy: [u8; 10]) {
            let ids = [a, b].map(|moment| KeyId::new(Timestamp::from_millis(moment), entropy));
            proptest::prop_assert_eq!(a.cmp(&b), ids[0].cmp(&ids[1]));
        }
    }
}
