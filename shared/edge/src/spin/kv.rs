use spin_sdk::key_value::{Error, Store};

use super::now;
use crate::{KvError, kv};

/// The label of the store in `spin.toml`.
const STORE: &str = "default";

/// The key-value cache: eventually consistent, never the truth about anything.
#[derive(Clone)]
pub struct Kv(pub(super) ());

impl Kv {
    /// The value under a key, `None` when there is none or its life is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        let stored = open().await?.get(key).await.map_err(failure)?;
        Ok(stored
            .and_then(|stored| String::from_utf8(stored).ok())
            .and_then(|stored| kv::decode(&stored, now())))
    }

    /// Stores a value for so many seconds.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, key: &str, value: &str, life_seconds: u32) -> Result<(), KvError> {
        let entry = kv::encode(value, now(), life_seconds);
        open().await?.set(key, entry).await.map_err(failure)
    }

    /// Removes a key, whether or not it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, key: &str) -> Result<(), KvError> {
        open().await?.delete(key).await.map_err(failure)
    }
}

async fn open() -> Result<Store, KvError> {
    Store::open(STORE).await.map_err(failure)
}

fn failure(error: Error) -> KvError {
    KvError(error.to_string())
}
