//! `cargo xtask breached-list`: makes the set of common passwords out of a list of them.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use iam_core::sign_in::password::breached;

use crate::workspace::Workspace;

/// Words that are shorter than this are at the core of nothing, in characters.
const MIN_WORD: usize = 4;

/// Make shared/core/data/breached.bin out of a list of common passwords; its README says of which.
#[derive(Args)]
pub(crate) struct BreachedList {
    /// One password a line, gzipped: `django/contrib/auth/common-passwords.txt.gz` of Django's package
    list: PathBuf,
}

impl BreachedList {
    pub(crate) fn run(&self) -> Result<()> {
        let packed = std::fs::read(&self.list).with_context(|| format!("{}", self.list.display()))?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text)?;
        let lengths = MIN_WORD..=breached::MAX_WORD;
        let words: Vec<&str> = text.lines().filter(|word| lengths.contains(&word.chars().count())).collect();
        ensure!(words.len() > 1_000, "{} is no list of common passwords", self.list.display());
        let filter = breached::build(words.iter().copied());
        let missing = words.iter().filter(|word| !breached::is_in(&filter, word)).count();
        ensure!(missing == 0, "{missing} of {} words are not found", words.len());
        let path = Workspace::load()?.root.join("shared/core/data/breached.bin");
        std::fs::write(&path, &filter).with_context(|| format!("{}", path.display()))?;
        println!("{}: {} words, {} bytes", path.display(), words.len(), filter.len());
        Ok(())
    }
}
