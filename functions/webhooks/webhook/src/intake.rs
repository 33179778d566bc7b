//! `POST /webhook/{service}`: address, service, size, signature, moment, then whether it is new.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use iam_core::config::{Configuration, WebhookServiceConfiguration};
use iam_core::id::WebhookDeliveryId;
use iam_core::record::audit::Outcome;
use iam_core::sql::Batch;
use iam_core::webhooks::{
    CLAIM, DueWebhook, Intake, KeptMessage, KeyForm, Message, Proof, Refusal, Scheme, SchemeName, TAKEN,
    Verified, WebhookSecrets, acts, message_purpose, standard, verify,
};
use iam_service::outbound::check_url;
use iam_service::{ApiError, Area, Context, Id, Json};
use iam_telemetry::Collector;
use iam_telemetry::instruments::{AUTH_ATTEMPTS, AUTH_FAILURES, WEBHOOKS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::is_allowed;
use crate::refusals::{self, Refusals};
use crate::{forward, secrets};

/// The longest challenge that is given back, in characters.
const MAX_CHALLENGE_CHARACTERS: usize = 512;

/// What became of a message.
#[derive(Serialize, JsonSchema)]
pub(crate) struct IntakeAnswer {
    /// What became of it.
    status: IntakeStatus,
    /// Its delivery: the `webhook-id` towards the target.
    delivery_id: WebhookDeliveryId,
}

/// What became of a message.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum IntakeStatus {
    /// It was taken.
    Accepted,
    /// A message of this id was taken before.
    Duplicate,
}

/// What is decided about a message.
enum Decision {
    Accepted(WebhookDeliveryId),
    Duplicate(WebhookDeliveryId),
    Challenge(Challenge),
    Refused(Refusal),
}

/// A question of Slack's when an address is set up, and the answer to it.
#[derive(Deserialize, Serialize)]
struct Challenge {
    #[serde(skip_serializing, rename = "type")]
    kind: String,
    challenge: String,
}

/// One round trip; another where it is refused after it was looked up.
pub(crate) async fn take(
    refusals: Arc<Refusals>,
    context: Context,
    Id(name): Id<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let headers: Vec<(&str, &str)> =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let message = Message { headers: &headers, body: &body, url: "", query: uri.query() };
    let service = context.configuration().webhooks.service(&name);
    let label = label(service, &name);
    let decision = match context.check_open(Area::Webhooks) {
        Ok(()) => decide(&context, &name, service, message).await?,
        Err(_) => Decision::Refused(Refusal::Maintenance),
    };
    count(label, &decision);
    match decision {
        Decision::Accepted(delivery_id) => {
            let answer = IntakeAnswer { status: IntakeStatus::Accepted, delivery_id };
            Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
        }
        Decision::Duplicate(delivery_id) => {
            refusals::record(&refusals, &context, label, Refusal::Duplicate).await?;
            Ok(Json(IntakeAnswer { status: IntakeStatus::Duplicate, delivery_id }).into_response())
        }
        Decision::Challenge(challenge) => Ok(Json(challenge).into_response()),
        Decision::Refused(refusal) => Err(refuse(&refusals, &context, label, refusal).await?),
    }
}

/// What services there are is known: no stranger makes up new ones in the audit.
fn label<'a>(service: Option<&WebhookServiceConfiguration>, name: &'a str) -> &'a str {
    if service.is_some() { name } else { "" }
}

/// Records a refusal; its answer.
async fn refuse(
    refusals: &Refusals,
    context: &Context,
    label: &str,
    refusal: Refusal,
) -> Result<ApiError, ApiError> {
    let recorded = refusals::record(refusals, context, label, refusal).await;
    // What maintenance is for may be the database.
    if refusal != Refusal::Maintenance {
        recorded?;
    } else if let Err(error) = recorded {
        let cause = error.log_cause().unwrap_or_else(|| error.code());
        context.log_failure("a refusal was not recorded", cause);
    }
    Ok(refusals::answer(context, refusal))
}

