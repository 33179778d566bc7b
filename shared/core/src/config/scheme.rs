//! How providers prove that a message is theirs, as data.

use std::borrow::Cow;

use serde::Serialize;

/// A text of a scheme: ours, or from the configuration.
type Text = Cow<'static, str>;

/// Which scheme, by the name that configuration and command line use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemeName {
    /// GitHub: `X-Hub-Signature-256`.
    Github,
    /// GitLab's secret token: `X-Gitlab-Token`.
    Gitlab,
    /// GitLab's signing token: Standard Webhooks with GitLab's headers.
    GitlabSigned,
    /// Slack: `v0`.
    Slack,
    /// Stripe: `t=…,v1=…`.
    Stripe,
    /// Trello.
    Trello,
    /// Twilio.
    Twilio,
    /// Standard Webhooks: symmetric, `v1`.
    StandardWebhooks,
    /// A secret in a header, as it is.
    SharedSecret,
    /// HMAC-SHA-256 in a header, as the configuration describes it.
    HmacSha256,
}

impl SchemeName {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 10] = [
        ("github", Self::Github),
        ("gitlab", Self::Gitlab),
        ("gitlab_signed", Self::GitlabSigned),
        ("slack", Self::Slack),
        ("stripe", Self::Stripe),
        ("trello", Self::Trello),
        ("twilio", Self::Twilio),
        ("standard_webhooks", Self::StandardWebhooks),
        ("shared_secret", Self::SharedSecret),
        ("hmac_sha256", Self::HmacSha256),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, name)| *name == self).map_or("", |(text, _)| text)
    }
}

/// How one provider proves that a message is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// In which header, lower case.
    pub header: Text,
    /// What is in it.
    pub proof: Proof,
    /// When it was signed, where that is said. It must be among what is signed.
    pub timestamp: Option<TimestampPlace>,
    /// What makes the message one of its own.
    pub id: IdPlace,
    /// Headers that are worth handing on, lower case, beside `content-type`.
    pub kept: &'static [&'static str],
}

/// What is in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The secret itself.
    Token,
    /// An HMAC.
    Hmac {
        /// Of which hash.
        digest: Digest,
        /// Over what.
        signed: Cow<'static, [Part]>,
        /// How the header writes it down.
        form: SignatureForm,
        /// How its bytes are written.
        encoding: Encoding,
        /// How the secret is the key.
        key: KeyForm,
    },
}

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1, which still holds within an HMAC.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// A piece of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Text(Text),
    /// The timestamp, as it is written in its place.
    Timestamp,
    /// The id, as it is written in its header.
    Id,
    /// The body.
    Body,
    /// The address that the sender called, without a query.
    Url,
    /// The address with its query, and the form's parameters in order; a body that is no form is told by its
    /// hash in the query (Twilio).
    UrlAndParameters,
}

/// How a header writes a signature down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureForm {
    /// One, behind a prefix.
    Whole {
        /// The prefix, as `sha256=`; may be empty.
        prefix: Text,
    },
    /// `t=1,v1=…,v1=…`: the timestamp and any number of signatures; other labels are ignored.
    Labelled {
        /// The timestamp's label.
        timestamp: &'static str,
        /// The signatures' label.
        signature: &'static str,
    },
    /// `v1,… v1,…`: any number, each behind its version; other versions are ignored.
    Listed {
        /// The version.
        version: &'static str,
    },
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, lower case when we write it.
    Hex,
    /// base64 with padding (RFC 4648 section 4).
    Base64,
}

/// How a secret is a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// Its bytes are.
    Text,
    /// `whsec_` and base64, as Standard Webhooks writes it.
    Whsec,
}

/// Where the timestamp is: seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampPlace {
    /// In this header, lower case.
    Header(Text),
    /// In the signature's header, labelled.
    Label,
}

/// What makes a message one of its own: an id is used once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdPlace {
    /// A header that has to be there: it is signed, or the secret itself vouches for it.
    Header(Text),
    /// The same where it is there, otherwise all that is signed.
    HeaderOrContent(Text),
    /// A member of the body, which is signed, where that is a JSON object and has it; otherwise all that is
    /// signed.
    BodyOrContent(&'static str),
    /// All that is signed. A header that is not signed proves nothing: whoever replays a message can change
    /// it.
    Content,
}

