//! `cargo xtask build`: every function for every host, into `dist/`.

use std::fmt::Write as _;
use std::fs;
use std::iter;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use crate::workspace::{Module, Workspace, cargo};
use crate::{bench, bindings, process, tools, workers};

pub(crate) const WORKERS: &str = "wasm32-unknown-unknown";
pub(crate) const SPIN: &str = "wasm32-wasip2";
/// Beside each module: what it was made from, so that an unchanged one is left alone.
pub(crate) const STAMP: &str = ".stamp";

/// Build functions into dist/cloudflare/<function>/ and dist/spin/<function>.wasm.
#[derive(Args)]
pub(crate) struct Build {
    /// Which functions; all of them when none is named
    functions: Vec<String>,
    /// For which host
    #[arg(long, value_enum, default_value_t = Host::All)]
    host: Host,
    /// Also build the modules that only tests and benches use
    #[arg(long)]
    with_tests: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Host {
    Cloudflare,
    Spin,
    All,
}

impl Host {
    fn triples(self) -> &'static [&'static str] {
        match self {
            Self::Cloudflare => &[WORKERS],
            Self::Spin => &[SPIN],
            Self::All => &[WORKERS, SPIN],
        }
    }
}

impl Build {
    pub(crate) fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        let modules = workspace.select(&self.functions, self.with_tests)?;
        modules_for(&workspace, &modules, self.host)
    }
}

/// Builds `modules` for `host`. What only tests and benches use comes apart: with it the functions would get
/// features that they are not deployed with.
pub(crate) fn modules_for(workspace: &Workspace, modules: &[&Module], host: Host) -> Result<()> {
    let (functions, others): (Vec<&Module>, Vec<&Module>) =
        modules.iter().partition(|module| module.function);
    // Benches measure workerd alone.
    let (benches, tests): (Vec<&Module>, Vec<&Module>) =
        others.into_iter().partition(|module| module.name.starts_with(bench::PREFIX));
    let workers_only = if host == Host::Spin { &[][..] } else { &[WORKERS] };
    compile(&functions, host.triples())?;
    compile(&tests, host.triples())?;
    compile(&benches, workers_only)?;
    if host != Host::Spin {
        on_every_core(modules, |module| worker(workspace, module))?;
        workers::save(workspace)?;
    }
    if host != Host::Cloudflare {
        functions.iter().chain(&tests).try_for_each(|module| component(workspace, module))?;
    }
    Ok(())
}

/// All modules for all targets in one cargo call: one by one the features that cargo unifies differ and
/// dependencies would be compiled again and again, and while one target links, the other's crates are
/// compiled.
fn compile(modules: &[&Module], triples: &[&str]) -> Result<()> {
    if modules.is_empty() || triples.is_empty() {
        return Ok(());
    }
    triples.iter().try_for_each(|triple| tools::rust_target(triple))?;
    process::step(&format!("compile {} modules for {}", modules.len(), triples.join(" and ")), || {
        let mut command = cargo();
        command.args(["build", "--release", "--lib"]);
        command.args(triples.iter().flat_map(|triple| ["--target", triple]));
        command.args(modules.iter().flat_map(|module| ["-p", &module.package]));
        process::run(&mut command, &format!("the build for {} failed", triples.join(" and ")))
    })
}

/// Does `work` for each module, as many at once as there are cores; the first failure is the answer.
fn on_every_core(modules: &[&Module], work: impl Fn(&Module) -> Result<()> + Sync) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let queue = Mutex::new(modules.iter());
    // Nobody holds the lock over a panic: the work is done without it.
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    let worker = || iter::from_fn(next).try_for_each(|module| work(module));
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        handles.into_iter().try_for_each(|handle| match handle.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread that binds modules panicked"),
        })
    })
}

/// `dist/cloudflare/<function>/`: the module, its bindings, and the entry that Workers loads.
fn worker(workspace: &Workspace, module: &Module) -> Result<()> {
    let artifact = workspace.artifact(module, WORKERS);
    let wasm = fs::read(&artifact).with_context(|| format!("cannot read {}", artifact.display()))?;
    let folder = workspace.dist("cloudflare").join(&module.name);
    let stamp = digest(&[&wasm, bindings::VERSION.as_bytes()])?;
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|text| text == stamp) {
        return Ok(());
    }
    process::step(&format!("bind {} for Workers", module.name), || {
        let files = bindings::generate(&module.name, wasm)?;
        replace_folder(&folder, &files)?;
        write(&folder.join(STAMP), stamp.as_bytes())
    })
}

/// `dist/spin/<function>.wasm`: cargo's artefact is the component already.
fn component(workspace: &Workspace, module: &Module) -> Result<()> {
    let artifact = workspace.artifact(module, SPIN);
    let wasm = fs::read(&artifact).with_context(|| format!("cannot read {}", artifact.display()))?;
    let path = workspace.dist("spin").join(format!("{}.wasm", module.name));
    if fs::read(&path).is_ok_and(|current| current == wasm) {
        return Ok(());
    }
    write(&path, &wasm)
}

fn replace_folder(folder: &Path, files: &[bindings::File]) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    files.iter().try_for_each(|file| write(&folder.join(&file.path), &file.contents))
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

fn digest(parts: &[&[u8]]) -> Result<String> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
