//! Changes of a user that was read: all of a change or nothing, and only while the user is as it was read.
//!
//! The audit record is the gate. It is written under every condition that the change has, by one statement;
//! what follows it in the transaction asks for the record and for nothing else.

use serde_json::{Map, Value as Json, json};

use super::ADMINISTRATOR;
use super::assignment::{KnownGroup, KnownRole, hold_all};
use super::user::{DirectoryStatus, DirectoryUser};
use crate::directory::account::{MAX_GROUPS_SHOWN, username_key};
use crate::directory::managed::{LocalEdits, kept_by_scim};
use crate::id::{LogId, OrganizationId, UserId};
use crate::permission::Grants;
use crate::record::audit::{AuditEvent, RecordCondition};
use crate::sql::{FromRow, Row, RowError, Rows, Statement};
use crate::time::{Duration, Timestamp};

/// A user that somebody is about to change.
#[derive(Debug)]
pub struct Target {
    /// As it is.
    pub user: DirectoryUser,
    /// Its roles, each once, with what it grants in the end.
    held: Vec<(String, String)>,
    /// Its roles, and whether a group gives it or somebody gave it to the user itself: twice, where both.
    origins: Vec<(String, u8)>,
}

impl Target {
    /// Finds a user, deleted or not.
    #[must_use]
    pub fn find(
        organization: &OrganizationId,
        user_id: &UserId,
        lockout_threshold: u32,
        now: Timestamp,
    ) -> Statement {
        Statement::new(concat!(
            "SELECT ",
            directory_columns!("?3", "?4", "?5"),
            ", (SELECT json_group_array(DISTINCT json_array(roles.role, roles.effective_grants)) FROM \
             user_roles CROSS JOIN roles ON roles.org_id = user_roles.org_id AND roles.role = \
             user_roles.role WHERE user_roles.org_id = users.org_id AND user_roles.user_id = users.user_id) \
             AS held, (SELECT json_group_array(DISTINCT json_array(user_roles.role, user_roles.via_group <> \
             '')) FROM user_roles WHERE user_roles.org_id = users.org_id AND user_roles.user_id = \
             users.user_id) AS origins FROM users WHERE users.org_id = ?1 AND users.user_id = ?2"
        ))
        .bind(organization)
        .bind(user_id)
        .bind(now)
        .bind(lockout_threshold)
        .bind(MAX_GROUPS_SHOWN)
    }

    /// Whether whoever holds `own` may change it: nobody changes a user who may do what it may not itself.
    #[must_use]
    pub fn is_within(&self, own: &Grants) -> bool {
        self.held.iter().all(|(_, grants)| {
            // What can't be read is nobody's to change.
            let texts = serde_json::from_str::<Vec<String>>(grants);
            texts.is_ok_and(|texts| hold_all(own, texts.iter().map(String::as_str)))
        })
    }

    fn is_administrator(&self) -> bool {
        self.user.roles.iter().any(|role| role == ADMINISTRATOR)
    }

    fn is_given(&self, role: &str) -> bool {
        self.origins.iter().any(|(held, by_group)| held == role && *by_group == 0)
    }

    fn is_by_group(&self, role: &str) -> bool {
        self.origins.iter().any(|(held, by_group)| held == role && *by_group != 0)
    }

    /// Whether the user has other roles once these are all that are given to it: what a group gives stays,
    /// and is not given a second time.
    fn roles_change(&self, wanted: &[KnownRole]) -> bool {
        let is_new = |role: &KnownRole| !self.is_given(&role.role) && !self.is_by_group(&role.role);
        let is_dropped =
            |(held, by_group): &(String, u8)| *by_group == 0 && wanted.iter().all(|role| role.role != *held);
        wanted.iter().any(is_new) || self.origins.iter().any(is_dropped)
    }
}

impl FromRow for Target {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let mut held: Vec<(String, String)> = row.json("held")?;
        held.sort();
        Ok(Self { user: DirectoryUser::from_row(row)?, held, origins: row.json("origins")? })
    }
}

