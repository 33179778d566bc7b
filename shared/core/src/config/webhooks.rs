//! Webhooks that are taken in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use super::reader::{Field, parse, section, words};
use super::scheme::{Encoding, HmacOptions, Scheme, SchemeName, named};
use super::{Configuration, ConfigurationError, require};
use crate::time::Duration;

/// How many services there are at most.
const MAX_SERVICES: usize = 64;

/// How many headers are handed on at most, beside those of the scheme.
const MAX_FORWARDED_HEADERS: usize = 16;

/// The largest body that a service takes: what any request may have.
const MAX_BODY_BYTES: u32 = 1 << 20;

/// Headers that belong to one connection, that prove something, or that are ours.
const NEVER_FORWARDED: [&str; 25] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "stripe-signature",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-service",
    "webhook-signature",
    "webhook-timestamp",
    "x-gitlab-token",
    "x-hub-signature-256",
    "x-slack-signature",
    "x-trello-webhook",
    "x-twilio-signature",
];

section! {
    /// Who may send webhooks at all.
    pub struct SecurityConfiguration {
        /// Address ranges that webhooks may come from; from anywhere where empty.
        ip_allowlist: Vec<IpNet> = Vec::new(),
        /// Address ranges that none may come from, whatever else is allowed.
        ip_denylist: Vec<IpNet> = Vec::new(),
    }
}

section! {
    /// Webhooks that are taken in.
    pub struct WebhooksConfiguration {
        /// How old a signed moment may be, and how far ahead. 10 s to 1 h.
        tolerance: Duration = Duration::from_seconds(300),
        /// How long a message is known that was taken: until then it is not taken again. 1 d to 400 d.
        replay_window: Duration = Duration::from_days(30),
        /// How long deliveries are kept that were delivered or given up, and messages that nobody fetches. 1
        /// d to 400 d.
        retention: Duration = Duration::from_days(30),
        /// The services, by the name in `/webhook/<name>`: 1 to 64 lower-case letters, digits, `_` and `-`.
        /// At most 64.
        services: BTreeMap<String, WebhookServiceConfiguration> = BTreeMap::new(),
    }
}

section! {
    /// One service. Its secrets are in the host secret `IAM_WEBHOOK_SECRETS`.
    pub struct WebhookServiceConfiguration {
        /// How its messages are signed: `github`, `gitlab`, `gitlab_signed`, `slack`, `stripe`, `trello`,
        /// `twilio`, `standard_webhooks`, `shared_secret` or `hmac_sha256`.
        scheme: SchemeName = SchemeName::StandardWebhooks,
        /// Where messages are forwarded to: an `https://` address. Without it they wait to be fetched.
        target: Option<String> = None,
        /// The address as the sender has it, to the letter, where that is signed; for Twilio without the
        /// query. Without it `public_url` and the path.
        url: Option<String> = None,
        /// Address ranges that this service's may come from; from wherever webhooks may where empty.
        ip_allowlist: Vec<IpNet> = Vec::new(),
        /// Address ranges that this service's may not come from.
        ip_denylist: Vec<IpNet> = Vec::new(),
        /// This service's own `webhooks.tolerance`. 10 s to 1 h.
        tolerance: Option<Duration> = None,
        /// This service's own `webhooks.replay_window`. 1 m to 400 d; at least twice the tolerance where
        /// moments are signed.
        replay_window: Option<Duration> = None,
        /// The largest body, in bytes. 1 to 1048576.
        max_body_bytes: u32 = 256 * 1024,
        /// How often a message is tried before it is dead. 1 to 50.
        max_attempts: u32 = 12,
        /// How long to wait after the first failure; doubled with each further one. 1 s to 1 d.
        first_retry: Duration = Duration::from_seconds(60),
        /// How long to wait at most. From `first_retry` to 7 d.
        longest_retry: Duration = Duration::from_hours(6),
        /// Headers to hand on, beside `content-type` and those that the scheme knows. At most 16, none that
        /// holds a secret or belongs to a connection.
        forward_headers: Vec<String> = Vec::new(),
        /// Of `shared_secret` and `hmac_sha256`: how.
        signature: WebhookSignatureConfiguration = WebhookSignatureConfiguration::default(),
    }
}

