//! The person or service that calls, and what it may do.

use iam_core::id::{KeyId, OrganizationId, SessionId, UserId};
use iam_core::permission::{Grants, Permission, Reach, Scope};
use iam_core::record::Act;
use iam_core::record::audit::{AuditEvent, Outcome};

use super::rule::admitted;
use crate::context::Context;
use crate::request::error::ApiError;

/// The person or service that calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// In which organization.
    pub organization: OrganizationId,
    /// Which user: itself, or the owner of the key.
    pub user_id: UserId,
    /// That user's name.
    pub username: String,
    /// What this credential lets it do.
    pub grants: Grants,
    /// With what it came.
    pub credential: CallerCredential,
}

/// What a caller came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerCredential {
    /// The access token of a session, or its cookie.
    Session(SessionId),
    /// An API key.
    ApiKey(KeyId),
}

impl Caller {
    /// Of whose things the caller may do this: the one place where that is decided.
    #[must_use]
    pub fn decide(&self, action: &'static str, resource: &'static str) -> Reach<'_> {
        Reach::of(&self.grants, &self.user_id, action, resource)
    }

    /// Refuses a caller who may not do this with everybody's things in the organization.
    ///
    /// # Errors
    /// 403 that names the permission.
    pub fn check_wide(&self, action: &'static str, resource: &'static str) -> Result<(), ApiError> {
        if self.decide(action, resource).is_wide() {
            return Ok(());
        }
        let permission = Permission::new(resource, action, Scope::Organization);
        let cause = format!("user {} lacks {permission}", self.user_id);
        Err(ApiError::forbidden(&permission).cause(cause))
    }

    /// Whether the caller holds a permission that somebody named: what it may give away.
    #[must_use]
    pub fn holds(&self, permission: &Permission) -> bool {
        self.grants.allow(permission)
    }
}

impl Context {
    /// Refuses a caller who is not of the deployment's own organization: `all` means all of one's own
    /// everywhere else.
    ///
    /// # Errors
    /// 403.
    pub fn check_operator(
        &self,
        caller: &Caller,
        resource: &'static str,
        action: &'static str,
    ) -> Result<(), ApiError> {
        if caller.organization == self.configuration().organization {
            return Ok(());
        }
        let cause = format!("user {} is not of the deployment's own organization", caller.user_id);
        Err(ApiError::forbidden(&Permission::new(resource, action, Scope::All)).cause(cause))
    }

    /// Begins the record of what a caller did: who, and with which session or key.
    ///
    /// # Errors
    /// When the host has no randomness to give.
    pub fn audit_by(&self, caller: &Caller, act: Act) -> Result<AuditEvent, ApiError> {
        let event = self.audit(&caller.organization, act, Outcome::Success)?;
        let (kind, id) = match &caller.credential {
            CallerCredential::Session(session_id) => ("by_session", session_id.as_str()),
            CallerCredential::ApiKey(key_id) => ("by_key", key_id.as_str()),
        };
        Ok(event.of_user(&caller.user_id).detail(kind, id))
    }
}

admitted!(Caller, "the handler takes a caller, but its route admits anybody");
