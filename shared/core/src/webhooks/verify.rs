//! Whether a message is its sender's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::content::{Content, from_hex};
use super::{
    Digest, Encoding, IdPlace, KeyForm, Message, Proof, Refusal, Scheme, SignatureForm, TimestampPlace,
};
use crate::encoding::base64url;
use crate::time::{Duration, Timestamp};

/// The longest header that is read, in bytes.
const MAX_HEADER_BYTES: usize = 4096;

/// How many signatures of one header are looked at: a sender that rotates its secret sends two.
const MAX_SIGNATURES: usize = 16;

/// The longest id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// What a message presents, read but not verified.
#[derive(Debug)]
pub struct Presented<'a> {
    /// The signatures, decoded; for a token the token itself.
    signatures: Vec<Vec<u8>>,
    /// The timestamp as it is written; empty without one.
    timestamp: &'a str,
    /// The id as it is written in its header; empty without one.
    id: &'a str,
}

/// A message that is its sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What is used once: the hash of its id, or of all that is signed.
    pub message_hash: String,
    /// The hash of all that is signed: tells the very same message from a retry of it.
    pub content_hash: String,
}

/// Verifies a message against each secret, in a time that does not tell which fits or how far. The moment is
/// looked at after the signature, so that only its sender learns how our clocks differ.
///
/// # Errors
/// Why it is not taken.
pub fn verify(
    scheme: &Scheme,
    message: &Message<'_>,
    secrets: &[Zeroizing<String>],
    now: Timestamp,
    tolerance: Duration,
) -> Result<Verified, Refusal> {
    let presented = present(scheme, message)?;
    let content_hash = match &scheme.proof {
        Proof::Token => {
            check_token(&presented, secrets)?;
            let mut hash = Sha256::new_with_prefix(b"token\0");
            hash.update(presented.id.as_bytes());
            hash.update(b"\0");
            hash.update(message.body);
            hash.finalize().into()
        }
        Proof::Hmac { digest, signed, key, .. } => {
            let content = Content::of(signed, message, presented.timestamp, presented.id)?;
            let mut fits = Choice::from(0);
            for secret in secrets {
                let Some(tag) = tag(*digest, *key, secret, &content) else { continue };
                for signature in &presented.signatures {
                    fits |= signature.ct_eq(&tag);
                }
            }
            if !bool::from(fits) {
                return Err(Refusal::SignatureWrong);
            }
            content.hash()
        }
    };
    if scheme.timestamp.is_some() {
        check_moment(presented.timestamp, now, tolerance)?;
    }
    let content_hash = base64url(&content_hash);
    let message_hash = match id(scheme, message, &presented) {
        Some(id) => base64url(&Sha256::new_with_prefix(b"id\0").chain_update(id.as_bytes()).finalize()),
        None => content_hash.clone(),
    };
    Ok(Verified { message_hash, content_hash })
}

/// Reads the headers that a scheme asks for, without a secret: whatever anybody sends comes this far.
///
/// # Errors
/// What is missing, or can't be read.
pub fn present<'a>(scheme: &'a Scheme, message: &Message<'a>) -> Result<Presented<'a>, Refusal> {
    let header = message.header(&scheme.header)?.unwrap_or_default();
    if header.is_empty() {
        return Err(Refusal::SignatureMissing);
    }
    if header.len() > MAX_HEADER_BYTES {
        return Err(Refusal::SignatureMalformed);
    }
    let mut timestamp = match &scheme.timestamp {
        Some(TimestampPlace::Header(name)) => message.header(name)?.unwrap_or_default(),
        Some(TimestampPlace::Label) | None => "",
    };
    let signatures = match &scheme.proof {
        Proof::Token => vec![header.as_bytes().to_vec()],
        Proof::Hmac { form, encoding, .. } => {
            let found = match form {
                SignatureForm::Whole { prefix } => {
                    vec![header.strip_prefix(prefix.as_ref()).ok_or(Refusal::SignatureMalformed)?]
                }
                SignatureForm::Listed { version } => listed(header, version),
                SignatureForm::Labelled { timestamp: label, signature } => {
                    timestamp = labelled(header, label).try_fold("", |before, value| {
                        if before.is_empty() { Ok(value) } else { Err(Refusal::TimestampMalformed) }
                    })?;
                    labelled(header, signature).take(MAX_SIGNATURES + 1).collect()
                }
            };
            if found.is_empty() || found.len() > MAX_SIGNATURES {
                return Err(Refusal::SignatureMalformed);
            }
            let decoded: Option<Vec<_>> = found.into_iter().map(|text| decode(*encoding, text)).collect();
            decoded.ok_or(Refusal::SignatureMalformed)?
        }
    };
    if scheme.timestamp.is_some() {
        if timestamp.is_empty() {
            return Err(Refusal::TimestampMissing);
        }
        seconds(timestamp)?;
    }
    let id = match &scheme.id {
        IdPlace::Header(name) => {
            let id = message.header(name)?.unwrap_or_default();
            if id.is_empty() || id.len() > MAX_ID_BYTES {
                return Err(Refusal::IdMissing);
            }
            id
        }
        IdPlace::HeaderOrContent(name) => {
            message.header(name)?.filter(|id| id.len() <= MAX_ID_BYTES).unwrap_or_default()
        }
        IdPlace::BodyOrContent(_) | IdPlace::Content => "",
    };
    Ok(Presented { signatures, timestamp, id })
}

