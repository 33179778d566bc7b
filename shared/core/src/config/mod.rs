//! Configuration: one typed document. Every field has a default, so the empty document is a working one;
//! an unknown field or a bad value is an error that names the field and what is allowed.

mod reader;
#[cfg(not(target_family = "wasm"))]
pub mod reference;
pub mod scheme;
mod scim;
mod secrets;
mod sections;
mod webhooks;

use std::fmt;
use std::str::FromStr as _;

use crate::id::OrganizationId;
use crate::time::Duration;

use reader::Field as _;
pub use scim::*;
pub use secrets::*;
pub use sections::*;
pub use webhooks::*;

/// The host variable that holds the document, as JSON.
pub const DOCUMENT_VARIABLE: &str = "IAM_CONFIG";

/// Host variables that replace one field each, and the field.
pub const FIELD_VARIABLES: [(&str, &str); 5] = [
    ("IAM_ENVIRONMENT", "/environment"),
    ("IAM_JWT_ISSUER", "/jwt/issuer"),
    ("IAM_JWT_ALGORITHM", "/jwt/algorithm"),
    ("IAM_OTLP_ENDPOINT", "/monitoring/otlp_endpoint"),
    ("IAM_LOG_LEVEL", "/monitoring/logging/level"),
];

/// The organization that `cargo xtask dev` and `bootstrap` create, and the one a request works in that
/// names none.
pub const FIRST_ORGANIZATION: &str = "org_000000001";

/// Whether this deployment is for real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Production.
    Live,
    /// Anything else.
    Test,
}

/// A part of the product that maintenance may leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Whether it lives and serves.
    Health,
    /// Signing in and administration.
    Admin,
    /// The intake of webhooks.
    Webhooks,
}

/// A severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// One line a request.
    Info,
    /// What an operator should look at some time.
    Warning,
    /// What failed on our side.
    Error,
}

fn first_organization() -> OrganizationId {
    let organization = OrganizationId::from_str(FIRST_ORGANIZATION);
    organization.unwrap_or_else(|_| OrganizationId::new(crate::time::EPOCH, [0, 1]))
}

