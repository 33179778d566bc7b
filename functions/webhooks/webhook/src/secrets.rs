//! The secrets of services, read in this one place.

use iam_core::webhooks::WebhookSecrets;
use iam_service::{Context, WEBHOOK_SECRETS};

/// Reads them.
///
/// # Errors
/// What is wrong with them, without a secret in it.
pub(crate) async fn read(context: &Context) -> Result<WebhookSecrets, String> {
    let secret = context.secret(WEBHOOK_SECRETS).await;
    let secret = secret.map_err(|_| format!("{WEBHOOK_SECRETS} can't be read now"))?;
    let text = secret.as_ref().map_or("", |secret| secret.expose());
    WebhookSecrets::parse(text).map_err(|problem| format!("{WEBHOOK_SECRETS}: {problem}"))
}