/// What an administrator changes. What is `None` stays.
#[derive(Debug, Default)]
pub struct Patch {
    /// A new user name.
    pub username: Option<String>,
    /// A new e-mail address, or none.
    pub email: Option<Option<String>>,
    /// A new name for people, or none.
    pub display_name: Option<Option<String>>,
    /// The roles that are given to it from now on; those that groups give stay.
    pub roles: Option<Vec<KnownRole>>,
    /// Its groups from now on.
    pub groups: Option<Vec<KnownGroup>>,
}

impl Patch {
    /// What would change in this user, by name.
    #[must_use]
    pub fn differences(&self, target: &Target) -> Vec<&'static str> {
        let user = &target.user;
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names
        };
        let groups = self.groups.as_ref();
        let groups = groups.map(|groups| groups.iter().map(|group| group.display_name.clone()).collect());
        let differs =
            |wanted: Option<Vec<String>>, is: &[String]| wanted.is_some_and(|it| sorted(&it) != sorted(is));
        [
            ("username", self.username.as_ref().is_some_and(|name| *name != user.username)),
            ("email", self.email.as_ref().is_some_and(|email| *email != user.email)),
            ("display_name", self.display_name.as_ref().is_some_and(|name| *name != user.display_name)),
            ("roles", self.roles.as_ref().is_some_and(|roles| target.roles_change(roles))),
            ("groups", differs(groups, &user.groups)),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

/// What is done to a user.
#[derive(Debug)]
pub enum Act {
    /// Its attributes change.
    Patch(Patch),
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

impl Act {
    /// Its word in the audit record.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Patch(_) => "user.update",
            Self::Suspend => "user.suspend",
            Self::Activate => "user.activate",
            Self::Unlock => "user.unlock",
            Self::Delete => "user.delete",
            Self::Restore => "user.restore",
        }
    }

    /// Whether it may leave the organization without an administrator.
    fn is_guarded(&self) -> bool {
        match self {
            Self::Suspend | Self::Delete => true,
            Self::Patch(Patch { roles: Some(roles), .. }) => {
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
pub struct Change<'a> {
    /// In which organization.
    pub organization: &'a OrganizationId,
    /// The user as it was read.
    pub target: &'a Target,
    /// What is done to it.
    pub act: &'a Act,
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
pub enum ChangeRefusal {
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
/// one; and an administrator who may act remains." `?2` is the JSON object of [`Change::premise`].
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

/// A statement that does its work where the record `?2` of this transaction was written.
macro_rules! where_recorded {
    ($begin:literal) => {
        where_recorded!($begin, "")
    };
    ($begin:literal, $end:literal) => {
        concat!($begin, " EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?2)", $end)
    };
}

impl Change<'_> {
    /// Everything for one transaction. `event` is its record, which decides whether the rest happens.
    #[must_use]
    pub fn statements(&self, event: AuditEvent) -> Vec<Statement> {
        let log_id = event.log_id.clone();
        let gate = match self.act {
            Act::Restore => IS_RESTORABLE,
            Act::Patch(_) | Act::Suspend | Act::Activate | Act::Unlock | Act::Delete => IS_THERE,
        };
        let mut statements = vec![event.record_if(gate, self.premise())];
        match self.act {
            Act::Patch(patch) => statements.extend(self.patch(patch, &log_id)),
            Act::Suspend => {
                statements.extend([self.set_status(&log_id), self.end_sessions("suspended", &log_id)]);
            }
            Act::Activate => statements.push(self.set_status(&log_id)),
            Act::Unlock => statements.extend(self.unlock(&log_id)),
            Act::Delete => statements.extend([
                self.set_deleted(Some(self.now), &log_id),
                self.end_sessions("deleted", &log_id),
                self.revoke_keys(&log_id),
            ]),
            // Not every way to be deleted revokes keys.
            Act::Restore => {
                statements.extend([self.set_deleted(None, &log_id), self.revoke_keys(&log_id)]);
            }
        }
        let user_id = &self.target.user.user_id;
        statements.push(Target::find(self.organization, user_id, self.lockout_threshold, self.now));
        statements.push(self.inspect(&log_id));
        statements
    }

    /// The user after [`Change::statements`], or why nothing happened.
    ///
    /// # Errors
    /// When a row does not decode.
    pub fn outcome(&self, rows: &[Rows]) -> Result<Result<DirectoryUser, ChangeRefusal>, RowError> {
        let [.., found, verdict] = rows else { return Ok(Err(ChangeRefusal::Conflict)) };
        let after = found.decode_first::<Target>()?;
        let flag = |name| verdict.first().map(|row| row.integer(name)).transpose();
        let (done, others, taken) = (flag("done")?, flag("others")?, flag("taken")?);
        let Some(after) = after else { return Ok(Err(ChangeRefusal::Gone)) };
        let before = self.target;
        Ok(Err(match self.act {
            _ if done == Some(1) => return Ok(Ok(after.user)),
            Act::Restore if taken == Some(1) => ChangeRefusal::UsernameTaken,
            Act::Restore => ChangeRefusal::Gone,
            _ if after.user.deleted_at.is_some() => ChangeRefusal::Gone,
            _ if after.user.version != before.user.version || after.held != before.held => {
                ChangeRefusal::Conflict
            }
            act if act.is_guarded()
                && after.is_administrator()
                && !(act.leaves_groups() && after.is_by_group(ADMINISTRATOR))
                && others == Some(0) =>
            {
                ChangeRefusal::LastAdministrator
            }
            _ => ChangeRefusal::Conflict,
        }))
    }

    fn premise(&self) -> String {
        let (roles, groups) = match self.act {
            Act::Patch(patch) => (patch.roles.as_deref(), patch.groups.as_deref()),
            Act::Suspend | Act::Activate | Act::Unlock | Act::Delete | Act::Restore => (None, None),
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

    fn about(&self, text: &'static str, log_id: &LogId) -> Statement {
        Statement::new(text).bind(self.organization).bind(log_id).bind(&self.target.user.user_id)
    }

    fn patch(&self, patch: &Patch, log_id: &LogId) -> Vec<Statement> {
        let mut statements = vec![self.set_attributes(patch, log_id)];
        if let Some(roles) = &patch.roles {
            let roles: Vec<_> = roles.iter().map(|role| role.role.as_str()).collect();
            statements.extend(self.replace_roles(&json!(roles).to_string(), log_id));
        }
        if let Some(groups) = &patch.groups {
            let groups: Vec<_> = groups.iter().map(|group| &group.group_id).collect();
            statements.extend(self.replace_groups(&json!(groups).to_string(), log_id));
        }
        statements
    }

    /// SCIM shows the address of this column where its own list of addresses is gone.
    fn set_attributes(&self, patch: &Patch, log_id: &LogId) -> Statement {
        let text = where_recorded!(
            "UPDATE users SET username = COALESCE(?4, username), username_key = COALESCE(?5, username_key), \
             email = CASE WHEN ?6 THEN ?7 ELSE email END, attributes = CASE WHEN ?6 THEN \
             json_remove(attributes, '$.emails') ELSE attributes END, display_name = CASE WHEN ?8 THEN ?9 \
             ELSE display_name END, updated_at = ?10, version = version + 1 WHERE org_id = ?1 AND user_id = \
             ?3 AND"
        );
        let user = &self.target.user;
        let email = patch.email.as_ref().filter(|email| **email != user.email);
        self.about(text, log_id)
            .bind(patch.username.as_deref())
            .bind(patch.username.as_deref().map(username_key))
            .bind(email.is_some())
            .bind(email.and_then(Option::as_deref))
            .bind(patch.display_name.is_some())
            .bind(patch.display_name.as_ref().and_then(Option::as_deref))
            .bind(self.now)
    }

    fn replace_roles(&self, roles: &str, log_id: &LogId) -> [Statement; 2] {
        let remove = where_recorded!(
            "DELETE FROM user_roles WHERE org_id = ?1 AND user_id = ?3 AND via_group = '' AND role NOT IN \
             (SELECT value FROM json_each(?4)) AND"
        );
        let add = where_recorded!(
            "INSERT INTO user_roles (org_id, user_id, role) SELECT ?1, ?3, wanted.value FROM json_each(?4) \
             AS wanted WHERE NOT EXISTS (SELECT 1 FROM user_roles AS held WHERE held.org_id = ?1 AND \
             held.user_id = ?3 AND held.role = wanted.value) AND",
            " ON CONFLICT DO NOTHING"
        );
        [remove, add].map(|text| self.about(text, log_id).bind(roles))
    }

    fn replace_groups(&self, groups: &str, log_id: &LogId) -> [Statement; 2] {
        let remove = where_recorded!(
            "DELETE FROM group_members WHERE org_id = ?1 AND user_id = ?3 AND group_id NOT IN (SELECT value \
             FROM json_each(?4)) AND"
        );
        let add = where_recorded!(
            "INSERT INTO group_members (org_id, user_id, group_id) SELECT ?1, ?3, wanted.value FROM \
             json_each(?4) AS wanted WHERE",
            " ON CONFLICT DO NOTHING"
        );
        [remove, add].map(|text| self.about(text, log_id).bind(groups))
    }

    fn set_status(&self, log_id: &LogId) -> Statement {
        let status = match self.act {
            Act::Suspend => DirectoryStatus::Suspended,
            Act::Patch(_) | Act::Activate | Act::Unlock | Act::Delete | Act::Restore => {
                DirectoryStatus::Active
            }
        };
        let text = where_recorded!(
            "UPDATE users SET status = ?4, updated_at = ?5, version = version + 1 WHERE org_id = ?1 AND \
             user_id = ?3 AND"
        );
        self.about(text, log_id).bind(status.as_str()).bind(self.now)
    }

    fn set_deleted(&self, deleted_at: Option<Timestamp>, log_id: &LogId) -> Statement {
        let text = where_recorded!(
            "UPDATE users SET deleted_at = ?4, updated_at = ?5, version = version + 1 WHERE org_id = ?1 AND \
             user_id = ?3 AND"
        );
        self.about(text, log_id).bind(deleted_at).bind(self.now)
    }

    fn end_sessions(&self, because: &'static str, log_id: &LogId) -> Statement {
        let text = where_recorded!(
            "UPDATE sessions INDEXED BY sessions_by_user SET ended_at = ?4, ended_because = ?5 WHERE org_id \
             = ?1 AND user_id = ?3 AND ended_at IS NULL AND"
        );
        self.about(text, log_id).bind(self.now).bind(because)
    }

    fn revoke_keys(&self, log_id: &LogId) -> Statement {
        let text = where_recorded!(
            "UPDATE api_keys INDEXED BY api_keys_active_by_owner SET status = 'revoked', revoked_at = ?4 \
             WHERE org_id = ?1 AND owner_id = ?3 AND status = 'active' AND"
        );
        self.about(text, log_id).bind(self.now)
    }

    /// The pools that count failed sign-ins: the account's, and those of the addresses it is known at.
    fn unlock(&self, log_id: &LogId) -> [Statement; 3] {
        let account = where_recorded!(
            "DELETE FROM sign_in_attempts WHERE org_id = ?1 AND subject = 'account:' || ?3 AND"
        );
        let known = where_recorded!(
            "DELETE FROM sign_in_attempts WHERE org_id = ?1 AND subject >= 'known:' || ?3 || ':' AND subject \
             < 'known:' || ?3 || ';' AND"
        );
        let status = where_recorded!(
            "UPDATE users SET status = 'active', updated_at = ?4, version = version + 1 WHERE org_id = ?1 \
             AND user_id = ?3 AND status = 'locked' AND"
        );
        [self.about(account, log_id), self.about(known, log_id), self.about(status, log_id).bind(self.now)]
    }

    fn inspect(&self, log_id: &LogId) -> Statement {
        let text = "SELECT EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?2) AS done, \
             EXISTS (SELECT 1 FROM user_roles JOIN users ON users.org_id = user_roles.org_id AND \
             users.user_id = user_roles.user_id WHERE user_roles.org_id = ?1 AND user_roles.role = 'admin' \
             AND user_roles.user_id <> ?3 AND users.status = 'active' AND users.deleted_at IS NULL) AS \
             others, EXISTS (SELECT 1 FROM users JOIN users AS other ON other.org_id = users.org_id AND \
             other.username_key = users.username_key AND other.deleted_at IS NULL WHERE users.org_id = ?1 \
             AND users.user_id = ?3 AND other.user_id <> ?3) AS taken";
        self.about(text, log_id)
    }
}