impl Configuration {
    /// Reads a document and the host variables that replace single fields; an empty one counts as absent.
    ///
    /// # Errors
    /// The first bad field, with what is allowed.
    pub fn parse(
        document: &str,
        fields: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, ConfigurationError> {
        let document = if document.trim().is_empty() { "{}" } else { document };
        let mut value: serde_json::Value = serde_json::from_str(document).map_err(|error| {
            ConfigurationError { field: String::new(), problem: format!("the document is not JSON: {error}") }
        })?;
        for (pointer, text) in fields {
            if !text.is_empty() {
                set(&mut value, pointer, text);
            }
        }
        let configuration = Self::read(value, "")?;
        configuration.check()?;
        Ok(configuration)
    }

    fn check(&self) -> Result<(), ConfigurationError> {
        let day = Duration::from_days(1);
        let year = Duration::from_days(366);
        let minute = Duration::from_seconds(60);
        let between = |field, value: Duration, least: Duration, most: Duration| {
            require(field, value >= least && value <= most, || format!("from {least} to {most}"))
        };
        between("session.timeout", self.session.timeout, minute, Duration::from_days(90))?;
        between("session.idle_timeout", self.session.idle_timeout, minute, self.session.timeout)?;
        let sessions = self.session.max_sessions_per_user;
        require("session.max_sessions_per_user", (1..=100).contains(&sessions), || "1 to 100".to_owned())?;
        require("jwt.issuer", !self.jwt.issuer.is_empty(), || "not empty".to_owned())?;
        let audience = &self.jwt.audience;
        require("jwt.audience", !audience.is_empty() && !audience.iter().any(String::is_empty), || {
            "at least one, none empty".to_owned()
        })?;
        between("jwt.access_token_expiry", self.jwt.access_token_expiry, minute, day)?;
        between("jwt.refresh_token_expiry", self.jwt.refresh_token_expiry, minute, year)?;
        let (none, most) = (Duration::from_seconds(0), Duration::from_seconds(300));
        between("jwt.refresh_reuse_tolerance", self.jwt.refresh_reuse_tolerance, none, most)?;
        self.check_passwords()?;
        self.check_directory()?;
        self.check_api_keys()?;
        self.check_operational()?;
        self.check_secrets()?;
        self.scim.check()?;
        self.webhooks.check(self)?;
        let every = self.monitoring.logging.routine_every;
        require("monitoring.logging.routine_every", (1..=1_000_000).contains(&every), || {
            "1 to 1000000".to_owned()
        })?;
        let rate = self.monitoring.tracing.sample_rate;
        require("monitoring.tracing.sample_rate", (0.0..=1.0).contains(&rate), || "0 to 1".to_owned())?;
        let http = |text: &String| text.starts_with("http://") || text.starts_with("https://");
        require("monitoring.otlp_endpoint", self.monitoring.otlp_endpoint.iter().all(http), || {
            "an http:// or https:// address without a path".to_owned()
        })?;
        let origins = &self.cors.allowed_origins;
        require("cors.allowed_origins", origins.iter().all(|o| http(o) && !o.ends_with('/')), || {
            "origins such as `https://console.example.com`".to_owned()
        })
    }

    fn check_passwords(&self) -> Result<(), ConfigurationError> {
        let password = &self.password;
        password.argon2.check().map_err(|error| ConfigurationError {
            field: "password.argon2".to_owned(),
            problem: error.to_string(),
        })?;
        require("password.min_length", (8..=128).contains(&password.min_length), || "8 to 128".to_owned())?;
        require("password.history_size", password.history_size <= 24, || "0 to 24".to_owned())?;
        let threshold =
            |field, value: u32| require(field, (1..=100).contains(&value), || "1 to 100".to_owned());
        threshold("password.lockout_threshold", password.lockout_threshold)?;
        let address = password.lockout_address_threshold.unwrap_or(1);
        require("password.lockout_address_threshold", (1..=10_000).contains(&address), || {
            "1 to 10000".to_owned()
        })?;
        let minute = Duration::from_seconds(60);
        let day = Duration::from_days(1);
        let between = |field, value: Duration| {
            require(field, value >= minute && value <= day, || format!("from {minute} to {day}"))
        };
        between("password.lockout_duration", password.lockout_duration)?;
        between("password.reset_expiry", password.reset_expiry)
    }

    fn check_directory(&self) -> Result<(), ConfigurationError> {
        let (second, minute) = (Duration::from_seconds(1), Duration::from_seconds(60));
        let (day, year) = (Duration::from_days(1), Duration::from_days(366));
        let between = |field, value: Duration, least: Duration, most: Duration| {
            require(field, value >= least && value <= most, || format!("from {least} to {most}"))
        };
        between("directory.deletion_grace", self.directory.deletion_grace, second, year)?;
        between("break_glass.credential_expiry", self.break_glass.credential_expiry, minute, year)?;
        between("break_glass.session_timeout", self.break_glass.session_timeout, minute, day)?;
        between("keyring.jwks_max_age", self.keyring.jwks_max_age, second, day)?;
        between("keyring.rotation_period", self.keyring.rotation_period, minute, year)?;
        let http = |text: &String| text.starts_with("http://") || text.starts_with("https://");
        require("notification.endpoint", self.notification.endpoint.iter().all(http), || {
            "an http:// or https:// address".to_owned()
        })?;
        require("public_url", self.public_url.iter().all(|url| http(url) && !url.ends_with('/')), || {
            "an address such as `https://iam.example.com`".to_owned()
        })?;
        let name = &self.session.cookie_name;
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        require(
            "session.cookie_name",
            !name.is_empty() && name.len() <= 64 && name.bytes().all(known),
            || "1 to 64 letters, digits, `_` and `-`".to_owned(),
        )
    }

    fn check_api_keys(&self) -> Result<(), ConfigurationError> {
        let keys = &self.api_keys;
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let fits = (3..=24).contains(&keys.prefix.len())
            && keys.prefix.ends_with('_')
            && keys.prefix.bytes().all(known);
        require("api_keys.prefix", fits, || {
            "3 to 24 lower-case letters, digits and `_`, ending in `_`".to_owned()
        })?;
        let hour = Duration::from_hours(1);
        let longest = keys.max_expiry;
        require("api_keys.max_expiry", longest >= hour && longest <= Duration::from_days(3660), || {
            "from 1h to 3660d".to_owned()
        })?;
        require(
            "api_keys.default_expiry",
            keys.default_expiry >= hour && keys.default_expiry <= longest,
            || format!("from 1h to api_keys.max_expiry ({longest})"),
        )?;
        require("api_keys.default_overlap", keys.default_overlap <= Duration::from_days(90), || {
            "at most 90d".to_owned()
        })?;
        let fits = (256..=512).contains(&keys.entropy_bits) && keys.entropy_bits.is_multiple_of(8);
        require("api_keys.entropy_bits", fits, || "256 to 512, a multiple of 8".to_owned())?;
        let prefix = &keys.vault_path_prefix;
        require("api_keys.vault_path_prefix", is_path_prefix(prefix), || {
            "up to 64 lower-case letters, digits, `_` and `-` between slashes, one at the end".to_owned()
        })?;
        let minute = Duration::from_seconds(60);
        require("api_keys.verification_cache", keys.verification_cache <= minute, || {
            "at most 1m".to_owned()
        })?;
        require("api_keys.max_per_user", (1..=1000).contains(&keys.max_per_user), || "1 to 1000".to_owned())?;
        require("api_keys.rate_limit_default", (1..=1_000_000).contains(&keys.rate_limit_default), || {
            "1 to 1000000".to_owned()
        })
    }

    fn check_operational(&self) -> Result<(), ConfigurationError> {
        let operational = &self.operational;
        let (second, minute) = (Duration::from_seconds(1), Duration::from_seconds(60));
        let between = |field, value: Duration, most: Duration| {
            require(field, value >= second && value <= most, || format!("from {second} to {most}"))
        };
        between("operational.flags_max_age", operational.flags_max_age, minute)?;
        between(
            "operational.maintenance_retry_after",
            operational.maintenance_retry_after,
            Duration::from_days(7),
        )?;
        let limit = operational.rate_limit_per_minute.unwrap_or(1);
        require("operational.rate_limit_per_minute", (1..=100_000_000).contains(&limit), || {
            "1 to 100000000".to_owned()
        })?;
        let message = operational.maintenance_message.chars().count();
        require("operational.maintenance_message", (1..=500).contains(&message), || {
            "1 to 500 characters".to_owned()
        })
    }

    /// What every API key of this deployment begins with: `cronos_sk_live_`.
    #[must_use]
    pub fn api_key_prefix(&self) -> String {
        let environment = match self.environment {
            Environment::Live => "live_",
            Environment::Test => "test_",
        };
        format!("{}{environment}", self.api_keys.prefix)
    }
}

fn require(field: &str, holds: bool, allowed: impl FnOnce() -> String) -> Result<(), ConfigurationError> {
    if holds {
        return Ok(());
    }
    Err(ConfigurationError { field: field.to_owned(), problem: format!("allowed is: {}", allowed()) })
}

/// Whether it is a path that others can be put below: `edge-iam/`.
fn is_path_prefix(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(known);
    text.len() <= 64 && text.strip_suffix('/').is_some_and(|path| path.split('/').all(is_name))
}

/// Puts a text at a JSON pointer, making the objects on the way.
fn set(document: &mut serde_json::Value, pointer: &str, text: String) {
    let mut place = document;
    for name in pointer.split('/').skip(1) {
        if !place.is_object() {
            return;
        }
        let serde_json::Value::Object(object) = place else { return };
        place = object.entry(name).or_insert_with(|| serde_json::json!({}));
    }
    *place = serde_json::Value::String(text);
}

/// A configuration that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationError {
    /// The field, as `session.idle_timeout`; empty where it is the whole document.
    pub field: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() || self.field == "." {
            write!(formatter, "configuration: {}", self.problem)
        } else {
            write!(formatter, "configuration field `{}`: {}", self.field, self.problem)
        }
    }
}

