//! Where secrets come from.

use std::collections::BTreeMap;

use super::reader::{Field, Fields, fields, section};
use super::{Configuration, ConfigurationError, require};
use crate::time::Duration;

/// The longest that everything about one question to a Vault may take: a call between functions takes five.
const MAX_VAULT_TIMEOUT: Duration = Duration::from_seconds(4);

/// What a value that stands in the document itself may never be: who reads the configuration would hold the
/// house.
const NEVER_CONFIGURED: [&str; 3] = ["IAM_MASTER_KEY", "IAM_MASTER_KEY_PREVIOUS", "IAM_INTERNAL_TOKEN"];

/// Somewhere secrets can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretStore {
    /// The host's own: Workers secrets, Spin variables.
    Host,
    /// A Vault.
    Vault,
    /// This document (`secrets.values`).
    Configuration,
}

impl SecretStore {
    /// Its word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Vault => "vault",
            Self::Configuration => "configuration",
        }
    }
}

/// How a Vault is logged in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultAuth {
    /// The host secret `IAM_VAULT_TOKEN`.
    Token,
    /// `vault.role_id` and the host secret `IAM_VAULT_SECRET_ID`.
    AppRole,
    /// `vault.role` and the host secret `IAM_VAULT_JWT`: a service account's token.
    Kubernetes,
}

section! {
    /// Where secrets come from.
    pub struct SecretsConfiguration {
        /// Which stores are asked, first to last: `host`, `vault`, `configuration`, each once at most and at
        /// least one. The next one is asked where one has no such secret, or is down.
        order: Vec<SecretStore> = vec![SecretStore::Host, SecretStore::Vault],
        /// How long an instance keeps a secret that it fetched. 1 s to 1 h.
        max_age: Duration = Duration::from_seconds(300),
        /// How long beyond that it goes on with it while the store is down. At most 24 h.
        max_stale: Duration = Duration::from_hours(1),
        /// A Vault: HashiCorp Vault, OpenBao.
        vault: Option<VaultConfiguration> = None,
        /// Secrets that are none, for development: names such as `IAM_NOTIFICATION_TOKEN`, and texts. Never a
        /// master key or `IAM_INTERNAL_TOKEN`. Only where `order` says `configuration`.
        values: BTreeMap<String, String> = BTreeMap::new(),
    }
}

fields! {
    /// A Vault, by its HTTP API.
    pub struct VaultConfiguration {
        /// Where it is: `https://vault.example.com:8200`, without a path. `http://` on this machine alone.
        /// Needed.
        address: String = String::new(),
        /// Which namespace of it: names between slashes.
        namespace: Option<String> = None,
        /// How it is logged in to.
        auth: VaultAuth = VaultAuth::AppRole,
        /// Where that method is mounted, where it is not under its own name.
        auth_mount: Option<String> = None,
        /// With `approle`: the role's id.
        role_id: Option<String> = None,
        /// With `kubernetes`: the role.
        role: Option<String> = None,
        /// Where the KV engine (version 2) is mounted.
        kv_mount: String = "secret".to_owned(),
        /// The secret of that engine that holds ours: their names are its fields.
        path: String = "edge-iam/secrets".to_owned(),
        /// Where the transit engine is mounted.
        transit_mount: String = "transit".to_owned(),
        /// Its key that secrets `vault:v1:…` are opened with; none are where absent.
        transit_key: Option<String> = None,
        /// Where the PKI engine is mounted.
        pki_mount: String = "pki".to_owned(),
        /// Its role that certificates are issued by; none are where absent.
        pki_role: Option<String> = None,
        /// How long everything about one question may take, logging in included. 1 s to 4 s.
        timeout: Duration = Duration::from_seconds(2),
    }
}

/// Its fields that are texts, in one list: every module reads them, in one loop.
const TEXTS: [&str; 11] = [
    "address",
    "namespace",
    "auth_mount",
    "role_id",
    "role",
    "kv_mount",
    "path",
    "transit_mount",
    "transit_key",
    "pki_mount",
    "pki_role",
];

