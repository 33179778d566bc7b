//! `POST /api/v1/auth/keys/leaked`: reports of keys that were found where anybody can read them, in the
//! format of GitHub's secret scanning partner program. A key that is reported is revoked before the answer.

mod published;
mod signature;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use iam_core::id::LogId;
use iam_core::keys::{Leak, LeakedKey, acts};
use iam_core::record::audit::AuditEvent;
use iam_core::secret::credential::Credential;
use iam_core::sql::Batch;
use iam_service::{
    Access, ApiError, Area, Context, Function, Json, Notification, NotificationUser, Route, Template,
    check_media_type, parse,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

iam_service::deploy!(function);

/// How many keys a report names at most.
const MAX_REPORTED: usize = 1000;

/// The longest token and the longest text beside it that are looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 512;
const MAX_TEXT_BYTES: usize = 2048;

const IDENTIFIER: &str = "github-public-key-identifier";
const SIGNATURE: &str = "github-public-key-signature";

/// What this function is.
#[must_use]
pub fn function() -> Function {
    Function::new("key-leaks", "Revokes API keys that were found in public")
        .area(Area::Webhooks)
        .uses_database()
        .uses_key_value()
        .uses_notifications()
        .route(
            Route::post("/api/v1/auth/keys/leaked", Access::public(), report)
                .summary("Reports API keys that were found in public")
                .description(
                    "In the format of GitHub's secret scanning partner program. The report is signed: \
                     `Github-Public-Key-Signature` is an ECDSA signature (P-256, SHA-256, DER, base64) over \
                     the body, by the key that `Github-Public-Key-Identifier` names among those published at \
                     `api_keys.leak_reports_keys`. Keys are revoked, with `leaked` as the reason, and their \
                     owners are told. The answer says which tokens are keys of this installation.",
                )
                .takes::<Vec<ReportedToken>>()
                .gives::<Vec<Verdict>>(200, "Which are keys")
                .round_trips(1),
        )
}

/// A token that was found.
#[derive(Deserialize, JsonSchema)]
pub struct ReportedToken {
    /// The token.
    pub token: String,
    /// What its finder calls such tokens.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Where it was found.
    #[serde(default)]
    pub url: String,
    /// In what kind of place: `content`, `commit`, `issue_body`, …
    #[serde(default)]
    pub source: String,
}

/// Whether a token is a key of this installation.
#[derive(Serialize, JsonSchema)]
pub struct Verdict {
    /// SHA-256 of the token, hexadecimal.
    pub token_hash: String,
    /// What its finder calls such tokens.
    pub token_type: String,
    /// Whether it is, or was, a key.
    pub label: Label,
}

/// Whether it is a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// It is, or was until it ended.
    TruePositive,
    /// Nobody ever had it.
    FalsePositive,
}

async fn report(context: Context, headers: HeaderMap, body: Bytes) -> Result<Json<Vec<Verdict>>, ApiError> {
    check_media_type(&headers, &["application/json"])?;
    check_signature(&context, &headers, &body).await?;
    let tokens: Vec<ReportedToken> = parse(&body)?;
    if tokens.is_empty() || tokens.len() > MAX_REPORTED {
        return Err(ApiError::field("", format!("1 to {MAX_REPORTED} tokens")));
    }
    let prefix = context.configuration().api_key_prefix();
    let mut leaks = Vec::new();
    let mut verdicts = Vec::with_capacity(tokens.len());
    for reported in tokens {
        let token = reported.token.trim();
        let key = Some(token).filter(|token| token.len() <= MAX_TOKEN_BYTES);
        let key = key.and_then(|token| Credential::parse(&prefix, token));
        verdicts.push((
            token_hash(token),
            start_of(&reported.kind, MAX_TEXT_BYTES),
            key.as_ref().map(Credential::hash),
        ));
        if let Some(key) = key {
            let (url, source) =
                (start_of(&reported.url, MAX_TEXT_BYTES), start_of(&reported.source, MAX_TEXT_BYTES));
            leaks.push(Leak::new(&key, context.new_id(LogId::new)?, url, source));
        }
    }
    let found = if leaks.is_empty() { BTreeMap::new() } else { revoke(&context, &leaks).await? };
    let verdict = |(token_hash, token_type, hash): (String, String, Option<_>)| {
        let is_known = hash.is_some_and(|hash: iam_core::secret::credential::CredentialHash| {
            found.contains_key(hash.as_str())
        });
        let label = if is_known { Label::TruePositive } else { Label::FalsePositive };
        Verdict { token_hash, token_type, label }
    };
    Ok(Json(verdicts.into_iter().map(verdict).collect()))
}

/// Anybody may send a report; what counts is who signed it.
async fn check_signature(context: &Context, headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    let refused = |cause: &str| {
        ApiError::unauthorized("invalid_signature", "the report is not signed by a published key")
            .cause(cause)
    };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (identifier, signature) = (text(IDENTIFIER), text(SIGNATURE));
    if identifier.is_empty() || signature.is_empty() {
        return Err(refused("no identifier or no signature"));
    }
    let address = context.configuration().api_keys.leak_reports_keys.as_str();
    if address.is_empty() {
        return Err(ApiError::not_found("this installation takes no reports"));
    }
    let key = published::published_key(context, address, identifier).await?;
    match key.ok_or_else(|| refused("an unknown key"))?.signed(body, signature) {
        true => Ok(()),
        false => Err(refused("a wrong signature")),
    }
}

/// Revokes keys and tells their owners; what was found, by hash.
async fn revoke(context: &Context, leaks: &[Leak]) -> Result<BTreeMap<String, LeakedKey>, ApiError> {
    let organization = &context.configuration().organization;
    let event = AuditEvent::by_system(organization, context.new_id(LogId::new)?, acts::LEAK, context.now);
    let mut batch = Batch::new();
    let reported = Leak::revoke(leaks, event, &mut batch);
    let answers = context.db(organization).batch(batch).await?;
    let mut found = BTreeMap::new();
    for key in answers.all(reported)? {
        if key.is_revoked_now {
            tell_owner(context, &key);
        }
        found.insert(key.hash.clone(), key);
    }
    Ok(found)
}

fn tell_owner(context: &Context, key: &LeakedKey) {
    context.notify(Notification {
        to: key.owner_email.clone(),
        template: Template::ApiKeyLeaked,
        organization: key.organization.clone(),
        user: NotificationUser {
            user_id: key.owner_id.clone(),
            username: key.owner_username.clone(),
            display_name: None,
        },
        link: None,
        code: None,
        expires_at: None,
        reason: Some(format!(
            "the API key \"{}\" ({}) was found in public and revoked",
            key.name, key.key_id
        )),
        ip_address: None,
    });
}

fn token_hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As much of a text as fits into so many bytes.
fn start_of(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}
