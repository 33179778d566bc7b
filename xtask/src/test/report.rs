//! What a run of the tests found, and its last line.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process::{self, Unsaid};

/// One line of the summary.
struct Step {
    name: String,
    counts: Counts,
    seconds: f32,
    problem: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// The steps so far, in the order in which they ended.
pub(super) struct Report {
    steps: Mutex<Vec<Step>>,
    skipping_fails: bool,
}

impl Report {
    /// `skipping_fails`: on CI, what could not be installed is a failure.
    pub(super) fn new(skipping_fails: bool) -> Self {
        Self { steps: Mutex::default(), skipping_fails }
    }

    /// A step that counts as one test; whether it passed.
    pub(super) fn check(&self, name: &str, work: impl FnOnce() -> Result<()>) -> bool {
        self.value(name, work).is_some()
    }

    /// A step that counts as one test, and what it gave.
    pub(super) fn value<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let start = Instant::now();
        let result = process::step(name, work);
        let (value, failed, problem) = match result {
            Ok(value) => (Some(value), 0, None),
            Err(error) => (None, 1, Some(format!("{error:#}"))),
        };
        let counts = Counts { passed: 1 - failed, failed, skipped: 0 };
        self.push(name, start, counts, problem);
        value
    }

    /// Something to install, without which tests are skipped.
    pub(super) fn optional<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        if self.skipping_fails {
            return self.value(name, work);
        }
        let start = Instant::now();
        match process::step(name, work) {
            Ok(value) => {
                self.push(name, start, Counts { passed: 1, ..Counts::default() }, None);
                Some(value)
            }
            Err(error) => {
                let counts = Counts { skipped: 1, ..Counts::default() };
                self.push(name, start, counts, Some(format!("{error:#}")));
                None
            }
        }
    }

    /// A step that cannot run; on CI that is a failure.
    pub(super) fn skip(&self, name: &str, reason: &str) {
        let counts = if self.skipping_fails {
            Counts { failed: 1, ..Counts::default() }
        } else {
            Counts { skipped: 1, ..Counts::default() }
        };
        self.push(name, Instant::now(), counts, Some(format!("skipped: {reason}")));
    }

    /// A step of many tests, counted from cargo's own lines.
    pub(super) fn tests(&self, name: &str, command: &mut Command) {
        let start = Instant::now();
        let mut counts = Counts::default();
        let result = process::step(name, || run(command, &mut counts));
        let problem = result.err().map(|error| format!("{error:#}"));
        if problem.is_some() && counts.failed == 0 {
            // It ended before any test could say so: a build that failed, a crash.
            counts.failed = 1;
        }
        self.push(name, start, counts, problem);
    }

    fn push(&self, name: &str, start: Instant, counts: Counts, problem: Option<String>) {
        if let Some(problem) = &problem {
            eprintln!("  {problem}");
        }
        let seconds = start.elapsed().as_secs_f32();
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push(Step { name: name.to_owned(), counts, seconds, problem });
    }

    /// Prints the summary; its last line is the count.
    pub(super) fn finish(self) -> Result<()> {
        println!();
        let mut total = Counts::default();
        for step in &self.steps.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let Counts { passed, failed, skipped } = step.counts;
            let mark = if failed > 0 { '✗' } else { '✓' };
            println!(
                "{mark} {:<40} {passed:>5} passed {failed:>4} failed {skipped:>4} skipped {:>7.1} s",
                step.name, step.seconds
            );
            if let Some(problem) = &step.problem {
                println!("    {problem}");
            }
            total.passed += passed;
            total.failed += failed;
            total.skipped += skipped;
        }
        let skipped = if total.skipped > 0 { format!(", {} skipped", total.skipped) } else { String::new() };
        println!("\n{} passed, {} failed{skipped}", total.passed, total.failed);
        if total.failed > 0 {
            // The line above has to be the last one, so the sentence stays unsaid.
            return Err(Unsaid.into());
        }
        Ok(())
    }
}

/// Runs cargo's tests, shows what they print and sums their `test result:` lines.
fn run(command: &mut Command, counts: &mut Counts) -> Result<()> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("cargo's output cannot be read")?;
        println!("{line}");
        if let Some(result) = line.strip_prefix("test result: ") {
            add(result, counts);
        }
    }
    let status = child.wait().context("cargo did not end")?;
    if !status.success() {
        bail!("tests failed ({status})");
    }
    Ok(())
}

/// `ok. 3 passed; 0 failed; 1 ignored; …`
fn add(result: &str, counts: &mut Counts) {
    let words: Vec<&str> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        let &[number, what] = pair else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        match what {
            "passed" => counts.passed += number,
            "failed" => counts.failed += number,
            "ignored" => counts.skipped += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed() {
        let mut counts = Counts::default();
        add("ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s", &mut counts);
        add(
            "FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            &mut counts,
        );
        assert_eq!((counts.passed, counts.failed, counts.skipped), (13, 2, 1));
    }
}
