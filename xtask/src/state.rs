//! The state folder of `dev`: databases, secrets, the administrator's credentials.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The file that tells our folder from any other; a shell and wrangler can read it too.
const SECRETS: &str = "secrets.env";

/// A state folder.
pub(crate) struct State {
    pub(crate) folder: PathBuf,
}

/// What the functions get from the host's secrets.
pub(crate) struct Secrets {
    pub(crate) master_key: String,
    /// While the master key is turned over: the line `IAM_MASTER_KEY_PREVIOUS=…`, added by hand.
    pub(crate) master_key_previous: Option<String>,
    pub(crate) internal_token: String,
}

/// How the administrator signs in.
#[derive(Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) base_url: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) scim_token: String,
}

impl State {
    /// Opens the folder, made where it is missing; `fresh` forgets what it holds.
    pub(crate) fn open(folder: &Path, fresh: bool) -> Result<Self> {
        if fresh {
            forget(folder)?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("cannot resolve {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The secrets of this folder, made at the first start.
    pub(crate) fn secrets(&self) -> Result<Secrets> {
        let path = self.folder.join(SECRETS);
        if path.exists() {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            return Secrets::parse(&text).with_context(|| format!("{} is not as expected", path.display()));
        }
        let (master_key, internal_token) = (random_text()?, random_text()?);
        let secrets = Secrets { master_key, master_key_previous: None, internal_token };
        write_private(&path, secrets.text().as_bytes())?;
        Ok(secrets)
    }

    /// Keeps what is otherwise shown once. Each host has a database of its own, and so an administrator.
    pub(crate) fn save_credentials(&self, host: &str, credentials: &Credentials) -> Result<()> {
        write_private(&self.of_host(host), &serde_json::to_vec_pretty(credentials)?)
    }

    /// Writes `credentials.json` for the host that serves and its address. There is none where somebody put
    /// the host's own away.
    pub(crate) fn publish_credentials(&self, host: &str, base_url: &str) -> Result<()> {
        let (own, published) = (self.of_host(host), self.credentials_path());
        if own.exists() {
            let credentials = Credentials { base_url: base_url.to_owned(), ..read(&own)? };
            return write_private(&published, &serde_json::to_vec_pretty(&credentials)?);
        }
        match fs::remove_file(&published) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", published.display()))
            }
            _ => Ok(()),
        }
    }

    /// Where the credentials are.
    pub(crate) fn credentials_path(&self) -> PathBuf {
        self.folder.join("credentials.json")
    }

    fn of_host(&self, host: &str) -> PathBuf {
        self.folder.join(format!("credentials.{host}.json"))
    }
}

impl Secrets {
    fn text(&self) -> String {
        format!("IAM_MASTER_KEY={}\nIAM_INTERNAL_TOKEN={}\n", self.master_key, self.internal_token)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            master_key: value("IAM_MASTER_KEY")?.to_owned(),
            master_key_previous: value("IAM_MASTER_KEY_PREVIOUS").map(str::to_owned),
            internal_token: value("IAM_INTERNAL_TOKEN")?.to_owned(),
        })
    }
}

/// Removes a state folder, and nothing that isn't one.
fn forget(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !empty && !folder.join(SECRETS).exists() {
        bail!("{} is not a state folder of ours (no {SECRETS} in it): nothing removed", folder.display());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not as expected", path.display()))
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut file| file.write_all(contents))
        .and_then(|()| fs::rename(&partial, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// 32 random bytes as text.
pub(crate) fn random_text() -> Result<String> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => bail!("the system gives no random bytes: {error}"),
    }
}
