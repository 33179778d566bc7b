//! Configuration: one typed document. Every field has a default, so the empty document is a working one;
//! an unknown field or a bad value is an error that names the field and what is allowed.

use std::fmt;
use std::str::FromStr as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::OrganizationId;
use crate::jwt::Algorithm;
use crate::password::PasswordCost;
use crate::time::Duration;

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

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// `live` or `test`: part of the prefix of API keys.
    pub environment: Environment,
    /// The organization of a sign-in that names none.
    pub organization: OrganizationId,
    /// Where the product is reached from outside, as `https://iam.example.com`: what links and metadata name. Without
    /// it, the address a request came to.
    pub public_url: Option<String>,
    /// Sessions.
    pub session: SessionConfiguration,
    /// Access and refresh tokens.
    pub jwt: JwtConfiguration,
    /// The keys that sign tokens.
    pub keyring: KeyringConfiguration,
    /// Passwords and sign-in.
    pub password: PasswordConfiguration,
    /// Users, groups and roles.
    pub directory: DirectoryConfiguration,
    /// Emergency credentials.
    pub break_glass: BreakGlassConfiguration,
    /// Who may say where a request came from.
    pub network: NetworkConfiguration,
    /// Messages to people.
    pub notification: NotificationConfiguration,
    /// API keys.
    pub api_keys: ApiKeyConfiguration,
    /// Browsers.
    pub cors: CorsConfiguration,
    /// Traces, metrics and logs.
    pub monitoring: MonitoringConfiguration,
}

impl Default for Configuration {
    fn default() -> Self {
        let organization = OrganizationId::from_str(FIRST_ORGANIZATION);
        Self {
            environment: Environment::Live,
            organization: organization.unwrap_or_else(|_| OrganizationId::new(crate::time::EPOCH, [0, 1])),
            public_url: None,
            session: SessionConfiguration::default(),
            jwt: JwtConfiguration::default(),
            keyring: KeyringConfiguration::default(),
            password: PasswordConfiguration::default(),
            directory: DirectoryConfiguration::default(),
            break_glass: BreakGlassConfiguration::default(),
            network: NetworkConfiguration::default(),
            notification: NotificationConfiguration::default(),
            api_keys: ApiKeyConfiguration::default(),
            cors: CorsConfiguration::default(),
            monitoring: MonitoringConfiguration::default(),
        }
    }
}

/// Whether this deployment is for real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Production.
    Live,
    /// Anything else.
    Test,
}

/// Sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfiguration {
    /// A session ends this long after it began.
    pub timeout: Duration,
    /// A session ends this long after its last use.
    pub idle_timeout: Duration,
    /// The oldest session ends where a user has more. 1 to 100.
    pub max_sessions_per_user: u32,
    /// What the session cookie is called. It is always set as `__Host-` cookies are: Secure, Path=/, no Domain.
    pub cookie_name: String,
}

impl Default for SessionConfiguration {
    fn default() -> Self {
        Self {
            timeout: Duration::from_hours(8),
            idle_timeout: Duration::from_seconds(30 * 60),
            max_sessions_per_user: 5,
            cookie_name: "CRONOS_SESSION".to_owned(),
        }
    }
}

/// Access and refresh tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtConfiguration {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim; a token is accepted that names any of these.
    pub audience: Vec<String>,
    /// How long an access token lives.
    pub access_token_expiry: Duration,
    /// How long a refresh token lives.
    pub refresh_token_expiry: Duration,
    /// A spent refresh token that comes again within this time gets the same successor, until that is used; after it,
    /// its whole family ends: the first is a client's retry or race, the second is theft.
    pub refresh_reuse_tolerance: Duration,
    /// What new tokens are signed with. RS256 needs a host that signs in constant time: Workers.
    pub algorithm: Algorithm,
}

impl Default for JwtConfiguration {
    fn default() -> Self {
        Self {
            issuer: "cronos-auth".to_owned(),
            audience: vec!["cronos-api".to_owned(), "cronos-console".to_owned()],
            access_token_expiry: Duration::from_hours(1),
            refresh_token_expiry: Duration::from_hours(24),
            refresh_reuse_tolerance: Duration::from_seconds(10),
            algorithm: Algorithm::Es256,
        }
    }
}

