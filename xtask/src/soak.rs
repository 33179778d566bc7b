//! `cargo xtask soak`: what draws its cases or races, over and over with fresh seeds.

mod programs;
mod sources;

use std::io::{IsTerminal as _, Write as _, stderr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::value_parser;

use crate::fuzz::{self, Targets};
use crate::process::Unsaid;
use crate::state::random;
use crate::workspace::Workspace;
use programs::Test;
use sources::Kind;

/// What seeds proptest, which `.cargo/config.toml` fixes for every other run.
const SEED: &str = "PROPTEST_RNG_SEED";
/// Four times the cases of a usual run, where a test doesn't say how many it wants.
const CASES: (&str, &str) = ("PROPTEST_CASES", "1024");
/// How often a race is run in a row: it is short, and the interesting order is rare.
const RACES: u32 = 10;
/// How long a fuzz target runs in a row.
const FUZZ_SECONDS: u32 = 20;
/// Of a failing test's output: enough to see the minimal case.
const SHOWN_LINES: usize = 40;

/// Repeat models, property tests, races and fuzz targets with fresh seeds until the time is used.
///
/// Every other run draws the same cases; this one looks for what those miss. A test that fails is shown with
/// the command that reproduces it and not run again; the others go on, and the end fails. A race is a native
/// test whose name says `at_once`, `parallel`, `race` or `concurrent`. Fuzzing needs a C++ compiler, for
/// libFuzzer.
#[derive(Args)]
pub(crate) struct Soak {
    /// Only what has one of these in its name
    names: Vec<String>,
    /// How long
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    minutes: u32,
    /// Print what would be repeated, and nothing else
    #[arg(long)]
    list: bool,
}

/// One thing that is repeated.
struct Item {
    work: Work,
    rounds: u32,
    spent: Duration,
    /// What reproduces its failure.
    failure: Option<String>,
}

enum Work {
    Test(Test),
    Fuzz(String),
}

impl Soak {
    pub(crate) fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        let mut items = self.items(&workspace)?;
        if items.is_empty() {
            bail!("nothing is named so: `cargo xtask soak --list` tells what there is");
        }
        if self.list {
            items.iter().for_each(|item| println!("{:<9} {}", item.kind().name(), item.name()));
            return Ok(());
        }
        let is_fuzzed = items.iter().any(|item| item.kind() == Kind::Fuzz);
        let targets = is_fuzzed.then(|| Targets::compile(&workspace)).transpose()?;
        self.repeat(&mut items, targets.as_ref())?;
        finish(&items)
    }

    fn items(&self, workspace: &Workspace) -> Result<Vec<Item>> {
        let tests = programs::compile(workspace)?.into_iter().map(Work::Test);
        let mut works: Vec<Work> = tests.collect();
        works.extend(fuzz::names(workspace)?.into_iter().map(Work::Fuzz));
        let items =
            works.into_iter().map(|work| Item { work, rounds: 0, spent: Duration::ZERO, failure: None });
        let is_meant = |item: &Item| {
            self.names.is_empty() || self.names.iter().any(|name| item.name().contains(name.as_str()))
        };
        Ok(items.filter(is_meant).collect())
    }

    /// Round after round, until the time is used or everything has failed.
    fn repeat(&self, items: &mut [Item], targets: Option<&Targets>) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60 * u64::from(self.minutes));
        while items.iter().any(|item| item.failure.is_none()) {
            for item in items.iter_mut().filter(|item| item.failure.is_none()) {
                if Instant::now() >= end {
                    clear();
                    return Ok(());
                }
                item.round(targets)?;
            }
        }
        clear();
        Ok(())
    }
}

impl Item {
    fn name(&self) -> &str {
        match &self.work {
            Work::Test(test) => &test.name,
            Work::Fuzz(target) => target,
        }
    }

