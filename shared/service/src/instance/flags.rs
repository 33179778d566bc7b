//! The switches as an instance knows them, and what maintenance leaves open.

use std::sync::{Arc, Mutex};

use http::{HeaderValue, StatusCode, header};
use iam_core::config::{Area, OperationalConfiguration};
use iam_core::operation::flags::{FlagSettings, Flags};
use iam_core::time::{Duration, Timestamp};

use super::lock;
use crate::request::error::ApiError;

/// What an instance knows of the flags: as old as `operational.flags_max_age` at most when a request that
/// asks the database anything is answered.
pub(crate) struct KnownFlags(Mutex<Known>);

struct Known {
    flags: Arc<Flags>,
    read_at: Option<Timestamp>,
}

impl KnownFlags {
    pub(crate) fn configured(configuration: &OperationalConfiguration) -> Self {
        Self(Mutex::new(Known { flags: Arc::new(Flags::configured(configuration)), read_at: None }))
    }

    pub(crate) fn current(&self) -> Arc<Flags> {
        Arc::clone(&lock(&self.0).flags)
    }

    /// Whether they were ever read: before that, they are as configured.
    pub(crate) fn are_read(&self) -> bool {
        lock(&self.0).read_at.is_some()
    }

    /// Whether they have to be read again. A clock that went back makes them due too.
    pub(crate) fn is_due(&self, now: Timestamp, max_age: Duration) -> bool {
        lock(&self.0).read_at.is_none_or(|read_at| now < read_at || now >= read_at.after(max_age))
    }

    pub(crate) fn learn(
        &self,
        configuration: &OperationalConfiguration,
        settings: FlagSettings,
        now: Timestamp,
    ) -> Arc<Flags> {
        let flags = Arc::new(Flags::configured(configuration).with(settings));
        let mut known = lock(&self.0);
        known.flags = Arc::clone(&flags);
        known.read_at = Some(now);
        flags
    }
}

/// When a function is served though the product is under maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Never.
    Never,
    /// Where the configuration says so of its area.
    Of(Area),
    /// Always: without it nobody could end the maintenance, or nothing is done for callers.
    Always,
}

/// Refuses a request where the product is under maintenance.
///
/// # Errors
/// 503 with the message and when to come back.
pub(crate) fn check_maintenance(
    opening: Opening,
    flags: &Flags,
    configuration: &OperationalConfiguration,
) -> Result<(), ApiError> {
    let is_open = match opening {
        Opening::Always => true,
        Opening::Of(area) => configuration.maintenance_serves.contains(&area),
        Opening::Never => false,
    };
    if !flags.maintenance_mode || is_open {
        return Ok(());
    }
    Err(maintenance(flags))
}

/// 503 with the message and when to come back.
pub(crate) fn maintenance(flags: &Flags) -> ApiError {
    let seconds = flags.maintenance_retry_after.as_seconds();
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "maintenance", flags.maintenance_message.clone())
        .header(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_leaves_open_what_is_configured() {
        let configuration = OperationalConfiguration {
            maintenance_mode: true,
            maintenance_serves: vec![Area::Webhooks],
            ..OperationalConfiguration::default()
        };
        let flags = Flags::configured(&configuration);
        for (opening, is_open) in [
            (Opening::Always, true),
            (Opening::Of(Area::Webhooks), true),
            (Opening::Of(Area::Health), false),
            (Opening::Of(Area::Admin), false),
            (Opening::Never, false),
        ] {
            assert_eq!(check_maintenance(opening, &flags, &configuration).is_ok(), is_open, "{opening:?}");
            let off = Flags { maintenance_mode: false, ..flags.clone() };
            assert!(check_maintenance(opening, &off, &configuration).is_ok());
        }
    }
}