/// The keys that sign tokens. A key is announced in the JWKS, waits until every verifier that caches has seen it,
/// signs, and stays announced until the last token it signed has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyringConfiguration {
    /// How long a key signs before the schedule replaces it.
    pub rotation_period: Duration,
    /// How long verifiers may keep the JWKS: its `Cache-Control: max-age`. A new key waits twice as long and a minute and a
    /// half before it signs.
    pub jwks_max_age: Duration,
}

impl Default for KeyringConfiguration {
    fn default() -> Self {
        Self { rotation_period: Duration::from_days(30), jwks_max_age: Duration::from_seconds(300) }
    }
}

/// Passwords and sign-in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordConfiguration {
    /// What hashing one costs.
    pub argon2: PasswordCost,
    /// The fewest characters. 8 to 128.
    pub min_length: u32,
    /// Whether an upper-case letter must be in it.
    pub require_upper: bool,
    /// Whether a lower-case letter must be in it.
    pub require_lower: bool,
    /// Whether a digit must be in it.
    pub require_digits: bool,
    /// Whether a character must be in it that is neither letter nor digit.
    pub require_special: bool,
    /// After how long it must be changed; absent or `0s`: never.
    pub max_age: Duration,
    /// How many of the passwords before can't be used again. 0 to 24.
    pub history_size: u32,
    /// How many failures lock, for an account and for an address. 1 to 100.
    pub lockout_threshold: u32,
    /// How many failures lock an address, where it is not `lockout_threshold`: for offices behind one address.
    pub lockout_address_threshold: Option<u32>,
    /// How long a lock lasts.
    pub lockout_duration: Duration,
    /// How long a reset token works.
    pub reset_expiry: Duration,
}

impl Default for PasswordConfiguration {
    fn default() -> Self {
        Self {
            argon2: PasswordCost::default(),
            min_length: 12,
            require_upper: true,
            require_lower: true,
            require_digits: true,
            require_special: true,
            max_age: Duration::from_days(90),
            history_size: 12,
            lockout_threshold: 5,
            lockout_address_threshold: None,
            lockout_duration: Duration::from_seconds(15 * 60),
            reset_expiry: Duration::from_seconds(15 * 60),
        }
    }
}

/// Users, groups and roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DirectoryConfiguration {
    /// How long a deleted user can be restored before it is purged.
    pub deletion_grace: Duration,
}

impl Default for DirectoryConfiguration {
    fn default() -> Self {
        Self { deletion_grace: Duration::from_days(30) }
    }
}

/// Emergency credentials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakGlassConfiguration {
    /// How long a sealed credential can be used.
    pub credential_expiry: Duration,
    /// How long the session lasts that it opens.
    pub session_timeout: Duration,
}

impl Default for BreakGlassConfiguration {
    fn default() -> Self {
        Self { credential_expiry: Duration::from_days(90), session_timeout: Duration::from_seconds(30 * 60) }
    }
}

/// Who may say where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfiguration {
    /// Proxies in front of the host whose `X-Forwarded-For` is believed, as address ranges (`10.0.0.0/8`). Nobody's by
    /// default.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// Messages to people: a service of yours that takes JSON over HTTPS and sends it on by mail or otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NotificationConfiguration {
    /// Where messages are posted, with the secret `IAM_NOTIFICATION_TOKEN` as bearer. None are sent without it.
    pub endpoint: Option<String>,
}

/// API keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeyConfiguration {
    /// What every key begins with, before `live_` or `test_`: 3 to 24 lower-case letters, digits and `_`,
    /// ending in `_`.
    pub prefix: String,
    /// How long a key lives where its creator does not say.
    pub default_expiry: Duration,
    /// How long a key may live at most.
    pub max_expiry: Duration,
    /// How many active keys a user may have. 1 to 1000.
    pub max_per_user: u32,
    /// Requests per minute where the creator does not say. 1 to 1000000.
    pub rate_limit_default: u32,
    /// How long the old key works after a rotation where the caller does not say.
    pub default_overlap: Duration,
}

