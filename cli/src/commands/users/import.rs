//! `iam users import`

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;
use crate::output::Format;

/// How many lines one request carries at most.
const CHUNK_LINES: usize = 500;

/// How many bytes one request carries at most.
const CHUNK_BYTES: usize = 900_000;

/// The longest line, in bytes: longer ones are refused here.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Import users from NDJSON, a user a line.
///
/// A line has `username` and may have `email`, `display_name`, `roles`, `groups`, `password_hash` (argon2,
/// bcrypt, scrypt, PBKDF2, as another software stored it), `status`, `external_id`, `created_at`. Files of
/// any size are streamed. Who is there already stays as it is: an import that broke off is simply started
/// again. Needs the permission `users.manage.organization`, and for each role all that it grants.
///
/// Lines that are refused are written to standard output or `--report`, with their number, the field and the
/// reason; the exit code is then 10.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam users import users.ndjson --report rejected.ndjson\n  \
                        zcat users.ndjson.gz | iam users import -")]
pub(crate) struct Import {
    /// The file to read; `-` is standard input.
    file: PathBuf,
    /// Where refused lines are written, one JSON object each; standard output without it.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Tell nothing of the progress.
    #[arg(long)]
    quiet: bool,
}

/// Lines for one request, and where each was in the file.
#[derive(Default)]
struct Chunk {
    body: Vec<u8>,
    numbers: Vec<u64>,
}

impl Chunk {
    fn has_room_for(&self, line: &[u8]) -> bool {
        self.numbers.len() < CHUNK_LINES && self.body.len() + line.len() < CHUNK_BYTES
    }

    fn push(&mut self, number: u64, line: &[u8]) {
        self.body.extend_from_slice(line);
        self.body.push(b'\n');
        self.numbers.push(number);
    }
}

/// One line of the input.
enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

/// What the deployment says of a chunk.
#[derive(Deserialize)]
struct Report {
    created: u64,
    unchanged: u64,
    rejected: Vec<Rejected>,
}

/// A line that was refused.
#[derive(Serialize, Deserialize)]
struct Rejected {
    line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    pointer: String,
    reason: String,
}

#[derive(Default)]
struct Counts {
    created: u64,
    unchanged: u64,
    rejected: u64,
}

/// An import under way.
struct Run<'a> {
    client: &'a Client,
    report: Box<dyn Write>,
    format: Format,
    is_quiet: bool,
    counts: Counts,
}

impl Import {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let client = Client::signed_in(global)?;
        let input: Box<dyn BufRead> = if self.file == Path::new("-") {
            Box::new(stdin().lock())
        } else {
            let file =
                File::open(&self.file).with_context(|| format!("can't read {}", self.file.display()))?;
            Box::new(BufReader::new(file))
        };
        let (report, format): (Box<dyn Write>, _) = match &self.report {
            Some(path) => {
                let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
                (Box::new(BufWriter::new(file)), Format::Json)
            }
            None => (Box::new(stdout()), global.output),
        };
        let mut run =
            Run { client: &client, report, format, is_quiet: self.quiet, counts: Counts::default() };
        let result = run.all(input);
        run.report.flush()?;
        let Counts { created, unchanged, rejected } = run.counts;
        writeln!(stderr(), "{created} created, {unchanged} unchanged, {rejected} rejected")?;
        result?;
        Ok(if rejected == 0 { Exit::Done } else { Exit::PartlyRefused })
    }
}

