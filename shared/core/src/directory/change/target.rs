//! A user that was read to be changed, and what of it an administrator changes.

use super::super::ADMINISTRATOR;
use super::super::assignment::{KnownGroup, KnownRole, hold_all};
use super::super::user::DirectoryUser;
use crate::directory::account::MAX_GROUPS_SHOWN;
use crate::id::{OrganizationId, UserId};
use crate::permission::Grants;
use crate::sql::{FromRow, Query, Row, RowError};
use crate::time::Timestamp;

/// A user that somebody is about to change.
#[derive(Debug)]
pub struct TargetUser {
    /// As it is.
    pub user: DirectoryUser,
    /// Its roles, each once, with what it grants in the end.
    pub(super) held: Vec<(String, String)>,
    /// Its roles, and whether a group gives it or somebody gave it to the user itself: twice, where both.
    origins: Vec<(String, u8)>,
}

impl TargetUser {
    /// Finds a user, deleted or not.
    pub fn find(
        organization: &OrganizationId,
        user_id: &UserId,
        lockout_threshold: u32,
        now: Timestamp,
    ) -> Query<Self> {
        Query::new(concat!(
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

    pub(super) fn is_administrator(&self) -> bool {
        self.user.roles.iter().any(|role| role == ADMINISTRATOR)
    }

    fn is_given(&self, role: &str) -> bool {
        self.origins.iter().any(|(held, by_group)| held == role && *by_group == 0)
    }

    pub(super) fn is_by_group(&self, role: &str) -> bool {
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

impl FromRow for TargetUser {
    fn from_row(row: &Row) -> Result<Self, RowError> {
        let mut held: Vec<(String, String)> = row.json("held")?;
        held.sort();
        Ok(Self { user: DirectoryUser::from_row(row)?, held, origins: row.json("origins")? })
    }
}

/// What an administrator changes. What is `None` stays.
#[derive(Debug, Default)]
pub struct UserPatch {
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

impl UserPatch {
    /// What would change in this user, by name.
    #[must_use]
    pub fn differences(&self, target: &TargetUser) -> Vec<&'static str> {
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
