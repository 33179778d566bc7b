//! Serving on workerd: `xtask/js/workerd.mjs` with our manifests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DevHost, Server, Settings, base_url, first_organization};
use crate::first_organization::{credentials, seed};
use crate::process;
use crate::state::{Credentials, State};
use crate::tools::Node;
use crate::workers;
use crate::workspace::Workspace;

/// How long workerd may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// The node process and our two ends of it.
pub(super) struct Workerd {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    document: Value,
}

/// One line of its answer.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ready(Ready),
    Error(String),
}

#[derive(Deserialize)]
struct Ready {
    migrations: Vec<String>,
    seeded: bool,
}

/// Builds, starts, migrates; gives the credentials of an organization that was made.
pub(super) fn start(
    workspace: &Workspace,
    state: &State,
    settings: &Settings,
) -> Result<(Workerd, Option<Credentials>)> {
    let node = Node::install(workspace)?;
    DevHost::Cloudflare.build(workspace)?;
    let organization = first_organization(settings)?;
    let document = document(workspace, state, settings, &seed(&organization.statements))?;
    process::step("start workerd and apply migrations", || {
        let mut server = Workerd::start(&node, document)?;
        let ready = server.send()?;
        for name in &ready.migrations {
            eprintln!("  applied {name}");
        }
        // Later reloads must not run it again.
        if let Some(document) = server.document.as_object_mut() {
            document.remove("seed");
        }
        if !ready.seeded {
            return Ok((server, None));
        }
        let created = credentials(&organization, &base_url(settings));
        state.save_credentials(DevHost::Cloudflare.name(), &created)?;
        Ok((server, Some(created)))
    })
}

fn document(workspace: &Workspace, state: &State, settings: &Settings, seed: &Value) -> Result<Value> {
    let mut document = workers::document(workspace)?;
    let shared = json!({
        "port": settings.port,
        // The folder inside wrangler's `--persist-to`.
        "state": state.folder.join("v3"),
        "verbose": settings.verbose,
        "seed": seed,
    });
    merge(&mut document, &shared);
    for worker in document.get_mut("workers").and_then(Value::as_array_mut).into_iter().flatten() {
        let bindings = bindings(worker, settings);
        if let Some(own) = worker.get_mut("bindings") {
            merge(own, &bindings);
        }
    }
    Ok(document)
}

/// The configuration and the secrets that this worker declares, and no others.
fn bindings(worker: &Value, settings: &Settings) -> Value {
    let values = [
        ("IAM_CONFIG", &settings.config),
        ("IAM_MASTER_KEY", &settings.secrets.master_key),
        ("IAM_INTERNAL_TOKEN", &settings.secrets.internal_token),
    ];
    let names_secret = |name: &str| {
        let secrets = worker.get("secrets").and_then(Value::as_array);
        secrets.is_some_and(|secrets| secrets.iter().any(|secret| secret == name))
    };
    let has_variable = |name: &str| worker.get("bindings").is_some_and(|own| own.get(name).is_some());
    let wanted = values.into_iter().filter(|(name, _)| names_secret(name) || has_variable(name));
    // Who takes the master key takes the previous one too, where there is one.
    let previous = settings.secrets.master_key_previous.as_ref().filter(|_| names_secret("IAM_MASTER_KEY"));
    let previous = previous.map(|key| ("IAM_MASTER_KEY_PREVIOUS", key));
    wanted.chain(previous).map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
}

impl Workerd {
    fn start(node: &Node, document: Value) -> Result<Self> {
        let mut child = node
            .command("xtask/js/workerd.mjs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start node")?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("node has no output")?);
        Ok(Self { child, input, output, document })
    }

    /// Sends the document and waits for the answer.
    fn send(&mut self) -> Result<Ready> {
        let ended = || anyhow!("workerd ended before it was ready");
        let input = self.input.as_mut().ok_or_else(ended)?;
        writeln!(input, "{}", self.document).map_err(|_| ended())?;
        let mut line = String::new();
        if self.output.read_line(&mut line).map_err(|_| ended())? == 0 {
            return Err(ended());
        }
        match serde_json::from_str(&line).context("workerd.mjs gave an unexpected answer")? {
            Answer::Ready(ready) => Ok(ready),
            Answer::Error(message) => bail!("workerd cannot serve: {message}"),
        }
    }
}

impl Server for Workerd {
    fn reload(&mut self) -> Result<()> {
        self.send().map(|_| ())
    }

    fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot ask for node's state")? {
            Some(status) => bail!("workerd ended by itself ({status})"),
            None => Ok(()),
        }
    }
}

impl Drop for Workerd {
    /// The end of its input tells the script to end workerd and itself.
    fn drop(&mut self) {
        drop(self.input.take());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // It is stuck: the last resort, and nothing more can be done about a failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