impl Run<'_> {
    fn all(&mut self, mut input: impl BufRead) -> Result<()> {
        let mut chunk = Chunk::default();
        for number in 1_u64.. {
            match next_line(&mut input).context("can't read on")? {
                Line::End => break,
                Line::TooLong => {
                    let reason = format!("a line may be {MAX_LINE_BYTES} bytes long");
                    self.reject(&Rejected { line: number, username: None, pointer: String::new(), reason })?;
                }
                Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Line::Whole(line) => {
                    if !chunk.has_room_for(&line) {
                        self.send(std::mem::take(&mut chunk))?;
                    }
                    chunk.push(number, &line);
                }
            }
        }
        self.send(chunk)
    }

    fn send(&mut self, chunk: Chunk) -> Result<()> {
        let (Some(first), Some(last)) = (chunk.numbers.first(), chunk.numbers.last()) else { return Ok(()) };
        let answer = self.client.call(&Call::post_repeatable(
            "/api/v1/users/import",
            "application/x-ndjson",
            chunk.body,
        ));
        let report = answer.and_then(|answer| answer.json::<Report>());
        let report = report.with_context(|| format!("lines {first} to {last} were not imported"))?;
        self.counts.created += report.created;
        self.counts.unchanged += report.unchanged;
        for rejected in report.rejected {
            let place = usize::try_from(rejected.line).ok().and_then(|line| line.checked_sub(1));
            let number =
                place.and_then(|place| chunk.numbers.get(place)).context("a report of other lines")?;
            self.reject(&Rejected { line: *number, ..rejected })?;
        }
        if !self.is_quiet {
            let Counts { created, unchanged, rejected } = self.counts;
            writeln!(
                stderr(),
                "line {last}: {created} created, {unchanged} unchanged, {rejected} rejected so far"
            )?;
        }
        Ok(())
    }

    fn reject(&mut self, rejected: &Rejected) -> Result<()> {
        self.counts.rejected += 1;
        if self.format == Format::Json {
            writeln!(self.report, "{}", serde_json::to_string(rejected)?)?;
            return Ok(());
        }
        // What could steer a terminal is left out.
        let plain = |text: &str| text.chars().filter(|character| !character.is_control()).collect::<String>();
        let whose =
            rejected.username.as_deref().map(|name| format!(" ({})", plain(name))).unwrap_or_default();
        let place = if rejected.pointer.is_empty() { "" } else { " " };
        let (pointer, reason) = (plain(&rejected.pointer), plain(&rejected.reason));
        writeln!(self.report, "line {}{whose}:{place}{pointer} {reason}", rejected.line)?;
        Ok(())
    }
}

/// Reads a line without its end; of one that is too long no more than the bound is kept.
fn next_line(input: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(match (is_too_long, line.is_empty()) {
                (true, _) => Line::TooLong,
                (false, true) => Line::End,
                (false, false) => Line::Whole(line),
            });
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        let consumed = part.len() + usize::from(end.is_some());
        if line.len() + part.len() > MAX_LINE_BYTES {
            is_too_long = true;
            line.clear();
        } else if !is_too_long {
            line.extend_from_slice(part);
        }
        input.consume(consumed);
        if end.is_some() {
            return Ok(if is_too_long { Line::TooLong } else { Line::Whole(line) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], buffer: usize) -> Vec<Option<Vec<u8>>> {
        let mut input = BufReader::with_capacity(buffer, input);
        let mut lines = Vec::new();
        loop {
            match next_line(&mut input).unwrap() {
                Line::End => return lines,
                Line::TooLong => lines.push(None),
                Line::Whole(line) => lines.push(Some(line)),
            }
        }
    }

    #[test]
    fn lines_are_read_whatever_the_buffer() {
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        let input = format!("a\n\n{long}\nb\n{}\nc", "y".repeat(MAX_LINE_BYTES));
        for buffer in [1, 7, 8192, 1 << 20] {
            let lines = lines(input.as_bytes(), buffer);
            let lengths: Vec<_> = lines.iter().map(|line| line.as_ref().map(Vec::len)).collect();
            assert_eq!(lengths, [Some(1), Some(0), None, Some(1), Some(MAX_LINE_BYTES), Some(1)], "{buffer}");
        }
        assert!(lines(b"", 8).is_empty());
    }

    #[test]
    fn a_chunk_stays_within_what_a_request_may_carry() {
        let mut chunk = Chunk::default();
        let line = [b'x'; 10_000];
        while chunk.has_room_for(&line) {
            chunk.push(1, &line);
        }
        assert!(chunk.body.len() <= CHUNK_BYTES && chunk.numbers.len() < CHUNK_LINES);
    }
}