/// What the configuration says of an HMAC of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacOptions<'a> {
    /// The signature's header.
    pub header: &'a str,
    /// What stands before the signature.
    pub prefix: &'a str,
    /// How it is written.
    pub encoding: Encoding,
    /// What is signed, as `{timestamp}.{body}`.
    pub signed: &'a str,
    /// The timestamp's header.
    pub timestamp_header: Option<&'a str>,
    /// The id's header.
    pub id_header: Option<&'a str>,
}

const GITHUB: Scheme = Scheme {
    header: Cow::Borrowed("x-hub-signature-256"),
    proof: Proof::Hmac {
        digest: Digest::Sha256,
        signed: Cow::Borrowed(&[Part::Body]),
        form: SignatureForm::Whole { prefix: Cow::Borrowed("sha256=") },
        encoding: Encoding::Hex,
        key: KeyForm::Text,
    },
    timestamp: None,
    id: IdPlace::Content,
    kept: &[
        "x-github-event",
        "x-github-delivery",
        "x-github-hook-id",
        "x-github-hook-installation-target-id",
        "x-github-hook-installation-target-type",
    ],
};

const GITLAB_HEADERS: &[&str] = &[
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-gitlab-webhook-uuid",
    "x-gitlab-instance",
    "idempotency-key",
];

const GITLAB: Scheme = Scheme {
    header: Cow::Borrowed("x-gitlab-token"),
    proof: Proof::Token,
    timestamp: None,
    id: IdPlace::HeaderOrContent(Cow::Borrowed("idempotency-key")),
    kept: GITLAB_HEADERS,
};

const SLACK: Scheme = Scheme {
    header: Cow::Borrowed("x-slack-signature"),
    proof: Proof::Hmac {
        digest: Digest::Sha256,
        signed: Cow::Borrowed(&[
            Part::Text(Cow::Borrowed("v0:")),
            Part::Timestamp,
            Part::Text(Cow::Borrowed(":")),
            Part::Body,
        ]),
        form: SignatureForm::Whole { prefix: Cow::Borrowed("v0=") },
        encoding: Encoding::Hex,
        key: KeyForm::Text,
    },
    timestamp: Some(TimestampPlace::Header(Cow::Borrowed("x-slack-request-timestamp"))),
    id: IdPlace::BodyOrContent("event_id"),
    kept: &["x-slack-retry-num", "x-slack-retry-reason"],
};

const STRIPE: Scheme = Scheme {
    header: Cow::Borrowed("stripe-signature"),
    proof: Proof::Hmac {
        digest: Digest::Sha256,
        signed: Cow::Borrowed(&[Part::Timestamp, Part::Text(Cow::Borrowed(".")), Part::Body]),
        form: SignatureForm::Labelled { timestamp: "t", signature: "v1" },
        encoding: Encoding::Hex,
        key: KeyForm::Text,
    },
    timestamp: Some(TimestampPlace::Label),
    id: IdPlace::BodyOrContent("id"),
    kept: &[],
};

const TRELLO: Scheme = Scheme {
    header: Cow::Borrowed("x-trello-webhook"),
    proof: Proof::Hmac {
        digest: Digest::Sha1,
        signed: Cow::Borrowed(&[Part::Body, Part::Url]),
        form: SignatureForm::Whole { prefix: Cow::Borrowed("") },
        encoding: Encoding::Base64,
        key: KeyForm::Text,
    },
    timestamp: None,
    id: IdPlace::Content,
    kept: &[],
};

const TWILIO: Scheme = Scheme {
    header: Cow::Borrowed("x-twilio-signature"),
    proof: Proof::Hmac {
        digest: Digest::Sha1,
        signed: Cow::Borrowed(&[Part::UrlAndParameters]),
        form: SignatureForm::Whole { prefix: Cow::Borrowed("") },
        encoding: Encoding::Base64,
        key: KeyForm::Text,
    },
    timestamp: None,
    id: IdPlace::Content,
    kept: &["i-twilio-idempotency-token"],
};