section! {
    /// How a sender signs that follows no known scheme.
    pub struct WebhookSignatureConfiguration {
        /// The header with the secret or the signature.
        header: String = String::new(),
        /// What stands before the signature, as `sha256=`.
        prefix: String = String::new(),
        /// How the signature is written: `hex` or `base64`.
        encoding: Encoding = Encoding::Hex,
        /// What is signed: text with `{body}` and perhaps `{timestamp}`, `{id}` and `{url}` in it.
        signed: String = "{body}".to_owned(),
        /// The header with the moment, in seconds since 1970, where `{timestamp}` is signed.
        timestamp_header: Option<String> = None,
        /// The header with the message's id, where `{id}` is signed; of a shared secret, where its sender
        /// makes ids.
        id_header: Option<String> = None,
    }
}

impl WebhooksConfiguration {
    pub(super) fn check(&self, whole: &Configuration) -> Result<(), ConfigurationError> {
        let between = |field: &str, value: Duration, least: Duration, most: Duration| {
            require(field, value >= least && value <= most, || format!("from {least} to {most}"))
        };
        let (day, longest) = (Duration::from_days(1), Duration::from_days(400));
        between("webhooks.replay_window", self.replay_window, day, longest)?;
        between("webhooks.retention", self.retention, day, longest)?;
        require("webhooks.services", self.services.len() <= MAX_SERVICES, || {
            format!("at most {MAX_SERVICES}")
        })?;
        let (least, most) = (Duration::from_seconds(10), Duration::from_hours(1));
        between("webhooks.tolerance", self.tolerance, least, most)?;
        for (name, service) in &self.services {
            let path = format!("webhooks.services.{name}");
            require(&path, is_service_name(name), || {
                "names of 1 to 64 lower-case letters, digits, `_` and `-`".to_owned()
            })?;
            let field = |field: &str| format!("{path}.{field}");
            between(&field("tolerance"), service.tolerance.unwrap_or(least), least, most)?;
            // A signature holds for the tolerance before its moment and after it.
            let tolerance = service.tolerance.unwrap_or(self.tolerance);
            let is_signed = service.scheme().is_some_and(|scheme| scheme.timestamp.is_some());
            let shortest = Duration::from_seconds(if is_signed { tolerance.as_seconds() * 2 } else { 0 });
            let shortest = shortest.max(Duration::from_seconds(60));
            between(&field("replay_window"), service.replay_window.unwrap_or(longest), shortest, longest)?;
            let second = Duration::from_seconds(1);
            between(&field("first_retry"), service.first_retry, second, day)?;
            let week = Duration::from_days(7);
            between(&field("longest_retry"), service.longest_retry, service.first_retry, week)?;
            require(&field("max_attempts"), (1..=50).contains(&service.max_attempts), || {
                "1 to 50".to_owned()
            })?;
            require(
                &field("max_body_bytes"),
                (1..=MAX_BODY_BYTES).contains(&service.max_body_bytes),
                || format!("1 to {MAX_BODY_BYTES}"),
            )?;
            let http = |text: &String| text.starts_with("https://") || text.starts_with("http://");
            require(&field("target"), service.target.iter().all(http), || "an https:// address".to_owned())?;
            service.check_signature(&path, whole.public_url.is_some())?;
        }
        Ok(())
    }

    /// The service of this name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&WebhookServiceConfiguration> {
        self.services.get(name)
    }
}

/// Whether it can be a service's name.
fn is_service_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(known)
}

/// Whether it is a header's name (RFC 9110 section 5.1) of a sane length.
fn is_header(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(known)
}

