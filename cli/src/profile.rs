//! What a sign-in leaves: a file for its owner alone.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};

/// A kept sign-in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// Where the deployment is.
    pub(crate) url: String,
    /// Who signed in.
    pub(crate) username: String,
    /// For calls.
    pub(crate) access_token: String,
    /// For the next pair of tokens; works once.
    pub(crate) refresh_token: String,
}

/// Where a profile of this name is kept.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(known) {
        return Err(Failure::error(Exit::Usage, "a profile's name is 1 to 64 letters, digits, `_` and `-`"));
    }
    let strategy = etcetera::choose_base_strategy().context("this user has no home folder")?;
    Ok(strategy.config_dir().join("edge-iam").join("profiles").join(format!("{name}.json")))
}

impl Profile {
    /// Reads a profile; `None` where nobody signed in under this name.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => {
                let profile = serde_json::from_slice(&bytes);
                profile.map(Some).with_context(|| format!("{} is not a profile", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    /// Keeps the profile: in a new file that takes the old one's place, so that nobody ever reads half of
    /// one. On Unix only its owner may read it.
    pub(crate) fn store(&self, path: &Path) -> Result<()> {
        let folder = path.parent().context("a profile without a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        // Such files are for their owner alone from the start.
        let mut file = tempfile::NamedTempFile::new_in(folder)
            .with_context(|| format!("can't write into {}", folder.display()))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(path).with_context(|| format!("can't write {}", path.display()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profiles/ci.json");
        assert!(Profile::load(&path).unwrap().is_none());
        let text = |text: &str| text.to_owned();
        let profile = Profile {
            url: text("https://iam.example.com"),
            username: text("ada"),
            access_token: text("a"),
            refresh_token: text("r"),
        };
        profile.store(&path).unwrap();
        // Written over, it is as private as before.
        Profile { access_token: text("b"), ..profile }.store(&path).unwrap();
        let loaded = Profile::load(&path).unwrap().unwrap();
        assert_eq!((loaded.access_token.as_str(), loaded.refresh_token.as_str()), ("b", "r"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, "nonsense with a s3cret").unwrap();
        let error = Profile::load(&path).err().unwrap();
        assert!(!format!("{error:#}").contains("s3cret"));
    }

    #[test]
    fn a_profiles_name_stays_in_its_folder() {
        for bad in ["", "../escape", "a/b", "a.b", "ü", &"x".repeat(65)] {
            assert_eq!(Exit::of(&path(bad).unwrap_err()), Exit::Usage, "{bad}");
        }
        assert!(path("prod-eu_1").unwrap().ends_with("edge-iam/profiles/prod-eu_1.json"));
    }
}
