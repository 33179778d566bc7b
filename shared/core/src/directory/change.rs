//! Changes of a user that was read: all of a change or nothing, and only while the user is as it was read.
//!
//! The audit record is the gate. It is written under every condition that the change has, by one statement;
//! what follows it in the transaction asks for the record and for nothing else.

mod statements;
mod target;

use serde_json::{Map, Value as Json, json};

use super::user::DirectoryUser;
use super::{ADMINISTRATOR, acts};
use crate::directory::managed::{LocalEdits, kept_by_scim};
use crate::id::{LogId, OrganizationId};
use crate::record::Act;
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::sql::{Answers, Batch, FromRow, Query, Row, RowError, Ticket};
use crate::time::{Duration, Timestamp};

pub use target::{TargetUser, UserPatch};

/// What is done to a user.
#[derive(Debug)]
pub enum UserAct {
    /// Its attributes change.
    Patch(UserPatch),
    /// It may no longer act, and is signed out everywhere.
    Suspend,
    /// It may act again.
    Activate,
    /// Its failed sign-ins are forgotten.
    Unlock,
    /// It is deleted, signed out everywhere, and its API keys are revoked.
    Delete,
    /// It is there again.
    Restore,
}

impl UserAct {
    /// What it is in the audit record.
    #[must_use]
    pub fn act(&self) -> Act {
        match self {
            Self::Patch(_) => acts::USER_UPDATE,
            Self::Suspend => acts::USER_SUSPEND,
            Self::Activate => acts::USER_ACTIVATE,
            Self::Unlock => acts::USER_UNLOCK,
            Self::Delete => acts::USER_DELETE,
            Self::Restore => acts::USER_RESTORE,
        }
    }

    /// Whether it may leave the organization without an administrator.
    fn is_guarded(&self) -> bool {
        match self {
            Self::Suspend | Self::Delete => true,
            Self::Patch(UserPatch { roles: Some(roles), .. }) => {
                !roles.iter().any(|role| role.role == ADMINISTRATOR)
            }
            Self::Patch(_) | Self::Activate | Self::Unlock | Self::Restore => false,
        }
    }

    /// Whether the roles that groups give go on to count.
    fn leaves_groups(&self) -> bool {
        matches!(self, Self::Patch(_))
    }
}

/// One change of a user that was read.
#[derive(Debug)]
pub struct UserChange<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The user as it was read.
    pub target: &'a TargetUser,
    /// What is done to it.
    pub act: &'a UserAct,
    /// What may be changed of what SCIM manages.
    pub edits: &'a LocalEdits<'a>,
    /// How many failed sign-ins lock an account.
    pub lockout_threshold: u32,
    /// How long a deleted user can be restored.
    pub deletion_grace: Duration,
    /// Now.
    pub now: Timestamp,
}

/// Why a change did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserChangeRefusal {
    /// The user is not there, or no longer.
    Gone,
    /// The organization would be without an administrator who may act.
    LastAdministrator,
    /// Somebody else has its user name by now.
    UsernameTaken,
    /// The user, a role or a group changed after it was read.
    Conflict,
}

