//! Provisioning over SCIM.

use serde_json::Value;

use super::reader::{Field, section};
use super::{ConfigurationError, require};
use crate::time::Duration;

/// What a person or an administrator may be allowed to change of a user that SCIM manages.
const EDITABLE: [&str; 5] = ["username", "email", "display_name", "password", "groups"];

section! {
    /// Provisioning over SCIM.
    pub struct ScimConfiguration {
        /// How many resources a filter without an index may look at; one that would look at more is refused.
        /// 1000 to 1000000.
        max_scanned: u32 = 100_000,
        /// Requests a minute with one token of a client, where the client has no limit of its own. 1 to
        /// 1000000.
        rate_limit_per_minute: u32 = 1000,
        /// How often a client may make the very same change within `loop_window`; what comes beyond is
        /// answered without work and reported. 2 to 10000.
        loop_bound: u32 = 20,
        /// The time for `loop_bound`. 1 m to 1 d.
        loop_window: Duration = Duration::from_seconds(600),
        /// What a person or an administrator may still change of a user that SCIM manages: of `username`,
        /// `email`, `display_name`, `password` and `groups`.
        locally_editable: Vec<String> = vec!["password".to_owned()],
        /// Which SCIM attributes people may change of themselves at `/Me`.
        self_editable: Vec<String> =
            ["nickName", "preferredLanguage", "locale", "timezone", "profileUrl"].map(str::to_owned).to_vec(),
        /// Which groups give which roles; read by those modules that need it.
        role_mappings: Value = Value::Null,
        /// Schemas that add attributes to users and groups; read by those modules that need it.
        extensions: Value = Value::Null,
    }
}

/// Whatever stands there: its readers are not in every module.
impl Field for Value {
    fn read(value: Value, _: &str) -> Result<Self, ConfigurationError> {
        Ok(value)
    }
}

impl ScimConfiguration {
    pub(super) fn check(&self) -> Result<(), ConfigurationError> {
        let between = |field, value: u32, least: u32, most: u32| {
            require(field, (least..=most).contains(&value), || format!("{least} to {most}"))
        };
        between("scim.max_scanned", self.max_scanned, 1000, 1_000_000)?;
        between("scim.rate_limit_per_minute", self.rate_limit_per_minute, 1, 1_000_000)?;
        between("scim.loop_bound", self.loop_bound, 2, 10_000)?;
        let (minute, day) = (Duration::from_seconds(60), Duration::from_days(1));
        require("scim.loop_window", self.loop_window >= minute && self.loop_window <= day, || {
            format!("from {minute} to {day}")
        })?;
        let known = |field: &String| EDITABLE.contains(&field.as_str());
        require("scim.locally_editable", self.locally_editable.iter().all(known), || {
            format!("of {}", EDITABLE.map(|field| format!("`{field}`")).join(", "))
        })
    }

    /// Whether a person or an administrator may change this field of a user that SCIM manages.
    #[must_use]
    pub fn is_locally_editable(&self, field: &str) -> bool {
        self.locally_editable.iter().any(|editable| editable == field)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Configuration;
    use super::*;

    fn read(scim: Value) -> Result<ScimConfiguration, String> {
        let document = json!({"scim": scim}).to_string();
        Configuration::parse(&document, []).map(|it| it.scim).map_err(|error| error.field)
    }

    #[test]
    fn what_it_may_say() {
        let scim = json!({
            "max_scanned": 1000, "rate_limit_per_minute": 60, "loop_bound": 5, "loop_window": "1m",
            "locally_editable": ["email", "groups"], "role_mappings": [{"any": 1}],
            "extensions": [{"thing": [true]}],
        });
        let configuration = read(scim).unwrap();
        assert_eq!(configuration.loop_window, Duration::from_seconds(60));
        assert!(configuration.is_locally_editable("email") && !configuration.is_locally_editable("password"));
        assert_eq!(configuration.extensions, json!([{"thing": [true]}]));
        let default = read(json!({})).unwrap();
        assert!(default.is_locally_editable("password") && default.role_mappings.is_null());
    }

    #[test]
    fn bad_values_name_their_field() {
        for (scim, field) in [
            (json!({"max_scanned": 999}), "scim.max_scanned"),
            (json!({"max_scanned": 1_000_001}), "scim.max_scanned"),
            (json!({"rate_limit_per_minute": 0}), "scim.rate_limit_per_minute"),
            (json!({"loop_bound": 1}), "scim.loop_bound"),
            (json!({"loop_window": "59s"}), "scim.loop_window"),
            (json!({"locally_editable": ["shoe_size"]}), "scim.locally_editable"),
            (json!({"locally_editable": "password"}), "scim.locally_editable"),
            (json!({"extension": []}), "scim.extension"),
        ] {
            assert_eq!(read(scim.clone()), Err(field.to_owned()), "{scim}");
        }
    }
}
