//! Certificates of the Vault's PKI engine, for administrators.

use std::sync::Arc;

use iam_core::operation::acts;
use iam_service::{ApiError, Caller, Context, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::vault::{Vault, configured};

/// How many names beside the common one.
const MAX_NAMES: usize = 32;

/// How long a certificate may be asked for, in seconds: the role's own bound comes on top.
const MAX_SECONDS: u64 = 366 * 86_400;

/// For whom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateRequest {
    /// The common name.
    common_name: String,
    /// Other names, at most 32.
    #[serde(default)]
    alternative_names: Vec<String>,
    /// How long it holds, in seconds, 60 to 31622400.
    ttl_seconds: u64,
}

/// A certificate.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct CertificateAnswer(#[schemars(with = "Map<String, Value>")] iam_vault::Certificate);

impl CertificateRequest {
    fn check(&self) -> Result<(), ApiError> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
        let is_name = |name: &str| (1..=253).contains(&name.len()) && name.bytes().all(known);
        if !is_name(&self.common_name) {
            return Err(ApiError::field("/common_name", "the name of a host"));
        }
        if self.alternative_names.len() > MAX_NAMES
            || !self.alternative_names.iter().all(|name| is_name(name))
        {
            return Err(ApiError::field("/alternative_names", format!("at most {MAX_NAMES} names of hosts")));
        }
        if !(60..=MAX_SECONDS).contains(&self.ttl_seconds) {
            return Err(ApiError::field("/ttl_seconds", format!("60 to {MAX_SECONDS}")));
        }
        Ok(())
    }
}

/// One round trip beside the caller's authentication, and one question to the Vault.
pub(crate) async fn issue(
    vault: Arc<Vault>,
    context: Context,
    caller: Caller,
    request: CertificateRequest,
) -> Result<Json<CertificateAnswer>, ApiError> {
    context.check_operator(&caller, "secrets", "manage")?;
    request.check()?;
    let place = configured(&context)?;
    let role = place.pki_role.as_deref();
    let role = role
        .ok_or_else(|| ApiError::field("/common_name", "none: secrets.vault.pki_role is not configured"))?;
    let (name, others) = (request.common_name.as_str(), request.alternative_names.as_slice());
    let question = iam_vault::issue(&place.pki_mount, role, name, others, request.ttl_seconds);
    let issued = vault.answer(&context, question).await?;
    // Before anybody has the key; with a record that fails nobody ever does.
    let event = context
        .audit_by(&caller, acts::SECRETS_CERTIFICATE)?
        .on(issued.serial_number.as_str())
        .detail("common_name", name)
        .detail("alternative_names", others)
        .detail("expiration", issued.expiration);
    context.db(&caller.organization).execute(event.record()).await?;
    Ok(Json(CertificateAnswer(issued)))
}
