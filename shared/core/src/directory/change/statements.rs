//! The statements of a change. Each does its work where the change was recorded.

use serde_json::json;

use super::super::user::DirectoryStatus;
use super::{UserAct, UserChange, UserPatch};
use crate::directory::account::username_key;
use crate::id::LogId;
use crate::sql::Statement;
use crate::time::Timestamp;

/// A statement that does its work where the record `?2` of this transaction was written.
macro_rules! where_recorded {
    ($begin:literal) => {
        where_recorded!($begin, "")
    };
    ($begin:literal, $end:literal) => {
        concat!($begin, " EXISTS (SELECT 1 FROM audit_events WHERE org_id = ?1 AND log_id = ?2)", $end)
    };
}

impl UserChange<'_> {
    pub(super) fn about(&self, text: &'static str, log_id: &LogId) -> Statement {
        Statement::new(text).bind(self.organization).bind(log_id).bind(&self.target.user.user_id)
    }

    pub(super) fn patch(&self, patch: &UserPatch, log_id: &LogId) -> Vec<Statement> {
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
    pub(super) fn set_attributes(&self, patch: &UserPatch, log_id: &LogId) -> Statement {
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

    pub(super) fn replace_roles(&self, roles: &str, log_id: &LogId) -> [Statement; 2] {
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

    pub(super) fn replace_groups(&self, groups: &str, log_id: &LogId) -> [Statement; 2] {
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

    pub(super) fn set_status(&self, log_id: &LogId) -> Statement {
        let status = match self.act {
            UserAct::Suspend => DirectoryStatus::Suspended,
            UserAct::Patch(_) | UserAct::Activate | UserAct::Unlock | UserAct::Delete | UserAct::Restore => {
                DirectoryStatus::Active
            }
        };
        let text = where_recorded!(
            "UPDATE users SET status = ?4, updated_at = ?5, version = version + 1 WHERE org_id = ?1 AND \
             user_id = ?3 AND"
        );
        self.about(text, log_id).bind(status.as_str()).bind(self.now)
    }

    pub(super) fn set_deleted(&self, deleted_at: Option<Timestamp>, log_id: &LogId) -> Statement {
        let text = where_recorded!(
            "UPDATE users SET deleted_at = ?4, updated_at = ?5, version = version + 1 WHERE org_id = ?1 AND \
             user_id = ?3 AND"
        );
        self.about(text, log_id).bind(deleted_at).bind(self.now)
    }

    pub(super) fn end_sessions(&self, because: &'static str, log_id: &LogId) -> Statement {
        let text = where_recorded!(
            "UPDATE sessions INDEXED BY sessions_by_user SET ended_at = ?4, ended_because = ?5 WHERE org_id \
             = ?1 AND user_id = ?3 AND ended_at IS NULL AND"
        );
        self.about(text, log_id).bind(self.now).bind(because)
    }

    pub(super) fn revoke_keys(&self, log_id: &LogId) -> Statement {
        let text = where_recorded!(
            "UPDATE api_keys INDEXED BY api_keys_active_by_owner SET status = 'revoked', revoked_at = ?4 \
             WHERE org_id = ?1 AND owner_id = ?3 AND status = 'active' AND"
        );
        self.about(text, log_id).bind(self.now)
    }

    /// The pools that count failed sign-ins: the account's, and those of the addresses it is known at.
    pub(super) fn unlock(&self, log_id: &LogId) -> [Statement; 3] {
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
}