fn count(service: &str, decision: &Decision) {
    let Some(telemetry) = Collector::current() else { return };
    let (result, refusal) = match decision {
        Decision::Accepted(_) => ("accepted", None),
        Decision::Challenge(_) => ("challenge", None),
        Decision::Duplicate(_) => (Refusal::Duplicate.as_str(), None),
        Decision::Refused(refusal) => (refusal.as_str(), Some(*refusal)),
    };
    telemetry.count(&WEBHOOKS, 1, [service.into(), result.into()]);
    let attempt = if refusal.is_none() { "success" } else { "failure" };
    telemetry.count(&AUTH_ATTEMPTS, 1, ["webhook".into(), attempt.into()]);
    if refusal.is_some() {
        telemetry.count(&AUTH_FAILURES, 1, ["webhook".into(), result.into()]);
    }
}

/// No round trip, but one where it is refused.
pub(crate) async fn probe(
    refusals: Arc<Refusals>,
    context: Context,
    Id(name): Id<String>,
) -> Result<StatusCode, ApiError> {
    let service = context.configuration().webhooks.service(&name);
    let refusal = match check_address(&context, service) {
        Err(refusal) => refusal,
        Ok(()) if service.is_none() => Refusal::UnknownService,
        Ok(()) => return Ok(StatusCode::OK),
    };
    Err(refuse(&refusals, &context, label(service, &name), refusal).await?)
}

async fn decide(
    context: &Context,
    name: &str,
    service: Option<&WebhookServiceConfiguration>,
    message: Message<'_>,
) -> Result<Decision, ApiError> {
    if let Err(refusal) = check_address(context, service) {
        return Ok(Decision::Refused(refusal));
    }
    let Some(service) = service else { return Ok(Decision::Refused(Refusal::UnknownService)) };
    if message.body.len() > usize::try_from(service.max_body_bytes).unwrap_or(usize::MAX) {
        return Ok(Decision::Refused(Refusal::BodyTooLarge));
    }
    let (scheme, secrets) = match prepare(context, name, service).await {
        Ok(prepared) => prepared,
        Err(cause) => {
            context.log_failure("a webhook service is not ready", &cause);
            return Ok(Decision::Refused(Refusal::NotReady));
        }
    };
    let url = sender_url(service, name, context.configuration());
    let message = Message { url: &url, ..message };
    let tolerance = service.tolerance.unwrap_or(context.configuration().webhooks.tolerance);
    match verify(&scheme, &message, secrets.of_sender(name), context.now, tolerance) {
        Err(refusal) => Ok(Decision::Refused(refusal)),
        Ok(verified) => match challenge(service.scheme, message.body) {
            Some(challenge) => note_challenge(context, name, challenge).await,
            None => store(context, name, service, &scheme, &message, &verified).await,
        },
    }
}

