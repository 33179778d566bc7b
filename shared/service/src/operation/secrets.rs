//! The one way to a secret by its name, whatever store it is in (`secrets.order`).
//!
//! Stores are asked in order; where one has no such secret, or is down, the next is asked. An instance keeps
//! what it found for `secrets.max_age`. While the store it came from is down it goes on with that for
//! `secrets.max_stale`: the preferred store's last word is better than another store's. The previous master
//! key is looked up no further than the store that gave the current one: the two are turned over together,
//! and it is absent most of the time. Only the function `secrets` speaks to a Vault: it is called where one
//! is configured, and never otherwise.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use iam_core::config::SecretStore;
use iam_core::secret::seal::{MasterKey, MasterKeys};
use iam_core::time::{Duration, Timestamp};
use iam_edge::Secret;
use serde_json::{Value, json};

use crate::context::Context;
use crate::instance::lock;
use crate::instance::secrets::{Known, MASTER_KEY, MASTER_KEY_PREVIOUS, RETRY_AFTER};
use crate::request::error::ApiError;

/// The secret with the secrets of all services that send webhooks: a JSON object, `{"github": ["…"],
/// "github:target":
/// ["whsec_…"]}`.
pub const WEBHOOK_SECRETS: &str = "IAM_WEBHOOK_SECRETS";

/// What a text begins with that the Vault's transit engine sealed.
const TRANSIT_PREFIX: &str = "vault:v";

/// Where the function `secrets` opens what the transit engine sealed.
const DECRYPT: &str = "/internal/secrets/decrypt";

/// What a store gave for a name: the secret, and as it is stored where that was sealed.
type Opened = Result<Option<(Secret, Option<String>)>, String>;

/// What was found, and until when it need not be looked up again.
struct Found {
    values: Vec<Option<Secret>>,
    fresh_until: Timestamp,
}

impl Context {
    /// A secret by its name, from the first store that has it; `None` where none has.
    ///
    /// # Errors
    /// 503 `secrets_unavailable` where a store that may have it is down, and nothing else has.
    pub async fn secret(&self, name: &str) -> Result<Option<Secret>, ApiError> {
        let found = self.find_secrets(&[name]).await?;
        Ok(found.values.into_iter().next().flatten())
    }

    /// Looks the master keys up where that is due. What fails is said where a master key is needed
    /// ([`Instance::master_key`](crate::Instance::master_key)).
    pub(crate) async fn learn_master_keys(&self) {
        let known = &self.instance.secrets;
        let now = iam_edge::now();
        let due_at = lock(&known.master).due_at;
        if due_at.is_some_and(|due_at| now < due_at && due_at <= now.after(Duration::from_hours(1))) {
            return;
        }
        let found = self.find_secrets(&[MASTER_KEY, MASTER_KEY_PREVIOUS]).await;
        let fresh_until = found.as_ref().map_or(now.after(RETRY_AFTER), |found| found.fresh_until);
        let read = found.map(|found| read_master_keys(&found.values));
        let problem = {
            let mut master = lock(&known.master);
            master.due_at = Some(fresh_until);
            match read {
                Ok(Ok(keys)) => {
                    if ids(master.keys.as_deref()) != ids(keys.as_ref()) {
                        self.instance.signing_keys.forget_keys();
                    }
                    (master.keys, master.refusal) = (keys.map(Arc::new), None);
                    None
                }
                // A text that is no key: what worked so far goes on.
                Ok(Err(problem)) => {
                    master.refusal = Some(ApiError::internal(problem.clone()));
                    Some(problem)
                }
                Err(error) => {
                    (master.keys, master.refusal) = (None, Some(error));
                    None
                }
            }
        };
        if let Some(problem) = problem {
            self.log_failure("a master key can't be read", &problem);
        }
    }

    async fn find_secrets(&self, names: &[&str]) -> Result<Found, ApiError> {
        let (known, now) = (&self.instance.secrets, iam_edge::now());
        if !names.iter().all(|name| known.fresh(name, now).is_some()) {
            self.look_up(names, now).await?;
        }
        let rules = &self.configuration().secrets;
        let mut found = Found { values: Vec::new(), fresh_until: now.after(rules.max_age) };
        for name in names {
            let entry = known.known(name);
            found.fresh_until = entry.as_ref().map_or(now, |entry| entry.fresh_until).min(found.fresh_until);
            found.values.push(entry.and_then(|entry| entry.value));
        }
        Ok(found)
    }

