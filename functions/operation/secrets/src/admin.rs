//! For administrators: names, stores, versions, health. Never a value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::Path;
use iam_core::config::{SecretStore, is_secret_name};
use iam_core::operation::acts;
use iam_core::time::Timestamp;
use iam_service::{ApiError, Caller, Context, Json, MASTER_KEY, MASTER_KEY_PREVIOUS};
use iam_vault::kv::{self, KvSecret};
use iam_vault::{CIPHERTEXT_PREFIX, Ciphertext, SecretText};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::word;
use crate::text::present;
use crate::vault::{Vault, configuration, configured};
use crate::{KNOWN, VAULT_JWT, VAULT_SECRET_ID, VAULT_TOKEN};

/// How many secrets of a Vault are listed at most.
const MAX_LISTED: usize = 256;

/// What is of the host alone.
const HOSTS_OWN: [&str; 3] = [VAULT_TOKEN, VAULT_SECRET_ID, VAULT_JWT];

/// Secrets and the stores they come from.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SecretsAnswer {
    /// The stores, in the order they are asked.
    stores: Vec<StoreHealth>,
    /// The secrets that are known, by name.
    secrets: Vec<ListedSecret>,
}

/// How a store does.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StoreHealth {
    /// `host`, `vault` or `configuration`.
    store: &'static str,
    /// How it does.
    status: StoreStatus,
    /// What is wrong, in one word: `unreachable`, `timeout`, `sealed`, `denied`, `no_credential`, `busy`,
    /// `lying`, `refused`, `misconfigured`, `unreadable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    /// The version of the Vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// How a store does, in a word.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoreStatus {
    /// It gives secrets.
    Healthy,
    /// It does not: the next one is asked.
    Unhealthy,
    /// It is in the order, and not configured.
    NotConfigured,
}

/// A secret, without its value.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListedSecret {
    /// Its name.
    name: String,
    /// The store it comes from; null where none has it.
    store: Option<&'static str>,
    /// Stores after that one that have it too.
    also_in: Vec<&'static str>,
    /// Whether it is kept sealed by the Vault's transit engine, and under which version of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    transit_key_version: Option<u32>,
    /// In the Vault: the version of the secret that holds it, together with all others that are in the Vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// When that version was written: a write for any name of it counts, so this name's value may be older.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    /// How many days ago that was: the value is at least as old.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_days: Option<i64>,
}

/// A text that was sealed anew.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RewrapAnswer {
    /// Which secret.
    name: String,
    /// The store it is in.
    store: &'static str,
    /// The version of the transit key that seals it now.
    key_version: u32,
    /// Whether the new text is stored; where not, set it yourself.
    stored: bool,
    /// The new text, where it is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
}

/// What a store has: texts by name, and what is wrong with it.
struct Shelf {
    store: SecretStore,
    texts: BTreeMap<String, SecretText>,
    health: StoreHealth,
}

/// Those that count.
fn texts<Text: AsRef<str>>(given: impl IntoIterator<Item = (String, Text)>) -> BTreeMap<String, SecretText> {
    given.into_iter().filter_map(|(name, text)| Some((name, present(text.as_ref())?))).collect()
}

impl Shelf {
    fn new(store: SecretStore, texts: BTreeMap<String, SecretText>, problem: Option<&'static str>) -> Self {
        let status = if problem.is_some() { StoreStatus::Unhealthy } else { StoreStatus::Healthy };
        Self { store, texts, health: StoreHealth { store: store.as_str(), status, problem, version: None } }
    }
}

/// One round trip beside the caller's authentication, and two questions to the Vault.
pub(crate) async fn list(
    vault: Arc<Vault>,
    context: Context,
    caller: Caller,
) -> Result<Json<SecretsAnswer>, ApiError> {
    context.check_operator(&caller, "secrets", "read")?;
    let event = context.audit_by(&caller, acts::SECRETS_LIST)?;
    context.db(&caller.organization).execute(event.record()).await?;
    let mut kept: Option<KvSecret> = None;
    let mut shelves = Vec::new();
    for store in context.configuration().secrets.order.iter().copied() {
        shelves.push(match store {
            SecretStore::Host => host_shelf(&context, &HOSTS_OWN).await,
            SecretStore::Configuration => {
                let values = context.configuration().secrets.values.iter();
                Shelf::new(store, texts(values.map(|(name, text)| (name.clone(), text))), None)
            }
            SecretStore::Vault => vault_shelf(&vault, &context, &mut kept).await,
        });
    }
    let mut names: BTreeSet<&str> = KNOWN.into();
    names.extend(shelves.iter().flat_map(|shelf| shelf.texts.keys()).map(String::as_str));
    let version = kept.as_ref().map(|kept| &kept.version);
    let secrets = names
        .into_iter()
        .take(MAX_LISTED)
        .map(|name| {
            // The previous master key is looked up no further than the store that gives the current one.
            let current = shelves.iter().position(|shelf| shelf.texts.contains_key(MASTER_KEY));
            let last = current.filter(|_| name == MASTER_KEY_PREVIOUS);
            let asked = shelves.iter().take(last.map_or(shelves.len(), |last| last + 1));
            let mut holding = asked.filter(|shelf| shelf.texts.contains_key(name));
            let first = holding.next();
            let version = version.filter(|_| first.is_some_and(|shelf| shelf.store == SecretStore::Vault));
            let text = first.and_then(|shelf| shelf.texts.get(name)).map(SecretText::expose);
            let age =
                |at: Timestamp| context.now.as_seconds().saturating_sub(at.as_seconds()).max(0) / 86_400;
            ListedSecret {
                name: name.to_owned(),
                store: first.map(|shelf| shelf.store.as_str()),
                also_in: holding.map(|shelf| shelf.store.as_str()).collect(),
                transit_key_version: text
                    .filter(|text| text.starts_with(CIPHERTEXT_PREFIX))
                    .and_then(|text| Ciphertext::parse(text).ok())
                    .map(|text| text.key_version()),
                version: version.map(|version| version.version),
                created_at: version.map(|version| version.created_at),
                age_days: version.map(|version| age(version.created_at)),
            }
        })
        .collect();
    Ok(Json(SecretsAnswer { secrets, stores: shelves.into_iter().map(|shelf| shelf.health).collect() }))
}

