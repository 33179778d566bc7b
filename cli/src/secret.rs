//! Secrets on their way in and out. They are never arguments: other users of a machine see those.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::exit::{Exit, Failure};

/// The longest secret that is read, in bytes.
const MAX_SECRET_BYTES: u64 = 4096;

/// Asks for a secret: the environment variable if it is set, a prompt without echo on a terminal, otherwise
/// the first line of standard input.
pub(crate) fn ask(prompt: &str, variable: &str) -> Result<String> {
    if let Ok(secret) = std::env::var(variable)
        && !secret.is_empty()
    {
        return Ok(secret);
    }
    let secret = if stdin().is_terminal() {
        rpassword::prompt_password(format!("{prompt}: ")).context("nothing was entered")?
    } else {
        let mut line = String::new();
        let read = stdin().lock().take(MAX_SECRET_BYTES).read_line(&mut line);
        read.context("can't read standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if secret.is_empty() {
        let message = format!("no {}: set {variable}, or write it to standard input", prompt.to_lowercase());
        return Err(Failure::error(Exit::Usage, message));
    }
    Ok(secret)
}

/// A new file for a secret that is about to be made, so that it is known to have a place before it is there.
pub(crate) struct SecretFile {
    file: File,
    path: PathBuf,
    is_written: bool,
}

impl SecretFile {
    /// Makes the file, for its owner alone. One that is there already stays as it is.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self { file, path: path.to_owned(), is_written: false })
    }

    /// Writes the secret, to the disk and not only on its way there.
    pub(crate) fn write(mut self, secret: &str) -> Result<()> {
        let written = writeln!(self.file, "{secret}").and_then(|()| self.file.sync_all());
        written.with_context(|| format!("can't write {}", self.path.display()))?;
        self.is_written = true;
        Ok(())
    }
}

impl Drop for SecretFile {
    /// No secret came of it: no empty file is left.
    fn drop(&mut self) {
        if !self.is_written {
            // Nothing depends on it; whoever looks sees an empty file.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether a text looks like a credential of this product, or a token.
pub(crate) fn looks_secret(text: &str) -> bool {
    let is_key = |text: &str| text.contains("_sk_") || text.contains("_live_") || text.contains("_test_");
    text.len() >= 24 && (is_key(text) || text.starts_with("eyJ") || text.starts_with("whsec_"))
}

/// A message without the arguments that look like secrets: somebody gave one where none belongs.
pub(crate) fn redacted(message: String, arguments: impl IntoIterator<Item = String>) -> String {
    let secret = arguments.into_iter().filter(|argument| looks_secret(argument));
    secret.fold(message, |message, argument| {
        // Of `--name=value` the value may be quoted alone.
        let value = argument.split_once('=').map_or(argument.as_str(), |(_, value)| value);
        message.replace(&argument, "[secret]").replace(value, "[secret]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_file_is_its_owners_and_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        drop(SecretFile::create(&path).unwrap());
        assert!(!path.exists());
        SecretFile::create(&path).unwrap().write("s3cret").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "s3cret\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(SecretFile::create(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "s3cret\n");
    }

    #[test]
    fn what_looks_like_a_secret_is_not_repeated() {
        let key = "cronos_sk_live_5vQx8Zr2mN4pL7kT9wY3bC6dF1gH";
        let message = redacted(format!("unexpected argument '{key}' found"), [key.to_owned()]);
        assert_eq!(message, "unexpected argument '[secret]' found");
        let message = redacted(format!("bad '{key}'"), [format!("--key={key}")]);
        assert_eq!(message, "bad '[secret]'");
        assert!(!looks_secret("key_01m83r09avf99a312cwc6rrkrt") && !looks_secret("list-keys"));
    }
}
