//! The register of what is sealed, held against the migrations: a sealed column that it forgets would be lost
//! with the previous master key.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use iam_core::secret::register::{Parting, REGISTER};
use iam_core::secret::seal::MASTER_KEY_ID_LENGTH;

/// The statements of all migrations, without comments, their white space single.
fn statements() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kv-schema/migrations");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text: Vec<String> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    statements_of(&text.join("\n"))
}

fn statements_of(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter_map(|line| line.split("--").next()).collect();
    let statements = code.join(" ");
    let statements = statements.split(';').map(|statement| statement.split_whitespace().collect::<Vec<_>>());
    statements.map(|words| words.join(" ")).filter(|statement| !statement.is_empty()).collect()
}

/// The columns that keep something sealed: by table, as the statements make them.
fn sealed_columns(statements: &[String]) -> BTreeSet<(String, String)> {
    let mut columns = BTreeSet::new();
    for statement in statements {
        let Some(rest) =
            ["CREATE TABLE ", "ALTER TABLE "].iter().find_map(|verb| statement.strip_prefix(verb))
        else {
            continue;
        };
        let is_name = |character: char| character.is_alphanumeric() || character == '_';
        let mut words = rest.split(|character| !is_name(character)).filter(|word| !word.is_empty());
        let table = words.next().unwrap();
        columns.extend(
            words.filter(|word| word.starts_with("sealed_")).map(|word| (table.to_owned(), word.to_owned())),
        );
    }
    columns
}

#[test]
fn every_sealed_column_is_listed() {
    let listed: BTreeSet<(String, String)> =
        REGISTER.iter().map(|column| (column.table.to_owned(), column.column.to_owned())).collect();
    assert_eq!(listed.len(), REGISTER.len(), "a column is listed twice");
    assert_eq!(sealed_columns(&statements()), listed, "found in the migrations, and listed in the register");
}

#[test]
fn a_column_is_found_however_it_is_added() {
    let statements = statements_of(
        "CREATE TABLE a (org_id TEXT, -- sealed_comment\n sealed_one TEXT);\nALTER TABLE b ADD COLUMN \
         sealed_two TEXT;\nCREATE INDEX c ON a (sealed_one);",
    );
    let found: BTreeMap<String, String> = sealed_columns(&statements).into_iter().collect();
    let expected = [("a", "sealed_one"), ("b", "sealed_two")];
    assert_eq!(found, expected.map(|(table, column)| (table.to_owned(), column.to_owned())).into());
}

#[test]
fn every_listed_column_has_its_index_and_its_key() {
    let statements = statements();
    for sealed in REGISTER {
        let (table, column) = (sealed.table, sealed.column);
        let created = statements.iter().find(|statement| {
            statement
                .strip_prefix("CREATE TABLE ")
                .is_some_and(|rest| rest.starts_with(&format!("{table} (")))
        });
        let created = created.unwrap_or_else(|| panic!("there is no table {table}"));
        for bound_to in sealed.bound_to {
            assert!(created.contains(&format!(" {bound_to} ")), "{table} has no column {bound_to}");
        }
        let start = format!("CREATE INDEX {} ON {table} (", sealed.index);
        let index = statements.iter().find_map(|statement| statement.strip_prefix(&start));
        let index = index.unwrap_or_else(|| panic!("{table}.{column} has no index {}", sealed.index));
        let by_master_key = format!("substr({column}, 4, {MASTER_KEY_ID_LENGTH})");
        assert!(index.starts_with(&by_master_key), "{index}");
        if let Parting::Reseal { by, at_once } = sealed.parting {
            assert!(created.contains(&format!("PRIMARY KEY (org_id, {by})")), "{created}");
            let whole = format!("{by_master_key}, org_id, {by}) WHERE {column} IS NOT NULL");
            assert_eq!(index, whole, "rows are gone through in the order of {}", sealed.index);
            assert!(at_once > 0);
        }
    }
}