async fn host_shelf(context: &Context, own: &[&'static str]) -> Shelf {
    let (mut texts, mut problem) = (BTreeMap::new(), None);
    for name in KNOWN.iter().chain(own) {
        match context.host.secret(name).await {
            Ok(secret) => {
                let text = secret.and_then(|secret| present(secret.expose()));
                texts.extend(text.map(|text| ((*name).to_owned(), text)));
            }
            Err(_) => problem = Some("unreadable"),
        }
    }
    Shelf::new(SecretStore::Host, texts, problem)
}

/// A Vault that can't be logged in to, or whose secret can't be read, gives nothing, however well it says it
/// does.
async fn vault_shelf(vault: &Vault, context: &Context, kept: &mut Option<KvSecret>) -> Shelf {
    let Some(place) = configuration(context) else {
        let mut shelf = Shelf::new(SecretStore::Vault, BTreeMap::new(), None);
        shelf.health.status = StoreStatus::NotConfigured;
        return shelf;
    };
    let health = vault.ask_openly(context, &iam_vault::health()).await;
    let (version, problem) = match health {
        Ok(health) => {
            let problem = (health.sealed || !health.initialized).then_some("sealed");
            (Some(health.version), problem)
        }
        Err(error) => (None, Some(word(&error))),
    };
    let mut shelf = Shelf::new(SecretStore::Vault, BTreeMap::new(), problem);
    if problem.is_none() {
        let read = match kv::read(&place.kv_mount, &place.path) {
            Ok(question) => vault.ask(context, &question).await,
            Err(error) => Err(error),
        };
        shelf = match read {
            Ok(found) => {
                let data = found.as_ref().and_then(|found| found.data.as_ref()).into_iter().flatten();
                let texts = texts(data.map(|(name, text)| (name.clone(), text.expose())));
                *kept = found;
                Shelf::new(SecretStore::Vault, texts, None)
            }
            Err(error) => Shelf::new(SecretStore::Vault, BTreeMap::new(), Some(word(&error))),
        };
    }
    shelf.health.version = version.filter(|version| version.len() <= 64);
    shelf
}

/// Two round trips, the caller's authentication included.
pub(crate) async fn rewrap(
    vault: Arc<Vault>,
    context: Context,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<RewrapAnswer>, ApiError> {
    context.check_operator(&caller, "secrets", "manage")?;
    if !is_secret_name(&name) {
        return Err(no_secret());
    }
    let place = configured(&context)?;
    let key = place.transit_key.as_deref().ok_or_else(no_secret)?;
    let mut found = None;
    for store in context.configuration().secrets.order.iter().copied() {
        found = match store {
            SecretStore::Host if KNOWN.contains(&name.as_str()) => {
                let secret = context
                    .host
                    .secret(&name)
                    .await
                    .map_err(|error| ApiError::internal(error.to_string()))?;
                secret.and_then(|secret| Some((store, present(secret.expose())?, None)))
            }
            SecretStore::Vault => {
                let kept = vault.answer(&context, kv::read(&place.kv_mount, &place.path)).await?;
                kept.and_then(|kept| {
                    let text = present(kept.data.as_ref()?.get(&name)?.expose())?;
                    Some((store, text, Some(kept)))
                })
            }
            SecretStore::Host | SecretStore::Configuration => None,
        };
        if found.is_some() {
            break;
        }
    }
    let (store, text, kept) = found.ok_or_else(no_secret)?;
    let sealed = Ciphertext::parse(text.expose()).map_err(|_| {
        ApiError::conflict("not_sealed", "this secret is not kept sealed by the Vault's transit engine")
    })?;
    let sealed = vault.answer(&context, iam_vault::rewrap(&place.transit_mount, key, &sealed)).await?;
    // Recorded before it is done: better a record without an act than the other way round.
    let event = context
        .audit_by(&caller, acts::SECRETS_REWRAP)?
        .on(name.as_str())
        .detail("key_version", sealed.key_version());
    context.db(&caller.organization).execute(event.record()).await?;
    let stored = match kept {
        Some(kept) => {
            let mut data = kept.data.unwrap_or_default();
            data.insert(name.clone(), SecretText::new(sealed.as_str().to_owned()));
            let question = kv::write(&place.kv_mount, &place.path, &data, Some(kept.version.version));
            vault.answer(&context, question).await?;
            true
        }
        None => false,
    };
    Ok(Json(RewrapAnswer {
        name,
        store: store.as_str(),
        key_version: sealed.key_version(),
        stored,
        ciphertext: (!stored).then(|| sealed.as_str().to_owned()),
    }))
}

fn no_secret() -> ApiError {
    ApiError::not_found("there is no such secret that a Vault could have sealed")
}
