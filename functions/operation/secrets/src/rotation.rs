//! The master key in the Vault, rotated step by step. Instances follow within `secrets.max_age`, and one
//! that does not reach the Vault within `secrets.max_stale` more; each step waits until they have: none ever
//! meets what it can't open.
//!
//! `announce` adds a new key that only opens, `switch` lets it seal, `finish` removes the old one once
//! nothing needs it. Each is one write, which takes effect only where the secret still has the version that
//! the caller saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use iam_core::config::{SecretStore, VaultConfiguration};
use iam_core::encoding::base64url;
use iam_core::operation::acts;
use iam_core::secret::register::IsNeeded;
use iam_core::secret::seal::{MasterKey, MasterKeys};
use iam_core::time::{Duration, Timestamp};
use iam_service::{ApiError, Caller, Context, Json, MASTER_KEY, MASTER_KEY_PREVIOUS};
use iam_vault::kv::{self, KvSecret};
use iam_vault::{CIPHERTEXT_PREFIX, Ciphertext, SecretText, VaultError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::answer::refusal;
use crate::text::present;
use crate::vault::{Vault, configured};

/// On top of `secrets.max_age` and `secrets.max_stale`: for clocks that differ, and requests on their way.
const MARGIN: Duration = Duration::from_seconds(60);

/// A step.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Adds a new key, which only opens for now.
    Announce,
    /// The new key seals, the old one only opens.
    Switch,
    /// Removes the key that only opens. Before `switch` that takes the announcement back.
    Finish,
}

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::Announce => "announce",
            Self::Switch => "switch",
            Self::Finish => "finish",
        }
    }
}

/// Which step, from where.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MasterKeyRotationRequest {
    /// The step.
    step: Step,
    /// The version of the secret, as the list shows it: a step that is asked for twice is done once.
    version: u64,
}

/// A step that was done.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MasterKeyRotationAnswer {
    /// The step.
    step: Step,
    /// The version that it wrote.
    version: u64,
    /// When every instance has seen it; the next step is refused before.
    seen_everywhere_at: Timestamp,
}

type Data = BTreeMap<String, SecretText>;

/// Two round trips beside the caller's authentication.
pub(crate) async fn rotate(
    vault: Arc<Vault>,
    context: Context,
    caller: Caller,
    request: MasterKeyRotationRequest,
) -> Result<Json<MasterKeyRotationAnswer>, ApiError> {
    context.check_operator(&caller, "secrets", "manage")?;
    let place = configured(&context)?;
    check_store(&context).await?;
    let kept = vault.answer(&context, kv::read(&place.kv_mount, &place.path)).await?.ok_or_else(elsewhere)?;
    let mut data = kept.data.clone().ok_or_else(elsewhere)?;
    let text = |name| data.get(name).and_then(|text| present(text.expose()));
    let (current, previous) = (text(MASTER_KEY).ok_or_else(elsewhere)?, text(MASTER_KEY_PREVIOUS));
    if kept.version.version != request.version {
        return Err(refusal(VaultError::OutOfDate));
    }
    match (request.step, previous) {
        (Step::Announce, Some(_)) => {
            let detail = "two master keys are there already: go on with `switch` or `finish`";
            return Err(ApiError::conflict("rotation_pending", detail));
        }
        (Step::Announce, None) => {
            let new = new_key(&vault, &context, place, &current).await?;
            data.insert(MASTER_KEY_PREVIOUS.to_owned(), new);
        }
        (Step::Switch | Step::Finish, None) => {
            return Err(ApiError::conflict(
                "nothing_announced",
                "there is one master key: begin with `announce`",
            ));
        }
        (Step::Switch, Some(previous)) => {
            check_key(&vault, &context, place, &previous).await?;
            check_seen(&context, &kept)?;
            data.insert(MASTER_KEY.to_owned(), previous);
            data.insert(MASTER_KEY_PREVIOUS.to_owned(), current);
        }
        (Step::Finish, Some(previous)) => {
            check_seen(&context, &kept)?;
            check_unneeded(&vault, &context, place, &previous).await?;
            data.remove(MASTER_KEY_PREVIOUS);
        }
    }
    // Recorded before it is done: better a record without an act than the other way round.
    let event = context
        .audit_by(&caller, acts::SECRETS_MASTER_KEY_ROTATE)?
        .on(MASTER_KEY)
        .detail("step", request.step.as_str())
        .detail("from_version", request.version);
    context.db(&caller.organization).execute(event.record()).await?;
    let written = write(&vault, &context, place, &data, request.version).await?;
    Ok(Json(MasterKeyRotationAnswer {
        step: request.step,
        version: written.version,
        seen_everywhere_at: seen_everywhere_at(&context, written.created_at),
    }))
}

async fn write(
    vault: &Vault,
    context: &Context,
    place: &VaultConfiguration,
    data: &Data,
    version: u64,
) -> Result<kv::Version, ApiError> {
    vault.answer(context, kv::write(&place.kv_mount, &place.path, data, Some(version))).await
}

