//! Messages to people, sent after the answer: JSON, posted to the service that `notification.endpoint` names,
//! which sends them on by mail or otherwise.

use bytes::Bytes;
use http::{Request, header};
use iam_core::id::{OrganizationId, UserId};
use iam_core::time::Timestamp;
use iam_edge::FetchLimits;
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;

/// The secret that the messages carry as bearer token, where it is set.
pub const NOTIFICATION_TOKEN: &str = "IAM_NOTIFICATION_TOKEN";

/// A service that doesn't answer in this time is asked once more.
const LIMITS: FetchLimits = FetchLimits { timeout_ms: 5_000, max_response_bytes: 64 * 1024 };

/// How long to wait before that, in milliseconds.
const PAUSE_MS: u32 = 1_000;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// Somebody asked for a new password; `code` sets it.
    PasswordReset,
    /// An emergency credential was used.
    BreakGlassUsed,
    /// An API key was found where anybody can read it, and was revoked; `reason` tells which and where.
    ApiKeyLeaked,
}

impl Template {
    fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "password_reset",
            Self::BreakGlassUsed => "break_glass_used",
            Self::ApiKeyLeaked => "api_key_leaked",
        }
    }
}

/// Whom a message is about.
#[derive(Clone, Serialize, JsonSchema)]
pub struct NotificationUser {
    /// Its id.
    pub user_id: UserId,
    /// Its name for signing in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// One message. It may hold a secret (`code`, `link`), so it has no `Debug`.
#[derive(Clone, Serialize, JsonSchema)]
pub struct Notification {
    /// To which address; without one, to whoever the service thinks should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What it is about.
    pub template: Template,
    /// In which organization.
    pub organization: OrganizationId,
    /// Whom it is about.
    pub user: NotificationUser,
    /// Where to go. A secret is in its fragment, which no server sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The secret alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Until when it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why it happened, in the words of whoever did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
}

impl Context {
    /// Sends a message after the answer. One that does not arrive is logged, without what it says.
    pub fn notify(&self, notification: Notification) {
        let context = self.clone();
        self.host.defer(async move {
            if let Err(cause) = send(&context, &notification).await {
                let message = format!("notification {} not delivered", notification.template.as_str());
                context.log_failure(&message, &cause);
            }
        });
    }
}

/// Sends it, twice at most: a service that was merely slow gets it twice, which is better than never.
async fn send(context: &Context, notification: &Notification) -> Result<(), String> {
    let endpoint = context.configuration().notification.endpoint.as_deref();
    let endpoint = endpoint.ok_or("notification.endpoint is not configured")?;
    let token = context.secret(NOTIFICATION_TOKEN).await;
    let token = token.map_err(|error| error.log_cause().unwrap_or(error.code()).to_owned())?;
    let body = Bytes::from(serde_json::to_vec(notification).map_err(|error| error.to_string())?);
    let request = || {
        let mut request = Request::post(endpoint).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token.as_ref().filter(|token| !token.expose().is_empty()) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        request.body(body.clone()).map_err(|_| "the request can't be made".to_owned())
    };
    let Err(_) = attempt(context, request()?).await else { return Ok(()) };
    context.host.sleep(PAUSE_MS).await;
    attempt(context, request()?).await
}

async fn attempt(context: &Context, request: Request<Bytes>) -> Result<(), String> {
    match context.host.fetch(request, LIMITS).await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("the service answered {}", answer.status().as_u16())),
        Err(error) => Err(error.to_string()),
    }
}
