//! `iam users export`

use std::fs::File;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::Global;
use crate::client::{Call, Client};
use crate::exit::Exit;

/// Write the whole directory as NDJSON, a user a line.
///
/// `iam users import` takes the lines as they are. Service accounts and deleted users are not among them.
/// Needs the permission `users.read.organization`.
#[derive(Args)]
#[command(after_help = "Examples:\n  iam users export users.ndjson\n  \
                        iam users export | iam users import - --profile other")]
pub(crate) struct Export {
    /// The file to write, for its owner alone; standard output without it or with `-`.
    file: Option<PathBuf>,
    /// With the hashes of passwords, to move to another deployment. Needs `users.manage.all`.
    #[arg(long)]
    include_password_hashes: bool,
}

impl Export {
    pub(crate) fn run(&self, global: &Global) -> Result<Exit> {
        let client = Client::signed_in(global)?;
        let users = match self.file.as_deref().filter(|file| *file != Path::new("-")) {
            None => self.write(&client, &mut stdout().lock())?,
            Some(path) => self.write_file(&client, path)?,
        };
        writeln!(stderr(), "{users} users exported")?;
        Ok(Exit::Done)
    }

    /// What breaks off leaves no file that looks whole.
    fn write_file(&self, client: &Client, path: &Path) -> Result<u64> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder)
            .with_context(|| format!("can't write into {}", folder.display()))?;
        let users = self.write::<File>(client, file.as_file_mut())?;
        file.persist(path).with_context(|| format!("can't write {}", path.display()))?;
        Ok(users)
    }

    /// Page by page: it takes no more memory than one.
    fn write<W: Write>(&self, client: &Client, writer: &mut W) -> Result<u64> {
        let include = if self.include_password_hashes { "&include=password_hash" } else { "" };
        let mut users = 0_u64;
        let mut cursor = String::new();
        loop {
            let page =
                client.call(&Call::get(&format!("/api/v1/users/export?limit=1000{include}{cursor}")))?;
            writer.write_all(&page.body).context("can't write")?;
            let lines = page.body.iter().filter(|byte| **byte == b'\n').count();
            users = users.saturating_add(u64::try_from(lines)?);
            match page.headers.get("next-cursor") {
                Some(next) => cursor = format!("&cursor={}", next.to_str().context("an odd cursor")?),
                None => break,
            }
        }
        writer.flush()?;
        Ok(users)
    }
}
