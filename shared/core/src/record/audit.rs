//! The audit record: who did what to what, from where, and how it ended.

use serde_json::{Map, Value as Json};

use super::Act;
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
    /// What was done, and to what kind of thing.
    pub act: Act,
    /// To which one, where known.
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
    /// What the product itself did, in no request.
    #[must_use]
    pub fn by_system(organization: &OrganizationId, log_id: LogId, act: Act, now: Timestamp) -> Self {
        Self {
            organization: organization.clone(),
            log_id,
            timestamp: now,
            actor: Actor::System,
            user_id: None,
            act,
            resource_id: None,
            ip_address: None,
            user_agent: None,
            outcome: Outcome::Success,
            request_id: None,
            details: Map::new(),
        }
    }

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
        const ALWAYS: RecordCondition = crate::record_condition!("TRUE");
        self.record_if(ALWAYS, None::<i64>)
    }

    /// Writes the record where `condition` holds: an act that a batch may have refused is recorded only if
    /// it happened. `parameter` is the condition's `?2`.
    #[must_use]
    pub fn record_if(self, condition: RecordCondition, parameter: impl Into<Value>) -> Statement {
        Statement::new(condition.0)
            .bind(&self.organization)
            .bind(parameter)
            .bind(self.timestamp)
            .bind(self.actor.as_str())
            .bind(self.user_id.as_ref())
            .bind(self.act.name)
            .bind(self.act.resource)
            .bind(self.resource_id)
            .bind(self.ip_address)
            .bind(self.user_agent)
            .bind(self.outcome.as_str())
            .bind(&self.log_id)
            .bind(Json::Object(self.details).to_string())
            .bind(self.request_id)
    }

    /// Writes the record where the statement right before it in the batch changed a row: of two that do the
    /// same at the same moment, the one that did it is recorded.
    #[must_use]
    pub fn record_if_changed(self) -> Statement {
        const CHANGED: RecordCondition = crate::record_condition!("changes() > 0");
        self.record_if(CHANGED, None::<i64>)
    }
}

/// Under which condition a record is written, and what of it the database knows better than whoever writes
/// it: a constant statement, made by [`record_condition`](crate::record_condition) or
/// [`record_rows`](crate::record_rows).
#[derive(Clone, Copy, Debug)]
pub struct RecordCondition(pub(crate) &'static str);

impl RecordCondition {
    /// For the macros alone, which know the columns.
    #[doc(hidden)]
    #[must_use]
    pub const fn of_statement(text: &'static str) -> Self {
        Self(text)
    }
}

/// The condition under which a record is written. Its own parameter is `?2`; of the record, `?1` is the
/// organization, `?3` the moment, `?5` the user, `?8` the thing's id, `?12` the record's own id and `?13` the
/// details.
#[macro_export]
macro_rules! record_condition {
    ($($condition:expr),+ $(,)?) => {
        $crate::record_rows!(from: " WHERE ", $($condition),+)
    };
}

/// Records that a query gives: as [`record_condition`](crate::record_condition), but for each row of what
/// follows `SELECT …` in `from`, and with some columns from there. The columns of a record stand here and
/// nowhere else; those that may be named are, in this order, `org_id`, `log_id`, `user_id`, `action`,
/// `resource_id` and `details`. `with` goes before it all.
#[macro_export]
macro_rules! record_rows {
    (
        $(with: $with:expr,)?
        $(org_id: $org_id:expr,)?
        $(log_id: $log_id:expr,)?
        $(user_id: $user_id:expr,)?
        $(action: $action:expr,)?
        $(resource_id: $resource_id:expr,)?
        $(details: $details:expr,)?
        from: $($from:expr),+ $(,)?
    ) => {
        $crate::record::audit::RecordCondition::of_statement(concat!(
            $($with,)?
            "INSERT INTO audit_events (org_id, log_id, timestamp, actor, user_id, action, resource, \
             resource_id, ip_address, user_agent, result, request_id, details) SELECT ",
            $crate::or_parameter!([$($org_id)?] "?1"), ", ",
            $crate::or_parameter!([$($log_id)?] "?12"), ", ?3, ?4, ",
            $crate::or_parameter!([$($user_id)?] "?5"), ", ",
            $crate::or_parameter!([$($action)?] "?6"), ", ?7, ",
            $crate::or_parameter!([$($resource_id)?] "?8"), ", ?9, ?10, ?11, ?14, ",
            $crate::or_parameter!([$($details)?] "?13"),
            $($from),+
        ))
    };
}

/// What was named, or the record's own parameter.
#[doc(hidden)]
#[macro_export]
macro_rules! or_parameter {
    ([] $parameter:literal) => {
        $parameter
    };
    ([$named:expr] $parameter:literal) => {
        $named
    };
}
