//! `cargo xtask dev`: builds everything and serves it on this machine.

mod cloudflare;
mod spin;
mod watch;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::build::{self, Host};
use crate::deploy::configuration;
use crate::first_organization;
use crate::process;
use crate::state::{Credentials, Secrets, State};
use crate::workspace::Workspace;

/// How often the sources and the children are looked at.
const TICK: Duration = Duration::from_millis(500);
const LOCALHOST: &str = "127.0.0.1";

/// Build, migrate and serve everything at http://127.0.0.1:8787.
///
/// The first start creates an organization with an administrator; its password is shown once and kept in
/// credentials.json in the state folder. Later starts keep the data. Ctrl-C ends it.
///
/// On workerd the state folder has wrangler's own layout, so that `npx wrangler dev` can serve the same data:
/// set -a; . .dev/secrets.env; CLOUDFLARE_INCLUDE_PROCESS_ENV=true npx wrangler dev -c wrangler.toml
/// -c functions/sign-in/login/wrangler.toml … --persist-to .dev (with a -c for each function).
#[derive(Args)]
pub(crate) struct Dev {
    /// Where to listen
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Which host serves: workerd as on Cloudflare, or Spin
    #[arg(long, value_enum, default_value_t = DevHost::Cloudflare)]
    host: DevHost,
    /// Where databases, secrets and credentials are kept
    #[arg(long, value_name = "DIR", default_value = ".dev")]
    state: PathBuf,
    /// Forget what the state folder holds
    #[arg(long)]
    fresh: bool,
    /// Build again and reload when a source changes
    #[arg(long)]
    watch: bool,
    /// The configuration document (JSON, or TOML by its name); every field has a default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what the functions log
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DevHost {
    Cloudflare,
    Spin,
}

/// What a host needs to know.
struct Settings {
    port: u16,
    secrets: Secrets,
    config: String,
    verbose: bool,
}

/// Something that serves, until it is dropped.
trait Server {
    /// Takes up what was built anew.
    fn reload(&mut self) -> Result<()>;
    /// Fails when it ended by itself.
    fn check(&mut self) -> Result<()>;
}

impl Dev {
    pub(crate) fn run(&self) -> Result<()> {
        let end = ending()?;
        let workspace = Workspace::load()?;
        free_port(self.port)?;
        let config = configuration(self.config.as_deref())?;
        let state = State::open(&workspace.root.join(&self.state), self.fresh)?;
        let settings = Settings { port: self.port, secrets: state.secrets()?, config, verbose: self.verbose };
        let (mut server, created) = self.start(&workspace, &state, &settings)?;
        let base_url = format!("http://{LOCALHOST}:{}", self.port);
        state.publish_credentials(self.host.name(), &base_url)?;
        if let Some(credentials) = created {
            announce(&credentials, &state.credentials_path());
        }
        println!("ready {base_url}");
        self.serve(&workspace, server.as_mut(), &end)
    }

    fn start(
        &self,
        workspace: &Workspace,
        state: &State,
        settings: &Settings,
    ) -> Result<(Box<dyn Server>, Option<Credentials>)> {
        match self.host {
            DevHost::Cloudflare => {
                let (server, created) = cloudflare::start(workspace, state, settings)?;
                Ok((Box::new(server), created))
            }
            DevHost::Spin => {
                let (server, created) = spin::start(workspace, state, settings)?;
                Ok((Box::new(server), created))
            }
        }
    }

    /// Serves until a signal or the server's own end.
    fn serve(&self, workspace: &Workspace, server: &mut dyn Server, end: &Receiver<()>) -> Result<()> {
        let mut sources = watch::Sources::look(workspace);
        loop {
            match end.recv_timeout(TICK) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            server.check()?;
            if self.watch && sources.changed(workspace) {
                // A source that doesn't compile is the watcher's everyday: say it and go on.
                let reloaded = self.host.build(workspace).and_then(|()| server.reload());
                match reloaded {
                    Ok(()) => println!("reloaded"),
                    Err(error) => eprintln!("error: {error:#}"),
                }
            }
        }
    }
}

impl DevHost {
    fn name(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Spin => "spin",
        }
    }

    fn build(self, workspace: &Workspace) -> Result<()> {
        let host = match self {
            Self::Cloudflare => Host::Cloudflare,
            Self::Spin => Host::Spin,
        };
        build::modules_for(workspace, &workspace.select(&[], false)?, host)
    }
}

/// Receives once when Ctrl-C or SIGTERM comes.
fn ending() -> Result<Receiver<()>> {
    let (sender, receiver) = channel();
    ctrlc::set_handler(move || {
        process::ENDING.store(true, Ordering::Relaxed);
        // A second signal finds nobody waiting any more.
        let _ = sender.send(());
    })
    .context("cannot listen for signals")?;
    Ok(receiver)
}

fn free_port(port: u16) -> Result<()> {
    if let Err(error) = TcpListener::bind((LOCALHOST, port)) {
        bail!("port {port} cannot be used ({error}): end what listens there, or choose another with --port");
    }
    Ok(())
}

/// The secrets of a new organization, where the database may turn out to have one already.
fn first_organization(settings: &Settings) -> Result<iam_core::operation::bootstrap::FirstOrganization> {
    process::step("prepare the first organization", || {
        first_organization::make(&settings.config, "First organization", "admin")
    })
}

fn base_url(settings: &Settings) -> String {
    format!("http://{LOCALHOST}:{}", settings.port)
}

fn announce(credentials: &Credentials, path: &Path) {
    println!("administrator: {}", credentials.username);
    println!("password:      {} (shown once, kept in {})", credentials.password, path.display());
}
