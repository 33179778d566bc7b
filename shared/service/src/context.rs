//! What a handler has at hand: its host, its configuration, the moment, and who is calling from where.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use iam_core::config::{Area, Configuration};
use iam_core::id::{ENTROPY_BYTES, LogId, OrganizationId};
use iam_core::record::Act;
use iam_core::record::audit::{Actor, AuditEvent, Outcome};
use iam_core::sql::{Batch, Statement};
use iam_core::time::Timestamp;
use iam_edge::Host;

use crate::database::Db;
use crate::instance::Instance;
use crate::instance::flags::{self, Opening};
use crate::request::error::ApiError;

/// The longest user agent that is kept, in characters.
const MAX_USER_AGENT_CHARACTERS: usize = 256;

/// One request, as its handler sees it. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The host it runs on.
    pub host: Host,
    /// What the instance keeps between requests.
    pub instance: Arc<Instance>,
    /// The moment the request came; everything it writes carries this one.
    pub now: Timestamp,
    /// Its id: the caller's `X-Request-Id`, or ours.
    pub request_id: Arc<str>,
    /// Where it came from, as the host says, or a proxy that the configuration trusts.
    pub client_address: Option<IpAddr>,
    /// What sent it, cut to a sane length.
    pub user_agent: Option<Arc<str>>,
    /// The W3C trace context to hand on, where the request is traced.
    pub traceparent: Option<Arc<str>>,
}

impl Context {
    /// The configuration.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.instance.configuration
    }

    /// The database of an organization.
    #[must_use]
    pub fn db(&self, organization: &OrganizationId) -> Db {
        Db {
            database: self.host.db(organization.as_str()),
            instance: Arc::clone(&self.instance),
            now: self.now,
        }
    }

    /// The database of the deployment: its switches, and which organizations have something due.
    #[must_use]
    pub fn db_of_deployment(&self) -> Db {
        Db { database: self.host.db_of_deployment(), instance: Arc::clone(&self.instance), now: self.now }
    }

    /// Refuses where the product is under maintenance, as far as this instance knows.
    pub(crate) fn check_maintenance(&self, opening: Opening) -> Result<(), ApiError> {
        flags::check_maintenance(opening, &self.instance.flags.current(), &self.configuration().operational)
    }

    /// Refuses where the product is under maintenance. Where that is known from too long ago, the database is
    /// asked: a closed route asks nothing else, and its instance would never hear of the maintenance's end.
    pub(crate) async fn check_maintenance_first(&self, opening: Opening) -> Result<(), ApiError> {
        let known = self.check_maintenance(opening);
        let operational = &self.configuration().operational;
        if known.is_err() && self.instance.flags.is_due(self.now, operational.flags_max_age) {
            return match self.db_of_deployment().read_flags().await {
                Ok(()) => self.check_maintenance(opening),
                Err(error) => {
                    self.log_failure("the flags can't be read", &error.to_string());
                    known
                }
            };
        }
        known
    }

    /// Refuses while a part of the product is closed for maintenance, as far as this instance knows: for a
    /// route that is always open because its own statement decides.
    ///
    /// # Errors
    /// 503 with the message and when to come back.
    pub fn check_open(&self, area: Area) -> Result<(), ApiError> {
        self.check_maintenance(Opening::Of(area))
    }

    /// 503 as during maintenance, for a handler whose statement found the switch set before this instance
    /// did.
    #[must_use]
    pub fn maintenance(&self) -> ApiError {
        flags::maintenance(&self.instance.flags.current())
    }

    /// Fresh randomness.
    ///
    /// # Errors
    /// When the host has none to give.
    pub fn entropy<const N: usize>(&self) -> Result<[u8; N], ApiError> {
        let mut bytes = [0; N];
        iam_edge::random(&mut bytes)?;
        Ok(bytes)
    }

    /// A new id.
    ///
    /// # Errors
    /// When the host has no randomness to give.
    pub fn new_id<T>(&self, make: fn(Timestamp, [u8; ENTROPY_BYTES]) -> T) -> Result<T, ApiError> {
        Ok(make(self.now, self.entropy()?))
    }

    /// Begins the record of an act of this request.
    ///
    /// # Errors
    /// When the host has no randomness to give.
    pub fn audit(
        &self,
        organization: &OrganizationId,
        act: Act,
        outcome: Outcome,
    ) -> Result<AuditEvent, ApiError> {
        Ok(AuditEvent {
            organization: organization.clone(),
            log_id: self.new_id(LogId::new)?,
            timestamp: self.now,
            actor: Actor::Manual,
            user_id: None,
            act,
            resource_id: None,
            ip_address: self.client_address.map(|address| address.to_string()),
            user_agent: self.user_agent.as_deref().map(str::to_owned),
            outcome,
            request_id: Some(self.request_id.to_string()),
            details: serde_json::Map::new(),
        })
    }

    /// Logs something that failed after the answer, or beside it.
    pub fn log_failure(&self, message: &str, cause: &str) {
        self.instance.log(message, cause, Some(&self.request_id));
    }

    /// Logs something that an operator may want to look at.
    pub(crate) fn log_warning(&self, message: &str) {
        self.instance.log_warning(message, &self.request_id);
    }

    /// Runs one statement after the answer. A failure is logged; nobody waits for it.
    pub fn defer_statement(&self, organization: &OrganizationId, statement: Statement) {
        self.defer_batch(organization, vec![statement]);
    }

    /// The same with statements in one transaction.
    pub fn defer_batch(&self, organization: &OrganizationId, batch: impl Into<Batch>) {
        let context = self.clone();
        let (db, batch) = (self.db(organization), batch.into());
        self.host.defer(async move {
            if let Err(error) = db.batch(batch).await {
                context.log_failure("deferred statement failed", &error.to_string());
            }
        });
    }
}

/// Cuts a user agent to a length worth keeping.
pub(crate) fn short_user_agent(text: &str) -> Arc<str> {
    text.chars()
        .filter(|character| !character.is_control())
        .take(MAX_USER_AGENT_CHARACTERS)
        .collect::<String>()
        .into()
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::internal("request without a context"))
    }
}
