//! `iam validate-config`

use std::io::{Read as _, stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use iam_core::config::{Configuration, ConfigurationError, FIELD_VARIABLES};
use iam_core::directory::role_mapping::RoleMapping;
use iam_provisioning::schema::Extension;
use serde_json::{Value, json};

use crate::Global;
use crate::exit::Exit;
use crate::output::record;

/// Check a configuration as the deployment would read it.
///
/// Exit code 9 where it would be refused, with the field and what is allowed there. Nothing is sent anywhere.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam validate-config iam.toml\n  \
                        iam validate-config --with-environment - < iam.json")]
pub(crate) struct ValidateConfig {
    /// The file with the document (what the deployment gets as IAM_CONFIG), JSON or, named `.toml`, TOML; `-`
    /// is standard input.
    file: PathBuf,
    /// With the variables of this environment that replace single fields: IAM_ENVIRONMENT, IAM_JWT_ISSUER,
    /// IAM_JWT_ALGORITHM, IAM_OTLP_ENDPOINT, IAM_LOG_LEVEL.
    #[arg(long)]
    with_environment: bool,
}

impl ValidateConfig {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let document = self.read().with_context(|| format!("can't read {}", self.file.display()))?;
        let mut fields = Vec::new();
        if self.with_environment {
            let given = |(name, field)| Some((field, std::env::var(name).ok()?));
            fields.extend(FIELD_VARIABLES.into_iter().filter_map(given));
        }
        let is_toml = self.file.extension().is_some_and(|extension| extension == "toml");
        let document = if is_toml { json_of_toml(&document) } else { Ok(document) };
        let (told, exit) = told(document.and_then(|document| checked(&document, fields)));
        record(stdout().lock(), global.output, &told, &["valid", "field", "problem"])?;
        Ok(exit)
    }

    fn read(&self) -> std::io::Result<String> {
        if self.file != Path::new("-") {
            return std::fs::read_to_string(&self.file);
        }
        let mut text = String::new();
        stdin().lock().read_to_string(&mut text)?;
        Ok(text)
    }
}

/// The configuration, with what only some of the deployment's modules read.
fn checked(
    document: &str,
    fields: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<Configuration, ConfigurationError> {
    let configuration = Configuration::parse(document, fields)?;
    Extension::read(&configuration.scim.extensions)?;
    RoleMapping::read(&configuration.scim.role_mappings).map_err(|error| ConfigurationError {
        field: format!("scim.role_mappings.{}", error.field),
        problem: error.problem,
    })?;
    Ok(configuration)
}

fn json_of_toml(document: &str) -> Result<String, ConfigurationError> {
    let value = toml::from_str::<Value>(document);
    value.map(|value| value.to_string()).map_err(|error| ConfigurationError {
        field: String::new(),
        problem: format!("the document is not TOML: {}", error.message()),
    })
}

fn told(parsed: Result<Configuration, ConfigurationError>) -> (Value, Exit) {
    match parsed {
        Ok(_) => (json!({"valid": true}), Exit::Done),
        Err(ConfigurationError { field, problem }) => {
            let field = Some(field).filter(|field| !field.is_empty() && field != ".");
            (json!({"valid": false, "field": field, "problem": problem}), Exit::CheckFailed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bad_field_is_named() {
        assert_eq!(told(Configuration::parse("{}", [])), (json!({"valid": true}), Exit::Done));
        let (bad, exit) = told(Configuration::parse(r#"{"session": {"idle_timeout": "9h"}}"#, []));
        assert_eq!((&bad["field"], exit), (&json!("session.idle_timeout"), Exit::CheckFailed));
        assert!(bad["problem"].as_str().unwrap().contains("1m to 8h"));
        let (bad, _) = told(Configuration::parse("{", []));
        assert_eq!(bad["field"], Value::Null);
        for (document, field) in [
            (r#"{"scim": {"extensions": [{"id": "urn:x:y", "name": "X"}]}}"#, "scim.extensions[0]"),
            (r#"{"scim": {"role_mappings": [{"group": "Engineering"}]}}"#, "scim.role_mappings.0"),
        ] {
            let (bad, exit) = told(checked(document, []));
            assert_eq!(exit, Exit::CheckFailed, "{document}");
            assert!(bad["field"].as_str().is_some_and(|it| it.starts_with(field)), "{bad}");
        }
    }
}
