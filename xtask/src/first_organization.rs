//! The first organization and its administrator, for an empty database.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use iam_core::config::Configuration;
use iam_core::operation::bootstrap::{Entropy, FirstOrganization};
use iam_core::sql::{Statement, Value};
use iam_core::time::Timestamp;
use serde_json::json;

use crate::state::{Credentials, random};

/// Gives a row where there is an organization already.
pub(crate) const EXISTS: &str = "SELECT 1 FROM organizations LIMIT 1";

/// Makes the statements and the secrets that are shown once.
pub(crate) fn make(config: &str, name: &str, username: &str) -> Result<FirstOrganization> {
    let configuration = Configuration::parse(config, []).context("IAM_CONFIG")?;
    let entropy = Entropy {
        ids: [random()?, random()?, random()?],
        password: random()?,
        salt: random()?,
        scim_token: random()?,
    };
    FirstOrganization::new(name, username, &configuration, &entropy, now()?)
        .context("the first organization cannot be made")
}

/// The credentials file's contents.
pub(crate) fn credentials(organization: &FirstOrganization, base_url: &str) -> Credentials {
    Credentials {
        base_url: base_url.to_owned(),
        username: organization.username.clone(),
        password: organization.password.to_string(),
        scim_token: organization.scim_token.reveal().to_owned(),
    }
}

/// The statements as `xtask/js/workerd.mjs` takes them.
pub(crate) fn seed(statements: &[Statement]) -> serde_json::Value {
    let statements: Vec<serde_json::Value> = statements
        .iter()
        .map(|statement| {
            let parameters: Vec<serde_json::Value> = statement.parameters().iter().map(parameter).collect();
            json!({ "sql": statement.text(), "parameters": parameters })
        })
        .collect();
    json!({ "unless": EXISTS, "statements": statements })
}

fn parameter(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(integer) => json!(integer),
        Value::Text(text) => json!(text),
    }
}

fn now() -> Result<Timestamp> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp::from_millis(i64::try_from(elapsed.as_millis()).context("the clock is out of range")?))
}
