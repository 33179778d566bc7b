//! What an instance (a Workers isolate, a Spin instance) keeps between requests: its configuration, its
//! secrets, its keys and its telemetry. Nothing here is the truth about a session, a key or a user.

pub(crate) mod flags;
pub(crate) mod known_keys;
pub(crate) mod leases;
pub(crate) mod secrets;
pub(crate) mod signing_keys;

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use iam_core::config::{Configuration, DOCUMENT_VARIABLE, FIELD_VARIABLES, LogLevel};
use iam_core::jose::jwt::Algorithm;
use iam_core::operation::flags::StoredFlags;
use iam_core::secret::seal::MasterKeys;
use iam_core::time::Timestamp;
use iam_edge::{Host, Secret};
use iam_telemetry::{Attribute, Collector, LogRecord, Redaction, Resource, Settings, Severity};

use flags::KnownFlags;
use known_keys::KnownKeys;
use leases::RateLimiter;
use secrets::KnownSecrets;
pub use secrets::{MASTER_KEY, MASTER_KEY_PREVIOUS};
use signing_keys::SigningKeys;
use subtle::ConstantTimeEq;

use crate::request::error::ApiError;

/// The host secret with which functions and schedulers call each other.
pub const INTERNAL_TOKEN: &str = "IAM_INTERNAL_TOKEN";

/// The shortest internal token that is taken, in bytes.
const MIN_INTERNAL_TOKEN_BYTES: usize = 32;

/// What an instance keeps.
pub struct Instance {
    /// The configuration it started with.
    pub configuration: Configuration,
    /// Signing keys and verified signatures.
    pub(crate) signing_keys: SigningKeys,
    /// Traces, metrics and logs.
    pub telemetry: Arc<Collector>,
    /// What was leased of limits.
    pub(crate) limiter: RateLimiter,
    /// The switches that hold.
    pub(crate) flags: KnownFlags,
    /// Keys that were verified, where the configuration allows to remember them, and how often each was used.
    pub(crate) known_keys: KnownKeys,
    /// When it started.
    pub started_at: Timestamp,
    /// Secrets that were looked up, the master keys among them.
    pub(crate) secrets: KnownSecrets,
    internal_token: Option<Secret>,
    derived: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Instance {
    /// Reads configuration and secrets from the host.
    ///
    /// # Errors
    /// When a variable is unreadable or a value is refused: the field and what is allowed.
    pub(crate) async fn start(function: &'static str, host: &Host) -> Result<Self, String> {
        let document = variable(host, DOCUMENT_VARIABLE).await?;
        let mut fields = Vec::new();
        for (name, field) in FIELD_VARIABLES {
            fields.push((field, variable(host, name).await?));
        }
        let configuration = Configuration::parse(&document, fields).map_err(|error| error.to_string())?;
        if configuration.jwt.algorithm == Algorithm::Rs256 && !iam_edge::web_crypto::IS_SUPPORTED {
            return Err(
                "configuration field `jwt.algorithm`: RS256 needs a host that signs it in constant time \
                        (Workers); allowed here: ES256, EdDSA"
                    .to_owned(),
            );
        }
        let internal_token = secret(host, INTERNAL_TOKEN).await?;
        if internal_token.as_ref().is_some_and(|token| token.expose().len() < MIN_INTERNAL_TOKEN_BYTES) {
            return Err(format!(
                "{INTERNAL_TOKEN}: at least {MIN_INTERNAL_TOKEN_BYTES} characters are needed"
            ));
        }
        Ok(Self {
            telemetry: Collector::new(telemetry_settings(function, host, &configuration)?),
            signing_keys: SigningKeys::default(),
            limiter: RateLimiter::default(),
            flags: KnownFlags::configured(&configuration.operational),
            known_keys: KnownKeys::default(),
            configuration,
            started_at: iam_edge::now(),
            secrets: KnownSecrets::default(),
            internal_token,
            derived: OnceLock::new(),
        })
    }

    /// The master key, and the previous one while it is turned over.
    ///
    /// # Errors
    /// 500 where no store has one, 503 `secrets_unavailable` where the store that may have it is down.
    pub fn master_key(&self) -> Result<Arc<MasterKeys>, ApiError> {
        self.secrets.master_keys()
    }

    /// What the function makes of the configuration, once an instance: one thing, always of the same type.
    ///
    /// # Errors
    /// Those of `make`; 500 for another type.
    pub fn derived<T: Send + Sync + 'static>(
        &self,
        make: impl FnOnce(&Configuration) -> Result<T, ApiError>,
    ) -> Result<Arc<T>, ApiError> {
        let kept = match self.derived.get() {
            Some(kept) => kept,
            None => {
                let made = Arc::new(make(&self.configuration)?);
                self.derived.get_or_init(|| made)
            }
        };
        Arc::clone(kept)
            .downcast()
            .map_err(|_| ApiError::internal("two things are derived from the configuration"))
    }