impl Field for VaultConfiguration {
    fn read(value: serde_json::Value, path: &str) -> Result<Self, ConfigurationError> {
        let mut fields = Fields::of(value, path)?;
        let mut texts = TEXTS.map(|_| None);
        for (text, name) in texts.iter_mut().zip(TEXTS) {
            *text = fields.take(name, None)?;
        }
        let default = Self::default();
        let auth = fields.take("auth", default.auth)?;
        let timeout = fields.take("timeout", default.timeout)?;
        fields.finish(&[TEXTS.as_slice(), &["auth", "timeout"]].concat())?;
        let [
            address,
            namespace,
            auth_mount,
            role_id,
            role,
            kv_mount,
            path,
            transit_mount,
            transit_key,
            pki_mount,
            pki_role,
        ] = texts;
        Ok(Self {
            address: address.unwrap_or(default.address),
            namespace,
            auth,
            auth_mount,
            role_id,
            role,
            kv_mount: kv_mount.unwrap_or(default.kv_mount),
            path: path.unwrap_or(default.path),
            transit_mount: transit_mount.unwrap_or(default.transit_mount),
            transit_key,
            pki_mount: pki_mount.unwrap_or(default.pki_mount),
            pki_role,
            timeout,
        })
    }
}

impl VaultConfiguration {
    /// Where the method of logging in is mounted.
    #[must_use]
    pub fn auth_mount(&self) -> &str {
        self.auth_mount.as_deref().unwrap_or(match self.auth {
            VaultAuth::Token => "token",
            VaultAuth::AppRole => "approle",
            VaultAuth::Kubernetes => "kubernetes",
        })
    }

    fn check(&self) -> Result<(), ConfigurationError> {
        const ADDRESS: &str = "https://host or https://host:port, without a path; http:// with an address of \
                               this machine alone";
        const NAMES: &str = "names of letters, digits, `_`, `-` and `.` between slashes";
        let is_path = |text: &Option<String>| text.as_deref().is_none_or(is_path);
        let is_text = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let role_id = self.auth != VaultAuth::AppRole || is_text(&self.role_id);
        let role = self.auth != VaultAuth::Kubernetes || is_text(&self.role);
        let timeout = (Duration::from_seconds(1)..=MAX_VAULT_TIMEOUT).contains(&self.timeout);
        require_all(&[
            ("secrets.vault.address", is_vault_address(&self.address), ADDRESS),
            ("secrets.vault.namespace", is_path(&self.namespace), NAMES),
            ("secrets.vault.auth_mount", is_path(&self.auth_mount), NAMES),
            ("secrets.vault.kv_mount", self::is_path(&self.kv_mount), NAMES),
            ("secrets.vault.path", self::is_path(&self.path), NAMES),
            ("secrets.vault.transit_mount", self::is_path(&self.transit_mount), NAMES),
            ("secrets.vault.transit_key", is_path(&self.transit_key), NAMES),
            ("secrets.vault.pki_mount", self::is_path(&self.pki_mount), NAMES),
            ("secrets.vault.pki_role", is_path(&self.pki_role), NAMES),
            ("secrets.vault.role_id", role_id, "with `auth` `approle`, the role's id"),
            ("secrets.vault.role", role, "with `auth` `kubernetes`, the role"),
            ("secrets.vault.timeout", timeout, "from 1s to 4s"),
        ])
    }
}

impl Configuration {
    pub(super) fn check_secrets(&self) -> Result<(), ConfigurationError> {
        const ORDER: &str = "`host`, `vault`, `configuration`, each once at most and at least one";
        let secrets = &self.secrets;
        let order = &secrets.order;
        let is_once = |store: &SecretStore| order.iter().filter(|other| *other == store).count() == 1;
        let max_age = (Duration::from_seconds(1)..=Duration::from_hours(1)).contains(&secrets.max_age);
        require_all(&[
            ("secrets.order", !order.is_empty() && order.iter().all(is_once), ORDER),
            ("secrets.max_age", max_age, "from 1s to 1h"),
            ("secrets.max_stale", secrets.max_stale <= Duration::from_hours(24), "at most 24h"),
        ])?;
        for name in secrets.values.keys() {
            let may_be = !NEVER_CONFIGURED.contains(&name.as_str());
            let field = format!("secrets.values.{name}");
            require_all(&[
                (&field, is_secret_name(name), "a name such as IAM_NOTIFICATION_TOKEN"),
                (&field, may_be, "not this one: keep it in a store"),
            ])?;
        }
        secrets.vault.as_ref().map_or(Ok(()), VaultConfiguration::check)
    }
}

/// Every module carries this: one loop over a table is a third of as many calls.
fn require_all(fields: &[(&str, bool, &str)]) -> Result<(), ConfigurationError> {
    fields.iter().try_for_each(|(field, holds, allowed)| require(field, *holds, || (*allowed).to_owned()))
}

/// Whether it is the name of a secret: 1 to 64 capital letters, digits and `_`, a letter first.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_uppercase()) && name.bytes().all(known)
}

/// A path of plain names.
fn is_path(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(known) && !name.bytes().all(|byte| byte == b'.');
    text.len() <= 256 && text.split('/').all(is_name)
}

