//! `cargo xtask sizes`: what each built function weighs, against its budget.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;

use crate::build::STAMP;
use crate::workspace::Workspace;

const BUDGETS: &str = "xtask/budgets.toml";

/// Raw and gzipped size of every built function on every host; fails above xtask/budgets.toml.
#[derive(Args)]
pub(crate) struct Sizes {}

/// What functions may weigh at most, by host.
#[derive(Deserialize)]
pub(crate) struct Budgets(BTreeMap<String, BTreeMap<String, usize>>);

#[derive(Default, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) raw: usize,
    pub(crate) gzipped: usize,
}

impl Sizes {
    pub(crate) fn run(&self) -> Result<()> {
        run(&Workspace::load()?)
    }
}

/// Prints the table and fails when a module is above its budget.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let budgets = Budgets::read(workspace)?;
    let mut above = Vec::new();
    println!("{:<18} {:<11} {:>9} {:>9} {:>9}", "function", "host", "raw KB", "gzip KB", "budget");
    for module in workspace.functions() {
        let places = [
            ("cloudflare", workspace.dist("cloudflare").join(&module.name)),
            ("spin", workspace.dist("spin").join(format!("{}.wasm", module.name))),
        ];
        for (host, path) in places {
            let size = size(&path)
                .with_context(|| format!("cannot read {}: run `cargo xtask build`", path.display()))?;
            let budget = budgets.of(host, &module.name)?;
            println!(
                "{:<18} {host:<11} {:>9.1} {:>9.1} {budget:>9}",
                module.name,
                kilobytes(size.raw),
                kilobytes(size.gzipped)
            );
            if size.gzipped > budget.saturating_mul(1000) {
                above.push(format!("{} on {host}", module.name));
            }
        }
    }
    if !above.is_empty() {
        bail!("above the budget of {BUDGETS}: {}", above.join(", "));
    }
    Ok(())
}

impl Budgets {
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let text = fs::read_to_string(workspace.root.join(BUDGETS))
            .with_context(|| format!("cannot read {BUDGETS}"))?;
        toml::from_str(&text).with_context(|| format!("{BUDGETS} is wrong"))
    }

    /// What a function may weigh on a host, in gzipped kilobytes.
    pub(crate) fn of(&self, host: &str, function: &str) -> Result<usize> {
        let of_host = self.0.get(host).with_context(|| format!("{BUDGETS} has no [{host}]"))?;
        let budget = of_host.get(function).or_else(|| of_host.get("default"));
        budget.copied().with_context(|| format!("{BUDGETS} has no default for [{host}]"))
    }
}

pub(crate) fn kilobytes(bytes: usize) -> f64 {
    // Exact up to 2^53, far above any module.
    bytes as f64 / 1000.0
}

/// The size of a file, or of all files below a folder.
pub(crate) fn size(path: &Path) -> Result<Size> {
    let mut total = Size::default();
    for file in files(path)? {
        let contents = fs::read(&file)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&contents)?;
        total.raw += contents.len();
        total.gzipped += encoder.finish()?.len();
    }
    Ok(total)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() != STAMP {
            found.extend(files(&entry.path())?);
        }
    }
    Ok(found)
}
