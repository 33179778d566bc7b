//! `cargo xtask deploy`: migrations, secrets, every function, then the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::build::{self, Host, write};
use crate::catalogue::{Catalogue, Function, GATEWAY};
use crate::manifests::wrangler::{self, Deployment, LOCAL_DATABASE_ID, LOCAL_NAMESPACE_ID};
use crate::process;
use crate::state::write_private;
use crate::tools::Node;
use crate::workspace::Workspace;

/// Deploy to Cloudflare: migrations, every function, then the gateway.
///
/// Needs a D1 database (`npx wrangler d1 create edge-iam`), a KV namespace (`npx wrangler kv namespace create
/// edge-iam`) and an account (`npx wrangler login`, or CLOUDFLARE_API_TOKEN). The tracked manifests carry
/// local ids; those of the deployment are written into dist/deploy/. `--dry-run` needs none of it.
#[derive(Args)]
pub(crate) struct Deploy {
    /// Bundle and check everything, upload nothing
    #[arg(long)]
    dry_run: bool,
    /// The D1 database's id
    #[arg(long, value_name = "ID", env = "IAM_D1_DATABASE_ID")]
    database_id: Option<String>,
    /// The KV namespace's id
    #[arg(long, value_name = "ID", env = "IAM_KV_NAMESPACE_ID")]
    namespace_id: Option<String>,
    /// The configuration document (JSON, or TOML by its name) that becomes IAM_CONFIG; every field has a
    /// default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A JSON or .env file with IAM_MASTER_KEY (32 bytes, base64url) and IAM_INTERNAL_TOKEN, and with
    /// IAM_MASTER_KEY_PREVIOUS while the master key is turned over; secrets set before stay where it is not
    /// given
    #[arg(long, value_name = "FILE")]
    secrets_file: Option<PathBuf>,
    /// The id of a Secrets Store of the account that has them, by the same names; then no Worker has any of
    /// its own
    #[arg(long, value_name = "ID", conflicts_with = "secrets_file")]
    secrets_store: Option<String>,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
}

/// What is ready to be uploaded.
struct Prepared {
    node: Node,
    catalogue: Catalogue,
    folder: PathBuf,
}

/// What needs no account: the ids of the tracked manifests and an empty configuration.
const DRY_RUN: Deployment<'_> = Deployment {
    database_id: LOCAL_DATABASE_ID,
    namespace_id: LOCAL_NAMESPACE_ID,
    config: "{}",
    secrets_store: None,
    dist: "../../cloudflare",
    migrations: "../../../kv-schema/migrations",
    build: false,
};

impl Deploy {
    pub(crate) fn run(&self) -> Result<()> {
        let workspace = Workspace::load()?;
        let (database_id, namespace_id) = self.ids()?;
        let node = Node::install(&workspace)?;
        if !self.dry_run {
            authenticated(&node)?;
        }
        build::modules_for(&workspace, &workspace.select(&[], false)?, Host::Cloudflare)?;
        let catalogue = process::step("read what the functions declare", Catalogue::load)?;
        let prepared = Prepared::new(&workspace, node, catalogue);
        let config = configuration(self.config.as_deref())?;
        prepared.write_manifests(&Deployment {
            database_id: &database_id,
            namespace_id: &namespace_id,
            config: &config,
            secrets_store: self.secrets_store.as_deref(),
            ..DRY_RUN
        })?;
        if self.dry_run {
            return prepared.check();
        }
        self.prepare_account(&prepared)?;
        for function in prepared.in_order() {
            self.upload(&prepared, function)?;
        }
        Ok(())
    }

    fn ids(&self) -> Result<(String, String)> {
        if self.dry_run {
            return Ok((LOCAL_DATABASE_ID.into(), LOCAL_NAMESPACE_ID.into()));
        }
        match (&self.database_id, &self.namespace_id) {
            (Some(database), Some(namespace)) => Ok((database.clone(), namespace.clone())),
            (None, _) => bail!("--database-id is missing: `npx wrangler d1 create edge-iam` prints one"),
            (_, None) => {
                bail!("--namespace-id is missing: `npx wrangler kv namespace create edge-iam` prints one")
            }
        }
    }

    fn prepare_account(&self, prepared: &Prepared) -> Result<()> {
        // What a store lacks, wrangler says when it binds it.
        if self.secrets_file.is_none() && self.secrets_store.is_none() {
            process::step("look for missing secrets", || prepared.check_secrets())?;
        }
        process::step("apply migrations", || {
            let mut command = prepared.wrangler(GATEWAY);
            process::run(
                command.args(["d1", "migrations", "apply", "DB", "--remote"]),
                "the migrations could not be applied",
            )
        })
    }

    fn upload(&self, prepared: &Prepared, function: &Function) -> Result<()> {
        let name = wrangler::script_name(&function.name);
        let mut command = prepared.wrangler(&function.name);
        command.arg("deploy");
        process::step(&format!("deploy {name}"), || {
            let failure = format!("wrangler could not deploy {name}");
            let Some(file) = &self.secrets_file else { return process::quiet(&mut command, &failure) };
            let secrets = prepared.folder.join(&function.name).join("secrets.json");
            write_private(&secrets, &serde_json::to_vec(&secrets_of(function, file)?)?)?;
            let deployed = process::quiet(command.arg("--secrets-file").arg(&secrets), &failure);
            fs::remove_file(&secrets).with_context(|| format!("cannot remove {}", secrets.display()))?;
            deployed
        })
    }
}