impl Default for ApiKeyConfiguration {
    fn default() -> Self {
        Self {
            prefix: "cronos_sk_".to_owned(),
            default_expiry: Duration::from_days(90),
            max_expiry: Duration::from_days(366),
            max_per_user: 10,
            rate_limit_default: 1000,
            default_overlap: Duration::from_hours(24),
        }
    }
}

/// Cross-origin requests from browsers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorsConfiguration {
    /// Origins that may call, as `https://console.example.com`; none by default.
    pub allowed_origins: Vec<String>,
}

/// Traces, metrics and logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MonitoringConfiguration {
    /// The collector's OTLP/HTTP address without a path, as `http://collector:4318`. Nothing is sent
    /// without one.
    pub otlp_endpoint: Option<String>,
    /// What the names of our own metrics begin with.
    pub metric_prefix: String,
    /// Traces.
    pub tracing: TracingConfiguration,
    /// Logs.
    pub logging: LoggingConfiguration,
}

impl Default for MonitoringConfiguration {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            metric_prefix: "cronos_".to_owned(),
            tracing: TracingConfiguration::default(),
            logging: LoggingConfiguration::default(),
        }
    }
}

/// Traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracingConfiguration {
    /// Which part of the requests that begin here is traced, 0 to 1. A caller's own decision
    /// (`traceparent`) goes before.
    pub sample_rate: f64,
}

impl Default for TracingConfiguration {
    fn default() -> Self {
        Self { sample_rate: 0.1 }
    }
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingConfiguration {
    /// The least severity that is written.
    pub level: LogLevel,
    /// Fields whose values never appear.
    pub sensitive_fields: Vec<String>,
}

impl Default for LoggingConfiguration {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            sensitive_fields: ["password", "token", "api_key", "secret"].map(str::to_owned).to_vec(),
        }
    }
}

/// A severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
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
        let configuration: Self = serde_json::from_value(value.clone()).map_err(|error| {
            ConfigurationError { field: culprit(value, &error), problem: error.to_string() }
        })?;
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
        require("api_keys.max_per_user", (1..=1000).contains(&keys.max_per_user), || "1 to 1000".to_owned())?;
        require("api_keys.rate_limit_default", (1..=1_000_000).contains(&keys.rate_limit_default), || {
            "1 to 1000000".to_owned()
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

/// The field that is at fault: the one without which the document reads otherwise. (Following the path while
/// decoding would say it too, and cost every module a second decoder of every section.)
fn culprit(document: serde_json::Value, error: &serde_json::Error) -> String {
    let problem = error.to_string();
    let mut paths = Vec::new();
    list_paths(&document, &mut Vec::new(), &mut paths);
    let at_fault = paths.into_iter().find(|path| {
        let mut rest = document.clone();
        remove(&mut rest, path);
        let otherwise = serde_json::from_value::<Configuration>(rest);
        otherwise.map_or_else(|error| error.to_string() != problem, |_| true)
    });
    at_fault.unwrap_or_default().join(".")
}

/// Every field of a document, the innermost first.
fn list_paths(value: &serde_json::Value, at: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        at.push(name.clone());
        list_paths(value, at, paths);
        paths.push(at.clone());
        at.pop();
    }
}

fn remove(document: &mut serde_json::Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut place = document;
    for name in parents {
        let Some(next) = place.get_mut(name) else { return };
        place = next;
    }
    if let Some(object) = place.as_object_mut() {
        object.remove(last);
    }
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
        assert!(error(r#"{"jwt": {"algorithm": "HS256"}}"#).contains("expected one of `ES256`"));
        assert!(error("{").contains("not JSON"));
    }

    #[test]
    fn a_host_variable_replaces_a_field() {
        let fields = [("/jwt/issuer", "me".to_owned()), ("/monitoring/otlp_endpoint", String::new())];
        let configuration = Configuration::parse("{}", fields).unwrap();
        assert_eq!(configuration.jwt.issuer, "me");
        assert_eq!(configuration.monitoring.otlp_endpoint, None);
    }
}
