//! The JavaScript interfaces of workerd that are called on the hot path, bound directly: one crossing
//! where a general wrapper needs several.

use js_sys::{Array, JsString, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// An `ExecutionContext` or a `ScheduledController`'s context.
    #[wasm_bindgen(extends = Object)]
    pub(super) type ExecutionContext;

    #[wasm_bindgen(method, catch, js_name = waitUntil)]
    pub(super) fn wait_until(this: &ExecutionContext, promise: &Promise) -> Result<(), JsValue>;

    /// A scheduled event.
    pub(super) type ScheduledController;

    #[wasm_bindgen(method, getter)]
    pub(super) fn cron(this: &ScheduledController) -> String;

    #[wasm_bindgen(extends = Object)]
    pub(super) type D1Database;

    #[wasm_bindgen(method, catch)]
    pub(super) fn prepare(this: &D1Database, query: &str) -> Result<D1PreparedStatement, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(super) fn batch(this: &D1Database, statements: &Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(extends = Object)]
    pub(super) type D1PreparedStatement;

    #[wasm_bindgen(method, catch, variadic)]
    pub(super) fn bind(this: &D1PreparedStatement, values: &Array) -> Result<D1PreparedStatement, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(super) fn raw(this: &D1PreparedStatement, options: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(extends = Object)]
    pub(super) type KvNamespace;

    #[wasm_bindgen(method, catch)]
    pub(super) fn get(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(super) fn put(
        this: &KvNamespace,
        key: &str,
        value: &str,
        options: &Object,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(super) fn delete(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;

    /// A secret of a Secrets Store.
    #[wasm_bindgen(extends = Object)]
    pub(super) type SecretsStoreSecret;

    #[wasm_bindgen(method, catch)]
    pub(super) fn get(this: &SecretsStoreSecret) -> Result<Promise, JsValue>;

    /// A service binding.
    #[wasm_bindgen(extends = Object)]
    pub(super) type Fetcher;

    #[wasm_bindgen(method, catch)]
    pub(super) fn fetch(this: &Fetcher, request: &worker::web_sys::Request) -> Result<Promise, JsValue>;
}

/// A property, `None` where it is undefined.
pub(super) fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &JsValue::from_str(name)).ok().filter(|value| !value.is_undefined())
}

/// What a thrown value says: an error's message, or the value as text.
pub(super) fn describe(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => JsString::from(thrown.clone()).into(),
    }
}