impl std::error::Error for ConfigurationError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(document: &str) -> String {
        Configuration::parse(document, []).unwrap_err().to_string()
    }

    #[test]
    fn the_empty_document_is_the_source_documents_defaults() {
        let defaults = Configuration::parse("", []).unwrap();
        assert_eq!(defaults, Configuration::default());
        assert_eq!(defaults.session.timeout.to_string(), "8h");
        assert_eq!(defaults.api_key_prefix(), "cronos_sk_live_");
        assert_eq!(defaults.organization.as_str(), FIRST_ORGANIZATION);
    }

    #[test]
    fn a_bad_value_names_its_field_and_what_is_allowed() {
        let document = r#"{"session": {"idle_timeout": "9h"}}"#;
        assert_eq!(error(document), "configuration field `session.idle_timeout`: allowed is: from 1m to 8h");
        assert!(error(r#"{"session": {"timeout": "8 hours"}}"#).contains("session.timeout"));
        assert!(error(r#"{"session": {"time_out": "8h"}}"#).contains("session.time_out"));
        assert!(
            error(r#"{"jwt": {"algorithm": "HS256"}}"#)
                .contains("configuration field `jwt.algorithm`: allowed is: one of `ES256`")
        );
        assert!(error("{").contains("not JSON"));
        for bits in [255, 257, 520] {
            let document = format!(r#"{{"api_keys": {{"entropy_bits": {bits}}}}}"#);
            assert!(error(&document).contains("`api_keys.entropy_bits`: allowed is: 256 to 512"), "{bits}");
        }
        for bits in [256, 264, 512] {
            let document = format!(r#"{{"api_keys": {{"entropy_bits": {bits}}}}}"#);
            assert_eq!(Configuration::parse(&document, []).unwrap().api_keys.entropy_bits, bits);
        }
    }

    #[test]
    fn a_host_variable_replaces_a_field() {
        let fields = [("/jwt/issuer", "me".to_owned()), ("/monitoring/otlp_endpoint", String::new())];
        let configuration = Configuration::parse("{}", fields).unwrap();
        assert_eq!(configuration.jwt.issuer, "me");
        assert_eq!(configuration.monitoring.otlp_endpoint, None);
    }
}