const STANDARD: Scheme = Scheme {
    header: Cow::Borrowed("webhook-signature"),
    proof: Proof::Hmac {
        digest: Digest::Sha256,
        signed: Cow::Borrowed(&[
            Part::Id,
            Part::Text(Cow::Borrowed(".")),
            Part::Timestamp,
            Part::Text(Cow::Borrowed(".")),
            Part::Body,
        ]),
        form: SignatureForm::Listed { version: "v1" },
        encoding: Encoding::Base64,
        key: KeyForm::Whsec,
    },
    timestamp: Some(TimestampPlace::Header(Cow::Borrowed("webhook-timestamp"))),
    id: IdPlace::Header(Cow::Borrowed("webhook-id")),
    kept: &[],
};

impl Scheme {
    /// The scheme of this name. `options` describe an HMAC of one's own; of them a shared secret uses the
    /// headers alone. `None` where what they say is signed can't be read.
    #[must_use]
    pub fn of(name: SchemeName, options: &HmacOptions<'_>) -> Option<Self> {
        Some(match name {
            SchemeName::Github => GITHUB,
            SchemeName::Gitlab => GITLAB,
            SchemeName::GitlabSigned => Self { kept: GITLAB_HEADERS, ..STANDARD },
            SchemeName::Slack => SLACK,
            SchemeName::Stripe => STRIPE,
            SchemeName::Trello => TRELLO,
            SchemeName::Twilio => TWILIO,
            SchemeName::StandardWebhooks => STANDARD,
            SchemeName::SharedSecret => Self {
                header: owned(options.header),
                proof: Proof::Token,
                timestamp: None,
                id: options.id_header.map_or(IdPlace::Content, |name| IdPlace::Header(owned(name))),
                kept: &[],
            },
            SchemeName::HmacSha256 => Self {
                header: owned(options.header),
                proof: Proof::Hmac {
                    digest: Digest::Sha256,
                    signed: Cow::Owned(template(options.signed)?),
                    form: SignatureForm::Whole { prefix: Cow::Owned(options.prefix.to_owned()) },
                    encoding: options.encoding,
                    key: KeyForm::Text,
                },
                timestamp: options.timestamp_header.map(|name| TimestampPlace::Header(owned(name))),
                id: options.id_header.map_or(IdPlace::Content, |name| IdPlace::Header(owned(name))),
                kept: &[],
            },
        })
    }
}

fn owned(header: &str) -> Text {
    Cow::Owned(header.to_ascii_lowercase())
}

/// What a template names, beside the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// `{timestamp}`.
    pub timestamp: bool,
    /// `{id}`.
    pub id: bool,
    /// `{url}`.
    pub url: bool,
}

/// What a template names, where it is one: text with `{timestamp}`, `{id}`, `{body}` and `{url}` in it, each
/// once at most and the body always.
#[must_use]
pub fn named(text: &str) -> Option<Named> {
    let mut named = Named::default();
    let mut has_body = false;
    let mut pieces = text.split('{');
    let is_plain = |text: &str| !text.contains('}');
    if !pieces.next().is_some_and(is_plain) {
        return None;
    }
    for piece in pieces {
        let (name, after) = piece.split_once('}')?;
        let place = match name {
            "timestamp" => &mut named.timestamp,
            "id" => &mut named.id,
            "url" => &mut named.url,
            "body" => &mut has_body,
            _ => return None,
        };
        if std::mem::replace(place, true) || !is_plain(after) {
            return None;
        }
    }
    has_body.then_some(named)
}

/// The parts of a template; `None` where it is none.
#[must_use]
pub fn template(text: &str) -> Option<Vec<Part>> {
    named(text)?;
    let mut parts = Vec::new();
    for (index, piece) in text.split('{').enumerate() {
        let after = match piece.split_once('}') {
            Some((name, after)) if index > 0 => {
                parts.push(match name {
                    "timestamp" => Part::Timestamp,
                    "id" => Part::Id,
                    "url" => Part::Url,
                    _ => Part::Body,
                });
                after
            }
            _ => piece,
        };
        if !after.is_empty() {
            parts.push(Part::Text(Cow::Owned(after.to_owned())));
        }
    }
    Some(parts)
}
