//! The switches as callers see them.

use iam_core::config::{Area, Configuration};
use iam_core::id::UserId;
use iam_core::operation::flags::{FlagSettings, Flags, FlagsOnRecord};
use iam_core::time::{Duration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// The deployment's switches.
#[derive(Serialize, JsonSchema)]
pub(crate) struct FlagsAnswer {
    /// Each of them.
    pub flags: ListedFlags,
    /// What maintenance leaves open, as configured: `health`, `admin`, `webhooks`.
    pub maintenance_serves: Vec<&'static str>,
    /// A change is seen by every instance within so many seconds.
    pub seen_everywhere_within_seconds: i64,
}

/// Each switch.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListedFlags {
    /// Whether limits are enforced.
    pub rate_limiting_enabled: ListedFlag<bool>,
    /// Requests a minute of a whole organization; null for none.
    pub rate_limit_per_minute: ListedFlag<Option<u32>>,
    /// Whether everything is logged.
    pub verbose_logging: ListedFlag<bool>,
    /// Whether requests are turned away with 503.
    pub maintenance_mode: ListedFlag<bool>,
    /// What is said then.
    pub maintenance_message: ListedFlag<String>,
    /// When to come back.
    pub maintenance_retry_after: ListedFlag<Duration>,
}

/// A switch.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListedFlag<T> {
    /// What holds.
    pub value: T,
    /// Where that comes from.
    pub source: Source,
    /// What the configuration says: it holds again once what was set is taken back.
    pub configured: T,
    /// Who changed it last, if anybody ever did.
    pub changed_by: Option<UserId>,
    /// When.
    pub changed_at: Option<Timestamp>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The deployment's configuration.
    Configuration,
    /// Somebody set it.
    RunTime,
}

impl FlagsAnswer {
    pub(crate) fn new(configuration: &Configuration, found: &FlagsOnRecord) -> Self {
        let operational = &configuration.operational;
        // A verification that is remembered asks the database nothing, and so hears of no change: and when it
        // was made, what its instance knew may have been as old as that may be.
        let bound = operational.flags_max_age.as_seconds();
        let bound = bound.saturating_add(configuration.api_keys.verification_cache.as_seconds());
        let configured = Flags::configured(operational);
        let now = configured.clone().with(found.settings.clone());
        let list = Lister(found);
        let FlagSettings {
            rate_limiting_enabled,
            rate_limit_per_minute,
            verbose_logging,
            maintenance_mode,
            maintenance_message,
            maintenance_retry_after,
        } = &found.settings;
        let flags = ListedFlags {
            rate_limiting_enabled: list.flag(
                "rate_limiting_enabled",
                rate_limiting_enabled.is_some(),
                (now.rate_limiting_enabled, configured.rate_limiting_enabled),
            ),
            rate_limit_per_minute: list.flag(
                "rate_limit_per_minute",
                rate_limit_per_minute.is_some(),
                (now.rate_limit_per_minute, configured.rate_limit_per_minute),
            ),
            verbose_logging: list.flag(
                "verbose_logging",
                verbose_logging.is_some(),
                (now.verbose_logging, configured.verbose_logging),
            ),
            maintenance_mode: list.flag(
                "maintenance_mode",
                maintenance_mode.is_some(),
                (now.maintenance_mode, configured.maintenance_mode),
            ),
            maintenance_message: list.flag(
                "maintenance_message",
                maintenance_message.is_some(),
                (now.maintenance_message, configured.maintenance_message),
            ),
            maintenance_retry_after: list.flag(
                "maintenance_retry_after",
                maintenance_retry_after.is_some(),
                (now.maintenance_retry_after, configured.maintenance_retry_after),
            ),
        };
        Self {
            flags,
            maintenance_serves: operational.maintenance_serves.iter().map(|area| name(*area)).collect(),
            seen_everywhere_within_seconds: bound,
        }
    }
}

struct Lister<'a>(&'a FlagsOnRecord);

impl Lister<'_> {
    fn flag<T>(&self, name: &str, is_set: bool, (value, configured): (T, T)) -> ListedFlag<T> {
        let change = self.0.changes.get(name);
        ListedFlag {
            value,
            source: if is_set { Source::RunTime } else { Source::Configuration },
            configured,
            changed_by: change.map(|change| change.by.clone()),
            changed_at: change.map(|change| change.at),
        }
    }
}

fn name(area: Area) -> &'static str {
    match area {
        Area::Health => "health",
        Area::Admin => "admin",
        Area::Webhooks => "webhooks",
    }
}
