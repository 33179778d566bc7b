//! Another's conformance test of SCIM servers: PyPI's `scim2-tester`, run by the command line of `scim2-cli`.
//!
//! It reads what the server says of itself, then makes, reads, replaces, changes and deletes a resource of
//! each kind, attribute by attribute, and holds every answer to RFC 7643 and RFC 7644.

use std::process::Command;

use serde_json::{Value, json};

use crate::Deployment;

/// What it has to have checked, and how often at least: a tester that gave up half-way has found nothing
/// either.
pub const CHECKS: [(&str, usize); 23] = [
    ("service_provider_config_endpoint", 1),
    ("service_provider_config_endpoint_methods", 4),
    ("query_all_resource_types", 1),
    ("query_resource_type_by_id", 2),
    ("resource_types_schema_validation", 2),
    ("access_invalid_resource_type", 1),
    ("resource_types_endpoint_methods", 4),
    ("query_all_schemas", 1),
    ("access_schema_by_id", 3),
    ("access_invalid_schema", 1),
    ("schemas_endpoint_methods", 4),
    ("random_url", 1),
    ("object_creation", 2),
    ("object_query", 2),
    ("object_query_without_id", 2),
    ("object_query_with_attributes", 4),
    ("object_list_with_attributes", 4),
    ("search_with_attributes", 4),
    ("object_replacement", 2),
    ("object_deletion", 2),
    // Each attribute of users, of their extension and of groups that may be set.
    ("check_add_attribute", 29),
    ("check_remove_attribute", 28),
    ("check_replace_attribute", 31),
];

/// What a deployment under this test is configured with: the passwords that it makes up are UUIDs, and it
/// asks some eight hundred times within seconds.
#[must_use]
pub fn configuration() -> Value {
    let mut configuration = crate::scenarios::configuration();
    configuration["password"]["require_upper"] = json!(false);
    configuration["scim"]["rate_limit_per_minute"] = json!(100_000);
    configuration
}

/// Runs it against a deployment that nobody else uses: it looks for what it made among the first resources of
/// a list.
pub async fn finds_nothing(deployment: &Deployment) {
    let program = std::env::var_os("IAM_TEST_SCIM").expect("IAM_TEST_SCIM names the command of scim2-cli");
    let mut command = Command::new(program);
    command
        .args(["--url", &format!("{}/api/scim/v2", deployment.base_url), "test", "--verbose"])
        .env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {}", deployment.setup.scim_token))
        .env("NO_PROXY", "127.0.0.1,localhost");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("scim2 starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    let faults = faults(&said);
    assert!(faults.is_empty(), "{}\n{failed}", faults.join("\n"));
    assert!(output.status.success(), "{}\n{said}\n{failed}", output.status);
    for (check, least) in CHECKS {
        let times = said.lines().filter(|line| *line == format!("SUCCESS {check}")).count();
        assert!(times >= least, "{check}: {times} of {least}\n{said}\n{failed}");
    }
}

/// Every result that is no success, with what is said of it below.
fn faults(said: &str) -> Vec<String> {
    let mut faults: Vec<String> = Vec::new();
    let mut is_fault = false;
    // The first line says what is tried.
    for line in said.lines().skip(1) {
        // Whatever is said of a result is more than one line where a value is, and the lines after the first
        // begin anywhere.
        let word = line.split(' ').next().unwrap_or_default();
        let is_result = !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase());
        if is_result {
            is_fault = word != "SUCCESS";
            if is_fault {
                faults.push(line.to_owned());
            }
        } else if let (true, Some(fault)) = (is_fault, faults.last_mut()) {
            fault.push('\n');
            fault.push_str(line);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::faults;

    #[test]
    fn faults_are_told_from_successes() {
        let said = "Performing a SCIM compliance check on http://127.0.0.1:1 ...\nSUCCESS random_url\n  it \
                    is 404\nERROR check_add_attribute\n  Attribute 'members' was not added\nReturned value: \
                    []\nSKIPPED search_with_attributes\nSUCCESS object_query";
        let expected = [
            "ERROR check_add_attribute\n  Attribute 'members' was not added\nReturned value: []",
            "SKIPPED search_with_attributes",
        ];
        assert_eq!(faults(said), expected);
        assert!(faults("").is_empty());
    }
}