impl WebhookServiceConfiguration {
    fn options(&self) -> HmacOptions<'_> {
        HmacOptions {
            header: &self.signature.header,
            prefix: &self.signature.prefix,
            encoding: self.signature.encoding,
            signed: &self.signature.signed,
            timestamp_header: self.signature.timestamp_header.as_deref(),
            id_header: self.signature.id_header.as_deref(),
        }
    }

    /// How its messages are verified. Always there in a configuration that was read.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        Scheme::of(self.scheme, &self.options())
    }

    fn check_signature(&self, path: &str, has_public_url: bool) -> Result<(), ConfigurationError> {
        let signature = &self.signature;
        let field = |field: &str| format!("{path}.{field}");
        let is_own = matches!(self.scheme, SchemeName::SharedSecret | SchemeName::HmacSha256);
        require(
            &field("signature"),
            is_own || *signature == WebhookSignatureConfiguration::default(),
            || "of the schemes `shared_secret` and `hmac_sha256` alone".to_owned(),
        )?;
        let names = named(&signature.signed);
        require(&field("signature.signed"), names.is_some(), || {
            "text with `{body}` and perhaps `{timestamp}`, `{id}` and `{url}` in it".to_owned()
        })?;
        let names = names.unwrap_or_default();
        let header = |name: &str, value: &str| {
            require(&field(name), is_header(value), || {
                "a header's name: up to 64 letters, digits, `-` and `_`".to_owned()
            })
        };
        if is_own {
            header("signature.header", &signature.header)?;
        }
        for (name, value) in
            [("timestamp_header", &signature.timestamp_header), ("id_header", &signature.id_header)]
        {
            value.iter().try_for_each(|value| header(&format!("signature.{name}"), value))?;
        }
        let is_hmac = self.scheme == SchemeName::HmacSha256;
        // A moment or an id that is not signed proves nothing, and one that is has to be somewhere.
        let fits = signature.timestamp_header.is_some() == names.timestamp;
        require(&field("signature.timestamp_header"), fits, || {
            "there exactly where `{timestamp}` is signed".to_owned()
        })?;
        let fits = !is_hmac || signature.id_header.is_some() == names.id;
        require(&field("signature.id_header"), fits, || "there exactly where `{id}` is signed".to_owned())?;
        let needs_url =
            matches!(self.scheme, SchemeName::Trello | SchemeName::Twilio) || (is_hmac && names.url);
        let url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        let is_known = self.url.is_some() || has_public_url || !needs_url;
        // What Twilio signs ends with the query of the request itself.
        let ends_anyhow = self.scheme != SchemeName::Twilio;
        let is_whole =
            |text: &String| url(text) && !text.contains('#') && (ends_anyhow || !text.contains('?'));
        let is_plain = self.url.iter().all(is_whole);
        require(&field("url"), is_known && is_plain, || {
            "the address that the sender calls, for Twilio without its query; needed where that is signed \
             and there is no `public_url`"
                .to_owned()
        })?;
        let headers = &self.forward_headers;
        let may_go = |name: &String| {
            let name = name.to_ascii_lowercase();
            let is_proof = name == signature.header.to_ascii_lowercase();
            is_header(&name) && !NEVER_FORWARDED.contains(&name.as_str()) && !is_proof
        };
        require(
            &field("forward_headers"),
            headers.len() <= MAX_FORWARDED_HEADERS && headers.iter().all(may_go),
            || {
                format!(
                    "up to {MAX_FORWARDED_HEADERS} headers, none that holds a secret or belongs to a \
                     connection"
                )
            },
        )
    }
}

words!(SchemeName, Self::ALL);

words!(Encoding, [("hex", Self::Hex), ("base64", Self::Base64)]);

/// A single address is the range of itself, and a range of IPv4 addresses written as IPv6 is one of IPv4:
/// addresses are compared in that form.
impl Field for IpNet {
    fn read(value: Value, path: &str) -> Result<Self, ConfigurationError> {
        let single = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
        let range = match single {
            Some(address) => Self::from(address),
            None => parse(value, path, "address ranges, as in `10.0.0.0/8` or `fd00::/8`")?,
        };
        Ok(canonical(range))
    }
}