/// "The user is in the version that was read and holds nothing that it did not hold then; the roles that it
/// gets grant what they did; the groups are there, and it neither comes into one that SCIM keeps nor leaves
/// one; and an administrator who may act remains." `?2` is the JSON object of [`UserChange::premise`].
macro_rules! change_condition {
    ($rest:literal) => {
        crate::record_condition!("EXISTS (SELECT 1 FROM users WHERE users.org_id = ?1 AND users.user_id = ?2 \
             ->> 'user_id' AND users.version = ?2 ->> 'version' AND ",
            $rest,
            ") AND NOT EXISTS (SELECT 1 FROM user_roles CROSS JOIN roles ON roles.org_id = user_roles.org_id \
             AND roles.role = user_roles.role WHERE user_roles.org_id = ?1 AND user_roles.user_id = ?2 ->> \
             'user_id' AND NOT EXISTS (SELECT 1 FROM json_each(?2, '$.held') AS held WHERE held.value ->> 0 \
             = roles.role AND held.value ->> 1 = roles.effective_grants)) AND NOT EXISTS (SELECT 1 FROM \
             json_each(?2, '$.roles') AS wanted LEFT JOIN roles ON roles.org_id = ?1 AND roles.role = \
             wanted.value ->> 0 WHERE roles.effective_grants IS NOT wanted.value ->> 1) AND NOT EXISTS \
             (SELECT 1 FROM json_each(?2, '$.groups') AS wanted WHERE NOT EXISTS (SELECT 1 FROM groups WHERE \
             groups.org_id = ?1 AND groups.group_id = wanted.value)) AND NOT EXISTS (SELECT 1 FROM \
             json_each(?2, '$.groups') AS wanted CROSS JOIN groups ON groups.org_id = ?1 AND groups.group_id \
             = wanted.value WHERE NOT EXISTS (SELECT 1 FROM group_members WHERE group_members.org_id = ?1 \
             AND group_members.user_id = ?2 ->> 'user_id' AND group_members.group_id = wanted.value) AND ",
            kept_by_scim!("groups", "?2 -> 'edits'"),
            ") AND (?2 ->> 'regroups' = 0 OR NOT EXISTS (SELECT 1 FROM group_members CROSS JOIN groups ON \
             groups.org_id = group_members.org_id AND groups.group_id = group_members.group_id WHERE \
             group_members.org_id = ?1 AND group_members.user_id = ?2 ->> 'user_id' AND \
             group_members.group_id NOT IN (SELECT value FROM json_each(?2, '$.groups')) AND ",
            kept_by_scim!("groups", "?2 -> 'edits'"),
            ")) AND (?2 ->> 'guarded' = 0 OR NOT EXISTS (SELECT 1 FROM user_roles WHERE org_id = ?1 AND \
             user_id = ?2 ->> 'user_id' AND role = 'admin') OR (?2 ->> 'by_group_stays' AND EXISTS (SELECT 1 \
             FROM user_roles WHERE org_id = ?1 AND user_id = ?2 ->> 'user_id' AND role = 'admin' AND \
             via_group <> '')) OR EXISTS (SELECT 1 FROM user_roles JOIN users ON users.org_id = \
             user_roles.org_id AND users.user_id = user_roles.user_id WHERE user_roles.org_id = ?1 AND \
             user_roles.role = 'admin' AND user_roles.user_id <> ?2 ->> 'user_id' AND users.status = \
             'active' AND users.deleted_at IS NULL))"
        )
    };
}

const IS_THERE: RecordCondition = change_condition!("users.deleted_at IS NULL");

/// It can be restored while it is not due to be purged and its name is free.
const IS_RESTORABLE: RecordCondition = change_condition!(
    "users.deleted_at >= ?2 ->> 'deleted_since' AND NOT EXISTS (SELECT 1 FROM users AS other WHERE \
     other.org_id = ?1 AND other.username_key = users.username_key AND other.deleted_at IS NULL)"
);

/// Where the answers to a change are found.
#[derive(Clone, Copy, Debug)]
pub struct UserChangeTickets {
    after: Ticket<TargetUser>,
    inspection: Ticket<Inspection>,
}

/// What decides why a change did not happen.
#[derive(Debug)]
struct Inspection {
    /// Its record was written.
    is_done: bool,
    /// There is another administrator who may act.
    has_others: bool,
    /// Somebody else has the user's name.
    is_name_taken: bool,
}

impl FromRow for Inspection {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let is = |column| row.integer(column).map(|number| number != 0);
        Ok(Self { is_done: is("done")?, has_others: is("others")?, is_name_taken: is("taken")? })
    }
}

