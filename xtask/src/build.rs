//! `cargo xtask build`: every function for every host, into `dist/`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use crate::workspace::{Module, Workspace, cargo};
use crate::{bindings, process, tools, workers};

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

impl Build {
    pub(crate) fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        let modules = workspace.select(&self.functions, self.with_tests)?;
        modules_for(&workspace, &modules, self.host)
    }
}

/// Builds `modules` for `host`; the functions of a target in one cargo call, since one by one the features that cargo
/// unifies differ and dependencies would be compiled again and again. What only tests and benches use comes apart: with it the
/// functions would get features that they are not deployed with.
pub(crate) fn modules_for(workspace: &Workspace, modules: &[&Module], host: Host) -> Result<()> {
    if host != Host::Spin {
        compile(modules, WORKERS)?;
        for module in modules {
            worker(workspace, module)?;
        }
        workers::save(workspace)?;
    }
    if host != Host::Cloudflare {
        compile(modules, SPIN)?;
        for module in modules {
            component(workspace, module)?;
        }
    }
    Ok(())
}

fn compile(modules: &[&Module], triple: &str) -> Result<()> {
    tools::rust_target(triple)?;
    let (functions, tests): (Vec<&Module>, Vec<&Module>) = modules.iter().partition(|module| module.function);
    [functions, tests]
        .iter()
        .filter(|modules| !modules.is_empty())
        .try_for_each(|modules| compile_together(modules, triple))
}

fn compile_together(modules: &[&Module], triple: &str) -> Result<()> {
    process::step(&format!("compile {} modules for {triple}", modules.len()), || {
        let mut command = cargo();
        command.args(["build", "--release", "--lib", "--target", triple]);
        for module in modules {
            command.args(["-p", &module.package]);
        }
        process::run(&mut command, &format!("the build for {triple} failed"))
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