fn canonical(range: IpNet) -> IpNet {
    let IpNet::V6(mapped) = range else { return range };
    let address = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(96);
    let network = address.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    network.map_or(range, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(document: &Value) -> Result<Configuration, String> {
        Configuration::parse(&document.to_string(), []).map_err(|error| error.to_string())
    }

    fn service(service: Value) -> Result<Configuration, String> {
        read(&json!({"webhooks": {"services": {"a": service}}}))
    }

    #[test]
    fn services_are_read() {
        let document = json!({
            "public_url": "https://iam.example.com",
            "security": {"ip_allowlist": ["192.168.1.0/24", "10.0.0.1", "::ffff:203.0.113.0/120",
                "fd00::/8"]},
            "webhooks": {"tolerance": "1m", "services": {
                "github": {"scheme": "github", "target": "https://hooks.example.com/github",
                    "max_attempts": 3},
                "trello": {"scheme": "trello"},
                "own": {"scheme": "hmac_sha256", "signature": {
                    "header": "X-Own", "signed": "{timestamp}.{body}", "timestamp_header": "X-Time",
                    "encoding": "base64"}},
                "token": {"scheme": "shared_secret", "signature": {"header": "X-Token"}},
            }},
        });
        let configuration = read(&document).unwrap();
        let ranges: Vec<String> =
            configuration.security.ip_allowlist.iter().map(ToString::to_string).collect();
        assert_eq!(ranges, ["192.168.1.0/24", "10.0.0.1/32", "203.0.113.0/24", "fd00::/8"]);
        let webhooks = &configuration.webhooks;
        assert_eq!(webhooks.service("github").unwrap().max_attempts, 3);
        assert_eq!(webhooks.service("own").unwrap().scheme().unwrap().header, "x-own");
        assert!(webhooks.service("other").is_none());
    }

    #[test]
    fn no_proof_is_forwarded() {
        for (name, scheme) in SchemeName::ALL {
            let is_own = matches!(scheme, SchemeName::SharedSecret | SchemeName::HmacSha256);
            let signature = if is_own { json!({"header": "X-Proof"}) } else { json!({}) };
            let header = if is_own {
                "x-proof".to_owned()
            } else {
                let options = WebhookServiceConfiguration::default();
                Scheme::of(scheme, &options.options()).unwrap().header.into_owned()
            };
            let document = json!({"scheme": name, "url": "https://a/", "signature": signature,
                "forward_headers": [header]});
            assert!(service(document).unwrap_err().contains("forward_headers"), "{name}");
        }
    }

    #[test]
    fn bad_services_name_their_field() {
        for (document, field) in [
            (json!({"scheme": "other"}), "webhooks.services.a.scheme"),
            (json!({"replay_window": "9m"}), "webhooks.services.a.replay_window"),
            (json!({"scheme": "github", "replay_window": "59s"}), "webhooks.services.a.replay_window"),
            (json!({"replay_window": "401d"}), "webhooks.services.a.replay_window"),
            (json!({"forward_headers": ["TE"]}), "webhooks.services.a.forward_headers"),
            (json!({"forward_headers": ["Proxy-Authorization"]}), "webhooks.services.a.forward_headers"),
            (json!({"scheme": "github", "secret": "x"}), "webhooks.services.a.secret"),
            (json!({"scheme": "github", "target": "ftp://a"}), "webhooks.services.a.target"),
            (json!({"scheme": "github", "tolerance": "2h"}), "webhooks.services.a.tolerance"),
            (json!({"scheme": "github", "max_attempts": 0}), "webhooks.services.a.max_attempts"),
            (json!({"scheme": "github", "max_body_bytes": 1_048_577}), "webhooks.services.a.max_body_bytes"),
            (json!({"scheme": "github", "first_retry": "7h"}), "webhooks.services.a.longest_retry"),
            (json!({"scheme": "github", "signature": {"header": "x"}}), "webhooks.services.a.signature"),
            (json!({"scheme": "trello"}), "webhooks.services.a.url"),
            (json!({"scheme": "twilio", "url": "https://a/?b"}), "webhooks.services.a.url"),
            (json!({"scheme": "trello", "url": "https://a/#b"}), "webhooks.services.a.url"),
            (json!({"scheme": "hmac_sha256"}), "webhooks.services.a.signature.header"),
            (
                json!({"scheme": "hmac_sha256", "signature": {"header": "x", "signed": "{timestamp}{body}"}}),
                "webhooks.services.a.signature.timestamp_header",
            ),
            (
                json!({"scheme": "hmac_sha256", "signature": {"header": "x", "id_header": "y"}}),
                "webhooks.services.a.signature.id_header",
            ),
            (
                json!({"scheme": "hmac_sha256", "signature": {"header": "x", "signed": "{id}"}}),
                "webhooks.services.a.signature.signed",
            ),
            (
                json!({"scheme": "github", "forward_headers": ["X-Hub-Signature-256"]}),
                "webhooks.services.a.forward_headers",
            ),
            (
                json!({"scheme": "github", "forward_headers": ["Cookie"]}),
                "webhooks.services.a.forward_headers",
            ),
            (json!({"ip_allowlist": ["10.0.0.0/33"]}), "webhooks.services.a.ip_allowlist"),
        ] {
            let error = service(document.clone()).unwrap_err();
            assert!(error.contains(&format!("`{field}`")), "{document}: {error}");
        }
        assert!(read(&json!({"webhooks": {"services": {"A b": {}}}})).is_err());
        assert!(read(&json!({"webhooks": {"tolerance": "1s"}})).is_err());
        assert!(read(&json!({"webhooks": {"replay_window": "1h"}})).is_err());
    }
}
