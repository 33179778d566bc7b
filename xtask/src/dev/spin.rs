//! Serving on Spin: the runtime from `PATH` where it is new enough, else our compatible host.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{DevHost, LOCALHOST, Server, Settings, base_url, first_organization};
use crate::first_organization::credentials;
use crate::state::{Credentials, State};
use crate::workspace::{Workspace, cargo};
use crate::{migrations, process};

/// Our host compiles the components at its first start.
const START: Duration = Duration::from_secs(180);
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends the program when standard input closes, so that it never outlives us, whatever ended us.
const WITH_OUR_LIFE: &str = r#"
exec 3<&0
"$@" </dev/null &
child=$!
{ cat <&3 >/dev/null; kill "$child" 2>/dev/null; } &
watcher=$!
trap 'kill "$child" 2>/dev/null' INT TERM
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// Which program serves.
enum Runtime {
    Spin,
    Ours(PathBuf),
}

/// The running program, and how to start it again.
pub(super) struct SpinServer {
    child: Child,
    runtime: Runtime,
    manifest: PathBuf,
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
    address: SocketAddr,
}

/// Builds, migrates, starts; gives the credentials of an organization that was made.
pub(super) fn start(
    workspace: &Workspace,
    state: &State,
    settings: &Settings,
) -> Result<(SpinServer, Option<Credentials>)> {
    DevHost::Spin.build(workspace)?;
    let runtime = Runtime::find(workspace)?;
    let folder = state.folder.join("spin");
    let created = process::step("apply migrations", || {
        prepare(workspace, state, settings, &folder.join(runtime.database()))
    })?;
    let mut variables = vec![
        ("SPIN_VARIABLE_IAM_CONFIG", settings.config.clone()),
        ("SPIN_VARIABLE_IAM_MASTER_KEY", settings.secrets.master_key.clone()),
        ("SPIN_VARIABLE_IAM_INTERNAL_TOKEN", settings.secrets.internal_token.clone()),
    ];
    let previous = settings.secrets.master_key_previous.clone();
    variables.extend(previous.map(|key| ("SPIN_VARIABLE_IAM_MASTER_KEY_PREVIOUS", key)));
    let address: SocketAddr = format!("{LOCALHOST}:{}", settings.port).parse().context("no such address")?;
    let manifest = workspace.root.join("spin.toml");
    let child = runtime.spawn(&manifest, &folder, address, &variables)?;
    let mut server = SpinServer { child, runtime, manifest, folder, variables, address };
    process::step("start the components", || server.wait_until_ready())?;
    Ok((server, created))
}

fn prepare(
    workspace: &Workspace,
    state: &State,
    settings: &Settings,
    database: &Path,
) -> Result<Option<Credentials>> {
    let mut connection = migrations::open(database)?;
    for name in migrations::apply(&mut connection, &workspace.root.join("kv-schema/migrations"))? {
        eprintln!("  applied {name}");
    }
    if !migrations::is_empty(&connection)? {
        return Ok(None);
    }
    let organization = first_organization(settings)?;
    migrations::run(&mut connection, &organization.statements)
        .context("the first organization cannot be stored")?;
    let created = credentials(&organization, &base_url(settings));
    state.save_credentials(DevHost::Spin.name(), &created)?;
    Ok(Some(created))
}

/// Builds our Spin-compatible host.
fn spin_host_program(workspace: &Workspace) -> Result<PathBuf> {
    process::run(cargo().args(["build", "--package", "iam-spin-host"]), "the build of iam-spin-host failed")?;
    let program = workspace.target.join("debug/iam-spin-host");
    if !program.exists() {
        bail!("cargo left no {}", program.display());
    }
    Ok(program)
}

impl Runtime {
    fn find(workspace: &Workspace) -> Result<Self> {
        if let Some(version) = spin_version() {
            if version >= (4, 1) {
                eprintln!("  serving with spin {}.{} from PATH", version.0, version.1);
                return Ok(Self::Spin);
            }
            eprintln!("  spin {}.{} on PATH is older than 4.1", version.0, version.1);
        }
        eprintln!("  serving with our Spin-compatible host (tests/spin-host), not Spin itself");
        let program = process::step("build the Spin-compatible host", || spin_host_program(workspace))?;
        Ok(Self::Ours(program))
    }

    /// The file behind the sqlite label `default`, in the state folder.
    fn database(&self) -> &'static str {
        match self {
            Self::Spin => "sqlite_db.db",
            Self::Ours(_) => "default.db",
        }
    }

    fn spawn(
        &self,
        manifest: &Path,
        folder: &Path,
        address: SocketAddr,
        variables: &[(&'static str, String)],
    ) -> Result<Child> {
        let mut command = Command::new("sh");
        command.args(["-c", WITH_OUR_LIFE, "sh"]);
        match self {
            Self::Spin => {
                command.args(["spin", "up", "--from"]).arg(manifest).arg("--state-dir").arg(folder);
            }
            Self::Ours(program) => {
                command.arg(program).arg("--manifest").arg(manifest).arg("--state").arg(folder);
            }
        }
        command
            .args(["--listen", &address.to_string()])
            .envs(variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the Spin host")
    }
}

fn spin_version() -> Option<(u32, u32)> {
    if !process::exists("spin") {
        return None;
    }
    let text = process::output(Command::new("spin").arg("--version"), "`spin --version` failed").ok()?;
    let mut numbers = text.split_whitespace().nth(1)?.split('.').map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

impl SpinServer {
    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < START {
            self.check()?;
            if TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("the Spin host did not listen at {} within {} s", self.address, START.as_secs())
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
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

impl Server for SpinServer {
    fn reload(&mut self) -> Result<()> {
        self.end();
        self.child = self.runtime.spawn(&self.manifest, &self.folder, self.address, &self.variables)?;
        self.wait_until_ready()
    }

    fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot ask for the Spin host's state")? {
            Some(status) => bail!("the Spin host ended by itself ({status})"),
            None => Ok(()),
        }
    }
}

impl Drop for SpinServer {
    fn drop(&mut self) {
        self.end();
    }
}
