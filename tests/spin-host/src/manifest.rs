//! `spin.toml`, manifest version 2.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::SpinHostError;

/// The only store label that Spin serves without a runtime configuration file.
const DEFAULT_STORE: &str = "default";

/// An application: its components, their routes and their variables.
///
/// Fields that Spin knows and this host can't honour (files, dependencies, other triggers) are
/// refused rather than skipped, so that nothing passes here and fails on Spin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    spin_manifest_version: u32,
    #[serde(rename = "application")]
    _application: IgnoredAny,
    /// The application's variables.
    #[serde(default)]
    pub variables: BTreeMap<String, VariableDeclaration>,
    /// What starts a component.
    pub trigger: Triggers,
    /// The components by id.
    pub component: BTreeMap<String, ComponentDeclaration>,
}

/// A `[variables]` entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableDeclaration {
    /// The value when nobody gives one.
    pub default: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default, rename = "secret")]
    _secret: bool,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
}

/// The `[[trigger.…]]` tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triggers {
    /// The HTTP triggers.
    #[serde(default)]
    pub http: Vec<HttpTrigger>,
}

/// A `[[trigger.http]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTrigger {
    /// Which requests.
    pub route: Route,
    /// The id of the component that answers them.
    pub component: String,
    #[serde(default, rename = "id")]
    _id: IgnoredAny,
}

/// Which requests a trigger takes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Route {
    /// Requests whose path matches this pattern.
    Pattern(String),
    /// Requests of other components only.
    Private(PrivateRoute),
}

/// `route = { private = true }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateRoute {
    private: bool,
}

/// A `[component.ID]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentDeclaration {
    /// The component's file.
    pub source: PathBuf,
    /// Where it may connect to.
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    /// Which key-value stores it may open.
    #[serde(default)]
    pub key_value_stores: BTreeSet<String>,
    /// Which databases it may open.
    #[serde(default)]
    pub sqlite_databases: BTreeSet<String>,
    /// Its own variables: templates over the application's.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Its environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    #[serde(default, rename = "build")]
    _build: IgnoredAny,
    #[serde(default, rename = "tool")]
    _tool: IgnoredAny,
}

impl Manifest {
    /// Reads the manifest at `path`; the components' sources are taken relative to its folder.
    ///
    /// # Errors
    ///
    /// When the file can't be read or Spin would refuse it.
    pub fn load(path: &Path) -> Result<Self, SpinHostError> {
        let text = std::fs::read_to_string(path)
            .map_err(SpinHostError::io(format!("reading {}", path.display())))?;
        let mut manifest = Self::parse(&text)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for component in manifest.component.values_mut() {
            component.source = folder.join(&component.source);
        }
        Ok(manifest)
    }

    /// Reads a manifest's text.
    ///
    /// # Errors
    ///
    /// When Spin would refuse it.
    pub fn parse(text: &str) -> Result<Self, SpinHostError> {
        let manifest: Self =
            toml::from_str(text).map_err(|error| SpinHostError::Manifest(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), SpinHostError> {
        if self.spin_manifest_version != 2 {
            return refuse(format!("version {} instead of 2", self.spin_manifest_version));
        }
        for (name, variable) in &self.variables {
            if variable.required == variable.default.is_some() {
                return refuse(format!("variable {name} must have a default or be required, and not both"));
            }
        }
        for (id, component) in &self.component {
            component.check(id)?;
        }
        for trigger in &self.trigger.http {
            if !self.component.contains_key(&trigger.component) {
                return refuse(format!("a trigger names the unknown component {}", trigger.component));
            }
            if let Route::Private(PrivateRoute { private: false }) = trigger.route {
                return refuse(format!("route of {} has private = false", trigger.component));
            }
        }
        Ok(())
    }
}

impl ComponentDeclaration {
    fn check(&self, id: &str) -> Result<(), SpinHostError> {
        if !is_kebab_case(id) {
            return refuse(format!("component id {id} is not kebab-case"));
        }
        let mut stores = self.key_value_stores.iter().chain(&self.sqlite_databases);
        if let Some(label) = stores.find(|label| *label != DEFAULT_STORE) {
            return refuse(format!("component {id} uses the unknown store {label}"));
        }
        Ok(())
    }
}

fn is_kebab_case(id: &str) -> bool {
    id.split('-').all(|word| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|other| other.is_ascii_lowercase() || other.is_ascii_digit())
    })
}

fn refuse<T>(message: String) -> Result<T, SpinHostError> {
    Err(SpinHostError::Manifest(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"test\"\n";

    fn parse(rest: &str) -> Result<Manifest, SpinHostError> {
        Manifest::parse(&format!("{HEAD}{rest}"))
    }

    #[test]
    fn reads_a_whole_component() {
        let manifest = parse(
            r#"
            [variables]
            token = { required = true, secret = true }
            host = { default = "localhost", description = "where" }
            [[trigger.http]]
            route = "/users/:id/..."
            component = "users"
            [[trigger.http]]
            route = { private = true }
            component = "users"
            [component.users]
            description = "…"
            source = "users.wasm"
            key_value_stores = ["default"]
            sqlite_databases = ["default"]
            allowed_outbound_hosts = ["http://{{ host }}:*"]
            [component.users.variables]
            token = "{{ token }}"
            [component.users.build]
            command = "cargo build"
            "#,
        )
        .unwrap();
        let users = &manifest.component["users"];
        assert!(users.key_value_stores.contains("default") && users.sqlite_databases.contains("default"));
        assert_eq!(users.variables["token"], "{{ token }}");
        assert_eq!(manifest.trigger.http.len(), 2);
        assert!(matches!(manifest.trigger.http[1].route, Route::Private(_)));
    }

    #[test]
    fn refuses_what_spin_refuses() {
        let component = "[component.a]\nsource = \"a.wasm\"\n";
        for (text, why) in [
            ("[[trigger.http]]\nroute = \"/\"\ncomponent = \"b\"\n", "unknown component b"),
            ("[[trigger.http]]\nroute = { private = false }\ncomponent = \"a\"\n", "private = false"),
            ("[variables]\nx = { secret = true }\n[trigger]\n", "must have a default or be required"),
            ("[variables]\nx = { default = \"\", required = true }\n[trigger]\n", "and not both"),
            ("[[trigger.redis]]\nchannel = \"x\"\n", "unknown field `redis`"),
            ("[trigger]\n[component.A]\nsource = \"a.wasm\"\n", "not kebab-case"),
            ("[trigger]\n[component.b]\nsource = \"b.wasm\"\nfiles = [\"*\"]\n", "unknown field `files`"),
            (
                "[trigger]\n[component.b]\nsource = \"b.wasm\"\nkey_value_stores = [\"x\"]\n",
                "unknown store x",
            ),
        ] {
            let error = parse(&format!("{text}{component}")).unwrap_err().to_string();
            assert!(error.contains(why), "{error} does not say {why}");
        }
        assert!(
            Manifest::parse("spin_manifest_version = 1\n[application]\n[trigger]\n[component]\n").is_err()
        );
    }
}
