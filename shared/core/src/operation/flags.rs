//! Switches that work without a deploy: maintenance, verbose logging, rate limits.
//!
//! The configuration says what holds at first (`operational`); what somebody sets at run time is stored and
//! goes before it. Instances look again at most `operational.flags_max_age` later.

mod change;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::OperationalConfiguration;
use crate::id::OrganizationId;
use crate::sql::{FromRow, Query, Row, RowError};
use crate::time::Duration;

pub use change::{ChangedFlag, FLAGS_CHANGED, FlagChange, FlagsOnRecord};

/// What holds now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Flags {
    /// Whether limits are enforced.
    pub rate_limiting_enabled: bool,
    /// Requests a minute of a whole organization; none where absent.
    pub rate_limit_per_minute: Option<u32>,
    /// Whether everything is logged.
    pub verbose_logging: bool,
    /// Whether requests are turned away with 503.
    pub maintenance_mode: bool,
    /// What is said then.
    pub maintenance_message: String,
    /// When to come back.
    pub maintenance_retry_after: Duration,
}

/// What somebody set; the rest is as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagSettings {
    /// Whether limits are enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limiting_enabled: Option<bool>,
    /// Requests a minute of a whole organization, 1 to 100000000; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit_per_minute: Option<u32>,
    /// Whether everything is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbose_logging: Option<bool>,
    /// Whether requests are turned away with 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_mode: Option<bool>,
    /// What is said then, 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_message: Option<String>,
    /// When to come back, 1 s to 7 d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_retry_after: Option<Duration>,
}

impl Flags {
    /// What holds where nobody set anything.
    #[must_use]
    pub fn configured(configuration: &OperationalConfiguration) -> Self {
        Self {
            rate_limiting_enabled: configuration.rate_limiting_enabled,
            rate_limit_per_minute: configuration.rate_limit_per_minute,
            verbose_logging: configuration.verbose_logging,
            maintenance_mode: configuration.maintenance_mode,
            maintenance_message: configuration.maintenance_message.clone(),
            maintenance_retry_after: configuration.maintenance_retry_after,
        }
    }

    /// What holds with what was set.
    #[must_use]
    pub fn with(mut self, settings: FlagSettings) -> Self {
        if let Some(limit) = settings.rate_limit_per_minute {
            self.rate_limit_per_minute = Some(limit).filter(|limit| *limit > 0);
        }
        self.rate_limiting_enabled = settings.rate_limiting_enabled.unwrap_or(self.rate_limiting_enabled);
        self.verbose_logging = settings.verbose_logging.unwrap_or(self.verbose_logging);
        self.maintenance_mode = settings.maintenance_mode.unwrap_or(self.maintenance_mode);
        self.maintenance_message = settings.maintenance_message.unwrap_or(self.maintenance_message);
        self.maintenance_retry_after =
            settings.maintenance_retry_after.unwrap_or(self.maintenance_retry_after);
        self
    }
}

/// What was set, as every instance reads it.
#[derive(Debug, Default)]
pub struct StoredFlags {
    /// What was set.
    pub settings: FlagSettings,
}

impl StoredFlags {
    /// Finds what was set for a deployment, which is its first organization's.
    pub fn find(deployment: &OrganizationId) -> Query<Self> {
        Query::new("SELECT document FROM flags WHERE org_id = ?1").bind(deployment)
    }
}

impl FromRow for StoredFlags {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(Self { settings: row.json("document")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_goes_before_what_is_configured() {
        let configured = Flags::configured(&OperationalConfiguration {
            rate_limit_per_minute: Some(100),
            ..OperationalConfiguration::default()
        });
        let nothing_set = configured.clone().with(FlagSettings::default());
        assert_eq!(nothing_set, configured);
        let settings: FlagSettings =
            serde_json::from_str(r#"{"maintenance_mode": true, "rate_limit_per_minute": 0}"#).unwrap();
        let set = configured.with(settings);
        assert!(set.maintenance_mode && set.rate_limiting_enabled);
        assert_eq!(set.rate_limit_per_minute, None);
    }
}
