//! A change as callers ask for it.

use iam_core::operation::flags::FlagSettings;
use iam_core::time::Duration;
use iam_service::{ApiError, field};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The longest message, in characters.
const MAX_MESSAGE_CHARACTERS: usize = 500;

/// The highest limit of an organization, in requests a minute.
const MAX_RATE_LIMIT: u32 = 100_000_000;

/// The longest time to stay away.
const MAX_RETRY_AFTER: Duration = Duration::from_days(7);

/// What shall be set. What is absent stays; `null` returns to the configuration's value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchFlagsRequest {
    /// Whether limits are enforced.
    #[serde(default, deserialize_with = "field::present")]
    pub rate_limiting_enabled: Option<Option<bool>>,
    /// Requests a minute of a whole organization, 1 to 100000000; 0 for none.
    #[serde(default, deserialize_with = "field::present")]
    pub rate_limit_per_minute: Option<Option<u32>>,
    /// Whether everything is logged.
    #[serde(default, deserialize_with = "field::present")]
    pub verbose_logging: Option<Option<bool>>,
    /// Whether requests are turned away with 503.
    #[serde(default, deserialize_with = "field::present")]
    pub maintenance_mode: Option<Option<bool>>,
    /// What is said then: 1 to 500 characters.
    #[serde(default, deserialize_with = "field::present")]
    pub maintenance_message: Option<Option<String>>,
    /// When to come back: `1s` to `7d`.
    #[serde(default, deserialize_with = "field::present")]
    pub maintenance_retry_after: Option<Option<Duration>>,
}

impl PatchFlagsRequest {
    /// The change, if every value is allowed.
    ///
    /// # Errors
    /// 422 that names the field.
    pub(crate) fn checked(mut self) -> Result<Self, ApiError> {
        if self.rate_limit_per_minute.flatten().is_some_and(|limit| limit > MAX_RATE_LIMIT) {
            let allowed = format!("0 to {MAX_RATE_LIMIT} requests a minute");
            return Err(ApiError::field("/rate_limit_per_minute", allowed));
        }
        if let Some(Some(message)) = &mut self.maintenance_message {
            *message = field::name("/maintenance_message", message, MAX_MESSAGE_CHARACTERS)?.to_owned();
        }
        let least = Duration::from_seconds(1);
        if self.maintenance_retry_after.flatten().is_some_and(|time| time < least || time > MAX_RETRY_AFTER) {
            let allowed = format!("from {least} to {MAX_RETRY_AFTER}");
            return Err(ApiError::field("/maintenance_retry_after", allowed));
        }
        Ok(self)
    }

    /// What is set once it is applied.
    pub(crate) fn apply(&self, mut settings: FlagSettings) -> FlagSettings {
        put(&mut settings.rate_limiting_enabled, self.rate_limiting_enabled);
        put(&mut settings.rate_limit_per_minute, self.rate_limit_per_minute);
        put(&mut settings.verbose_logging, self.verbose_logging);
        put(&mut settings.maintenance_mode, self.maintenance_mode);
        put(&mut settings.maintenance_message, self.maintenance_message.clone());
        put(&mut settings.maintenance_retry_after, self.maintenance_retry_after);
        settings
    }
}

fn put<T>(place: &mut Option<T>, given: Option<Option<T>>) {
    if let Some(value) = given {
        *place = value;
    }
}

/// Which switches differ, each with its `old` value and its `new` one; null is the configuration's.
///
/// # Errors
/// Never for settings as they are; JSON says it could.
pub(crate) fn differences(old: &FlagSettings, new: &FlagSettings) -> Result<Map<String, Value>, ApiError> {
    let (old, new) = (serde_json::to_value(old)?, serde_json::to_value(new)?);
    let names = [&old, &new].into_iter().filter_map(Value::as_object).flat_map(Map::keys);
    let mut differences = Map::new();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before != after {
            differences.insert(name.clone(), json!({"old": before, "new": after}));
        }
    }
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> PatchFlagsRequest {
        iam_service::parse::<PatchFlagsRequest>(json.as_bytes()).unwrap().checked().unwrap()
    }

    #[test]
    fn what_is_absent_stays_and_null_takes_away() {
        let set = patch(r#"{"maintenance_mode": true, "maintenance_message": "  Back soon  "}"#)
            .apply(FlagSettings::default());
        assert_eq!(set.maintenance_message.as_deref(), Some("Back soon"));
        let after = patch(r#"{"maintenance_mode": null, "verbose_logging": true}"#).apply(set.clone());
        assert_eq!((after.maintenance_mode, after.verbose_logging), (None, Some(true)));
        assert_eq!(after.maintenance_message, set.maintenance_message);
        assert_eq!(
            Value::Object(differences(&set, &after).unwrap()),
            json!({
                "maintenance_mode": {"old": true, "new": null},
                "verbose_logging": {"old": null, "new": true},
            })
        );
        assert!(
            differences(&after, &patch(r#"{"verbose_logging": true}"#).apply(after.clone()))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        for bad in [
            r#"{"rate_limit_per_minute": 100000001}"#,
            r#"{"maintenance_message": "   "}"#,
            r#"{"maintenance_message": "a\nb"}"#,
            r#"{"maintenance_retry_after": "0s"}"#,
            r#"{"maintenance_retry_after": "8d"}"#,
        ] {
            let request = iam_service::parse::<PatchFlagsRequest>(bad.as_bytes()).unwrap();
            assert!(request.checked().is_err(), "{bad}");
        }
        let long = format!(r#"{{"maintenance_message": "{}"}}"#, "x".repeat(501));
        assert!(iam_service::parse::<PatchFlagsRequest>(long.as_bytes()).unwrap().checked().is_err());
    }
}
