//! Webhooks that are taken in: whether a message is its sender's, whether it is new, and what becomes of it.
//!
//! How a provider signs is data ([`Scheme`]); one routine verifies all of them ([`verify`]) and one signs
//! ([`sign`]).

pub mod acts;
mod content;
mod keeping;
mod outbox;
mod receipt;
mod secrets;
mod sign;
pub mod standard;
mod verify;

pub use crate::config::scheme::{
    Digest, Encoding, HmacOptions, IdPlace, KeyForm, Named, Part, Proof, Scheme, SchemeName, SignatureForm,
    TimestampPlace, named, template,
};
pub use keeping::*;
pub use outbox::*;
pub use receipt::*;
pub use secrets::{MAX_SECRETS, WebhookSecrets};
pub use sign::{Outgoing, Signed, sign};
pub use verify::{Presented, Verified, present, verify};

/// A message as it came. Header names are in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its headers; one that came twice is there twice.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its body, byte by byte.
    pub body: &'a [u8],
    /// The address that its sender called, as the sender knows it, without the query.
    pub url: &'a str,
    /// The query of that address, as it came.
    pub query: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// A header that may be there once.
    ///
    /// # Errors
    /// When it is there twice: somebody on the way might have read the other one.
    pub fn header(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let mut values = self.headers.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value);
        let first = values.next();
        if values.next().is_some() { Err(Refusal::HeaderTwice) } else { Ok(first) }
    }

    /// The media type without its parameters.
    pub(crate) fn media_type(&self) -> Result<&'a str, Refusal> {
        let value = self.header("content-type")?.unwrap_or_default();
        Ok(value.split(';').next().unwrap_or_default().trim())
    }
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It came from an address range that is denied, or from none that is allowed.
    AddressNotAllowed,
    /// There is no such service.
    UnknownService,
    /// The intake is closed for maintenance.
    Maintenance,
    /// The service lacks a secret, or its target can't be called.
    NotReady,
    /// The body is larger than the service takes.
    BodyTooLarge,
    /// A header that counts came twice.
    HeaderTwice,
    /// The signature, or the token, is not there.
    SignatureMissing,
    /// The header is there, but can't be read.
    SignatureMalformed,
    /// It is not what this message and the secret give.
    SignatureWrong,
    /// The moment it was signed at is not there.
    TimestampMissing,
    /// The moment can't be read.
    TimestampMalformed,
    /// It was signed too long ago.
    TimestampStale,
    /// It was signed in the future.
    TimestampAhead,
    /// The id is not there, or can't be one.
    IdMissing,
    /// The very same message was taken before.
    Replayed,
    /// Another message of this id was taken before: a retry.
    Duplicate,
}

impl Refusal {
    /// Its word in audit records and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressNotAllowed => "address_not_allowed",
            Self::UnknownService => "unknown_service",
            Self::Maintenance => "maintenance",
            Self::NotReady => "service_not_ready",
            Self::BodyTooLarge => "body_too_large",
            Self::HeaderTwice => "header_twice",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureWrong => "signature_wrong",
            Self::TimestampMissing => "timestamp_missing",
            Self::TimestampMalformed => "timestamp_malformed",
            Self::TimestampStale => "timestamp_stale",
            Self::TimestampAhead => "timestamp_ahead",
            Self::IdMissing => "id_missing",
            Self::Replayed => "replayed",
            Self::Duplicate => "duplicate",
        }
    }
}
