//! What the document may say, section by section, and what holds where it says nothing.

use crate::id::OrganizationId;
use crate::jose::jwt::Algorithm;
use crate::secret::password::PasswordCost;
use crate::time::Duration;

use super::reader::section;
use super::scim::ScimConfiguration;
use super::secrets::SecretsConfiguration;
use super::webhooks::{SecurityConfiguration, WebhooksConfiguration};
use super::{Area, Environment, LogLevel, first_organization};

section! {
    /// The whole document.
    pub struct Configuration {
        /// `live` or `test`: part of the prefix of API keys.
        environment: Environment = Environment::Live,
        /// The organization of a sign-in that names none.
        organization: OrganizationId = first_organization(),
        /// Where the product is reached from outside, as `https://iam.example.com`, without a slash at the
        /// end: what links and metadata name. Without it, the address a request came to.
        public_url: Option<String> = None,
        /// Sessions.
        session: SessionConfiguration = SessionConfiguration::default(),
        /// Access and refresh tokens.
        jwt: JwtConfiguration = JwtConfiguration::default(),
        /// The keys that sign tokens.
        keyring: KeyringConfiguration = KeyringConfiguration::default(),
        /// Passwords and sign-in.
        password: PasswordConfiguration = PasswordConfiguration::default(),
        /// Users, groups and roles.
        directory: DirectoryConfiguration = DirectoryConfiguration::default(),
        /// Emergency credentials.
        break_glass: BreakGlassConfiguration = BreakGlassConfiguration::default(),
        /// Who may say where a request came from.
        network: NetworkConfiguration = NetworkConfiguration::default(),
        /// Messages to people.
        notification: NotificationConfiguration = NotificationConfiguration::default(),
        /// API keys.
        api_keys: ApiKeyConfiguration = ApiKeyConfiguration::default(),
        /// Switches, and what they are until somebody sets them at run time.
        operational: OperationalConfiguration = OperationalConfiguration::default(),
        /// Where secrets come from.
        secrets: SecretsConfiguration = SecretsConfiguration::default(),
        /// Who may send webhooks at all.
        security: SecurityConfiguration = SecurityConfiguration::default(),
        /// Webhooks that are taken in.
        webhooks: WebhooksConfiguration = WebhooksConfiguration::default(),
        /// Provisioning over SCIM.
        scim: ScimConfiguration = ScimConfiguration::default(),
        /// Requests to addresses that users name.
        outbound: OutboundConfiguration = OutboundConfiguration::default(),
        /// Browsers.
        cors: CorsConfiguration = CorsConfiguration::default(),
        /// Traces, metrics and logs.
        monitoring: MonitoringConfiguration = MonitoringConfiguration::default(),
    }
}

section! {
    /// Sessions.
    pub struct SessionConfiguration {
        /// A session ends this long after it began. 1 m to 90 d.
        timeout: Duration = Duration::from_hours(8),
        /// A session ends this long after its last use. 1 m to `timeout`.
        idle_timeout: Duration = Duration::from_seconds(30 * 60),
        /// The oldest session ends where a user has more. 1 to 100.
        max_sessions_per_user: u32 = 5,
        /// What the session cookie is called: 1 to 64 letters, digits, `_` and `-`. It is always set as
        /// `__Host-` cookies are: Secure, Path=/, no Domain.
        cookie_name: String = "CRONOS_SESSION".to_owned(),
    }
}

section! {
    /// Access and refresh tokens.
    pub struct JwtConfiguration {
        /// The `iss` claim. Not empty.
        issuer: String = "cronos-auth".to_owned(),
        /// The `aud` claim; a token is accepted that names any of these. At least one.
        audience: Vec<String> = vec!["cronos-api".to_owned(), "cronos-console".to_owned()],
        /// How long an access token lives. 1 m to 1 d.
        access_token_expiry: Duration = Duration::from_hours(1),
        /// How long a refresh token lives. 1 m to 366 d.
        refresh_token_expiry: Duration = Duration::from_hours(24),
        /// A spent refresh token that comes again within this time gets the same successor, until that is
        /// used; after it, its whole family ends: the first is a client's retry or race, the second is theft.
        /// At most 5 m.
        refresh_reuse_tolerance: Duration = Duration::from_seconds(10),
        /// What new tokens are signed with. RS256 needs a host that signs in constant time: Workers.
        algorithm: Algorithm = Algorithm::Es256,
    }
}

