//! For other functions alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use iam_core::config::is_secret_name;
use iam_service::{ApiError, Context, INTERNAL_TOKEN, Json};
use iam_vault::{Ciphertext, SecretText, is_mount, is_path, kv};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::answer::refusal;
use crate::vault::{Vault, configured};
use crate::{VAULT_JWT, VAULT_SECRET_ID, VAULT_TOKEN};

/// How many names are asked for at once, and how many fields a secret has.
const MAX_NAMES: usize = 32;

/// How large the data of a secret is, in bytes of JSON.
const MAX_DATA_BYTES: usize = 32 * 1024;

/// Of the host alone: without them nobody could ask a Vault.
const HOSTS_OWN: [&str; 4] = [VAULT_TOKEN, VAULT_SECRET_ID, VAULT_JWT, INTERNAL_TOKEN];

/// Which secrets.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadRequest {
    /// Their names, 1 to 32.
    names: Vec<String>,
}

/// Secrets.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ReadAnswer {
    /// Those that there are, by name.
    #[schemars(with = "BTreeMap<String, String>")]
    secrets: BTreeMap<String, SecretText>,
}

/// One question to the Vault, whose answer has all names.
pub(crate) async fn read(
    vault: Arc<Vault>,
    context: Context,
    request: ReadRequest,
) -> Result<Json<ReadAnswer>, ApiError> {
    let may_be_read = |name: &String| is_secret_name(name) && !HOSTS_OWN.contains(&name.as_str());
    if !(1..=MAX_NAMES).contains(&request.names.len()) || !request.names.iter().all(may_be_read) {
        return Err(ApiError::field(
            "/names",
            format!("1 to {MAX_NAMES} names of secrets that a Vault may hold"),
        ));
    }
    let place = configured(&context)?;
    let found = vault.answer(&context, kv::read(&place.kv_mount, &place.path)).await?;
    let mut secrets = found.and_then(|found| found.data).unwrap_or_default();
    secrets.retain(|name, _| request.names.contains(name));
    Ok(Json(ReadAnswer { secrets }))
}

/// What to write, and where.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteRequest {
    /// The KV engine's mount.
    mount: String,
    /// The path in it.
    path: String,
    /// The fields of the new version: 1 to 32, together at most 32 KiB.
    data: Map<String, Value>,
    /// Only where this is the newest version; 0: where there is none.
    check_and_set: Option<u64>,
}

/// What was written.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WriteAnswer {
    /// The new version.
    version: u64,
}

pub(crate) async fn write(
    vault: Arc<Vault>,
    context: Context,
    request: WriteRequest,
) -> Result<Json<WriteAnswer>, ApiError> {
    let place = configured(&context)?;
    if !is_mount(&request.mount) {
        return Err(ApiError::field("/mount", "the mount of a KV engine"));
    }
    // Ours are nobody's to write over.
    let is_ours = request.mount == place.kv_mount
        && request
            .path
            .strip_prefix(place.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !is_path(&request.path) || is_ours {
        return Err(ApiError::field("/path", "names between slashes, none of them this product's own"));
    }
    let size = serde_json::to_vec(&request.data).map_or(usize::MAX, |text| text.len());
    if !(1..=MAX_NAMES).contains(&request.data.len()) || size > MAX_DATA_BYTES {
        return Err(ApiError::field(
            "/data",
            format!("1 to {MAX_NAMES} fields, {MAX_DATA_BYTES} bytes together"),
        ));
    }
    let question = kv::write(&request.mount, &request.path, &request.data, request.check_and_set);
    let version = vault.answer(&context, question).await?;
    Ok(Json(WriteAnswer { version: version.version }))
}

/// What to open.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecryptRequest {
    /// As the transit engine gave it: `vault:v1:…`.
    ciphertext: String,
}

/// What was opened.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DecryptAnswer {
    /// The plain text.
    #[schemars(with = "String")]
    plaintext: SecretText,
}

pub(crate) async fn decrypt(
    vault: Arc<Vault>,
    context: Context,
    request: DecryptRequest,
) -> Result<Json<DecryptAnswer>, ApiError> {
    let place = configured(&context)?;
    let key = place.transit_key.as_deref();
    let key = key
        .ok_or_else(|| ApiError::field("/ciphertext", "none: secrets.vault.transit_key is not configured"))?;
    let ciphertext = Ciphertext::parse(&request.ciphertext).map_err(refusal)?;
    let plain = vault.answer(&context, iam_vault::decrypt(&place.transit_mount, key, &ciphertext)).await?;
    let text = std::str::from_utf8(&plain)
        .map_err(|_| ApiError::field("/ciphertext", "of a text, and what was sealed is none"))?;
    Ok(Json(DecryptAnswer { plaintext: SecretText::new(text.to_owned()) }))
}
