use std::sync::Arc;

use super::host::Shared;
use super::{lock, now};
use crate::{KvError, kv};

/// The key-value cache: eventually consistent, never the truth about anything.
#[derive(Clone)]
pub struct Kv {
    pub(super) shared: Arc<Shared>,
}

impl Kv {
    /// The value under a key, `None` when there is none or its life is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        Ok(lock(&self.shared.entries).get(key).and_then(|stored| kv::decode(stored, now())))
    }

    /// Stores a value for so many seconds.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, key: &str, value: &str, life_seconds: u32) -> Result<(), KvError> {
        lock(&self.shared.entries).insert(key.to_owned(), kv::encode(value, now(), life_seconds));
        Ok(())
    }

    /// Removes a key, whether or not it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, key: &str) -> Result<(), KvError> {
        lock(&self.shared.entries).remove(key);
        Ok(())
    }
}