section! {
    /// The keys that sign tokens. A key is announced in the JWKS, waits until every verifier that caches has
    /// seen it, signs, and stays announced until the last token it signed has ended.
    pub struct KeyringConfiguration {
        /// How long a key signs before the schedule replaces it. 1 m to 366 d.
        rotation_period: Duration = Duration::from_days(30),
        /// How long verifiers may keep the JWKS: its `Cache-Control: max-age`. A new key waits twice as long
        /// and a minute and a half before it signs. 1 s to 1 d.
        jwks_max_age: Duration = Duration::from_seconds(300),
    }
}

section! {
    /// Passwords and sign-in.
    pub struct PasswordConfiguration {
        /// What hashing one costs.
        argon2: PasswordCost = PasswordCost::default(),
        /// The fewest characters. 8 to 128.
        min_length: u32 = 12,
        /// Whether an upper-case letter must be in it.
        require_upper: bool = true,
        /// Whether a lower-case letter must be in it.
        require_lower: bool = true,
        /// Whether a digit must be in it.
        require_digits: bool = true,
        /// Whether a character must be in it that is neither letter nor digit.
        require_special: bool = true,
        /// After how long it must be changed; absent or `0s`: never.
        max_age: Duration = Duration::from_days(90),
        /// How many of the passwords before can't be used again. 0 to 24.
        history_size: u32 = 12,
        /// How many failures lock, for an account and for an address. 1 to 100.
        lockout_threshold: u32 = 5,
        /// How many failures lock an address, where it is not `lockout_threshold`: for offices behind one
        /// address. 1 to 10000.
        lockout_address_threshold: Option<u32> = None,
        /// How long a lock lasts. 1 m to 1 d.
        lockout_duration: Duration = Duration::from_seconds(15 * 60),
        /// How long a reset token works. 1 m to 1 d.
        reset_expiry: Duration = Duration::from_seconds(15 * 60),
    }
}

section! {
    /// Users, groups and roles.
    pub struct DirectoryConfiguration {
        /// How long a deleted user can be restored before it is purged. 1 s to 366 d.
        deletion_grace: Duration = Duration::from_days(30),
    }
}

section! {
    /// Emergency credentials.
    pub struct BreakGlassConfiguration {
        /// How long a sealed credential can be used. 1 m to 366 d.
        credential_expiry: Duration = Duration::from_days(90),
        /// How long the session lasts that it opens. 1 m to 1 d.
        session_timeout: Duration = Duration::from_seconds(30 * 60),
    }
}

section! {
    /// Who may say where a request came from.
    pub struct NetworkConfiguration {
        /// Proxies in front of the host whose `X-Forwarded-For` is believed, as address ranges
        /// (`10.0.0.0/8`). Nobody's by default.
        trusted_proxies: Vec<ipnet::IpNet> = Vec::new(),
    }
}

section! {
    /// Messages to people: a service of yours that takes JSON over HTTPS and sends it on by mail or
    /// otherwise.
    pub struct NotificationConfiguration {
        /// Where messages are posted, with the secret `IAM_NOTIFICATION_TOKEN` as bearer. None are sent
        /// without it.
        endpoint: Option<String> = None,
    }
}

