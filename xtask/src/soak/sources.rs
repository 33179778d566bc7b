//! Which tests are worth repeating, read from the sources: those that draw their cases, and those that race.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Why a test is repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It draws its cases, from a seed.
    Property,
    /// Its outcome depends on what comes first.
    Race,
    /// libFuzzer draws its inputs.
    Fuzz,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Property => "property",
            Self::Race => "race",
            Self::Fuzz => "fuzz",
        }
    }
}

/// What a race's name says.
const RACING: [&str; 5] = ["parallel", "race", "races", "racing", "concurrent"];

/// A function of a source file, as far as a look at lines tells.
struct Function<'a> {
    name: &'a str,
    body: Vec<&'a str>,
    is_test: bool,
    is_drawn: bool,
}

/// Whether a test's name says that requests meet in it: `of_twenty_at_once_one_wins`,
/// `parallel_guesses_get_five_tries`.
pub(super) fn is_race(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    words.iter().any(|word| RACING.contains(word)) || words.windows(2).any(|pair| pair == ["at", "once"])
}

/// The names of the property tests below `folder`: within `proptest!`, or with a `TestRunner` of their own or
/// of a function that they call.
pub(super) fn property_tests(folder: &Path) -> Result<BTreeMap<String, Kind>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            // A package within has a manifest of its own.
            if !path.join("Cargo.toml").exists() {
                found.extend(property_tests(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            found.extend(drawn(&text).into_iter().map(|name| (name, Kind::Property)));
        }
    }
    Ok(found)
}

fn drawn(text: &str) -> Vec<String> {
    let functions = functions(text);
    let runs = |function: &&Function<'_>| function.body.iter().any(|line| line.contains("TestRunner::new"));
    let calls: Vec<String> =
        functions.iter().filter(runs).map(|function| format!("{}(", function.name)).collect();
    let is_drawn = |function: &&Function<'_>| {
        let asks = || function.body.iter().any(|line| calls.iter().any(|call| line.contains(call.as_str())));
        function.is_test && (function.is_drawn || asks())
    };
    functions.iter().filter(is_drawn).map(|function| function.name.to_owned()).collect()
}

/// The functions of a formatted source, each with its own first line.
fn functions(text: &str) -> Vec<Function<'_>> {
    let mut functions: Vec<Function<'_>> = Vec::new();
    let (mut is_test, mut drawing) = (false, None);
    for line in text.lines() {
        let indentation = line.len() - line.trim_start().len();
        let words = line.trim();
        if words.ends_with("proptest! {") {
            drawing = Some(indentation);
        } else if drawing == Some(indentation) && words == "}" {
            drawing = None;
        }
        is_test |= words == "#[test]" || words.starts_with("#[tokio::test");
        if let Some(name) = declared(words) {
            functions.push(Function { name, body: vec![words], is_test, is_drawn: drawing.is_some() });
            is_test = false;
        } else if let Some(function) = functions.last_mut() {
            function.body.push(words);
        }
    }
    functions
}

fn declared(line: &str) -> Option<&str> {
    let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").trim_start_matches("async ");
    let name = line.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn races_have_their_words() {
        for name in ["of_two_at_once_one_wins", "parallel_guesses_get_five_tries", "races_leave_one"] {
            assert!(is_race(name), "{name}");
        }
        for name in ["a_grace_period_is_in_days", "traces_arrive", "are_created_once"] {
            assert!(!is_race(name), "{name}");
        }
    }

    #[test]
    fn what_draws_its_cases_is_found() {
        let text = "
#[test]
fn plain() {}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(9))]

    /// Words.
    #[test]
    fn within(value: u8) { helper(value) }

    #[test]
    fn another(
        value: u8,
    ) {
    }
}

fn helper(_: u8) {}

fn run(kind: Kind) {
    let mut runner = proptest::test_runner::TestRunner::new(config);
}

#[test]
fn asks() {
    run(Kind::User);
}

#[tokio::test]
async fn its_own() {
    TestRunner::new(config);
}
";
        assert_eq!(drawn(text), ["within", "another", "asks", "its_own"]);
    }
}
