//! Messages that are passed on: sent by the host, signed anew, tried again when the target fails.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deployment::Setup;
use crate::receiver::Receiver;
use crate::scenarios::webhooks::intake::{self, Sent, signed, unique};
use crate::{Answer, Client, Deployment};

/// What a service's target shares with us.
pub const TARGET_SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];

/// The list of deliveries.
pub const DELIVERIES: &str = "/api/v1/webhooks/deliveries";

/// What sends those that are due.
pub const JOB: &str = "/internal/scheduled/webhook-outbox";

/// A configuration whose service `hooks` forwards to this address, at most so many times.
#[must_use]
pub fn configuration(target: &str, max_attempts: u32) -> Value {
    let mut configuration = crate::scenarios::configuration();
    configuration["outbound"] = json!({"allow_http": true, "allow_private_addresses": true});
    configuration["webhooks"]["services"]["hooks"] =
        json!({"scheme": "github", "target": target, "max_attempts": max_attempts, "longest_retry": "1h"});
    configuration
}

/// A deployment that knows the secrets of the services `hooks` and `dead` and of their targets.
#[must_use]
pub fn setup(configuration: &Value) -> Setup {
    let mut setup = Setup::new(configuration);
    let mut secrets = intake::secrets();
    for service in ["hooks", "dead"] {
        secrets[service] = json!(["webhook-secret"]);
        secrets[format!("{service}:target")] = json!(TARGET_SECRETS);
    }
    setup.webhook_secrets = secrets.to_string();
    setup
}

/// A message for `hooks`, with headers that are none of the target's business and one that is.
#[must_use]
pub fn message(deployment: &Deployment) -> Sent {
    let body = format!(r#"{{"confidential": "{}"}}"#, unique());
    let mut message = signed(deployment, "hooks", "webhook-secret", &body, "", 0);
    message.headers.push(("cookie".to_owned(), "a=b".to_owned()));
    message.headers.push(("x-github-event".to_owned(), "push".to_owned()));
    message
}

/// What came last at the target of `hooks`: its id and its body, the signatures verified.
#[must_use]
pub fn last(target: &Receiver) -> (String, Vec<u8>) {
    let (id, headers, body) = target.last_signed(&TARGET_SECRETS);
    for (name, value) in
        [("webhook-service", "hooks"), ("content-type", "application/json"), ("x-github-event", "push")]
    {
        assert_eq!(headers[name], value);
    }
    assert!(!headers.contains_key("x-hub-signature-256") && !headers.contains_key("cookie"));
    (id, body.to_vec())
}

/// A delivery, as an administrator sees it.
pub async fn show(admin: &Client, id: &str) -> Answer {
    admin.get(&format!("{DELIVERIES}/{id}")).await.expect(200)
}

/// The target fails once, which is all it may: the message waits for somebody, who has it sent again under
/// the same id. The next one goes out by itself after its answer.
pub async fn a_message_is_forwarded(deployment: &Deployment, target: &Receiver) {
    let admin = deployment.administrator().await;
    let send = async || {
        let message = message(deployment);
        let taken = message.send(&deployment.client()).await.expect(202);
        (taken.text_at("/delivery_id").to_owned(), message)
    };
    let comes_to = async |id: &str, state: &str| {
        let began = Instant::now();
        loop {
            let shown = show(&admin, id).await;
            if shown.text_at("/state") == state {
                return shown;
            }
            assert!(began.elapsed() < Duration::from_secs(15), "{}", shown.text);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert_eq!(target.answers.lock().unwrap().len(), 1);
    let (id, sent) = send().await;
    let dead = comes_to(&id, "dead").await;
    assert_eq!(dead.text_at("/last_error"), "the target answered 500");
    assert_eq!(dead.text_at("/message/body").as_bytes(), sent.body);
    assert_eq!((target.count(), last(target)), (1, (id.clone(), sent.body.clone())));
    admin.post(&format!("{DELIVERIES}/{id}/retry"), &json!({})).await.expect(200);
    let run = async || deployment.internal().post(JOB, &json!({})).await.expect(204);
    tokio::join!(run(), run(), run());
    comes_to(&id, "delivered").await;
    assert_eq!((target.count(), last(target)), (2, (id.clone(), sent.body)));
    for (action, outcome) in
        [("webhook.dead", "failure"), ("webhook.retry", "success"), ("webhook.delivered", "success")]
    {
        assert_eq!(deployment.recorded(action, outcome, &id), 1, "{action}");
    }
    let (second, sent) = send().await;
    let delivered = comes_to(&second, "delivered").await;
    assert_eq!(delivered.json["message"], Value::Null);
    assert_eq!((target.count(), last(target)), (3, (second, sent.body)));
    run().await;
    assert_eq!(target.count(), 3);
    assert_eq!(deployment.count("SELECT COUNT(sealed_message) AS count FROM webhook_deliveries"), 0);
}
