//! New passwords, as handlers refuse and make them.

use http::StatusCode;
use iam_core::id::OrganizationId;
use iam_core::secret::credential::Credential;
use iam_core::secret::password::Verify;
use iam_core::sign_in::password::change::PasswordOwner;
use iam_core::sign_in::password::policy::{self, Violation};
use iam_core::sign_in::password::reset::Recipient;
use iam_core::time::Timestamp;

use crate::context::Context;
use crate::operation::notification::{Notification, NotificationUser, Template};
use crate::request::error::ApiError;

/// Holds a new password to the policy and gives its hash. What is cheap comes first; the former passwords,
/// each of which costs a verification, only where nothing else is wrong.
///
/// # Errors
/// 422 with every rule that it violates, at `pointer`.
pub fn hash_new_password(
    context: &Context,
    owner: &PasswordOwner,
    password: &str,
    pointer: &str,
    verify: Verify,
) -> Result<String, ApiError> {
    let configuration = &context.configuration().password;
    let mut violations = policy::check(password, &owner.names(), configuration);
    if violations.is_empty() && policy::is_reused(password, owner.hashes(), verify) {
        violations.push(Violation::Reused(configuration.history_size));
    }
    if !violations.is_empty() {
        return Err(refused(pointer, &violations));
    }
    Ok(iam_core::secret::password::hash(password, &context.entropy()?, configuration.argon2)?)
}

/// 422 for a password that violates these rules, each named at `pointer`.
#[must_use]
pub fn refused(pointer: &str, violations: &[Violation]) -> ApiError {
    let detail = "the password does not fit the policy";
    let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "password_refused", detail);
    violations.iter().fold(error, |error, violation| error.and_field(pointer, violation.detail()))
}

impl Context {
    /// Sends a reset token after the answer.
    pub fn send_reset_token(
        &self,
        organization: &OrganizationId,
        recipient: &Recipient,
        token: &Credential,
        expires_at: Timestamp,
    ) {
        let address = self.configuration().public_url.as_deref();
        self.notify(Notification {
            to: recipient.email.clone(),
            template: Template::PasswordReset,
            organization: organization.clone(),
            user: NotificationUser {
                user_id: recipient.user_id.clone(),
                username: Some(recipient.username.clone()),
                display_name: recipient.display_name.clone(),
            },
            link: address.map(|address| format!("{address}/reset#token={}", token.reveal())),
            code: Some(token.reveal().to_owned()),
            expires_at: Some(expires_at),
            reason: None,
            ip_address: None,
        });
    }
}