fn listed<'a>(header: &'a str, version: &str) -> Vec<&'a str> {
    let of_version = |item: &'a str| item.strip_prefix(version)?.strip_prefix(',');
    header.split(' ').filter_map(of_version).take(MAX_SIGNATURES + 1).collect()
}

fn labelled<'a>(header: &'a str, label: &'a str) -> impl Iterator<Item = &'a str> {
    header.split(',').filter_map(move |item| item.trim().strip_prefix(label)?.strip_prefix('='))
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => from_hex(text),
        Encoding::Base64 => STANDARD.decode(text).ok(),
    }
    .filter(|bytes| !bytes.is_empty())
}

/// Plain digits: what is signed is the text, and a text has one meaning.
fn seconds(text: &str) -> Result<i64, Refusal> {
    let is_plain = text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(Refusal::TimestampMalformed)
}

fn check_moment(text: &str, now: Timestamp, tolerance: Duration) -> Result<(), Refusal> {
    let moment = Timestamp::from_seconds(seconds(text)?);
    if moment < now.before(tolerance) {
        return Err(Refusal::TimestampStale);
    }
    // A second of the other clock may not be whole yet.
    if moment > now.after(tolerance) { Err(Refusal::TimestampAhead) } else { Ok(()) }
}

/// Their hashes are compared, so that not even the length is told.
fn check_token(presented: &Presented<'_>, secrets: &[Zeroizing<String>]) -> Result<(), Refusal> {
    let given = Sha256::digest(presented.signatures.first().map(Vec::as_slice).unwrap_or_default());
    let mut fits = Choice::from(0);
    for secret in secrets {
        fits |= given.as_slice().ct_eq(Sha256::digest(secret.as_bytes()).as_slice());
    }
    if bool::from(fits) { Ok(()) } else { Err(Refusal::SignatureWrong) }
}

/// The HMAC under a secret; `None` where that is no key.
pub(super) fn tag(digest: Digest, key: KeyForm, secret: &str, content: &Content<'_>) -> Option<Vec<u8>> {
    let key = match key {
        KeyForm::Text => Zeroizing::new(secret.as_bytes().to_vec()),
        KeyForm::Whsec => super::standard::key(secret)?,
    };
    Some(match digest {
        Digest::Sha1 => content.mac(Hmac::<Sha1>::new_from_slice(&key).ok()?),
        Digest::Sha256 => content.mac(Hmac::<Sha256>::new_from_slice(&key).ok()?),
    })
}

/// The message's own id, where it has one.
fn id(scheme: &Scheme, message: &Message<'_>, presented: &Presented<'_>) -> Option<String> {
    match &scheme.id {
        IdPlace::Header(_) | IdPlace::HeaderOrContent(_) => {
            Some(presented.id.to_owned()).filter(|id| !id.is_empty())
        }
        IdPlace::BodyOrContent(member) => {
            let body: serde_json::Value = serde_json::from_slice(message.body).ok()?;
            let id = body.get(member)?.as_str()?;
            Some(id.to_owned()).filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES)
        }
        IdPlace::Content => None,
    }
}
