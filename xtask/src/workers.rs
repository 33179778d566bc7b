//! The Workers as their manifests describe them, for `xtask/js/workerd.mjs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::build::write;
use crate::catalogue::GATEWAY;
use crate::manifests::wrangler::{self, LOCAL_DATABASE_ID, LOCAL_NAMESPACE_ID};
use crate::workspace::{Module, Workspace};

/// What of a `wrangler.toml` matters here.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    compatibility_date: String,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    #[serde(default)]
    secrets: Secrets,
    #[serde(default)]
    d1_databases: Vec<toml::Value>,
    #[serde(default)]
    kv_namespaces: Vec<toml::Value>,
    #[serde(default)]
    services: Vec<Service>,
}

#[derive(Deserialize, Default)]
struct Secrets {
    required: Vec<String>,
}

#[derive(Deserialize)]
struct Service {
    binding: String,
    service: String,
}

/// All functions, the gateway first; no state and no secrets yet.
pub(crate) fn document(workspace: &Workspace) -> Result<Value> {
    let mut modules: Vec<&Module> = workspace.functions().collect();
    modules.sort_by_key(|module| (module.name != GATEWAY, &module.name));
    let workers =
        modules.into_iter().map(|module| worker(workspace, module)).collect::<Result<Vec<Value>>>()?;
    Ok(json!({
        "database": LOCAL_DATABASE_ID,
        "namespace": LOCAL_NAMESPACE_ID,
        "migrations": workspace.root.join("kv-schema/migrations"),
        "workers": workers,
    }))
}

/// Leaves the document where tests and benches find it.
pub(crate) fn save(workspace: &Workspace) -> Result<()> {
    let path = workspace.dist("cloudflare").join("workers.json");
    write(&path, format!("{:#}\n", document(workspace)?).as_bytes())
}

fn worker(workspace: &Workspace, module: &Module) -> Result<Value> {
    let manifest = read(&workspace.root.join(wrangler::path(module)))?;
    let services: BTreeMap<String, String> =
        manifest.services.into_iter().map(|service| (service.binding, service.service)).collect();
    Ok(json!({
        "name": manifest.name,
        "directory": workspace.dist("cloudflare").join(&module.name),
        "compatibilityDate": manifest.compatibility_date,
        "bindings": manifest.vars,
        "secrets": manifest.secrets.required,
        "database": !manifest.d1_databases.is_empty(),
        "keyValue": !manifest.kv_namespaces.is_empty(),
        "services": services,
    }))
}

fn read(path: &Path) -> Result<Manifest> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}: run `cargo xtask manifests` first", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))
}
