//! The functions on workerd, each with a socket of its own, and what workerd spends on them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use iam_core::sql::Statement;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::first_organization::{self, seed};
use crate::state::random_text;
use crate::tools::Node;
use crate::workers;
use crate::workspace::{Module, Workspace};

/// The username of the administrator that the operations begin with.
const ADMINISTRATOR: &str = "admin@example.com";

/// The defaults, but for the number of keys, since a round creates all of its keys before it revokes them,
/// and of sessions, since `--scale` gives ten to everybody; `--sign-in` fails more often than an address may.
pub(super) const CONFIGURATION: &str = r#"{
    "api_keys": {"max_per_user": 1000}, "session": {"max_sessions_per_user": 20},
    "password": {"lockout_address_threshold": 10000},
    "scim": {"rate_limit_per_minute": 1000000, "loop_bound": 10000}
}"#;

/// How many round trips to the database the requests to one route took.
#[derive(Clone, Copy)]
pub(super) struct RoundTrips {
    /// The last one.
    pub(super) usual: u64,
    /// The one that took the most: a function's first request also reads or makes its keys.
    pub(super) most: u64,
}

/// By method and route, as `GET /health`.
pub(super) type RoundTripsByRoute = BTreeMap<String, RoundTrips>;

/// A running workerd.
pub(super) struct Server {
    child: Child,
    input: ChildStdin,
    log: JoinHandle<RoundTripsByRoute>,
    direct: BTreeMap<String, String>,
    workerd: u32,
    /// The first administrator.
    pub(super) credentials: Credentials,
}

/// What the first organization is entered with.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) scim_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ready(Ready),
    Error(String),
}

#[derive(Deserialize)]
struct Ready {
    direct: BTreeMap<String, String>,
    workerd: Option<u32>,
}

impl Server {
    /// Starts every function and the bench modules over a database with one organization and what `fill` puts
    /// there.
    pub(super) fn start(
        workspace: &Workspace,
        node: &Node,
        benches: &[&Module],
        fill: Vec<Statement>,
    ) -> Result<Self> {
        let organization = first_organization::make(CONFIGURATION, "Benchmarks", ADMINISTRATOR)?;
        let statements: Vec<Statement> = organization.statements.iter().cloned().chain(fill).collect();
        let document = document(workspace, benches, &seed(&statements))?;
        let mut child = node
            .command("xtask/js/workerd.mjs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start node")?;
        let missing = || anyhow!("node has no standard streams");
        let mut input = child.stdin.take().ok_or_else(missing)?;
        let mut output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let errors = child.stderr.take().ok_or_else(missing)?;
        let log = thread::spawn(move || read_log(errors));
        writeln!(input, "{document}").context("node ended at once")?;
        let mut line = String::new();
        output.read_line(&mut line).context("node ended before workerd was ready")?;
        let ready = match serde_json::from_str(&line).context("workerd.mjs gave an unexpected answer")? {
            Answer::Ready(ready) => ready,
            Answer::Error(message) => bail!("workerd cannot serve: {message}"),
        };
        let workerd = ready.workerd.context("the system doesn't tell which process workerd is")?;
        let credentials = Credentials {
            username: organization.username.clone(),
            password: organization.password.to_string(),
            scim_token: organization.scim_token.reveal().to_owned(),
        };
        Ok(Self { child, input, log, direct: ready.direct, workerd, credentials })
    }

    /// Where a worker listens.
    pub(super) fn url(&self, worker: &str) -> Result<&str> {
        let url = self.direct.get(worker).with_context(|| format!("{worker} has no socket of its own"))?;
        Ok(url.trim_end_matches('/'))
    }

    /// The processor time that workerd has spent so far, in all its threads.
    ///
    /// The kernel counts it in nanoseconds per thread; the sum in `/proc/<pid>/stat` is cut to hundredths of
    /// a second.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let folder = PathBuf::from(format!("/proc/{}/task", self.workerd));
        let mut nanoseconds = 0_u64;
        for thread in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))
                .context("the kernel doesn't tell the time of a thread")?;
            let spent = text.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
            nanoseconds = nanoseconds.saturating_add(spent.context("schedstat is not as expected")?);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Ends workerd and tells how many round trips each route took.
    pub(super) fn end(self) -> Result<RoundTripsByRoute> {
        let Self { mut child, input, log, .. } = self;
        // The end of its input tells the script to end workerd and itself.
        drop(input);
        let _status = child.wait().context("cannot wait for node")?;
        log.join().map_err(|_| anyhow!("the log could not be read"))
    }
}

/// The functions as their manifests describe them, and the bench modules beside them.
fn document(workspace: &Workspace, benches: &[&Module], seed: &Value) -> Result<Value> {
    let mut document = workers::document(workspace)?;
    let workers =
        document.get_mut("workers").and_then(Value::as_array_mut).context("there are no workers")?;
    let date = workers.first().and_then(|worker| worker.get("compatibilityDate")).cloned();
    for module in benches {
        workers.push(json!({
            "name": module.package,
            "directory": workspace.dist("cloudflare").join(&module.name),
            "compatibilityDate": date,
            "database": true,
            "services": { "METRICS_PUSH": "iam-metrics-push" },
        }));
    }
    let bindings = json!({
        "IAM_CONFIG": CONFIGURATION,
        "IAM_MASTER_KEY": random_text()?,
        "IAM_INTERNAL_TOKEN": random_text()?,
    });
    for worker in workers.iter_mut().filter_map(Value::as_object_mut) {
        worker.insert("bindings".to_owned(), bindings.clone());
        worker.insert("direct".to_owned(), json!(0));
    }
    if let Some(document) = document.as_object_mut() {
        document.insert("seed".to_owned(), seed.clone());
        document.insert("verbose".to_owned(), json!(true));
    }
    Ok(document)
}

/// Reads the functions' log lines to the end; shows what is none, and what is an error.
fn read_log(errors: ChildStderr) -> RoundTripsByRoute {
    let mut found = RoundTripsByRoute::new();
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        let record: Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        if record.is_null() || text("severity") == Some("ERROR") {
            eprintln!("  {line}");
        }
        let round_trips = record.get("db.round_trips").and_then(Value::as_u64);
        let (Some(method), Some(route), Some(usual)) =
            (text("http.request.method"), text("http.route"), round_trips)
        else {
            continue;
        };
        let known = found.entry(format!("{method} {route}")).or_insert(RoundTrips { usual, most: usual });
        *known = RoundTrips { usual, most: known.most.max(usual) };
    }
    found
}
