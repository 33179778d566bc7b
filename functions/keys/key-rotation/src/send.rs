//! One try of a delivery.

use bytes::Bytes;
use http::{Request, header};
use iam_core::jose::jwe::ReceiverKey;
use iam_core::keys::{DueDelivery, Target, delivery_purpose};
use iam_core::webhooks::standard;
use iam_edge::FetchLimits;
use iam_service::Context;
use iam_service::outbound::check_url;
use serde_json::json;
use zeroize::Zeroizing;

use crate::target::vault_root;

/// A batch of these is done well within a claim.
const LIMITS: FetchLimits = FetchLimits { timeout_ms: 10_000, max_response_bytes: 64 * 1024 };

/// Sends the key to where it goes; nothing is returned until the receiver has confirmed it.
///
/// # Errors
/// Why not, for whoever looks at the delivery: no secret is in it.
pub(crate) async fn send(context: &Context, due: &DueDelivery) -> Result<(), String> {
    let key = open_key(context, due)?;
    match &due.target {
        Target::Vault { mount, path } => to_vault(context, due, &key, mount, path).await,
        Target::Webhook { url, public_key } => to_webhook(context, due, &key, url, public_key).await,
    }
}

fn open_key(context: &Context, due: &DueDelivery) -> Result<Zeroizing<Vec<u8>>, String> {
    let master = context.instance.master_key().map_err(|_| "this installation has no master key")?;
    let purpose = delivery_purpose(&due.organization, &due.delivery_id);
    master.open(&purpose, &due.sealed_key).map_err(|error| format!("the key can't be unsealed: {error}"))
}

async fn to_vault(
    context: &Context,
    due: &DueDelivery,
    key: &[u8],
    mount: &str,
    path: &str,
) -> Result<(), String> {
    // What was configured when the schedule was set may have changed.
    if !path.starts_with(&vault_root(context.configuration(), &due.organization)) {
        return Err("the path is outside of api_keys.vault_path_prefix".to_owned());
    }
    let key = std::str::from_utf8(key).map_err(|_| "the key is no text")?;
    let body = json!({"mount": mount, "path": path, "data": {
        "api_key": key, "key_id": due.key_id, "expires_at": due.expires_at, "rotated_at": due.created_at,
    }});
    let answer = context.call("secrets", "/internal/secrets/write", &body).await.map_err(|cause| {
        context.log_failure("a rotated key was not delivered", &cause);
        "the Vault was not reached"
    })?;
    if answer.status().is_success() {
        return Ok(());
    }
    let problem: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let code = problem.get("code").and_then(serde_json::Value::as_str).unwrap_or_default();
    Err(format!("the Vault did not take it: {} {code}", answer.status().as_u16()))
}

async fn to_webhook(
    context: &Context,
    due: &DueDelivery,
    key: &[u8],
    url: &str,
    public_key: &ReceiverKey,
) -> Result<(), String> {
    let uri = check_url(url, &context.configuration().outbound)
        .map_err(|allowed| format!("the address is not allowed any more; allowed is: {allowed}"))?;
    let entropy = context.entropy().map_err(|_| "this host has no randomness to give")?;
    let encrypted = public_key.encrypt(key, &entropy).map_err(|error| error.to_string())?;
    let now = iam_edge::now();
    let body = json!({"type": "api_key.rotated", "timestamp": now, "data": {
        "key_id": due.key_id, "old_key_id": due.old_key_id, "name": due.name, "expires_at": due.expires_at,
        "encrypted_key": encrypted,
    }})
    .to_string();
    let secret = signing_secret(context, due)?;
    let id = due.delivery_id.as_str();
    let signature = standard::sign(&secret, id, now.as_seconds(), body.as_bytes());
    let request = Request::post(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", now.as_seconds().to_string())
        .header("webhook-signature", signature)
        .body(Bytes::from(body))
        .map_err(|_| "the request can't be made")?;
    match context.host.fetch(request, LIMITS).await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("the receiver answered {}", answer.status().as_u16())),
        Err(error) => {
            // The owner reads what is returned: of the network it says no more than it has to.
            context.log_failure("a rotated key was not delivered", &error.to_string());
            Err(format!("the receiver: {}", error.as_str()))
        }
    }
}

fn signing_secret(context: &Context, due: &DueDelivery) -> Result<Zeroizing<Vec<u8>>, String> {
    let master = context.instance.master_key().map_err(|_| "this installation has no master key")?;
    let sealed = due.sealed_signing_secret.as_deref().ok_or("the schedule has no signing secret")?;
    master
        .open(&due.target.signing_purpose(&due.organization), sealed)
        .map_err(|error| format!("the signing secret can't be unsealed: {error}"))
}