/// `deploy --dry-run` of modules that are built already.
pub(crate) fn dry_run(workspace: &Workspace, node: Node, catalogue: Catalogue) -> Result<()> {
    let prepared = Prepared::new(workspace, node, catalogue);
    prepared.write_manifests(&DRY_RUN)?;
    prepared.check()
}

impl Prepared {
    fn new(workspace: &Workspace, node: Node, catalogue: Catalogue) -> Self {
        Self { node, catalogue, folder: workspace.root.join("dist/deploy") }
    }

    /// Lets wrangler read each manifest and bundle each module, all in one process.
    fn check(&self) -> Result<()> {
        let functions = self.in_order();
        process::step(&format!("bundle {} functions with wrangler", functions.len()), || {
            let mut command = self.node.command("xtask/js/dry_run.mjs");
            command.args(functions.iter().map(|function| self.folder.join(&function.name)));
            process::run(&mut command, "wrangler refused what is named above")
        })
    }

    /// A manifest for each function under `dist/deploy/`, with the deployment's ids.
    fn write_manifests(&self, deployment: &Deployment<'_>) -> Result<()> {
        for function in &self.catalogue.functions {
            let text = wrangler::deployed(&self.catalogue, function, deployment);
            write(&self.manifest(&function.name), text.as_bytes())?;
        }
        Ok(())
    }

    fn manifest(&self, function: &str) -> PathBuf {
        self.folder.join(function).join("wrangler.toml")
    }

    fn wrangler(&self, function: &str) -> Command {
        let mut command = self.node.wrangler();
        command.arg("--config").arg(self.manifest(function));
        command
    }

    /// A service binding needs its target to exist: what is called comes before its callers, the gateway
    /// last.
    fn in_order(&self) -> Vec<&Function> {
        let mut done = BTreeSet::new();
        let mut order = Vec::new();
        for function in self.catalogue.functions.iter().filter(|function| function.name != GATEWAY) {
            self.visit(function, &mut done, &mut order);
        }
        order.extend(self.catalogue.functions.iter().filter(|function| function.name == GATEWAY));
        order
    }

    fn visit<'a>(
        &'a self,
        function: &'a Function,
        done: &mut BTreeSet<&'a str>,
        order: &mut Vec<&'a Function>,
    ) {
        if !done.insert(&function.name) {
            return;
        }
        for called in &function.uses.calls {
            for target in self.catalogue.functions.iter().filter(|target| target.name == *called) {
                self.visit(target, done, order);
            }
        }
        order.push(function);
    }

    /// Fails naming each secret that a Worker lacks; one that was never deployed lacks them all.
    fn check_secrets(&self) -> Result<()> {
        let mut missing = Vec::new();
        for function in &self.catalogue.functions {
            let wanted: Vec<&str> = function.uses.required_secrets().collect();
            if wanted.is_empty() {
                continue;
            }
            let name = wrangler::script_name(&function.name);
            let mut command = self.wrangler(&function.name);
            let listed = command.args(["secret", "list", "--format", "json"]).output()?;
            let secrets: Vec<Secret> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
            let known: BTreeSet<&str> = secrets.iter().map(|secret| secret.name.as_str()).collect();
            let lacking = wanted.into_iter().filter(|secret| !known.contains(secret));
            missing.extend(lacking.map(|secret| format!("{name}: {secret}")));
        }
        if missing.is_empty() {
            return Ok(());
        }
        bail!(
            "missing secrets: {}. Give them all with --secrets-file FILE, or one with `npx wrangler secret \
             put SECRET --name WORKER`",
            missing.join(", ")
        )
    }
}

/// The configuration document, JSON or (by its file's name) TOML, checked as the functions will check it.
pub(crate) fn configuration(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else { return Ok("{}".into()) };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = if path.extension().is_some_and(|extension| extension == "toml") {
        let document: serde_json::Value =
            toml::from_str(&text).with_context(|| format!("{} is not TOML", path.display()))?;
        document.to_string()
    } else {
        text
    };
    iam_core::config::Configuration::parse(&text, []).with_context(|| path.display().to_string())?;
    Ok(text)
}

/// wrangler ends well whether somebody is signed in or not, so its words have to be read.
pub(crate) fn authenticated(node: &Node) -> Result<()> {
    let words = process::output(node.wrangler().arg("whoami"), "`wrangler whoami` failed")?;
    if words.contains("not authenticated") {
        bail!("no Cloudflare account: run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN");
    }
    Ok(())
}

/// Of a JSON object or NAME=VALUE lines, what this function declares: nobody gets another's secrets.
fn secrets_of(function: &Function, file: &Path) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut secrets: BTreeMap<String, String> = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).with_context(|| format!("{} is not as expected", file.display()))?
    } else {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
    };
    if let Some(missing) = function.uses.required_secrets().find(|name| !secrets.contains_key(*name)) {
        bail!("{} has no {missing}, which {} needs", file.display(), function.name);
    }
    secrets.retain(|name, _| function.uses.secrets.contains(name));
    Ok(secrets)
}