/// An address of scheme, host and port alone; unencrypted only where nobody else hears it.
fn is_vault_address(text: &str) -> bool {
    let (rest, is_plain) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return false,
    };
    // Of an IPv6 address the colons are inside its brackets.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_port = |port: &str| {
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let is_name = (1..=253).contains(&host.len()) && host.bytes().all(known) && !host.starts_with(['.', '-']);
    let is_loopback = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
    (is_v6 || is_name) && port.is_none_or(is_port) && (!is_plain || is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(secrets: &serde_json::Value) -> Result<Configuration, String> {
        let document = serde_json::json!({"secrets": secrets}).to_string();
        Configuration::parse(&document, []).map_err(|error| error.to_string())
    }

    #[test]
    fn a_vault_is_read() {
        let secrets = serde_json::json!({
            "order": ["vault", "host", "configuration"], "max_age": "1m",
            "vault": {"address": "https://vault.example.com:8200", "role_id": "iam",
                "namespace": "teams/iam"},
            "values": {"IAM_NOTIFICATION_TOKEN": "x"},
        });
        let configuration = parse(&secrets).unwrap().secrets;
        let vault = configuration.vault.unwrap();
        assert_eq!((vault.auth, vault.auth_mount()), (VaultAuth::AppRole, "approle"));
        assert_eq!(configuration.order.first(), Some(&SecretStore::Vault));
    }

    #[test]
    fn what_is_refused_is_named() {
        let vault = |name: &str, value: &str| {
            let mut vault = serde_json::json!({"address": "https://vault.example.com", "role_id": "iam"});
            vault[name] = value.into();
            serde_json::json!({"vault": vault})
        };
        for (secrets, field) in [
            (serde_json::json!({"order": []}), "secrets.order"),
            (serde_json::json!({"order": ["host", "host"]}), "secrets.order"),
            (serde_json::json!({"order": ["file"]}), "secrets.order"),
            (serde_json::json!({"max_age": "0s"}), "secrets.max_age"),
            (serde_json::json!({"max_stale": "2d"}), "secrets.max_stale"),
            (serde_json::json!({"values": {"a": "b"}}), "secrets.values.a"),
            (serde_json::json!({"values": {"IAM_MASTER_KEY": "b"}}), "secrets.values.IAM_MASTER_KEY"),
            (serde_json::json!({"vault": {}}), "secrets.vault.address"),
            (serde_json::json!({"vault": {"address": "https://a"}}), "secrets.vault.role_id"),
            (
                serde_json::json!({"vault": {"address": "https://a", "auth": "kubernetes"}}),
                "secrets.vault.role",
            ),
            (vault("auth", "userpass"), "secrets.vault.auth"),
            (vault("path", "../sys"), "secrets.vault.path"),
            (vault("kv_mount", "a?b"), "secrets.vault.kv_mount"),
            (vault("transit_key", ""), "secrets.vault.transit_key"),
            (vault("namespace", "a b"), "secrets.vault.namespace"),
            (vault("timeout", "5s"), "secrets.vault.timeout"),
            (vault("token", "s.abc"), "secrets.vault.token"),
        ] {
            let error = parse(&secrets).unwrap_err();
            assert!(error.contains(&format!("`{field}`")), "{secrets}: {error}");
        }
    }

    #[test]
    fn addresses_are_encrypted_or_of_this_machine() {
        for good in [
            "https://vault.example.com",
            "https://vault:8200",
            "https://10.0.0.1:8200",
            "https://[fd00::1]:8200",
            "https://[fd00::1]",
            "http://127.0.0.1:8200",
            "http://localhost",
            "http://[::1]:8200",
        ] {
            assert!(is_vault_address(good), "{good}");
        }
        for bad in [
            "",
            "vault.example.com",
            "http://vault.example.com",
            "http://127.0.0.2",
            "http://localhost.example.com",
            "https://",
            "https://a/",
            "https://a/v1",
            "https://a:0",
            "https://a:x",
            "https://a:",
            "https://u@a",
            "https://a:99999",
            "https://a b",
            "https://[::1",
            "http://127.0.0.1@a",
            "https://a#b",
            "https://a?b",
        ] {
            assert!(!is_vault_address(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_plain() {
        for good in ["IAM_MASTER_KEY", "A", "STRIPE_2"] {
            assert!(is_secret_name(good), "{good}");
        }
        for bad in ["", "a", "2A", "_A", "A-B", "A B", "A\n", "\u{c4}", &"A".repeat(65)] {
            assert!(!is_secret_name(bad), "{bad}");
        }
    }
}