    /// Asks the stores in order for what is not fresh.
    async fn look_up(&self, names: &[&str], now: Timestamp) -> Result<(), ApiError> {
        let (known, rules) = (&self.instance.secrets, &self.configuration().secrets);
        let mut open: Vec<&str> =
            names.iter().copied().filter(|name| known.fresh(name, now).is_none()).collect();
        let mut failure: Option<String> = None;
        for store in rules.order.iter().copied() {
            let mut kept = match store {
                _ if open.is_empty() => return Ok(()),
                SecretStore::Vault if rules.vault.is_none() => continue,
                SecretStore::Vault => {
                    self.ask_secrets("/internal/secrets/read", &json!({"names": open}), now).await
                }
                SecretStore::Host | SecretStore::Configuration => Ok(Value::Null),
            };
            let life = if failure.is_none() { rules.max_age } else { RETRY_AFTER };
            let (mut left, mut cause) = (Vec::new(), None);
            for name in open {
                match self.open(name, self.ask(store, name, &mut kept).await, now).await {
                    Ok(Some((value, sealed))) => {
                        let (value, store) = (Some(value), Some(store));
                        let fresh_until = now.after(life);
                        known.keep(name, Known { value, sealed, store, read_at: now, fresh_until });
                    }
                    Ok(None) => left.push(name),
                    Err(problem) => {
                        cause = Some(problem);
                        match known.stale(name, store, now, rules) {
                            Some(stale) => {
                                known.keep(name, Known { fresh_until: now.after(RETRY_AFTER), ..stale });
                            }
                            None => left.push(name),
                        }
                    }
                }
            }
            if known.fresh(MASTER_KEY, now).is_some_and(|current| current.store == Some(store)) {
                // Not knowing it for a moment keeps nobody from working.
                let life = if cause.is_none() { life } else { RETRY_AFTER };
                for name in left.extract_if(.., |name| *name == MASTER_KEY_PREVIOUS) {
                    known.keep(name, Known::absent(now, life));
                }
            }
            if let Some(cause) = cause {
                let message = format!("the secret store {} failed", store.as_str());
                self.log_failure(&message, &cause);
                failure = Some(cause);
            }
            open = left;
        }
        match failure {
            Some(cause) if !open.is_empty() => Err(unavailable(&cause)),
            _ => {
                for name in open {
                    known.keep(name, Known::absent(now, rules.max_age));
                }
                Ok(())
            }
        }
    }

    /// One store, for one name. `kept` is the Vault's answer for all of them. A text of spaces is none.
    async fn ask(
        &self,
        store: SecretStore,
        name: &str,
        kept: &mut Result<Value, String>,
    ) -> Result<Option<Secret>, String> {
        let found = match store {
            SecretStore::Host => self.host.secret(name).await.map_err(|error| error.to_string())?,
            SecretStore::Vault => {
                let kept = kept.as_mut().map_err(|cause| cause.clone())?;
                match kept.get_mut("secrets").and_then(|secrets| secrets.get_mut(name)).map(Value::take) {
                    Some(Value::String(text)) => Some(Secret::new(text)),
                    _ => None,
                }
            }
            SecretStore::Configuration => {
                self.configuration().secrets.values.get(name).cloned().map(Secret::new)
            }
        };
        Ok(found.filter(|secret| !secret.expose().trim().is_empty()))
    }

    /// Opens what the Vault's transit engine sealed. What was opened before is not asked for again.
    async fn open(&self, name: &str, asked: Result<Option<Secret>, String>, now: Timestamp) -> Opened {
        let Some(secret) = asked? else { return Ok(None) };
        let sealed = secret.expose().trim();
        if !sealed.starts_with(TRANSIT_PREFIX) {
            return Ok(Some((secret, None)));
        }
        let plain = match self.instance.secrets.opened(name, sealed) {
            Some(plain) => plain,
            None => self.decrypt(sealed, now).await?,
        };
        Ok(Some((plain, Some(sealed.to_owned()))))
    }

    async fn decrypt(&self, sealed: &str, now: Timestamp) -> Result<Secret, String> {
        if self.configuration().secrets.vault.as_ref().and_then(|vault| vault.transit_key.as_ref()).is_none()
        {
            return Err(
                "a secret is sealed by a Vault, and secrets.vault.transit_key is not configured".to_owned()
            );
        }
        let body = json!({"ciphertext": sealed});
        let mut answer = self.ask_secrets(DECRYPT, &body, now).await?;
        match answer.get_mut("plaintext").map(Value::take) {
            Some(Value::String(text)) => Ok(Secret::new(text)),
            _ => Err("the function secrets answered something else".to_owned()),
        }
    }

    /// Calls the function `secrets`, unless it could not reach the Vault just now.
    async fn ask_secrets(&self, path: &'static str, body: &Value, now: Timestamp) -> Result<Value, String> {
        let known = &self.instance.secrets;
        if known.is_vault_failing(now) {
            return Err("the Vault failed a moment ago".to_owned());
        }
        let answer = self.call("secrets", path, body).await;
        // One ciphertext that is refused says nothing of all the others.
        let is_of_one = answer.as_ref().is_ok_and(|answer| {
            path == DECRYPT && !answer.status().is_server_error() && answer.status() != StatusCode::OK
        });
        let answer = answer.and_then(|answer| read(&answer));
        if !is_of_one {
            *lock(&known.vault_failed_at) = answer.is_err().then(iam_edge::now);
        }
        answer
    }
}

fn read(answer: &Response<Bytes>) -> Result<Value, String> {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    if answer.status() == StatusCode::OK {
        return Ok(body);
    }
    let code = body.get("code").and_then(Value::as_str).unwrap_or_default();
    Err(format!("the function secrets answered {} {code}", answer.status().as_u16()))
}

fn unavailable(cause: &str) -> ApiError {
    let detail = "a secret that this needs can't be read now, try again";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "secrets_unavailable", detail)
        .header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_seconds()))
        .cause(cause)
}

/// Which keys they are.
fn ids(keys: Option<&MasterKeys>) -> Option<(&str, Option<&str>)> {
    keys.map(|keys| (keys.current_id(), keys.previous_id()))
}

/// From the current and the previous one, as they are stored.
fn read_master_keys(texts: &[Option<Secret>]) -> Result<Option<MasterKeys>, String> {
    let mut keys = [MASTER_KEY, MASTER_KEY_PREVIOUS].iter().zip(texts).map(|(name, text)| {
        let parse =
            |text: &Secret| MasterKey::parse(text.expose()).map_err(|error| format!("{name}: {error}"));
        text.as_ref().map(parse).transpose()
    });
    let current = keys.next().transpose()?.flatten();
    let previous = keys.next().transpose()?.flatten();
    Ok(current.map(|current| MasterKeys::new(current, previous)))
}