/// A store that is asked before the Vault must not have one: what is rotated here would be nobody's.
async fn check_store(context: &Context) -> Result<(), ApiError> {
    for store in &context.configuration().secrets.order {
        match store {
            SecretStore::Vault => return Ok(()),
            SecretStore::Host => {
                let secret = context.host.secret(MASTER_KEY).await;
                let secret = secret.map_err(|error| ApiError::internal(error.to_string()))?;
                if secret.and_then(|secret| present(secret.expose())).is_some() {
                    return Err(elsewhere());
                }
            }
            SecretStore::Configuration => {}
        }
    }
    Err(elsewhere())
}

/// Sealed where the current one is.
async fn new_key(
    vault: &Vault,
    context: &Context,
    place: &VaultConfiguration,
    current: &SecretText,
) -> Result<SecretText, ApiError> {
    let text = Zeroizing::new(base64url(Zeroizing::new(context.entropy::<32>()?).as_slice()));
    if !current.expose().starts_with(CIPHERTEXT_PREFIX) {
        return Ok(SecretText::new(text.to_string()));
    }
    let key = place.transit_key.as_deref().ok_or_else(elsewhere)?;
    let question = iam_vault::encrypt(&place.transit_mount, key, text.as_bytes());
    let sealed = vault.answer(context, question).await?;
    Ok(SecretText::new(sealed.as_str().to_owned()))
}

fn seen_everywhere_at(context: &Context, written_at: Timestamp) -> Timestamp {
    let secrets = &context.configuration().secrets;
    written_at.after(secrets.max_age).after(secrets.max_stale).after(MARGIN)
}

fn check_seen(context: &Context, kept: &KvSecret) -> Result<(), ApiError> {
    let seen_at = seen_everywhere_at(context, kept.version.created_at);
    if context.now >= seen_at {
        return Ok(());
    }
    let detail = format!("instances may not have seen the step before; they have from {seen_at}");
    Err(ApiError::conflict("too_early", detail))
}

/// Why a text gives no master key.
enum NoKey {
    /// It is not one's text, and never will be.
    Text,
    /// It is sealed, and was not opened.
    Sealed(VaultError),
}

/// The key that a text is, opened where the transit engine sealed it.
async fn open(
    vault: &Vault,
    context: &Context,
    place: &VaultConfiguration,
    text: &SecretText,
) -> Result<MasterKey, NoKey> {
    let parse = |text: &str| MasterKey::parse(text).map_err(|_| NoKey::Text);
    if !text.expose().starts_with(CIPHERTEXT_PREFIX) {
        return parse(text.expose());
    }
    let key = place.transit_key.as_deref();
    let key =
        key.ok_or(NoKey::Sealed(VaultError::Invalid("secrets.vault.transit_key in the configuration")))?;
    let sealed = Ciphertext::parse(text.expose()).map_err(|_| NoKey::Text)?;
    let question = iam_vault::decrypt(&place.transit_mount, key, &sealed).map_err(NoKey::Sealed)?;
    let plain = vault.ask(context, &question).await.map_err(NoKey::Sealed)?;
    parse(std::str::from_utf8(&plain).map_err(|_| NoKey::Text)?)
}

/// What is no key must never take the place of the one that seals: nothing would open any more.
async fn check_key(
    vault: &Vault,
    context: &Context,
    place: &VaultConfiguration,
    previous: &SecretText,
) -> Result<(), ApiError> {
    let cause = match open(vault, context, place, previous).await {
        Ok(_) => return Ok(()),
        Err(NoKey::Text) => "it is not the text of a master key".to_owned(),
        // Asked again, the Vault would say the same.
        Err(NoKey::Sealed(
            error @ (VaultError::Invalid(_) | VaultError::Refused(_) | VaultError::Absent),
        )) => error.to_string(),
        Err(NoKey::Sealed(error)) => return Err(refusal(error)),
    };
    let detail = format!(
        "{MASTER_KEY_PREVIOUS} in the Vault is no master key, or does not open: it stays where it is"
    );
    Err(ApiError::conflict("previous_is_no_key", detail).cause(cause))
}

async fn check_unneeded(
    vault: &Vault,
    context: &Context,
    place: &VaultConfiguration,
    previous: &SecretText,
) -> Result<(), ApiError> {
    let key = match open(vault, context, place, previous).await {
        Ok(key) => key,
        // A text that is no key opens nothing.
        Err(NoKey::Text) => return Ok(()),
        Err(NoKey::Sealed(VaultError::Invalid(_))) => return Err(elsewhere()),
        // It may be a key for which the Vault has to allow an old version of its own.
        Err(NoKey::Sealed(error)) => return Err(refusal(error)),
    };
    let keys = MasterKeys::new(key, None);
    match context.db_of_deployment().one(IsNeeded::find(keys.current_id())).await? {
        Some(IsNeeded(false)) => Ok(()),
        Some(IsNeeded(true)) | None => {
            let detail = "something stored opens under that key alone: the job `reseal` seals it anew";
            Err(ApiError::conflict("still_needed", detail))
        }
    }
}

fn elsewhere() -> ApiError {
    ApiError::conflict("not_in_vault", "the master key does not come from the Vault")
}