section! {
    /// API keys.
    pub struct ApiKeyConfiguration {
        /// What every key begins with, before `live_` or `test_`: 3 to 24 lower-case letters, digits and `_`,
        /// ending in `_`.
        prefix: String = "cronos_sk_".to_owned(),
        /// How long a key lives where its creator does not say. 1 h to `max_expiry`.
        default_expiry: Duration = Duration::from_days(90),
        /// How long a key may live at most. 1 h to 3660 d.
        max_expiry: Duration = Duration::from_days(366),
        /// How many active keys a user may have. 1 to 1000.
        max_per_user: u32 = 10,
        /// Requests per minute where the creator does not say. 1 to 1000000.
        rate_limit_default: u32 = 1000,
        /// How long the old key works after a rotation where the caller does not say. At most 90 d.
        default_overlap: Duration = Duration::from_hours(24),
        /// Below which path rotated keys may be written to a Vault: up to 64 lower-case letters, digits, `_`
        /// and `-` between slashes, one at the end. The organization's id follows it.
        vault_path_prefix: String = "edge-iam/".to_owned(),
        /// How much randomness a key has, in bits. 256 to 512, a multiple of 8.
        entropy_bits: u32 = 256,
        /// Where the public keys are published that sign reports of leaked keys, in the format of GitHub's
        /// secret scanning partners. No reports are taken where it is empty.
        leak_reports_keys: String = "https://api.github.com/meta/public_keys/secret_scanning".to_owned(),
        /// How long an instance may remember that a key works: a revocation is seen that much later, and the
        /// answer says when the key was looked up. `0s`, the default: every verification looks. At most 60 s.
        verification_cache: Duration = Duration::from_seconds(0),
    }
}

section! {
    /// Switches, and what they are until somebody sets them at run time (`/api/v1/flags`).
    pub struct OperationalConfiguration {
        /// Whether limits are enforced.
        rate_limiting_enabled: bool = true,
        /// Requests a minute of a whole organization, over all its keys and sessions; none where absent. 1 to
        /// 100000000.
        rate_limit_per_minute: Option<u32> = None,
        /// Whether everything is logged, whatever `monitoring.logging.level` says.
        verbose_logging: bool = false,
        /// Whether requests are turned away with 503.
        maintenance_mode: bool = false,
        /// What is said then. 1 to 500 characters.
        maintenance_message: String = "System is under maintenance".to_owned(),
        /// When to come back: `Retry-After`. 1 s to 7 d.
        maintenance_retry_after: Duration = Duration::from_seconds(300),
        /// What is served nevertheless: `health`, `admin` (signing in and administration), `webhooks` (their
        /// intake).
        maintenance_serves: Vec<Area> = vec![Area::Health, Area::Admin],
        /// A switch is seen everywhere within this time. 1 s to 60 s.
        flags_max_age: Duration = Duration::from_seconds(5),
    }
}

section! {
    /// Requests to addresses that users name: deliveries of keys.
    pub struct OutboundConfiguration {
        /// Whether `http://` is good enough. For tests.
        allow_http: bool = false,
        /// Whether addresses of private networks and of this machine may be called.
        allow_private_addresses: bool = false,
    }
}

section! {
    /// Cross-origin requests from browsers.
    pub struct CorsConfiguration {
        /// Origins that may call, as `https://console.example.com`; none by default.
        allowed_origins: Vec<String> = Vec::new(),
    }
}

section! {
    /// Traces, metrics and logs.
    pub struct MonitoringConfiguration {
        /// The collector's OTLP/HTTP address without a path, as `http://collector:4318`. Nothing is sent
        /// without one.
        otlp_endpoint: Option<String> = None,
        /// What the names of our own metrics begin with.
        metric_prefix: String = "cronos_".to_owned(),
        /// Traces.
        tracing: TracingConfiguration = TracingConfiguration::default(),
        /// Logs.
        logging: LoggingConfiguration = LoggingConfiguration::default(),
    }
}

section! {
    /// Traces.
    pub struct TracingConfiguration {
        /// Which part of the requests that begin here is traced, 0 to 1. A caller's own decision
        /// (`traceparent`) goes before.
        sample_rate: f64 = 0.1,
    }
}

section! {
    /// Logs.
    pub struct LoggingConfiguration {
        /// The least severity that is written.
        level: LogLevel = LogLevel::Info,
        /// Of the requests that every service asks all the time (verifying a key or a token, health) so many
        /// that succeed share one line; all are counted. 1 for a line each, up to 1000000. A refusal always
        /// has its line.
        routine_every: u32 = 100,
        /// Fields whose values never appear.
        sensitive_fields: Vec<String> =
            ["password", "token", "api_key", "secret"].map(str::to_owned).to_vec(),
    }
}
