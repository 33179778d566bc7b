//! One try of a delivery.

use bytes::Bytes;
use http::{Request, header};
use iam_core::config::WebhookServiceConfiguration;
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_core::sql::Statement;
use iam_core::time::Timestamp;
use iam_core::webhooks::{
    DueWebhook, KeptMessage, WEBHOOK_DIED_NOW, WEBHOOK_OPEN, WebhookSecrets, message_purpose, standard,
    wait_after,
};
use iam_edge::FetchLimits;
use iam_service::outbound::check_url;
use iam_service::{ApiError, Context, WEBHOOK_SECRETS};
use zeroize::Zeroizing;

use crate::secrets;

/// Well within a claim.
const LIMITS: FetchLimits = FetchLimits { timeout_ms: 10_000, max_response_bytes: 1 << 20 };

/// Tries a delivery that was claimed with its intake, after the answer. Where that comes to nothing, the job
/// goes on.
pub(crate) fn after_answer(context: &Context, due: DueWebhook) {
    let context = context.clone();
    let host = context.host.clone();
    host.defer(async move {
        let done = async {
            let batch = attempt(&context, &due).await?;
            context.db(&due.organization).batch_of(batch).await?;
            Ok::<_, ApiError>(())
        };
        if let Err(error) = done.await {
            let cause = error.log_cause().unwrap_or_else(|| error.code());
            context.log_failure("a webhook was not forwarded at once", cause);
        }
    });
}

/// Tries a delivery that was claimed; what is to be noted.
pub(crate) async fn attempt(context: &Context, due: &DueWebhook) -> Result<Vec<Statement>, ApiError> {
    let service = context.configuration().webhooks.service(&due.service);
    let sent = match service {
        Some(service) => send(context, service, due).await,
        None => Err("there is no such service in the configuration any more".to_owned()),
    };
    let now = iam_edge::now();
    match sent {
        Ok(()) => {
            let delivered = event(context, due, "webhook.delivered", Outcome::Success, now)?;
            Ok(vec![delivered.record_if(WEBHOOK_OPEN, &due.delivery_id), due.confirm(now)])
        }
        Err(error) => {
            let [jitter] = context.entropy()?;
            let rules = service.cloned().unwrap_or_default();
            let attempts = due.attempts.saturating_add(1);
            let wait = wait_after(attempts, rules.first_retry, rules.longest_retry, jitter);
            let next = (attempts < rules.max_attempts).then(|| now.after(wait));
            let dead =
                event(context, due, "webhook.dead", Outcome::Failure, now)?.detail("reason", error.as_str());
            Ok(vec![due.fail(&error, next, now), dead.record_if(WEBHOOK_DIED_NOW, &due.delivery_id)])
        }
    }
}

fn event(
    context: &Context,
    due: &DueWebhook,
    action: &'static str,
    outcome: Outcome,
    now: Timestamp,
) -> Result<AuditEvent, ApiError> {
    let mut event = context
        .audit_text(&due.organization, action, "webhook", outcome)?
        .on(due.delivery_id.as_str())
        .detail("service", due.service.as_str())
        .detail("attempts", due.attempts.saturating_add(1));
    (event.actor, event.timestamp) = (Actor::System, now);
    (event.ip_address, event.user_agent) = (None, None);
    Ok(event)
}

/// Sends it, and returns once its target has confirmed it.
///
/// # Errors
/// Why not, for whoever looks at the delivery: nothing of the message is in it.
async fn send(
    context: &Context,
    service: &WebhookServiceConfiguration,
    due: &DueWebhook,
) -> Result<(), String> {
    let target = service.target.as_deref().ok_or("the service has no target any more")?;
    let uri = check_url(target, &context.configuration().outbound)
        .map_err(|allowed| format!("the target is not allowed; allowed is: {allowed}"))?;
    let secrets = secrets::read(context).await?;
    let keys = keys(&secrets, &due.service)?;
    let message = open(context, due)?;
    let (id, moment) = (due.delivery_id.as_str(), iam_edge::now().as_seconds());
    let signatures: Vec<String> =
        keys.iter().map(|key| standard::sign(key, id, moment, &message.body)).collect();
    let mut request = Request::post(uri)
        .header("webhook-id", id)
        .header("webhook-timestamp", moment)
        .header("webhook-signature", signatures.join(" "))
        .header("webhook-service", due.service.as_str());
    for (name, value) in &message.headers {
        request = request.header(name, value);
    }
    if message.headers.iter().all(|(name, _)| name != header::CONTENT_TYPE.as_str()) {
        request = request.header(header::CONTENT_TYPE, "application/octet-stream");
    }
    let request = request.body(Bytes::from(message.body)).map_err(|_| "the request can't be made")?;
    match context.host.fetch(request, LIMITS).await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("the target answered {}", answer.status().as_u16())),
        Err(error) => {
            context.log_failure("a webhook was not forwarded", &error.to_string());
            Err(format!("the target: {}", error.as_str()))
        }
    }
}

/// What is signed with towards a service's target: every secret there is, so that one can be turned.
///
/// # Errors
/// Where there is none, or one that is no key.
pub(crate) fn keys(secrets: &WebhookSecrets, service: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
    let keys: Option<Vec<_>> =
        secrets.of_target(service).iter().map(|secret| standard::key(secret)).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        format!("{} has no secret `{service}:target` of the form `whsec_` and base64", WEBHOOK_SECRETS)
    })
}

/// Opens the message of a delivery.
///
/// # Errors
/// When it does not open.
pub(crate) fn open(context: &Context, due: &DueWebhook) -> Result<KeptMessage, String> {
    let master = context.instance.master_key().map_err(|_| "this installation has no master key")?;
    let purpose = message_purpose(&due.organization, &due.delivery_id);
    let opened = master
        .open(&purpose, &due.sealed_message)
        .map_err(|error| format!("the message can't be unsealed: {error}"))?;
    KeptMessage::decode(&opened).ok_or_else(|| "the message can't be read".to_owned())
}
