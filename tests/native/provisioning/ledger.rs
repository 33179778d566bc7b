//! Every row of `tests/scim-ledger.md` names what shows it, or says why it is not done.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails in a helper fails its test")]

use std::fs;
use std::path::Path;

use iam_tests::{scim_tester, sequences};

struct Row {
    section: String,
    level: String,
    status: String,
}

fn rows() -> Vec<Row> {
    let text = include_str!("../../scim-ledger.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [section, level, _, status] = cells.as_slice() else { return None };
        let is_row = section.starts_with(|first: char| first.is_ascii_digit());
        is_row.then(|| Row {
            section: (*section).to_owned(),
            level: (*level).to_owned(),
            status: (*status).to_owned(),
        })
    });
    rows.collect()
}

#[test]
fn every_row_names_what_is_there() {
    let rows = rows();
    assert!(rows.len() > 150, "only {} rows", rows.len());
    for Row { section, level, status } in &rows {
        assert!(level == "MUST" || level == "SHOULD", "{section}: {level}");
        if let Some(reason) = status.strip_prefix("not: ") {
            assert!(reason.len() > 20, "{section}: `{reason}` is no reason");
            continue;
        }
        assert!(!status.is_empty(), "{section} says nothing");
        for name in status.split(", ") {
            assert!(is_there(name), "{section}: there is no {name}");
        }
    }
}

fn is_there(name: &str) -> bool {
    if let Some(sequence) = name.strip_prefix("sequence ") {
        return sequences::FILES.iter().any(|(file, _)| *file == sequence);
    }
    if let Some(check) = name.strip_prefix("tester ") {
        return scim_tester::CHECKS.iter().any(|(known, _)| *known == check);
    }
    if name == "runner" {
        return true;
    }
    let Some((file, function)) = name.split_once("::") else { panic!("`{name}` is no name") };
    let path = match file.split_once('/') {
        None => format!("tests/native/provisioning/scim/{file}.rs"),
        Some(("scim_clients", file)) => format!("tests/native/provisioning/scim_clients/{file}.rs"),
        Some(("provisioning", file)) => format!("shared/provisioning/tests/{file}.rs"),
        Some(_) => format!("{file}.rs"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).is_ok_and(|text| text.contains(&format!("fn {function}(")))
}