impl UserChange<'_> {
    /// Puts everything into a batch. `event` is its record, which decides whether the rest happens.
    pub fn ask(&self, event: AuditEvent, batch: &mut Batch) -> UserChangeTickets {
        let log_id = event.log_id.clone();
        let gate = match self.act {
            UserAct::Restore => IS_RESTORABLE,
            UserAct::Patch(_) | UserAct::Suspend | UserAct::Activate | UserAct::Unlock | UserAct::Delete => {
                IS_THERE
            }
        };
        batch.then(event.record_if(gate, self.premise()));
        match self.act {
            UserAct::Patch(patch) => batch.extend(self.patch(patch, &log_id)),
            UserAct::Suspend => {
                batch.extend([self.set_status(&log_id), self.end_sessions("suspended", &log_id)]);
            }
            UserAct::Activate => batch.extend([self.set_status(&log_id)]),
            UserAct::Unlock => batch.extend(self.unlock(&log_id)),
            UserAct::Delete => batch.extend([
                self.set_deleted(Some(self.now), &log_id),
                self.end_sessions("deleted", &log_id),
                self.revoke_keys(&log_id),
            ]),
            // Not every way to be deleted revokes keys.
            UserAct::Restore => batch.extend([self.set_deleted(None, &log_id), self.revoke_keys(&log_id)]),
        }
        let user_id = &self.target.user.user_id;
        let after = TargetUser::find(self.organization, user_id, self.lockout_threshold, self.now);
        UserChangeTickets { after: batch.ask(after), inspection: batch.ask(self.inspect(&log_id)) }
    }

    /// The user after the change, or why nothing happened.
    ///
    /// # Errors
    /// When a row does not decode.
    pub fn outcome(
        &self,
        answers: &Answers,
        tickets: UserChangeTickets,
    ) -> Result<Result<DirectoryUser, UserChangeRefusal>, RowError> {
        let inspection = answers.one(tickets.inspection)?.ok_or(RowError::unreadable("done"))?;
        let Some(after) = answers.one(tickets.after)? else { return Ok(Err(UserChangeRefusal::Gone)) };
        if inspection.is_done {
            return Ok(Ok(after.user));
        }
        Ok(Err(self.refusal(&after, &inspection)))
    }

    fn refusal(&self, after: &TargetUser, inspection: &Inspection) -> UserChangeRefusal {
        let before = self.target;
        match self.act {
            UserAct::Restore if inspection.is_name_taken => UserChangeRefusal::UsernameTaken,
            UserAct::Restore => UserChangeRefusal::Gone,
            _ if after.user.deleted_at.is_some() => UserChangeRefusal::Gone,
            _ if after.user.version != before.user.version || after.held != before.held => {
                UserChangeRefusal::Conflict
            }
            act if act.is_guarded()
                && after.is_administrator()
                && !(act.leaves_groups() && after.is_by_group(ADMINISTRATOR))
                && !inspection.has_others =>
            {
                UserChangeRefusal::LastAdministrator
            }
            _ => UserChangeRefusal::Conflict,
        }
    }

    fn premise(&self) -> String {
        let (roles, groups) = match self.act {
            UserAct::Patch(patch) => (patch.roles.as_deref(), patch.groups.as_deref()),
            UserAct::Suspend | UserAct::Activate | UserAct::Unlock | UserAct::Delete | UserAct::Restore => {
                (None, None)
            }
        };
        let roles: Vec<_> =
            roles.into_iter().flatten().map(|role| json!([role.role, role.effective_grants])).collect();
        let regroups = groups.is_some();
        let groups: Vec<_> = groups.into_iter().flatten().map(|group| json!(group.group_id)).collect();
        let premise = [
            ("user_id", json!(self.target.user.user_id)),
            ("version", json!(self.target.user.version)),
            ("held", json!(self.target.held)),
            ("roles", Json::Array(roles)),
            ("groups", Json::Array(groups)),
            ("regroups", json!(regroups)),
            ("edits", self.edits.condition()),
            ("guarded", json!(self.act.is_guarded())),
            ("by_group_stays", json!(self.act.leaves_groups())),
            ("deleted_since", json!(self.now.before(self.deletion_grace).as_millis())),
        ];
        let premise: Map<String, Json> =
            premise.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Json::Object(premise).to_string()
    }

    fn inspect(&self, log_id: &LogId) -> Query<Inspection> {
        let text = "SELECT EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?2) AS done, \
             EXISTS (SELECT 1 FROM user_roles JOIN users ON users.org_id = user_roles.org_id AND \
             users.user_id = user_roles.user_id WHERE user_roles.org_id = ?1 AND user_roles.role = 'admin' \
             AND user_roles.user_id <> ?3 AND users.status = 'active' AND users.deleted_at IS NULL) AS \
             others, EXISTS (SELECT 1 FROM users JOIN users AS other ON other.org_id = users.org_id AND \
             other.username_key = users.username_key AND other.deleted_at IS NULL WHERE users.org_id = ?1 \
             AND users.user_id = ?3 AND other.user_id <> ?3) AS taken";
        self.about(text, log_id).into()
    }
}
