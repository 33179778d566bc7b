//! What is signed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use hmac::Mac;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Message, Part, Refusal};

/// How many parameters a form has at most.
const MAX_PARAMETERS: usize = 256;

const FORM: &str = "application/x-www-form-urlencoded";

/// The query parameter with the hash of a body that is no form (Twilio).
pub(super) const BODY_HASH: &str = "bodySHA256";

/// The pieces of what is signed, in order, without a copy of the body.
pub(super) struct Content<'a>(Vec<Piece<'a>>);

enum Piece<'a> {
    Borrowed(&'a [u8]),
    Owned(String),
}

impl<'a> Content<'a> {
    /// Puts together what a scheme signs.
    ///
    /// # Errors
    /// Where a form is too large, or a body is not covered.
    pub(super) fn of(
        parts: &'a [Part],
        message: &Message<'a>,
        timestamp: &'a str,
        id: &'a str,
    ) -> Result<Self, Refusal> {
        let mut pieces = Vec::new();
        for part in parts {
            pieces.push(match part {
                Part::Text(text) => Piece::Borrowed(text.as_bytes()),
                Part::Timestamp => Piece::Borrowed(timestamp.as_bytes()),
                Part::Id => Piece::Borrowed(id.as_bytes()),
                Part::Body => Piece::Borrowed(message.body),
                Part::Url => Piece::Borrowed(message.url.as_bytes()),
                Part::UrlAndParameters => Piece::Owned(url_and_parameters(message)?),
            });
        }
        Ok(Self(pieces))
    }

    pub(super) fn mac(&self, mut mac: impl Mac) -> Vec<u8> {
        for piece in &self.0 {
            mac.update(piece.bytes());
        }
        mac.finalize().into_bytes().to_vec()
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(b"content\0");
        for piece in &self.0 {
            hash.update(piece.bytes());
        }
        hash.finalize().into()
    }
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(text) => text.as_bytes(),
        }
    }
}

/// The whole address, then each parameter's name and value, by name (`twilio.com/docs/usage/security`).
/// Parameters of one name go by their values, each value once, as Twilio's own libraries do it.
fn url_and_parameters(message: &Message<'_>) -> Result<String, Refusal> {
    let mut text = message.url.to_owned();
    if let Some(query) = message.query {
        text.push('?');
        text.push_str(query);
    }
    if message.media_type()?.eq_ignore_ascii_case(FORM) {
        let mut parameters: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (count, (name, value)) in form_urlencoded::parse(message.body).enumerate() {
            if count >= MAX_PARAMETERS {
                return Err(Refusal::SignatureMalformed);
            }
            parameters.entry(name.into_owned()).or_default().insert(value.into_owned());
        }
        for (name, values) in parameters {
            for value in values {
                text.push_str(&name);
                text.push_str(&value);
            }
        }
    } else if !message.body.is_empty() && !is_body_hash_in(message) {
        // Otherwise the signature of a request without a body would vouch for any.
        return Err(Refusal::SignatureWrong);
    }
    Ok(text)
}

fn is_body_hash_in(message: &Message<'_>) -> bool {
    let query = message.query.unwrap_or_default();
    let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == BODY_HASH);
    let (Some((_, given)), None) = (given.next(), given.next()) else { return false };
    let expected = hex(&Sha256::digest(message.body));
    given.to_ascii_lowercase().as_bytes().ct_eq(expected.as_bytes()).into()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads hexadecimal of either case.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}