    fn kind(&self) -> Kind {
        match &self.work {
            Work::Test(test) => test.kind,
            Work::Fuzz(_) => Kind::Fuzz,
        }
    }

    fn round(&mut self, targets: Option<&Targets>) -> Result<()> {
        self.progress();
        let start = Instant::now();
        let failure = match (&self.work, targets) {
            (Work::Test(test), _) => once(test)?,
            (Work::Fuzz(target), Some(targets)) => fuzzed(target, targets)?,
            (Work::Fuzz(target), None) => bail!("{target} was not compiled"),
        };
        self.spent += start.elapsed();
        self.rounds += 1;
        if let Some(failure) = &failure {
            clear();
            eprintln!("✗ {}\n  reproduce: {failure}", self.name());
        }
        self.failure = failure;
        Ok(())
    }

    /// One line, always in the same place; where nobody watches, one for the first round alone.
    fn progress(&self) {
        let line = format!(
            "{} {}: {} rounds, {} s",
            self.kind().name(),
            self.name(),
            self.rounds,
            self.spent.as_secs()
        );
        if stderr().is_terminal() {
            eprint!("\r\x1b[2K· {line}");
            // Where it can't be shown, nobody misses it.
            let _ = stderr().flush();
        } else if self.rounds == 0 {
            eprintln!("· {line}");
        }
    }
}

/// Runs a test with a fresh seed, and says what reproduces its failure.
fn once(test: &Test) -> Result<Option<String>> {
    let seed = u64::from_le_bytes(random()?);
    let repetitions = if test.kind == Kind::Race { RACES } else { 1 };
    for _ in 0..repetitions {
        let mut command = Command::new(&test.program);
        command.args(["--exact", &test.name]).current_dir(&test.folder);
        command.env(SEED, seed.to_string()).env(CASES.0, CASES.1).env("RUST_BACKTRACE", "0");
        if !succeeds(&mut command)? {
            return Ok(Some(match test.kind {
                Kind::Property => format!("{SEED}={seed} {}={} {}", CASES.0, CASES.1, test.by_hand()),
                _ => format!("until ! {}; do :; done  # a race: not every time", test.by_hand()),
            }));
        }
    }
    Ok(None)
}

/// Runs a fuzz target for a while, and says what reproduces its failure.
fn fuzzed(target: &str, targets: &Targets) -> Result<Option<String>> {
    // libFuzzer takes a seed of 32 bits, and 0 as none.
    let seed = u32::from_le_bytes(random()?).max(1);
    if succeeds(targets.command(target, FUZZ_SECONDS)?.arg(format!("-seed={seed}")))? {
        return Ok(None);
    }
    let (program, failures) = (targets.program(target), targets.failures(target));
    Ok(Some(format!("{} {}/<the input named above>", program.display(), failures.display())))
}

/// Whether `command` ends well; the end of what it said is shown if not.
fn succeeds(command: &mut Command) -> Result<bool> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        clear();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
            eprintln!("  {line}");
        }
    }
    Ok(output.status.success())
}

/// Takes the line of [`Item::progress`] away.
fn clear() {
    if stderr().is_terminal() {
        eprint!("\r\x1b[2K");
    }
}

/// The table, and a failure where anything failed.
fn finish(items: &[Item]) -> Result<()> {
    println!("{:<9} {:>7} {:>8}  name", "", "rounds", "seconds");
    for item in items {
        let mark = if item.failure.is_some() { '✗' } else { '✓' };
        println!(
            "{mark} {:<9} {:>5} {:>8.1}  {}",
            item.kind().name(),
            item.rounds,
            item.spent.as_secs_f32(),
            item.name()
        );
        if let Some(failure) = &item.failure {
            println!("    {failure}");
        }
    }
    let failed = items.iter().filter(|item| item.failure.is_some()).count();
    println!("\n{} passed, {failed} failed", items.len() - failed);
    if failed > 0 {
        return Err(Unsaid.into());
    }
    Ok(())
}
