//! Signing as a provider does, for tests and the command line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::content::{BODY_HASH, Content, hex};
use super::verify::tag;
use super::{Encoding, IdPlace, Message, Part, Proof, Scheme, SignatureForm, TimestampPlace};

/// A message that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The address it goes to, without a query.
    pub url: &'a str,
    /// Its media type.
    pub content_type: &'a str,
    /// Its body.
    pub body: &'a [u8],
    /// Its id.
    pub id: &'a str,
    /// When, in seconds since 1970.
    pub timestamp: i64,
}

/// A message as it is sent: what has to be added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The query of the address, where the scheme needs one.
    pub query: Option<String>,
}

/// Signs a message. `None` where the secret is no key for this scheme, or the body can't be signed.
#[must_use]
pub fn sign(scheme: &Scheme, secret: &str, outgoing: &Outgoing<'_>) -> Option<Signed> {
    let timestamp = outgoing.timestamp.to_string();
    let mut headers = vec![("content-type".to_owned(), outgoing.content_type.to_owned())];
    let mut query = None;
    if let Some(TimestampPlace::Header(name)) = &scheme.timestamp {
        headers.push((name.to_string(), timestamp.clone()));
    }
    if let IdPlace::Header(name) | IdPlace::HeaderOrContent(name) = &scheme.id {
        headers.push((name.to_string(), outgoing.id.to_owned()));
    }
    let value = match &scheme.proof {
        Proof::Token => secret.to_owned(),
        Proof::Hmac { digest, signed, form, encoding, key } => {
            let is_form = outgoing.content_type.starts_with("application/x-www-form-urlencoded");
            if signed.contains(&Part::UrlAndParameters) && !is_form && !outgoing.body.is_empty() {
                query = Some(format!("{BODY_HASH}={}", hex(&Sha256::digest(outgoing.body))));
            }
            let content_type = [("content-type", outgoing.content_type)];
            let message = Message {
                headers: &content_type,
                body: outgoing.body,
                url: outgoing.url,
                query: query.as_deref(),
            };
            let content = Content::of(signed, &message, &timestamp, outgoing.id).ok()?;
            let tag = tag(*digest, *key, secret, &content)?;
            let tag = match encoding {
                Encoding::Hex => hex(&tag),
                Encoding::Base64 => STANDARD.encode(tag),
            };
            match form {
                SignatureForm::Whole { prefix } => format!("{prefix}{tag}"),
                SignatureForm::Labelled { timestamp: label, signature } => {
                    format!("{label}={timestamp},{signature}={tag}")
                }
                SignatureForm::Listed { version } => format!("{version},{tag}"),
            }
        }
    };
    headers.push((scheme.header.to_string(), value));
    Some(Signed { headers, query })
}