    /// Whether a text is the internal token. Without one nobody is internal.
    #[must_use]
    pub fn is_internal_token(&self, given: &str) -> bool {
        self.internal_token.as_ref().is_some_and(|token| is_same_secret(given, token.expose()))
    }

    /// The internal token, to call another function with.
    pub(crate) fn internal_token(&self) -> Option<&Secret> {
        self.internal_token.as_ref()
    }

    /// Takes in the switches as they are stored.
    pub(crate) fn learn_flags(&self, stored: StoredFlags, now: Timestamp) {
        let flags = self.flags.learn(&self.configuration.operational, stored.settings, now);
        self.telemetry.set_verbose(flags.verbose_logging);
    }

    /// Logs something that is wrong with this instance or what it reads.
    pub(crate) fn log_problem(&self, message: &str, cause: &str) {
        self.log(message, cause, None);
    }

    /// Logs an error, of a request where it is of one.
    pub(crate) fn log(&self, message: &str, cause: &str, request_id: Option<&str>) {
        let mut attributes = vec![Attribute::new("error.cause", cause.to_owned())];
        attributes.extend(request_id.map(|id| Attribute::new("request.id", id.to_owned())));
        self.log_as(Severity::Error, message, attributes);
    }

    /// Logs what is no error, of a request.
    pub(crate) fn log_warning(&self, message: &str, request_id: &str) {
        self.log_as(Severity::Warn, message, vec![Attribute::new("request.id", request_id.to_owned())]);
    }

    fn log_as(&self, severity: Severity, message: &str, attributes: Vec<Attribute>) {
        self.telemetry.log(LogRecord {
            time: nanoseconds(),
            severity,
            message: message.to_owned(),
            attributes,
            context: None,
        });
    }
}

fn telemetry_settings(
    function: &'static str,
    host: &Host,
    configuration: &Configuration,
) -> Result<Settings, String> {
    let mut instance_id = [0; 8];
    iam_edge::random(&mut instance_id).map_err(|error| error.to_string())?;
    let resource = Resource {
        service_name: function.into(),
        service_version: env!("CARGO_PKG_VERSION").into(),
        host: host.kind().as_str().into(),
        instance_id: iam_core::encoding::base64url(&instance_id),
    };
    let monitoring = &configuration.monitoring;
    let severity = match monitoring.logging.level {
        LogLevel::Debug => Severity::Debug,
        LogLevel::Info => Severity::Info,
        LogLevel::Warning => Severity::Warn,
        LogLevel::Error => Severity::Error,
    };
    let sensitive = monitoring.logging.sensitive_fields.iter().map(String::as_str);
    let delivers = monitoring.otlp_endpoint.is_some();
    Ok(Settings {
        delivers,
        honour_caller: delivers,
        sample_rate: if delivers { monitoring.tracing.sample_rate } else { 0.0 },
        severity,
        routine_every: monitoring.logging.routine_every,
        redaction: Redaction::default().with(sensitive, [configuration.api_keys.prefix.as_str()]),
        ..Settings::new(resource, nanoseconds, iam_edge::log)
    })
}

fn nanoseconds() -> u64 {
    u64::try_from(iam_edge::now().as_millis()).unwrap_or_default().saturating_mul(1_000_000)
}

async fn variable(host: &Host, name: &str) -> Result<String, String> {
    host.variable(name).await.map(Option::unwrap_or_default).map_err(|error| error.to_string())
}

async fn secret(host: &Host, name: &str) -> Result<Option<Secret>, String> {
    let secret = host.secret(name).await.map_err(|error| error.to_string())?;
    Ok(secret.filter(|secret| !secret.expose().is_empty()))
}

/// Locks; a panic elsewhere left the data as whole as ever, since no lock is held across a computation.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn is_same_secret(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}
