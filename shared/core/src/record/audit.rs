//! The audit record: who did what to what, from where, and how it ended.

use serde_json::{Map, Value as Json};

use crate::id::{LogId, OrganizationId, UserId};
use crate::sql::{Statement, Value};
use crate::time::Timestamp;

/// Who acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person or a service with its own credential.
    Manual,
    /// A SCIM client.
    Scim,
    /// The product itself: a scheduled job.
    System,
}

impl Actor {
    /// Its word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Scim => "scim",
            Self::System => "system",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused or failed.
    Failure,
}

impl Outcome {
    /// Its word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// One record. No field may hold a secret: `details` takes names, counts and reasons.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// In which organization.
    pub organization: OrganizationId,
    /// Its own id.
    pub log_id: LogId,
    /// When.
    pub timestamp: Timestamp,
    /// Who acted.
    pub actor: Actor,
    /// The user who acted or whom it is about, where known.
    pub user_id: Option<UserId>,
    /// What was done: `login`, `api_key.create`, `scim.user.update`, …
    pub action: &'static str,
    /// The kind of thing it was done to: `session`, `api_key`, `user`, …
    pub resource: &'static str,
    /// Which one, where known.
    pub resource_id: Option<String>,
    /// From where.
    pub ip_address: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// In which request.
    pub request_id: Option<String>,
    /// What else an auditor wants to know.
    pub details: Map<String, Json>,
}

impl AuditEvent {
    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Names the thing it was done to.
    #[must_use]
    pub fn on(mut self, resource_id: impl Into<String>) -> Self {
        self.resource_id = Some(resource_id.into());
        self
    }

    /// Names the user it is about.
    #[must_use]
    pub fn of_user(mut self, user_id: &UserId) -> Self {
        self.user_id = Some(user_id.clone());
        self
    }

    /// Writes the record.
    #[must_use]
    pub fn record(self) -> Statement {
        self.bind(Statement::new(
            "INSERT INTO audit_events (org_id, log_id, timestamp, actor, user_id, action, resource, resource_id, \
             ip_address, user_agent, result, request_id, details) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        ))
    }

    /// Writes the record where `condition` holds: an act that a batch may have refused is recorded only if
    /// it happened. The condition's own parameter is `?14`; `?1` is the organization.
    #[must_use]
    pub fn record_if(self, condition: RecordCondition, parameter: impl Into<Value>) -> Statement {
        self.bind(Statement::new(condition.0)).bind(parameter)
    }

    /// Writes the record where the statement right before it in the batch changed a row: of two that do the same at the same
    /// moment, the one that did it is recorded.
    #[must_use]
    pub fn record_if_changed(self) -> Statement {
        let RecordCondition(text) = crate::record_condition!("changes() > 0");
        self.bind(Statement::new(text))
    }

    fn bind(self, statement: Statement) -> Statement {
        statement
            .bind(&self.organization)
            .bind(&self.log_id)
            .bind(self.timestamp)
            .bind(self.actor.as_str())
            .bind(self.user_id.as_ref())
            .bind(self.action)
            .bind(self.resource)
            .bind(self.resource_id)
            .bind(self.ip_address)
            .bind(self.user_agent)
            .bind(self.outcome.as_str())
            .bind(self.request_id)
            .bind(Json::Object(self.details).to_string())
    }
}

/// The condition of [`AuditEvent::record_if`]: made by [`record_condition`](crate::record_condition), so that
/// the SQL is a constant.
#[derive(Clone, Copy, Debug)]
pub struct RecordCondition(pub &'static str);

/// A condition under which an audit record is written, as a constant statement.
#[macro_export]
macro_rules! record_condition {
    ($condition:literal) => {
        $crate::record::audit::RecordCondition(concat!(
            "INSERT INTO audit_events (org_id, log_id, timestamp, actor, user_id, action, resource, resource_id, \
             ip_address, user_agent, result, request_id, details) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 WHERE ",
            $condition
        ))
    };
}