/// The lists that hold for all, then the service's own.
fn check_address(context: &Context, service: Option<&WebhookServiceConfiguration>) -> Result<(), Refusal> {
    let whole = &context.configuration().security;
    let address = context.client_address;
    let passes = is_allowed(address, &whole.ip_allowlist, &whole.ip_denylist)
        && service.is_none_or(|service| is_allowed(address, &service.ip_allowlist, &service.ip_denylist));
    if passes { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}

/// The scheme and the secrets, if the service can take anything at all: what could never be forwarded is not
/// taken.
async fn prepare(
    context: &Context,
    name: &str,
    service: &WebhookServiceConfiguration,
) -> Result<(Scheme, WebhookSecrets), String> {
    let scheme = service.scheme().ok_or("its scheme can't be read")?;
    let secrets = secrets::read(context).await?;
    let of_sender = secrets.of_sender(name);
    let are_keys = match &scheme.proof {
        Proof::Hmac { key: KeyForm::Whsec, .. } => {
            of_sender.iter().all(|secret| standard::key(secret).is_some())
        }
        Proof::Hmac { .. } | Proof::Token => true,
    };
    if of_sender.is_empty() || !are_keys {
        return Err(format!("{name} has no secret that its scheme can use"));
    }
    if let Some(target) = &service.target {
        check_url(target, &context.configuration().outbound)
            .map_err(|allowed| format!("the target of {name} is not allowed; allowed is: {allowed}"))?;
        forward::keys(&secrets, name)?;
    }
    Ok((scheme, secrets))
}

/// The address as the sender has it.
fn sender_url(service: &WebhookServiceConfiguration, name: &str, configuration: &Configuration) -> String {
    let public = || configuration.public_url.as_ref().map(|public| format!("{public}/webhook/{name}"));
    service.url.clone().or_else(public).unwrap_or_default()
}

fn challenge(scheme: SchemeName, body: &[u8]) -> Option<Challenge> {
    let asked: Challenge = serde_json::from_slice(body).ok().filter(|_| scheme == SchemeName::Slack)?;
    let is_sane = asked.challenge.chars().count() <= MAX_CHALLENGE_CHARACTERS;
    Some(asked).filter(|asked| asked.kind == "url_verification" && is_sane)
}

async fn note_challenge(context: &Context, name: &str, challenge: Challenge) -> Result<Decision, ApiError> {
    let organization = &context.configuration().organization;
    let event =
        context.audit(organization, acts::URL_VERIFICATION, Outcome::Success)?.detail("service", name);
    context.db(organization).execute(event.record()).await?;
    Ok(Decision::Challenge(challenge))
}

/// Takes the message, if it is new, and forwards it after the answer.
async fn store(
    context: &Context,
    name: &str,
    service: &WebhookServiceConfiguration,
    scheme: &Scheme,
    message: &Message<'_>,
    verified: &Verified,
) -> Result<Decision, ApiError> {
    let configuration = context.configuration();
    let organization = &configuration.organization;
    let delivery_id = context.new_id(WebhookDeliveryId::new)?;
    let kept = KeptMessage { headers: kept_headers(service, scheme, message), body: message.body.to_vec() };
    let purpose = message_purpose(organization, &delivery_id);
    let sealed = context.instance.master_key()?.seal(&purpose, &kept.encode()?, context.entropy()?)?;
    let claimed_until = service.target.is_some().then(|| context.now.after(CLAIM));
    let event = context
        .audit(organization, acts::ACCEPTED, Outcome::Success)?
        .on(delivery_id.as_str())
        .detail("service", name)
        .detail("scheme", service.scheme.as_str());
    let intake =
        Intake { organization, service: name, verified, delivery_id: &delivery_id, now: context.now };
    let replay_window = service.replay_window.unwrap_or(configuration.webhooks.replay_window);
    let mut batch = Batch::new();
    batch.then(intake.take(context.now.after(replay_window), closed(configuration)));
    batch.then(intake.keep(&sealed, claimed_until));
    batch.then(event.record_if(TAKEN, &delivery_id));
    let receipt = batch.ask(intake.find());
    match context.db(organization).batch(batch).await?.one(receipt)? {
        // Only maintenance leaves a message without a receipt.
        None => Ok(Decision::Refused(Refusal::Maintenance)),
        Some(receipt) if receipt.delivery_id == delivery_id => {
            if let Some(claimed_until) = claimed_until {
                let (organization, id) = (organization.clone(), delivery_id.clone());
                let first = DueWebhook::first(organization, id, name.to_owned(), sealed, claimed_until);
                forward::after_answer(context, first);
            }
            Ok(Decision::Accepted(delivery_id))
        }
        Some(receipt) => Ok(match receipt.refusal(verified) {
            Refusal::Duplicate => Decision::Duplicate(receipt.delivery_id),
            refusal => Decision::Refused(refusal),
        }),
    }
}

/// Whether maintenance closes the intake: `None` where it never does, otherwise whether it is on where nobody
/// set it.
fn closed(configuration: &Configuration) -> Option<bool> {
    let operational = &configuration.operational;
    let is_served = operational.maintenance_serves.contains(&Area::Webhooks);
    (!is_served).then_some(operational.maintenance_mode)
}

fn kept_headers(
    service: &WebhookServiceConfiguration,
    scheme: &Scheme,
    message: &Message<'_>,
) -> Vec<(String, String)> {
    let own = service.forward_headers.iter().map(|name| name.to_ascii_lowercase());
    // Each once, whoever names it: twice it would go out twice.
    let wanted: BTreeSet<String> = std::iter::once("content-type".to_owned())
        .chain(scheme.kept.iter().map(|name| (*name).to_owned()))
        .chain(own)
        .collect();
    wanted
        .into_iter()
        .filter_map(|name| {
            let value = message.header(&name).ok().flatten()?.to_owned();
            Some((name, value))
        })
        .collect()
}
