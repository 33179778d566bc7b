//! What the Vault's answers are to those who asked us.

use http::{HeaderValue, StatusCode, header};
use iam_service::ApiError;
use iam_vault::VaultError;

/// After how many seconds it is worth asking again.
const RETRY_AFTER_SECONDS: u16 = 5;

/// What the Vault refused, or why it did not answer; why exactly is for the log.
pub(crate) fn refusal(error: VaultError) -> ApiError {
    let cause = error.to_string();
    let answer = match error {
        VaultError::Invalid(_) => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_field",
            "a mount, path or name that no Vault has",
        ),
        VaultError::Refused(_) | VaultError::Absent => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "vault_refused",
            "the Vault takes this for a bad request, or has nothing there",
        ),
        VaultError::OutOfDate => ApiError::conflict(
            "version_conflict",
            "the secret has another version by now; read it and try again",
        ),
        VaultError::Denied => {
            ApiError::new(StatusCode::FORBIDDEN, "vault_denied", "the Vault's policies do not allow this")
        }
        VaultError::NoCredential(_)
        | VaultError::NoEngine
        | VaultError::Sealed
        | VaultError::Busy(_)
        | VaultError::Unreachable(_)
        | VaultError::Timeout
        | VaultError::Lying(_) => unavailable("the Vault can't be used now, try again"),
    };
    answer.cause(cause)
}

/// Nobody said where a Vault is.
pub(crate) fn not_configured() -> ApiError {
    unavailable("no Vault is configured").cause("secrets.vault is not configured")
}

fn unavailable(detail: &'static str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "vault_unavailable", detail)
        .header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
}

/// Of an error that is shown to an administrator: one word.
pub(crate) fn word(error: &VaultError) -> &'static str {
    match error {
        VaultError::Invalid(_) | VaultError::NoEngine => "misconfigured",
        VaultError::NoCredential(_) => "no_credential",
        VaultError::Refused(_) | VaultError::Absent | VaultError::OutOfDate => "refused",
        VaultError::Denied => "denied",
        VaultError::Sealed => "sealed",
        VaultError::Busy(_) => "busy",
        VaultError::Unreachable(_) => "unreachable",
        VaultError::Timeout => "timeout",
        VaultError::Lying(_) => "lying",
    }
}
