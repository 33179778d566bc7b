//! Where things are: the workspace root, the target directory, the modules that can be deployed.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// The workspace as cargo describes it.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) modules: Vec<Module>,
    pub(crate) tests: Vec<TestProgram>,
    /// The names of all packages, by the paths of their manifests.
    pub(crate) packages: BTreeMap<PathBuf, String>,
}

/// One test program of a package, beside the unit tests.
pub(crate) struct TestProgram {
    pub(crate) name: String,
    /// Whether it wants a feature: it is about built modules on a host, and not native.
    pub(crate) is_for_hosts: bool,
}

/// One package that builds to a wasm module.
#[derive(Clone)]
pub(crate) struct Module {
    /// The folder's name for a function; the package's name less its prefix for the others.
    pub(crate) name: String,
    pub(crate) package: String,
    /// Where it is, from the root: `functions/keys/key-create`.
    pub(crate) folder: String,
    /// Whether it is part of the product, and not only of its tests and benches.
    pub(crate) function: bool,
    pub(crate) library: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    crate_types: Vec<String>,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace around the current folder.
    pub(crate) fn load() -> Result<Self> {
        let text = process::output(
            cargo().args(["metadata", "--no-deps", "--format-version", "1"]),
            "`cargo metadata` failed",
        )?;
        let metadata: Metadata =
            serde_json::from_str(&text).context("`cargo metadata` is not as expected")?;
        let mut modules: Vec<Module> = metadata
            .packages
            .iter()
            .filter_map(|package| Module::of(package, &metadata.workspace_root))
            .collect();
        modules.sort_by(|left, right| left.name.cmp(&right.name));
        let targets = metadata.packages.iter().flat_map(|package| &package.targets);
        let tests = targets.filter_map(TestProgram::of).collect();
        let packages =
            metadata.packages.iter().map(|package| (package.manifest_path.clone(), package.name.clone()));
        let packages = packages.collect();
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            modules,
            tests,
            packages,
        })
    }

    /// The functions of the product, by name.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Module> {
        self.modules.iter().filter(|module| module.function)
    }

    /// The modules of these names; every function when none is named.
    pub(crate) fn select(&self, names: &[String], with_tests: bool) -> Result<Vec<&Module>> {
        if names.is_empty() {
            return Ok(self.modules.iter().filter(|module| module.function || with_tests).collect());
        }
        names.iter().map(|name| self.module(name)).collect()
    }

    /// The module of this name.
    pub(crate) fn module(&self, name: &str) -> Result<&Module> {
        match self.modules.iter().find(|module| module.name == name) {
            Some(module) => Ok(module),
            None => {
                let known: Vec<&str> = self.modules.iter().map(|module| module.name.as_str()).collect();
                bail!("there is no function `{name}`; there are: {}", known.join(", "))
            }
        }
    }

    /// Where cargo leaves the module built for `triple`.
    pub(crate) fn artifact(&self, module: &Module, triple: &str) -> PathBuf {
        self.target.join(triple).join("release").join(format!("{}.wasm", module.library))
    }

    /// `dist/<host>`.
    pub(crate) fn dist(&self, host: &str) -> PathBuf {
        self.root.join("dist").join(host)
    }
}

impl TestProgram {
    fn of(target: &Target) -> Option<Self> {
        let is_for_hosts = !target.required_features.is_empty();
        target
            .kind
            .iter()
            .any(|kind| kind == "test")
            .then(|| Self { name: target.name.clone(), is_for_hosts })
    }
}

impl Module {
    fn of(package: &Package, root: &Path) -> Option<Self> {
        let is_module = |target: &&Target| target.crate_types.iter().any(|kind| kind == "cdylib");
        let target = package.targets.iter().find(is_module)?;
        let folder = package.manifest_path.parent()?;
        // functions/<room>/<name>
        let function = folder.parent()?.parent()? == root.join("functions");
        let name = if function {
            folder.file_name()?.to_str()?.to_owned()
        } else {
            package.name.strip_prefix("iam-").unwrap_or(&package.name).to_owned()
        };
        let library = target.name.replace('-', "_");
        let folder = folder.strip_prefix(root).ok()?.to_str()?.to_owned();
        Some(Self { name, package: package.name.clone(), folder, function, library })
    }
}

/// The cargo that runs us, else the one on `PATH`.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
