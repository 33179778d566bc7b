use js_sys::futures::JsFuture;
use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::send::{SendFuture, SendWrapper};

use super::javascript::{KvNamespace, describe};
use super::now;
use crate::{KvError, kv};

/// Workers keeps nothing for less than a minute; the entry itself says when its life is really over.
const SHORTEST_LIFE_SECONDS: u32 = 60;

/// The key-value cache: eventually consistent, never the truth about anything.
#[derive(Clone)]
pub struct Kv {
    pub(super) binding: Option<SendWrapper<JsValue>>,
}

impl Kv {
    /// The value under a key, `None` when there is none or its life is over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, key: &str) -> Result<Option<String>, KvError> {
        SendFuture::new(async move {
            let stored = settled(self.namespace()?.get(key)).await?;
            Ok(stored.as_string().and_then(|stored| kv::decode(&stored, now())))
        })
        .await
    }

    /// Stores a value for so many seconds.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, key: &str, value: &str, life_seconds: u32) -> Result<(), KvError> {
        SendFuture::new(async move {
            let life = JsValue::from(life_seconds.max(SHORTEST_LIFE_SECONDS));
            let options = Object::new();
            Reflect::set(&options, &JsValue::from_str("expirationTtl"), &life).map_err(thrown)?;
            let entry = kv::encode(value, now(), life_seconds);
            settled(self.namespace()?.put(key, &entry, &options)).await.map(drop)
        })
        .await
    }

    /// Removes a key, whether or not it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete(&self, key: &str) -> Result<(), KvError> {
        SendFuture::new(async move { settled(self.namespace()?.delete(key)).await.map(drop) }).await
    }

    fn namespace(&self) -> Result<&KvNamespace, KvError> {
        match &self.binding {
            Some(binding) => Ok(binding.0.unchecked_ref()),
            None => Err(KvError("binding `CACHE` is missing".to_owned())),
        }
    }
}

async fn settled(promise: Result<Promise, JsValue>) -> Result<JsValue, KvError> {
    JsFuture::from(promise.map_err(thrown)?).await.map_err(thrown)
}

fn thrown(error: JsValue) -> KvError {
    KvError(describe(&error))
}
