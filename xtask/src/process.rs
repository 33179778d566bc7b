//! Steps with elapsed time, and child processes whose failure is one clear sentence.

use std::cell::Cell;
use std::fmt;
use std::io::ErrorKind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Set by Ctrl-C and SIGTERM in commands that listen for them: no further step begins.
pub(crate) static ENDING: AtomicBool = AtomicBool::new(false);

/// How often a running child is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Of a failed silent command: enough to see why, and not npm's whole manual.
const SHOWN_LINES: usize = 20;

/// What cargo says of its way, which tells nothing about a failure.
const CARGOS_WAY: [&str; 7] =
    ["Compiling", "Checking", "Downloading", "Downloaded", "Updating", "Locking", "Blocking"];

thread_local! {
    static IS_BESIDE: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` on a thread beside the one whose output is shown: what its commands print appears only where
/// one fails, and whole lines of two steps never mix.
pub(crate) fn beside<T>(work: impl FnOnce() -> T) -> T {
    IS_BESIDE.set(true);
    let result = work();
    IS_BESIDE.set(false);
    result
}

/// Runs one step of a long command and prints a line with the seconds it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if ENDING.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    eprintln!("· {name}");
    let start = Instant::now();
    let result = work();
    let mark = if result.is_ok() { '✓' } else { '✗' };
    eprintln!("{mark} {name} ({:.1} s)", start.elapsed().as_secs_f32());
    result
}

/// Runs `command` with its output shown, and fails with `failure` when it ends badly.
pub(crate) fn run(command: &mut Command, failure: &str) -> Result<()> {
    if IS_BESIDE.get() {
        return held_back(command, failure);
    }
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| missing(command))?;
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| missing(command))? {
            break status;
        }
        if ENDING.load(Ordering::Relaxed) {
            // It may have ended meanwhile; either way nothing is left to do with it.
            let _ = child.kill();
            let _ = child.wait();
            bail!("interrupted");
        }
        thread::sleep(GLANCE);
    };
    if !status.success() {
        bail!("{failure} ({status})");
    }
    Ok(())
}

/// As [`run`], with all that tells about a failure and nothing else.
fn held_back(command: &mut Command, failure: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| missing(command))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let on_its_way =
            |line: &&str| line.split_whitespace().next().is_some_and(|word| CARGOS_WAY.contains(&word));
        for line in text.lines().filter(|line| !on_its_way(line)) {
            eprintln!("  {line}");
        }
        bail!("{failure} ({})", output.status);
    }
    Ok(())
}

/// Runs `command` and gives back what it wrote on standard output; its errors are shown as they come.
pub(crate) fn output(command: &mut Command, failure: &str) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| missing(command))?;
    if !output.status.success() {
        bail!("{failure} ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{failure}: its output is not UTF-8"))
}

/// Runs `command` silently; the beginning of its output appears only if it fails.
pub(crate) fn quiet(command: &mut Command, failure: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| missing(command))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        for line in String::from_utf8_lossy(&text).lines().take(SHOWN_LINES) {
            eprintln!("  {line}");
        }
        bail!("{failure} ({})", output.status);
    }
    Ok(())
}

/// Whether `program` can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    match Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
    {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

fn missing(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().to_string_lossy())
}

/// A failure that was shown already.
#[derive(Debug)]
pub(crate) struct Unsaid;

impl fmt::Display for Unsaid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("something failed")
    }
}

impl std::error::Error for Unsaid {}
