//! `iam flags set`

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;

/// Set switches: every instance sees it within seconds.
///
/// `maintenance_mode`, `verbose_logging` and `rate_limiting_enabled` are `true` or `false`;
/// `maintenance_message` is a text; `maintenance_retry_after` a time such as `90s` or `15m`;
/// `rate_limit_per_minute` a number, 0 for none. For members of the deployment's own organization; needs the
/// permission `flags.manage.all`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  iam flags set maintenance_mode=true maintenance_message='Back at noon'\n  \
                        iam flags set verbose_logging=true"
)]
pub(super) struct Set {
    /// A switch and its value; several are set at once or none.
    #[arg(value_name = "NAME=VALUE", required = true, value_parser = setting)]
    settings: Vec<(String, Value)>,
}

impl Set {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let patch = Value::Object(self.settings.iter().cloned().collect());
        let answer = Client::signed_in(global)?.call(&Call::patch(super::FLAGS, &patch))?;
        super::write(&answer, global)
    }
}

fn setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is NAME=VALUE")?;
    let name = name.replace('-', "_");
    let value = match name.as_str() {
        "maintenance_mode" | "verbose_logging" | "rate_limiting_enabled" => {
            json!(value.parse::<bool>().map_err(|_| format!("`{name}` is `true` or `false`"))?)
        }
        "rate_limit_per_minute" => {
            json!(value.parse::<u32>().map_err(|_| format!("`{name}` is a whole number"))?)
        }
        "maintenance_message" | "maintenance_retry_after" => json!(value),
        _ => return Err(format!("there is no such switch; there are: {}", super::NAMES.join(", "))),
    };
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_has_its_kind_of_value() {
        for (text, name, value) in [
            ("maintenance_mode=true", "maintenance_mode", json!(true)),
            ("rate-limit-per-minute=0", "rate_limit_per_minute", json!(0)),
            ("maintenance_message=a = b", "maintenance_message", json!("a = b")),
            ("maintenance_retry_after=15m", "maintenance_retry_after", json!("15m")),
        ] {
            assert_eq!(setting(text).unwrap(), (name.to_owned(), value));
        }
        for bad in
            ["maintenance_mode", "maintenance_mode=yes", "rate_limit_per_minute=-1", "flags_max_age=1s"]
        {
            assert!(setting(bad).is_err(), "{bad}");
        }
        for name in super::super::NAMES {
            let known = ["true", "1", "5m"].iter().any(|value| setting(&format!("{name}={value}")).is_ok());
            assert!(known, "{name}");
        }
    }
}
