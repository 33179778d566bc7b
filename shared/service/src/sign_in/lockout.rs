//! What a failed try at a password leaves behind, wherever passwords are checked.

use iam_core::directory::organization::ORGANIZATION_EXISTS;
use iam_core::id::UserId;
use iam_core::record::audit::{AuditEvent, Outcome};
use iam_core::sign_in::acts;
use iam_core::sign_in::lockout::{Attempt, Lock, Reservation, address_key};
use iam_core::sql::Statement;
use iam_telemetry::Collector;
use iam_telemetry::instruments::SECURITY_EVENTS;

use crate::context::Context;
use crate::request::error::ApiError;

impl Context {
    /// Records a failed try at a password and the locks that follow from it, in as many statements of the
    /// same form whether there is such a user, and such an organization, or not.
    ///
    /// # Errors
    /// When the host has no randomness to give.
    pub fn record_failed_attempt(
        &self,
        attempt: &Attempt<'_>,
        reservation: &Reservation,
        user_id: Option<&UserId>,
        failure: AuditEvent,
    ) -> Result<Vec<Statement>, ApiError> {
        let mut statements = vec![failure.record_if(ORGANIZATION_EXISTS, attempt.organization)];
        for lock in attempt.locks(reservation) {
            let event = self.lock_event(attempt, lock, user_id)?;
            statements.push(event.record_if(ORGANIZATION_EXISTS, attempt.organization));
        }
        statements.push(attempt.clear());
        Ok(statements)
    }

    fn lock_event(
        &self,
        attempt: &Attempt<'_>,
        lock: Lock,
        user_id: Option<&UserId>,
    ) -> Result<AuditEvent, ApiError> {
        let (act, thing) = match lock {
            Lock::Account => (acts::ACCOUNT_LOCK, user_id.map(ToString::to_string)),
            Lock::Address => (acts::ADDRESS_LOCK, attempt.address.map(address_key)),
        };
        if let Some(telemetry) = Collector::current() {
            telemetry.count(&SECURITY_EVENTS, 1, [act.name.into(), "medium".into()]);
        }
        let mut event = self.audit(attempt.organization, act, Outcome::Success)?;
        event.resource_id = thing;
        event.user_id = user_id.cloned();
        Ok(event.detail("until", attempt.now.after(attempt.limits.lockout_duration).to_string()))
    }
}
