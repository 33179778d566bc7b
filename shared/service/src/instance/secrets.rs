//! Secrets as an instance knows them, the master keys among them.

use std::sync::{Arc, Mutex};

use iam_core::config::{SecretStore, SecretsConfiguration};
use iam_core::secret::seal::MasterKeys;
use iam_core::time::{Duration, Timestamp};
use iam_edge::Secret;

use super::lock;
use crate::request::error::ApiError;

/// The host secret that seals stored secrets: 32 bytes, base64url.
pub const MASTER_KEY: &str = "IAM_MASTER_KEY";

/// The host secret that only opens what was sealed before the master key was rotated; absent most of the
/// time.
pub const MASTER_KEY_PREVIOUS: &str = "IAM_MASTER_KEY_PREVIOUS";

/// After this a store that failed is asked again, and what another one gave in its place is looked up again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_seconds(5);

/// What an instance knows of secrets.
#[derive(Default)]
pub(crate) struct KnownSecrets {
    /// By name: few enough to be looked through.
    found: Mutex<Vec<(String, Known)>>,
    pub(crate) vault_failed_at: Mutex<Option<Timestamp>>,
    pub(crate) master: Mutex<KnownMasterKeys>,
}

#[derive(Clone)]
pub(crate) struct Known {
    /// `None`: every store says that there is none.
    pub(crate) value: Option<Secret>,
    /// As the store has it, where the Vault's transit engine opened it.
    pub(crate) sealed: Option<String>,
    pub(crate) store: Option<SecretStore>,
    pub(crate) read_at: Timestamp,
    pub(crate) fresh_until: Timestamp,
}

impl Known {
    pub(crate) fn absent(now: Timestamp, life: Duration) -> Self {
        Self { value: None, sealed: None, store: None, read_at: now, fresh_until: now.after(life) }
    }
}

#[derive(Default)]
pub(crate) struct KnownMasterKeys {
    pub(crate) keys: Option<Arc<MasterKeys>>,
    pub(crate) refusal: Option<ApiError>,
    pub(crate) due_at: Option<Timestamp>,
}

impl KnownSecrets {
    pub(crate) fn fresh(&self, name: &str, now: Timestamp) -> Option<Known> {
        let known = self.known(name)?;
        // A clock that went back makes everything due.
        (known.read_at <= now && now < known.fresh_until).then_some(known)
    }

    pub(crate) fn known(&self, name: &str) -> Option<Known> {
        lock(&self.found).iter().find(|(known, _)| known == name).map(|(_, known)| known.clone())
    }

    pub(crate) fn keep(&self, name: &str, known: Known) {
        let mut found = lock(&self.found);
        match found.iter_mut().find(|(other, _)| other == name) {
            Some((_, entry)) => *entry = known,
            None => found.push((name.to_owned(), known)),
        }
    }

    /// What this store said last, where that is not too old.
    pub(crate) fn stale(
        &self,
        name: &str,
        store: SecretStore,
        now: Timestamp,
        rules: &SecretsConfiguration,
    ) -> Option<Known> {
        let known = self.known(name).filter(|known| known.store == Some(store))?;
        (now < known.read_at.after(rules.max_age).after(rules.max_stale)).then_some(known)
    }

    /// The plain text of what was opened before.
    pub(crate) fn opened(&self, name: &str, sealed: &str) -> Option<Secret> {
        self.known(name).filter(|known| known.sealed.as_deref() == Some(sealed))?.value
    }

    /// Whether the Vault failed just now.
    pub(crate) fn is_vault_failing(&self, now: Timestamp) -> bool {
        let failed_at = *lock(&self.vault_failed_at);
        failed_at.is_some_and(|failed_at| failed_at <= now && now < failed_at.after(RETRY_AFTER))
    }

    /// The master keys, as they were looked up last.
    pub(crate) fn master_keys(&self) -> Result<Arc<MasterKeys>, ApiError> {
        let known = lock(&self.master);
        match (&known.keys, &known.refusal) {
            (Some(keys), _) => Ok(Arc::clone(keys)),
            (None, Some(refusal)) => Err(refusal.clone()),
            (None, None) => Err(ApiError::internal(format!("the secret {MASTER_KEY} is not set"))),
        }
    }
}
