//! Secrets of a Secrets Store: a binding that has to be asked, where a Worker's own secret is a text.

use js_sys::futures::JsFuture;
use wasm_bindgen::{JsCast, JsValue};
use worker::send::SendFuture;

use super::javascript::{SecretsStoreSecret, describe, property};
use crate::deadline::within;
use crate::{Secret, VariableError};

/// The store is asked in the data centre; one that does not answer keeps nobody waiting for longer.
const TIMEOUT_MS: u32 = 2_000;

/// The secret behind a binding that is no text.
pub(super) async fn stored(name: &str, binding: JsValue) -> Result<Secret, VariableError> {
    let unreadable = |problem: &str| VariableError { name: name.to_owned(), problem: problem.to_owned() };
    if !property(&binding, "get").is_some_and(|get| get.is_function()) {
        return Err(unreadable("it is a binding, neither text nor a secret of a store"));
    }
    let asking = SendFuture::new(async move {
        let promise = binding.unchecked_ref::<SecretsStoreSecret>().get()?;
        JsFuture::from(promise).await
    });
    match within(TIMEOUT_MS, asking).await {
        Some(Ok(value)) => {
            value.as_string().map(Secret::new).ok_or_else(|| unreadable("the store gave no text"))
        }
        Some(Err(thrown)) => Err(unreadable(&describe(&thrown))),
        None => Err(unreadable("the store did not answer in time")),
    }
}
